"""What ends a run early: requests that signals make and workers read."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

# Why a run is to finish: Ctrl-C here, or what queues send before they kill, here or on another rank.
INTERRUPTED, TERMINATED = 1, 2


def _flag() -> npt.NDArray[np.int32]:
    return np.zeros(1, np.int32)


@dataclass(frozen=True)
class Requests:
    """Two flags that any thread may set and the workers of a process read.

    Attributes
    ----------
    stop : (1,) array of int32
        End the window in hand at once; it is thrown away.
    finish : (1,) array of int32
        End after the round in hand, on all ranks; says why.
    """

    stop: npt.NDArray[np.int32] = field(default_factory=_flag)
    finish: npt.NDArray[np.int32] = field(default_factory=_flag)

    def clear(self) -> None:
        """Take both back."""
        self.stop[0] = self.finish[0] = 0


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
            requests.stop[0] = 1

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
