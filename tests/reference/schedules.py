"""The step-size law of a clock, entry by entry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cdq.schedules import Polynomial, RescaledLinear

EXACT = 4096  # counts below have a step size each, beyond 2048 in an octave
LIMIT = 2**30  # where clocks saturate


def entry_of(count: int, exact: int = EXACT) -> tuple[int, int]:
    """Return the first count of *count*'s entry and how many share it."""
    width = 1
    while count >= exact * width:
        width *= 2
    return count // width * width, width


class Law:
    """What `cdq.schedules.build_law` tabulates, by definition."""

    def __init__(self, step_size: Any, steps: int, mass: float, dtype: Any) -> None:
        self.by_clock = isinstance(step_size, (RescaledLinear, Polynomial))
        self.step_size, self.steps, self.mass, self.dtype = step_size, steps, mass, np.dtype(dtype)
        self._sums = {1: 0.0}  # first count of an entry -> sum of ln(1 - step size) over the counts before
        self._next = (1, 0.0)

    def exact(self, count: float) -> float:
        """Return the step size in float64."""
        return float(self.step_size.of(count) if self.by_clock else self.step_size.at(self.steps))

    def of(self, count: int) -> Any:
        """Return the step size of the visit that brings the clock to *count*, of the table's dtype."""
        first, width = entry_of(count)
        return self.dtype.type(self.exact(first + (width - 1) / 2))

    def slope(self, count: int) -> float:
        """Return ln(1 - step size); a step size of 1 keeps e^-50 instead of nothing."""
        first, width = entry_of(count)
        alpha = self.exact(first + (width - 1) / 2)
        return max(math.log1p(-alpha), -50.0) if alpha < 1 else -50.0

    def log_keep(self, count: int) -> float:
        """Return the sum of ln(1 - step size) over the counts 1 to *count*."""
        if count == 0:
            return 0.0
        if not self.by_clock:
            return self._constant_log_keep(count)
        first, _ = entry_of(count)
        while first not in self._sums:
            at, total = self._next
            total += self.slope(at) * entry_of(at)[1]
            at += entry_of(at)[1]
            self._sums[at] = total
            self._next = at, total
        return self._line(self._sums[first], first, count)

    def _line(self, before: float, first: int, count: int) -> float:
        """Return what an entry's line is at *count*; it goes through *before* at the count before its *first*."""
        return (before - self.slope(first) * (first - 1)) + self.slope(first) * count

    def _constant_log_keep(self, count: int) -> float:
        """Sum octave by octave, as a constant law has an entry for each."""
        first, _ = entry_of(count, exact=2)
        total = 0.0
        for octave in range(first.bit_length() - 1):
            total += self.slope(1) * 2**octave
        return self._line(total, first, count)

    def allowance(self, count: int) -> int:
        """Return how far a round may move the clock by pooling."""
        if count == 0:
            count = 1
        first, width = entry_of(count)
        alpha = self.exact(first + (width - 1) / 2)
        return math.ceil(min(self.mass / max(alpha, 1e-12), 2**31 - 1))
