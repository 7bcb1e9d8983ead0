"""Threads that are waited for in the main thread, where a signal handler of the user's may raise at any moment."""

from __future__ import annotations

import threading
from typing import Any

from cdq.errors import CdqError


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
