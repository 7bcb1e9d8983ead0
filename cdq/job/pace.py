"""Pace of a job and of each of its workers: steps, and how many a second of late; and what was learnt so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cdq.training import History, Speed


class Pace:
    """Steps so far, and steps a second of the last seconds, from the first that came on.

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
    >>> pace.add(100)
    >>> now = 2.0
    >>> pace.add(100)
    >>> pace.per_second()
    50.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self.steps = clock, 0
        self._speed = Speed(clock(), 0)

    def add(self, steps: int) -> None:
        """Take note of steps that were made."""
        self.steps += steps
        self._speed.note(self._clock(), self.steps)

    def per_second(self) -> float:
        """Return the steps a second of the last seconds; 0 where there were none for long."""
        return self._speed.lately(self._clock(), self.steps)


def learnt(history: History) -> dict[str, Any]:
    """Return what the newest row of a history says; None where it says nothing."""
    if not len(history):
        nothing = {"steps_per_second": 0.0, "seconds": 0.0, "bytes": 0, "episodes": 0}
        return {**nothing, "mean_return": None, "gap": None}
    row = history[-1]
    gaps = history["gap"][~np.isnan(history["gap"])]
    return {
        "steps_per_second": row.steps / row.seconds if row.seconds > 0 else 0.0,
        "seconds": row.seconds,
        "bytes": row.bytes,
        "episodes": row.episodes,
        "mean_return": None if math.isnan(row.mean_return) else row.mean_return,
        "gap": float(gaps[-1]) if len(gaps) else None,
    }
