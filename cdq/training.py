"""A call of `learn`: the local workers' threads, their rounds until the steps are used up, and who watches them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.core.rows import Law
from cdq.errors import CdqError, CommError, ConfigError
from cdq.interrupts import Requests, signals_deferred
from cdq.monitor import Watch
from cdq.overlap import Pipeline
from cdq.rounds import (
    GO_ON,
    STOP_AFTER,
    STOP_BEFORE,
    AutoWindow,
    Interrupted,
    Round,
    Rule,
    Step,
    Window,
    WorkerContribution,
    play,
    sweeps_of,
)
from cdq.schedules import Decay, Rate, StepSize, build_law
from cdq.threads import WorkerThread
from cdq.worker import Worker

# How often the waiting thread wakes up to show progress, in seconds.
_TICK = 0.2
# Seconds that workers which are to stop have: until they need not wait for others, and until nobody waits for them.
_PATIENCE, _GRACE = 0.3, 2.0

Keep = Callable[[Worker, Communicator], None]


@dataclass(frozen=True)
class Plan:
    """What every worker does, the same on all ranks."""

    step_size: StepSize
    exploration: Rate
    rule: Rule
    window: Window
    dtype: str
    overlap: bool = False
    keep_every: int = 0
    step_scale: float = 1.0

    @property
    def needs_mass(self) -> bool:
        """Whether the next window depends on the round's pooled mass."""
        return isinstance(self.window, AutoWindow)

    def law(self, steps: int) -> Law:
        """Return the step-size law of the window that starts after *steps* steps."""
        return build_law(self.step_size, steps, self.window.mass, self.dtype, self.step_scale)


@dataclass
class Progress:
    """How far a worker has come; changed by whole rounds, the same on all ranks.

    Attributes
    ----------
    steps : int
        Of all workers.
    window : float
        The length of the next window.
    ended : bool
        Whether a worker had all end early, after a round.
    """

    steps: int
    window: float
    ended: bool = False


class Course:
    """What lies before a worker in a call of `learn`: its windows, and what follows from each merged round.

    Attribute `kept` is the steps of the last checkpoint, `satisfied` what the watch returned last. `size` may change
    between windows: what a round adds to the steps is what those brought who came.

    Parameters
    ----------
    plan : Plan
        What all workers do.
    progress : Progress
        Where this one is.
    target : int
        Steps of all workers at which to end.
    size : int
        How many workers there are.
    num_envs : int
        Lanes of each.
    watch : callable
        Gets steps and round after every round; returns whether to end with the table of that round.
    finish : (1,) array of int32
        A flag that asks all to end after the round in hand.
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
    ) -> None:
        self._plan, self.progress, self._target = plan, progress, target
        self.size, self._num_envs = size, num_envs
        self._watch, self._finish = watch, finish
        self._begun = progress.steps  # steps of all windows that were begun
        self._open: deque[int] = deque()  # of those not yet merged: steps per worker
        self._law = plan.law(progress.steps)
        self.satisfied = False
        self.kept = progress.steps
        progress.ended = False

    @property
    def request(self) -> int:
        """What this worker asks of all with its next contribution."""
        if self.satisfied:
            return STOP_BEFORE
        return STOP_AFTER if self._finish[0] else GO_ON

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint: at the first round after each multiple of so many steps."""
        every = self._plan.keep_every
        return every > 0 and self.progress.steps // every > self.kept // every

    @property
    def over(self) -> bool:
        """Whether the round that was settled last is the last one."""
        return self.satisfied or self.progress.ended or self.progress.steps >= self._target

    def forget(self) -> None:
        """Begin again after the last round: what was begun since will not be merged."""
        self._begun = self.progress.steps
        self._open.clear()

    def next(self) -> Step | None:
        """Begin the next window; None where there is none."""
        left = self._target - self._begun
        if left <= 0 or self.progress.ended or (self.satisfied and self.size == 1):
            return None
        sweeps = sweeps_of(self.progress.window, left, self.size, self._num_envs)
        before, self._begun = self._begun, self._begun + sweeps * self._num_envs * self.size
        self._open.append(sweeps * self._num_envs)
        if isinstance(self._plan.step_size, Decay):
            self._law = self._plan.law(before)
        exploration = self._plan.exploration
        return Step(self._law, sweeps, (exploration.at(before), exploration.at(self._begun)))

    def settle(self, played: Round) -> None:
        """Take note of the oldest window's round, which is now in the table."""
        self.settle_one(played, self._open.popleft())
        if not self._open:
            self._begun = self.progress.steps

    def settle_one(self, played: Round, steps: int) -> None:
        """Take note of a round of windows of so many *steps* per worker, wherever they were begun."""
        progress = self.progress
        progress.steps += steps * len(played.summaries)
        if progress.steps < self._target:  # the last window is cut short, and says nothing of the next
            progress.window = self._plan.window.next(steps, played.mass)
        progress.ended = any(summary.request == STOP_AFTER for summary in played.summaries)
        self.satisfied = self._watch(progress.steps, played)


