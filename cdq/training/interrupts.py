"""Requests to end a run early: signals make them, workers read them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError

# Why a run is to finish: Ctrl-C here, or what queues send before they kill, here or on another rank.
INTERRUPTED, TERMINATED = 1, 2


# Seconds after which a thread that waits wakes up to hear signals: one that comes to another thread does not wake it.
_TICK = 0.1

Result = TypeVar("Result")


def _flag() -> npt.NDArray[np.int32]:
    return np.zeros(1, np.int32)


@dataclass(frozen=True)
class Requests:
    """Two flags that any thread may set and the workers of a process read.

    Attributes
    ----------
    stop : (1,) array of int32
        End the window in hand at once; it is thrown away. Above 1: do not wait for it, either.
    finish : (1,) array of int32
        End after the round in hand, on all ranks; says why.
    left : list of Thread
        Workers that did not stop, as a step of their environment did not return.
    """

    stop: npt.NDArray[np.int32] = field(default_factory=_flag)
    finish: npt.NDArray[np.int32] = field(default_factory=_flag)
    left: list[threading.Thread] = field(default_factory=list)

    def clear(self) -> None:
        """Take both back, unless a worker that was left behind has yet to see them."""
        self.left[:] = [thread for thread in self.left if thread.is_alive()]
        if not self.left:
            self.stop[0] = self.finish[0] = 0

    def require_none_left(self) -> None:
        """Raise `ConfigError` while a worker of an earlier call is still in its step.

        Requests stay as they are where none was left: one may have come before the call that it is meant for began.
        """
        if self.left:
            self.clear()
        if self.left:
            raise ConfigError(
                "a worker was interrupted in a step or a reset of its environment, or in a merge rule, that has not "
                "returned yet; wait until it has, or make another learner"
            )


@contextmanager
def signals_deferred(requests: Requests, *, graceful: bool) -> Iterator[None]:
    """Let SIGINT make a request, and raise it again on leaving, for whoever handles it outside.

    Python would raise KeyboardInterrupt in the main thread wherever it is, also between two of our own lines.
    SIGINT requests to stop; where *graceful*, first to finish, and to stop when it comes again. Where *graceful*, a
    SIGTERM that nobody handles, the warning that queues send, requests to finish, and is not raised again; from a run
    that it ended on it is ignored. (It comes to all ranks, but not at one time: some have ended by then.)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def interrupted(number: int, frame: object) -> None:
        again = bool(received)
        received.append(number)
        if graceful and not again:
            requests.finish[0] = max(requests.finish[0], INTERRUPTED)
        else:
            requests.stop[0] += 1

    def terminated(number: int, frame: object) -> None:
        requests.finish[0] = TERMINATED

    handlers = {signal.SIGINT: interrupted}
    # None is a handler that is not Python's.
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        del handlers[signal.SIGINT]
    if graceful and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        handlers[signal.SIGTERM] = terminated
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        if signal.SIGTERM in before and requests.finish[0] == TERMINATED:
            before[signal.SIGTERM] = signal.SIG_IGN
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(signal.SIGINT)


def heard(function: Callable[[npt.NDArray[np.int32]], Result], stop: npt.NDArray[np.int32]) -> Result:
    """Call a function that ends early once the flag that it gets is set; Ctrl-C sets it.

    In the main thread, which alone hears Ctrl-C, it is a flag of this call's own, and the function runs in another
    thread; elsewhere it is *stop*, that of the run which this thread is part of.

    Raises
    ------
    KeyboardInterrupt
        Where it came; the function has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(stop)
    requests = Requests()
    with ThreadPoolExecutor(1, "cdq-heard") as pool, signals_deferred(requests, graceful=False):
        running = pool.submit(function, requests.stop)
        try:
            while not wait([running], _TICK).done:
                pass
        except BaseException:
            requests.stop[0] = 1
            raise
    return running.result()


def heard_here(function: Callable[[npt.NDArray[np.int32]], Result], stop: npt.NDArray[np.int32]) -> Result:
    """Call a function of Python code as `heard` does, but in this thread, where Ctrl-C is raised whatever it does.

    Some of that code keeps the exception to itself, as `numpy.random.Generator.choice` may: then the flag ends it.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        return function(stop)
    handle, own, raised = before, Requests().stop, list[BaseException]()

    def interrupted(number: int, frame: FrameType | None) -> None:
        try:
            handle(number, frame)
        except BaseException as error:
            own[0] = 1
            raised.append(error)
            raise

    signal.signal(signal.SIGINT, interrupted)
    try:
        result = function(own)
    finally:
        signal.signal(signal.SIGINT, before)
    if raised:
        raise raised[0]
    return result
