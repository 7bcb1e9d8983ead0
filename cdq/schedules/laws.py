"""Laws of step sizes as the kernels read them: tables by count, with the logarithms of what visits leave."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.table.rows import Law
from cdq.schedules.rates import ClockLaw, StepSize

# Entries of a law by clock have relative width 2**(1 - LAW_BITS) beyond 2**LAW_BITS counts and are exact below.
LAW_BITS = 12
Counts = npt.NDArray[np.integer[Any]]
Entries = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]

# In place of ln(1 - 1): what is left of a value is then e^-50, nothing beside a float64.
_ALL = -50.0


def build_law(step_size: StepSize, steps: int, mass: float, dtype: str, scale: float = 1.0) -> Law:
    """Return *step_size* as the table that the kernels read (`rows.h`), as of *steps* environment steps.

    *mass* is the pooled mass that a round may add to a clock (section "Windows" of the concepts page); *dtype* the
    table's. The step sizes are multiplied by *scale*, that of features, what visits leave of a value is not: the
    weights of an observation move together, so that each visit takes the whole step size off its error. MergedTable by
    what visits leave of a weight that moves alone, the tables of several workers overshoot: four of them learn
    nothing of MountainCar-v0 (tests/benchmarks/linear.py). Laws are kept: a law by clock takes some milliseconds to
    tabulate, and is the same in every round.
    """
    if isinstance(step_size, ClockLaw):
        return _law_by_clock(step_size, mass, dtype, scale)
    return _constant_law(step_size.at(steps), mass, dtype, scale)


@lru_cache(maxsize=16)
def _law_by_clock(step_size: ClockLaw, mass: float, dtype: str, scale: float) -> Law:
    return _tabulate(LAW_BITS, _entries_by_clock(step_size), mass, dtype, scale)


@lru_cache(maxsize=16)
def _constant_law(step_size: float, mass: float, dtype: str, scale: float) -> Law:
    return _tabulate(1, _entries(1, [step_size] * _n_entries(1)), mass, dtype, scale)


def log_keep(step_size: StepSize, steps: int, clock: Counts, visits: Counts) -> npt.NDArray[np.float64]:
    """Return ln of the weight that *visits* visits leave to the value before, as the kernels compute it.

    That is the sum of ln(1 - step size) over them, from counts of *clock* on, under the law as of *steps* steps.

    Examples
    --------
    >>> from cdq.schedules import Constant
    >>> log_keep(Constant(0.5), 0, np.array([7]), np.array([2])) / math.log(0.5)
    array([2.])
    """
    if isinstance(step_size, ClockLaw):
        bits, (_, table, slope) = LAW_BITS, _entries_by_clock(step_size)
    else:
        bits, (_, table, slope) = 1, _entries(1, [step_size.at(steps)] * _n_entries(1))
    before = clock.astype(np.int64)
    after = before + visits
    first, last = _entry(before, bits), _entry(after, bits)
    sums: npt.NDArray[np.float64] = (table[last] + slope[last] * after) - (
        table[first] + slope[first] * before
    )
    return sums


def _entry(count: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.int64]:
    """Return the entries of counts, as cdq_entry does (rows.h)."""
    shift = np.maximum(np.frexp(count.astype(np.float64))[1] - bits, 0)
    entry: npt.NDArray[np.int64] = (count >> shift) + (shift.astype(np.int64) << (bits - 1))
    return entry


def _n_entries(bits: int) -> int:
    return (1 << bits) + ((32 - bits) << (bits - 1))


def _spans(bits: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first count of each entry, and how many it has."""
    entry = np.arange(_n_entries(bits), dtype=np.int64)
    shift = np.maximum((entry >> (bits - 1)) - 1, 0)
    return (entry - (shift << (bits - 1))) << shift, np.where(entry == 0, 0, 1 << shift)


@lru_cache(maxsize=16)
def _entries_by_clock(step_size: ClockLaw) -> Entries:
    first, width = _spans(LAW_BITS)
    # An entry's step size is the law's at its middle count. Python's own arithmetic, one by one: NumPy's logarithms
    # and powers differ in the last bit from one processor to the next.
    clocks = np.maximum(first + (width - 1) / 2, 1.0).tolist()
    return _entries(LAW_BITS, [step_size.of(clock) for clock in clocks])


def _entries(bits: int, rates: list[float]) -> Entries:
    """Return the step sizes of a law's entries, and the lines of their log_keep."""
    first, width = _spans(bits)
    slope = np.array([math.log1p(-rate) if rate < 1 else _ALL for rate in rates])
    slope[0] = 0.0
    before = np.concatenate(([0.0], np.cumsum(slope * width)[:-1]))
    # The line through the entry's counts, at count 0.
    return np.array(rates), before - slope * np.maximum(first - 1, 0), slope


def _tabulate(bits: int, entries: Entries, mass: float, dtype: str, scale: float) -> Law:
    step_size, table, slope = entries
    allowance = np.ceil(np.minimum(mass / np.maximum(step_size, 1e-12), 2.0**31 - 1)).astype(np.uint32)
    return Law(bits, (step_size * scale).astype(dtype), table, slope, allowance)
