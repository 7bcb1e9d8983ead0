"""Pace of a job and of each of its workers: steps, and how many a second of late; and what was learnt so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cdq.training import History

_SPAN = 5.0  # seconds; a pace is that of one to two of them


class Pace:
    """Steps so far, and steps a second of the last seconds; takes the same memory for good.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds.

    Attributes
    ----------
    steps : int
        Steps so far.

    Examples
    --------
    >>> now = 0.0
    >>> pace = Pace(lambda: now)
    >>> now = 2.0
    >>> pace.add(100)
    >>> pace.per_second()
    50.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self.steps = clock, 0
        self._since = self._next = (clock(), 0)  # two moments, and the steps until then

    def add(self, steps: int) -> None:
        """Take note of steps that were made."""
        self._move()
        self.steps += steps

    def per_second(self) -> float:
        """Return the steps a second of the last seconds; 0 where there were none."""
        self._move()
        then, before = self._since
        passed = self._clock() - then
        return (self.steps - before) / passed if passed > 0 else 0.0

    def _move(self) -> None:
        now = self._clock()
        if now - self._next[0] >= _SPAN:
            stale = now - self._next[0] >= 2 * _SPAN
            self._since = (now - _SPAN, self.steps) if stale else self._next
            self._next = (now, self.steps)


def learnt(history: History) -> dict[str, Any]:
    """Return what the newest row of a history says; None where it says nothing."""
    if not len(history):
        return {"steps_per_second": 0.0, "seconds": 0.0, "episodes": 0, "mean_return": None, "gap": None}
    row = history[-1]
    gaps = history["gap"][~np.isnan(history["gap"])]
    return {
        "steps_per_second": row.steps / row.seconds if row.seconds > 0 else 0.0,
        "seconds": row.seconds,
        "episodes": row.episodes,
        "mean_return": None if math.isnan(row.mean_return) else row.mean_return,
        "gap": float(gaps[-1]) if len(gaps) else None,
    }
