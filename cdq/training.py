"""A call of `learn`: the local workers' threads, their rounds until the steps are used up, and who watches them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.core.rows import Law
from cdq.errors import CommError
from cdq.rounds import AutoWindow, Interrupted, Round, Rule, Window, WorkerContribution, play, sweeps_of
from cdq.schedules import Decay, Rate, StepSize, build_law
from cdq.worker import Worker

# How often the waiting thread wakes up to show progress, in seconds.
_TICK = 0.2

Watch = Callable[[int, Round], bool]


@dataclass(frozen=True)
class Plan:
    """What every worker does, the same on all ranks."""

    step_size: StepSize
    exploration: Rate
    rule: Rule
    window: Window
    dtype: str

    def law(self, steps: int) -> Law:
        """Return the step-size law of the window that starts after *steps* steps."""
        return build_law(self.step_size, steps, self.window.mass, self.dtype)


@dataclass
class Progress:
    """How far a worker has come: steps of all workers, and the length of its next window; changed by whole rounds."""

    steps: int
    window: float


def learn_rounds(
    worker: Worker,
    comm: Communicator,
    *,
    plan: Plan,
    progress: Progress,
    target: int,
    watch: Watch,
) -> None:
    """Play rounds until *target* steps of all workers, or until a worker's *watch* asked to stop.

    *watch* is called after every round with the steps and the round. When it returns true the worker asks to stop
    with its next contribution, and all workers stop with the table of the round before that.
    """
    contribution = WorkerContribution(worker, needs_mass=isinstance(plan.window, AutoWindow))
    contribution.law = plan.law(progress.steps)
    moving = isinstance(plan.step_size, Decay)
    stop = False
    while progress.steps < target and not (stop and comm.size == 1):
        sweeps = sweeps_of(progress.window, target - progress.steps, comm.size, worker.num_envs)
        after = progress.steps + sweeps * worker.num_envs * comm.size
        if moving:
            contribution.law = plan.law(progress.steps)
        rates = plan.exploration.at(progress.steps), plan.exploration.at(after)
        played = play(worker, contribution, comm, rule=plan.rule, sweeps=sweeps, rates=rates, stop=stop)
        if played is None:
            return
        if after < target:  # the last window is cut short, and says nothing of the next
            progress.window = plan.window.next(sweeps * worker.num_envs, played.mass)
        progress.steps = after
        stop = watch(after, played)


def run_workers(
    tasks: Sequence[Callable[[], None]],
    comms: Sequence[Communicator],
    stop: npt.NDArray[np.int32],
    tick: Callable[[], Any],
) -> None:
    """Run a task per local worker, each in a thread, and wait; call *tick* now and then.

    A task that raises aborts its communicator, so that no other waits for it; the first cause is raised here.
    Ctrl-C, or an error of *tick*, sets the *stop* flag: all workers end without finishing their round.
    No thread is left, however this ends.
    """
    errors: list[BaseException] = []

    def guarded(task: Callable[[], None], comm: Communicator) -> None:
        try:
            with comm:
                task()
        except BaseException as error:  # handed to the caller below, whatever it is
            errors.append(error)

    threads = [
        threading.Thread(target=guarded, args=pair, name=f"cdq-worker-{pair[1].rank}")
        for pair in zip(tasks, comms, strict=True)
    ]
    with _interrupts_deferred(stop):
        try:
            for thread in threads:
                thread.start()
            _wait(threads, tick)
        except BaseException:
            stop[0] = 1
            _wait(threads, lambda: None)
            raise
        if errors and not stop[0]:
            causes = [error for error in errors if not isinstance(error, (CommError, Interrupted))]
            raise (causes or errors)[0]


def _wait(threads: Sequence[threading.Thread], tick: Callable[[], Any]) -> None:
    due = time.monotonic() + _TICK
    for thread in threads:
        while thread.is_alive():
            thread.join(_TICK)
            if time.monotonic() >= due:
                due = time.monotonic() + _TICK
                tick()


@contextmanager
def _interrupts_deferred(stop: npt.NDArray[np.int32]) -> Iterator[None]:
    """Let SIGINT set the *stop* flag, and raise it again on leaving, for whoever handles it outside.

    Python would raise KeyboardInterrupt in the main thread wherever it is, also between two of our own lines.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) in (
        signal.SIG_IGN,
        None,  # a handler that is not Python's
    ):
        yield
        return
    received = []

    def note(number: int, frame: object) -> None:
        received.append(number)
        stop[0] = 1

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if received:
            signal.raise_signal(signal.SIGINT)