def learn_rounds(
    worker: Worker,
    contribution: WorkerContribution,
    comm: Communicator,
    *,
    plan: Plan,
    course: Course,
    keep: Keep | None = None,
) -> None:
    """Play rounds until the course ends; call *keep*, on all ranks together, when a checkpoint is due and at the end.

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
            if keep is not None and course.due:
                keep(worker, comm)
                course.kept = course.progress.steps
    if keep is not None and course.progress.steps > max(course.kept, start):
        keep(worker, comm)


def _one_by_one(
    worker: Worker, contribution: WorkerContribution, comm: Communicator, rule: Rule, course: Course
) -> Generator[None, None, None]:
    """Play the course; yield after every round."""
    while (step := course.next()) is not None:
        played = play(worker, contribution, comm, rule=rule, step=step, request=course.request)
        if played is None:
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
                if not _settled(pipeline.play(*step, course.request), course):
                    return
            if not _settled(pipeline.finish(course.request), course):
                return
            yield


def _settled(played: Round | None, course: Course) -> bool:
    if played is not None:
        course.settle(played)
    return played is not None


def run_workers(
    tasks: Sequence[Callable[[], None]],
    comms: Sequence[Communicator],
    requests: Requests,
    tick: Callable[[], Any],
    graceful: bool = False,
) -> None:
    """Run a task per local worker, each in a thread, and wait; call *tick* now and then.

    A task that raises aborts its communicator, so that no other waits for it; the first cause is raised here.
    Ctrl-C (for *graceful*, see `signals_deferred`), or an error of *tick*, requests to stop: all workers end without
    finishing their round. One that waits for other processes is told that its communicator is gone; one that is in
    code of the user's, which nobody can end, is left behind (`Requests.left`), at once where Ctrl-C comes again.
    """
    errors: list[BaseException] = []

    def guarded(task: Callable[[], None], comm: Communicator) -> None:
        try:
            with comm:
                task()
        except BaseException as error:  # handed to the caller below, whatever it is
            errors.append(error)

    # Of the kind that nobody waits for at the end of the program: one may be in the user's code for good.
    threads = [
        WorkerThread(target=guarded, args=pair, name=f"cdq-worker-{pair[1].rank}", daemon=True)
        for pair in zip(tasks, comms, strict=True)
    ]
    with signals_deferred(requests, graceful=graceful):
        try:
            _start(threads, comms)
            _wait(threads, comms, requests, tick)
        except BaseException:
            requests.stop[0] = 1
            _wait(threads, comms, requests, lambda: None)
            raise
        if errors and not requests.stop[0]:
            causes = [error for error in errors if not isinstance(error, (CommError, Interrupted))]
            raise (causes or errors)[0]


def _start(threads: Sequence[threading.Thread], comms: Sequence[Communicator]) -> None:
    """Start all threads; where the system has no room for one, those before it are told that it does not come."""
    for i, thread in enumerate(threads):
        try:
            thread.start()
        except BaseException as error:  # of a signal handler, perhaps
            for comm in comms[i:]:
                comm.abort("there is no thread for it")
            if isinstance(error, CdqError) or not isinstance(error, (RuntimeError, MemoryError)):
                raise
            raise ConfigError(
                f"this process could start {i} of {len(threads)} threads ({error}): use fewer workers, or allow it "
                "more memory and threads (ulimit -a)"
            ) from None


def _wait(
    threads: Sequence[threading.Thread],
    comms: Sequence[Communicator],
    requests: Requests,
    tick: Callable[[], Any],
) -> None:
    """Wait for all threads; once they are to stop, in the end only until they have had time to."""
    due = time.monotonic() + _TICK
    asked: float | None = None
    while alive := [thread for thread in threads if thread.is_alive()]:
        alive[0].join(_TICK)
        now = time.monotonic()
        if now >= due:
            due = now + _TICK
            tick()
        if requests.stop[0]:
            asked = asked or now
            leaves = now - asked >= _GRACE or requests.stop[0] > 1
            for comm in comms:
                # Threads of one process all hear the request; other processes do not.
                if leaves or (comm.SPREAD and now - asked >= _PATIENCE):
                    comm.abort("interrupted")
            if leaves:
                requests.left[:] = alive
                return
