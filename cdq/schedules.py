"""Step sizes and exploration rates: functions of the environment steps taken, or of a pair's clock."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.table.rows import Law
from cdq.errors import ConfigError, unknown_name
from cdq.errors.checks import real, shown

# Entries of a law by clock have relative width 2**(1 - LAW_BITS) beyond 2**LAW_BITS counts and are exact below.
LAW_BITS = 12
Counts = npt.NDArray[np.integer[Any]]
Entries = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]

# In place of ln(1 - 1): what is left of a value is then e^-50, nothing beside a float64.
_ALL = -50.0


# The smallest number above 0.
_LEAST = math.nextafter(0.0, 1.0)


def _numbers(schedule: Any, **checks: tuple[str, str, float, float]) -> None:
    """Make the named fields floats; each has its name in messages, its allowed values in words, its least and most."""
    for name, check in checks.items():
        what, allowed, low, high = check
        object.__setattr__(schedule, name, real(what, getattr(schedule, name), allowed, low, high))


_RATE = ("a number from 0 to 1", 0.0, 1.0)


@dataclass(frozen=True)
class Constant:
    """The same rate at every step.

    Parameters
    ----------
    value : float
        Rate, from 0 to 1.

    Examples
    --------
    >>> Constant(0.1).at(10**6)
    0.1
    """

    value: float

    def __post_init__(self) -> None:
        _numbers(self, value=("the constant rate", *_RATE))

    def at(self, steps: int) -> float:
        """Return the rate after *steps* environment steps of all workers."""
        return self.value


@dataclass(frozen=True)
class Decay:
    """A rate that falls, or rises, with the environment steps of all workers.

    Parameters
    ----------
    first, last : float
        Rate at the start, and the rate that is reached or approached; from 0 to 1.
    steps : float
        Steps of all workers after which *last* is reached, or the distance from it has shrunk by a factor e; above
        0.
    """

    first: float
    last: float
    steps: float

    def __post_init__(self) -> None:
        steps = ("the decay's steps", "above 0 and finite", _LEAST, math.inf)
        _numbers(self, first=("the first rate", *_RATE), last=("the last rate", *_RATE), steps=steps)


@dataclass(frozen=True)
class LinearDecay(Decay):
    """Rate from *first* to *last* in a straight line over *steps* environment steps of all workers, then *last*.

    As a step size it is held constant within a window, at its value of the window's start.

    Examples
    --------
    >>> LinearDecay(1.0, 0.0, 100).at(25)
    0.75
    """

    def at(self, steps: int) -> float:
        """Return the rate after *steps* environment steps of all workers."""
        return self.first + (self.last - self.first) * min(steps / self.steps, 1.0)


@dataclass(frozen=True)
class ExponentialDecay(Decay):
    """Rate from *first* towards *last*, the distance falling by a factor e every *steps* steps of all workers.

    Within a window the rate follows the straight line between its ends.

    Examples
    --------
    >>> round(ExponentialDecay(1.0, 0.0, 100).at(100), 6)
    0.367879
    """

    def at(self, steps: int) -> float:
        """Return the rate after *steps* environment steps of all workers."""
        return self.last + (self.first - self.last) * math.exp(-steps / self.steps)


@dataclass(frozen=True)
class RescaledLinear:
    """The step size 1 / (1 + (1 - gamma) n) for a pair whose clock shows n (Even-Dar & Mansour 2003; Li et al. 2021).

    The default: it learns in a time polynomial in the horizon, where 1 / n takes exponential time.

    Parameters
    ----------
    gamma : float
        The discount, from 0 up to but not including 1.

    Examples
    --------
    >>> RescaledLinear(0.5).of(2)
    0.5
    """

    gamma: float

    def __post_init__(self) -> None:
        most = math.nextafter(1.0, 0.0)
        _numbers(self, gamma=("gamma of the rescaled linear step size", "from 0 to below 1", 0.0, most))

    def of(self, clock: float) -> float:
        """Return the step size of the visit that brings the clock to *clock*."""
        return 1.0 / (1.0 + (1.0 - self.gamma) * clock)


@dataclass(frozen=True)
class Polynomial:
    """The step size n ** -omega for a pair whose clock shows n (Even-Dar & Mansour 2003).

    Parameters
    ----------
    omega : float
        Above 0 and up to 1; the theory wants more than 1/2, and about 0.77 is best.

    Examples
    --------
    >>> Polynomial(0.5).of(4)
    0.5
    """

    omega: float

    def __post_init__(self) -> None:
        _numbers(self, omega=("omega", "above 0 and up to 1", _LEAST, 1.0))

    def of(self, clock: float) -> float:
        """Return the step size of the visit that brings the clock to *clock*."""
        return float(clock**-self.omega)


Rate = Constant | LinearDecay | ExponentialDecay
ClockLaw = RescaledLinear | Polynomial
StepSize = Rate | ClockLaw

_KINDS: dict[str, type[Any]] = {
    "constant": Constant,
    "linear": LinearDecay,
    "exponential": ExponentialDecay,
    "rescaled-linear": RescaledLinear,
    "polynomial": Polynomial,
}


def as_rate(value: float | Rate, what: str) -> Rate:
    """Return *value* as a rate; a number is a constant one.

    Raises
    ------
    ConfigError
        If it is neither; *what* names the argument.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        return Constant(real(what, value, *_RATE))
    if isinstance(value, (Constant, LinearDecay, ExponentialDecay)):
        return value
    raise ConfigError(
        f"{what} is {shown(value)}; allowed: a number from 0 to 1, Constant, LinearDecay or ExponentialDecay"
    )


