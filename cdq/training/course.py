"""The course of a call of `learn`: its windows, the rounds that are played of them, and the reason for its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.core.merge.merge import RULES
from cdq.core.rounds import GROWN
from cdq.core.table.rows import Law
from cdq.schedules import ClockLaw, Rate, StepSize, build_law
from cdq.schedules.windows import AutoWindow, Window, sweeps_of
from cdq.training.cohort import Cohort, Member
from cdq.training.interrupts import TERMINATED
from cdq.training.onlooker import Onlooker, StretchEnd
from cdq.training.quiet import has_pace, pace_of
from cdq.workers import (
    GO_ON,
    STOP_AFTER,
    STOP_BEFORE,
    Look,
    NetworkContribution,
    Pipeline,
    Round,
    Rule,
    Step,
    Stretch,
    Stretches,
    Worker,
    WorkerContribution,
    play,
)

Watch = Callable[[int, Round], bool]
WriteCheckpoint = Callable[[Worker, Communicator], None]


@dataclass(frozen=True)
class Plan:
    """Settings that every worker follows, the same on all ranks."""

    step_size: StepSize
    exploration: Rate
    rule: Rule
    window: Window
    dtype: str
    overlap: bool = False
    keep_every: int = 0
    step_scale: float = 1.0
    cohort: Cohort | None = None

    @property
    def needs_mass(self) -> bool:
        """True if the length of the next window depends on the round's pooled mass."""
        return isinstance(self.window, AutoWindow)

    def law(self, steps: int) -> Law:
        """Return the step-size law of the window that starts after *steps* steps."""
        return self.law_of(self.step_size, steps)

    def law_of(self, step_size: StepSize, steps: int) -> Law:
        """Return the law of a step size in the window that starts after *steps* steps."""
        return build_law(step_size, steps, self.window.mass, self.dtype, self.step_scale)


@dataclass
class Progress:
    """Progress of a worker; changed by whole rounds, the same on all ranks.

    Attributes
    ----------
    steps : int
        Steps of all workers.
    window : float
        The length of the next window.
    """

    steps: int
    window: float


class Ended(NamedTuple):
    """Reason for which a call of `learn` ended: its steps are done, unless another one is named.

    Attributes
    ----------
    steps : int
        Steps of all workers at the end.
    met : bool
        True if the condition of the goal holds for the table as it is then.
    asked : bool
        True if a worker asked all to end after a round.
    signal : int
        INTERRUPTED or TERMINATED where a signal asked for it, here or on another rank; else 0.
    """

    steps: int
    met: bool
    asked: bool
    signal: int


def watch_nothing(steps: int, played: Round) -> bool:
    """Watch for a worker that leaves it to rank 0."""
    return False


