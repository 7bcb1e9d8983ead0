"""A call of `learn`: the local workers' threads, their rounds until the steps are used up, and the watch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

from cdq.comm.base import Communicator
from cdq.training.course import Course, Ended, Plan
from cdq.workers import Pipeline, Round, Rule, Worker, WorkerContribution, play

# Seconds that workers which are to stop have: until they need not wait for others, and until nobody waits for them.
_PATIENCE, _GRACE = 0.3, 2.0

WriteCheckpoint = Callable[[Worker, Communicator], None]


def learn_rounds(
    worker: Worker,
    contribution: WorkerContribution,
    comm: Communicator,
    *,
    plan: Plan,
    course: Course,
    write_checkpoint: WriteCheckpoint | None = None,
) -> Ended:
    """Play rounds until the course ends; return the reason for that.

    *write_checkpoint* is called on all ranks together, when a checkpoint is due and at the end.

    When a worker's watch is satisfied, it asks to stop with its next contribution, and all workers stop with the
    table of the round before that.
    """
    start = course.progress.steps
    if plan.overlap and comm.size > 1:
        rounds = _overlapped(Pipeline(worker, comm, plan.rule, plan.needs_mass), course)
    else:
        rounds = _one_by_one(worker, contribution, comm, plan.rule, course)
    with closing(rounds):  # also where a checkpoint fails
        for _ in rounds:
            if write_checkpoint is not None and course.due:
                write_checkpoint(worker, comm)
                course.kept = course.progress.steps
    if write_checkpoint is not None and course.progress.steps > max(course.kept, start):
        write_checkpoint(worker, comm)
    return course.ended


def _one_by_one(
    worker: Worker, contribution: WorkerContribution, comm: Communicator, rule: Rule, course: Course
) -> Generator[None, None, None]:
    """Play the course; yield after every round."""
    while (step := course.next()) is not None:
        played = play(worker, contribution, comm, rule=rule, step=step, request=course.request)
        if played is None:
            course.met = True
            worker.roll_back()
            return
        course.settle(played)
        yield


def _overlapped(pipeline: Pipeline, course: Course) -> Generator[None, None, None]:
    """Play the course, each round while the next window is learnt; yield where no window is open."""
    with closing(pipeline):
        while (step := course.next()) is not None:
            pipeline.begin(*step)
            while (step := None if course.due else course.next()) is not None:
                if not _settled(pipeline.step(*step, course.request), course):
                    return
            if not _settled(pipeline.finish(course.request), course):
                return
            yield


def _settled(played: Round | None, course: Course) -> bool:
    if played is None:
        course.met = True
        return False
    course.settle(played)
    return True