def as_step_size(value: float | StepSize | None, gamma: float) -> StepSize:
    """Return *value* as a step size; None is the default for *gamma*, a number a constant one."""
    if value is None:
        return RescaledLinear(gamma) if gamma < 1 else Polynomial(0.77)
    if isinstance(value, (RescaledLinear, Polynomial)):
        return value
    rate = as_rate(value, "step_size")
    rates = [getattr(rate, name) for name in ("value", "first", "last") if hasattr(rate, name)]
    if not any(rates):
        raise ConfigError("step_size is 0, with which nothing is learnt; allowed: above 0 and up to 1")
    return rate


def to_config(schedule: StepSize) -> dict[str, Any]:
    """Return *schedule* as a JSON object; `from_config` reads it back."""
    kind = next(name for name, cls in _KINDS.items() if type(schedule) is cls)
    return {"kind": kind, **dataclasses.asdict(schedule)}


def from_config(config: Mapping[str, Any]) -> Any:
    """Return the schedule that `to_config` described."""
    fields = dict(config)
    kind = fields.pop("kind", None)
    if kind not in _KINDS:
        raise ConfigError(unknown_name("schedule", kind, _KINDS))
    try:
        return _KINDS[kind](**fields)
    except TypeError as error:
        raise ConfigError(f"schedule {kind!r}: {error}") from None


def parse(text: str) -> Any:
    """Return the schedule written as on the command line: a number, or a kind and its numbers.

    Examples
    --------
    >>> parse("0.1")
    Constant(value=0.1)
    >>> parse("linear:1:0.05:1e6")
    LinearDecay(first=1.0, last=0.05, steps=1000000.0)
    """
    kind, *numbers = text.split(":")
    try:
        values = [float(number) for number in numbers or [kind]]
    except ValueError:
        values = []
    if values and not numbers:
        return Constant(*values)
    if kind not in _KINDS:
        raise ConfigError(unknown_name("schedule", kind, _KINDS))
    names = [field.name for field in dataclasses.fields(_KINDS[kind])]
    if len(values) != len(names):
        raise ConfigError(f"schedule {text!r}: write it as {':'.join([kind, *names])}")
    return _KINDS[kind](*values)


def build_law(step_size: StepSize, steps: int, mass: float, dtype: str, scale: float = 1.0) -> Law:
    """Return *step_size* as the table that the kernels read (`rows.h`), as of *steps* environment steps.

    *mass* is the pooled mass that a round may add to a clock (section "Windows" of the concepts page); *dtype* the
    table's. The step sizes are multiplied by *scale*, that of features, what visits leave of a value is not: the
    weights of an observation move together, so that each visit takes the whole step size off its error. MergedTable by
    what visits leave of a weight that moves alone, the tables of several workers overshoot: four of them learn
    nothing of MountainCar-v0 (tests/benchmarks/linear.py). Laws are kept: a law by clock takes some milliseconds to
    tabulate, and is the same in every round.
    """
    if isinstance(step_size, (RescaledLinear, Polynomial)):
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
    >>> log_keep(Constant(0.5), 0, np.array([7]), np.array([2])) / math.log(0.5)
    array([2.])
    """
    if isinstance(step_size, (RescaledLinear, Polynomial)):
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
