"""Threads that the main thread waits for, while a signal handler of the user's may raise there at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from cdq.comm.base import Communicator
from cdq.errors import CdqError, CommError, ConfigError, EnvironmentFailure
from cdq.errors.checks import described
from cdq.training.interrupts import Requests, signals_deferred
from cdq.workers import Interrupted


class WorkerThread(threading.Thread):
    """A thread that is known to be alive until it has ended.

    Python's own, up to 3.12, is taken for ended once an error of a signal handler interrupts `join`: what it works on
    would go on changing.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._begun = False
        self._over = threading.Event()

    def start(self) -> None:
        """Start; `is_alive` tells the truth whatever this raises."""
        self._begun = True
        try:
            super().start()
        except BaseException as error:
            no_room = isinstance(error, (RuntimeError, MemoryError)) and not isinstance(error, CdqError)
            self._begun = not no_room and self in threading.enumerate()
            raise

    def run(self) -> None:
        """Run the target."""
        try:
            super().run()
        finally:
            self._over.set()

    def is_alive(self) -> bool:
        """Return whether the thread was started and its target has not returned."""
        return self._begun and not self._over.is_set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the target has returned, for so many seconds at most."""
        if self._begun and self._over.wait(timeout):
            super().join(timeout)


# Seconds after which the waiting thread wakes up to show progress.
_TICK = 0.2
# Seconds that workers which are to stop have: until they need not wait for others, and until nobody waits for them.
_PATIENCE, _GRACE = 0.3, 2.0


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

    # Threads that nobody waits for at the end of the program: one may be in the user's code for good.
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
            raise _failure((causes or errors)[0])


def _failure(error: BaseException) -> BaseException:
    """Return the error to raise: `sys.exit()` in code of the user's would end the program, as if all had gone well."""
    if not isinstance(error, (SystemExit, GeneratorExit)):
        return error
    failure = EnvironmentFailure(f"the environment, or other code of yours, raised {described(error)}")
    failure.__cause__ = error
    return failure


def _start(threads: Sequence[threading.Thread], comms: Sequence[Communicator]) -> None:
    """Start all threads; where the system has no room for one, those before it learn that it does not arrive."""
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