class Course:
    """Windows of a worker in a call of `learn`, and the consequences of each merged round.

    Attribute `plan` is that of all workers, `kept` the steps of the last checkpoint, `met` is True once the watch has
    returned that. `size` may change between windows: what a round adds to the steps is what those brought who came.

    Parameters
    ----------
    plan : Plan
        Settings that all workers follow.
    progress : Progress
        Progress of this worker.
    target : int
        Steps of all workers at which to end.
    size : int
        Number of workers.
    num_envs : int
        Lanes of each worker.
    watch : callable
        Gets steps and round after every round; returns True if the condition of the goal holds, which ends the course
        with the table of that round.
    finish : (1,) array of int32
        A flag that asks all to end after the round in hand.
    rank : int
        Number of the worker, where workers differ.
    onlooker : Onlooker, optional
        Reads what rounds were in place of the watch, where no round need be watched as it ends; on all ranks or none.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        progress: Progress,
        target: int,
        size: int,
        num_envs: int,
        watch: Watch,
        finish: npt.NDArray[np.int32],
        rank: int = 0,
        onlooker: Onlooker | None = None,
    ) -> None:
        self.plan, self.progress, self.target = plan, progress, target
        self.onlooker = onlooker
        self.size, self._num_envs = size, num_envs
        self._watch, self.finish = watch, finish
        self._begun = progress.steps  # steps of all windows that were begun
        self._open: deque[int] = deque()  # of those not yet merged: steps per worker
        self._law = plan.law(progress.steps)
        self._member = None if plan.cohort is None else Member(plan.cohort, rank, size, plan.law_of)
        self.met = self._asked = False
        self.kept = progress.steps

    @property
    def request(self) -> int:
        """The request that this worker's next contribution makes of all: go on, or stop after or before its round."""
        if self.met:
            return STOP_BEFORE
        return STOP_AFTER if self.finish[0] else GO_ON

    @property
    def due(self) -> bool:
        """Return True if a checkpoint is due: at the first round after each multiple of so many steps."""
        every = self.plan.keep_every
        return every > 0 and self.progress.steps // every > self.kept // every

    @property
    def over(self) -> bool:
        """Return True if the round that was settled last is the last one."""
        return self.met or self._asked or self.progress.steps >= self.target

    @property
    def ended(self) -> Ended:
        """Reason for which the course ends after the round that was settled last."""
        signal = int(self.finish[0]) or (TERMINATED if self._asked else 0)
        return Ended(self.progress.steps, self.met, self._asked, signal)

    def forget(self) -> None:
        """Begin again after the last round: windows that were begun since will not be merged."""
        self._begun = self.progress.steps
        self._open.clear()

    @property
    def learners(self) -> int:
        """Number of workers that learn in a round."""
        return self.size if self.plan.cohort is None else self.plan.cohort.learners(self.size)

    @property
    def is_done(self) -> bool:
        """True if there is no further window to begin; where workers have met the condition, one tells the others."""
        return self._begun >= self.target or self._asked or (self.met and self.size == 1)

    def next(self) -> Step | None:
        """Begin the next window; None where there is none."""
        if self.is_done:
            return None
        left = self.target - self._begun
        sweeps = sweeps_of(self.progress.window, left, self.learners, self._num_envs)
        before, self._begun = self._begun, self._begun + sweeps * self._num_envs * self.learners
        self._open.append(sweeps * self._num_envs)
        if not isinstance(self.plan.step_size, ClockLaw):
            self._law = self.plan.law(before)
        exploration = self.plan.exploration
        step = Step(self._law, sweeps, (exploration.at(before), exploration.at(self._begun)))
        return step if self._member is None else self._member.step(step, before, self._begun)

    def settle(self, played: Round) -> None:
        """Take note of the oldest window's round, which is now in the table."""
        self.settle_one(played, self._open.popleft())
        if not self._open:
            self._begun = self.progress.steps

    def settle_one(self, played: Round, steps: int) -> None:
        """Take note of a round of windows of so many *steps* per worker, wherever they were begun."""
        progress = self.progress
        absent = self.size - self.learners
        progress.steps += steps * (len(played.summaries) - absent)
        if progress.steps < self.target:  # the last window is cut short, and says nothing of the next
            progress.window = self.plan.window.next(steps, played.mass)
        self._asked = any(summary.request == STOP_AFTER for summary in played.summaries)
        self.met = self._watch(progress.steps, played)

    def look(self) -> Look | None:
        """Return when somebody must look, in the rounds to come; None where the course has ended here."""
        assert self.onlooker is not None
        if self.met:
            return None
        look, every = self.onlooker.look(), self.plan.keep_every
        return look._replace(at=min(look.at, (self.kept // every + 1) * every)) if every else look

    def settle_stretch(self, end: StretchEnd, stretch: Stretch) -> None:
        """Take note of the rounds of a stretch, which ended at a seat."""
        assert self.onlooker is not None
        if not end.rounds:
            return
        self.progress.steps, self.progress.window = end.steps, end.window
        self._begun, self._asked = end.steps, bool(end.asked)
        self.met = self.onlooker.see(stretch)


def learn_rounds(
    worker: Worker,
    contribution: WorkerContribution | NetworkContribution,
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
    # Closed also where a checkpoint fails.
    with closing(_rounds_of(worker, contribution, comm, plan, course)) as rounds:
        for _ in rounds:
            if write_checkpoint is not None and course.due:
                write_checkpoint(worker, comm)
                course.kept = course.progress.steps
    if write_checkpoint is not None and course.progress.steps > max(course.kept, start):
        write_checkpoint(worker, comm)
    return course.ended


def _rounds_of(
    worker: Worker,
    contribution: WorkerContribution | NetworkContribution,
    comm: Communicator,
    plan: Plan,
    course: Course,
) -> Generator[None, None, None]:
    """Return the rounds of a course, in the way in which they can be played."""
    if plan.overlap and comm.size > 1:
        return _overlapped(Pipeline(worker, comm, plan.rule, plan.needs_mass), course)
    if isinstance(contribution, WorkerContribution):
        stretches = _stretches_of(worker, contribution, comm, plan, course)
        if stretches is not None:
            return _in_stretches(stretches, contribution, plan, course)
    return _one_by_one(worker, contribution, comm, plan.rule, course)


def _one_by_one(
    worker: Worker,
    contribution: WorkerContribution | NetworkContribution,
    comm: Communicator,
    rule: Rule,
    course: Course,
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


def in_compiled_code(plan: Plan) -> bool:
    """Return whether compiled code can follow a plan: its rule and schedules are known there, for all workers alike."""
    known = isinstance(plan.rule, str) and plan.rule in RULES and plan.cohort is None
    return known and has_pace(plan.exploration, plan.step_size)


def _stretches_of(
    worker: Worker, contribution: WorkerContribution, comm: Communicator, plan: Plan, course: Course
) -> Stretches | None:
    """Return the stretches of a worker that plays a course, or None where its rounds take Python.

    A collective: all workers play in compiled code, or none.
    """
    together = comm.together()
    if together is None:
        return None
    peers, own = contribution.known_peers, None
    if course.onlooker is not None and in_compiled_code(plan):
        assert isinstance(plan.rule, str)
        own = Stretches(
            worker,
            comm,
            together,
            peers,
            rule=plan.rule,
            law=plan.law(course.progress.steps),
            needs_mass=plan.needs_mass,
            pace=pace_of(plan.window, plan.exploration, plan.step_size, plan.step_scale),
            target=course.target,
            finish=course.finish,
        )
    places = together.bring(own if own is not None and own.possible else None, peers)
    return None if any(place is None for place in places) else own


def _in_stretches(
    stretches: Stretches, contribution: WorkerContribution, plan: Plan, course: Course
) -> Generator[None, None, None]:
    """Play the course in compiled code; yield whenever somebody may have to look."""
    progress = course.progress
    while not course.is_done:
        played = stretches.play(progress.steps, progress.window, course.look())
        if played is None:
            course.met = True
            return
        status, end, stretch = played
        course.settle_stretch(end, stretch)
        stretches.end(status)
        if status == GROWN:
            contribution.law, contribution.laws = plan.law(progress.steps), None
            course.settle_one(*stretches.merge(contribution, course.request))
            course.forget()
        yield


def _overlapped(pipeline: Pipeline, course: Course) -> Generator[None, None, None]:
    """Play the course, each round while the next window is learnt; yield where no window is open."""
    with closing(pipeline):
        while (step := course.next()) is not None:
            pipeline.begin(*step[:3])
            while (step := None if course.due else course.next()) is not None:
                if not _settled(pipeline.step(*step[:3], course.request), course):
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
