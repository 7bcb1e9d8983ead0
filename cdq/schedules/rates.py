"""Rates and step sizes: functions of the environment steps taken, or of a pair's clock."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cdq.errors import ConfigError
from cdq.errors.checks import described, real, whole

# The smallest number above 0.
_LEAST = math.nextafter(0.0, 1.0)


def _numbers(schedule: Any, **checks: tuple[str, str, float, float]) -> None:
    """Make the named fields floats; each has its name in messages, its allowed values in words, its least and most."""
    for name, check in checks.items():
        what, allowed, low, high = check
        object.__setattr__(schedule, name, real(what, getattr(schedule, name), allowed, low, high))


RATE = ("a number from 0 to 1", 0.0, 1.0)
# Knots of a tabulated rate, which files and messages hold.
MOST_KNOTS = 4096
# Numbers of steps at which a function is called; what comes beyond 2**40 is as at the last.
_PLACES = [*range(64), *(((32 + part) << octave) for octave in range(1, 35) for part in range(32)), 1 << 40]


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
        _numbers(self, value=("the constant rate", *RATE))

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
        _numbers(self, first=("the first rate", *RATE), last=("the last rate", *RATE), steps=steps)


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


@dataclass(frozen=True)
class Tabulated:
    """Rates at some numbers of steps, with straight lines between them, and the last one from there on.

    A function of the steps becomes one (`tabulated`): files hold the table, and every rank has the same.

    Parameters
    ----------
    steps : sequence of int
        Numbers of environment steps of all workers, rising from 0.
    rates : sequence of float
        Rate at each of them, from 0 to 1.

    Examples
    --------
    >>> Tabulated((0, 100), (1.0, 0.0)).at(25)
    0.75
    """

    steps: tuple[int, ...]
    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        steps = tuple(whole("the steps of a tabulated rate", n, 0) for n in self.steps)
        rates = tuple(real("the tabulated rate", rate, *RATE) for rate in self.rates)
        rising = steps[:1] == (0,) and all(one < other for one, other in itertools.pairwise(steps))
        if not rising or len(steps) != len(rates) or len(steps) > MOST_KNOTS:
            raise ConfigError(
                f"a tabulated rate has {len(steps)} numbers of steps and {len(rates)} rates; allowed: steps that rise "
                f"from 0, up to {MOST_KNOTS:,} of them, and a rate for each"
            )
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "rates", rates)

    def at(self, steps: int) -> float:
        """Return the rate after *steps* environment steps of all workers."""
        after = bisect.bisect_right(self.steps, steps)
        if after == len(self.steps):
            return self.rates[-1]
        begin, end = self.steps[after - 1], self.steps[after]
        first, last = self.rates[after - 1], self.rates[after]
        return min(max(first + (last - first) * ((steps - begin) / (end - begin)), 0.0), 1.0)


def tabulated(function: Callable[[int], float], what: str) -> Tabulated:
    """Return the rates of a function of the steps: exact up to 64, then at 32 places between a number and twice it.

    Raises
    ------
    ConfigError
        If the function fails, or returns no number from 0 to 1; *what* names the argument.
    """
    rates = [_rate_of(function, steps, what) for steps in _PLACES]
    kept = [
        place
        for place, rate in enumerate(rates)
        if not 0 < place < len(rates) - 1 or not rates[place - 1] == rate == rates[place + 1]
    ]
    return Tabulated(tuple(_PLACES[place] for place in kept), tuple(rates[place] for place in kept))


def _rate_of(function: Callable[[int], float], steps: int, what: str) -> float:
    called = f"{what}({steps:,})"
    try:
        rate = function(steps)
    except Exception as error:  # whatever a function of the user's raises
        raise ConfigError(
            f"{called} raised {described(error)}; a schedule is called with a number of steps, up to "
            f"{_PLACES[-1]:,}"
        ) from error
    return real(
        called, rate, f"a number from 0 to 1, at every number of steps up to {_PLACES[-1]:,}", *RATE[1:]
    )


Rate = Constant | LinearDecay | ExponentialDecay | Tabulated
ClockLaw = RescaledLinear | Polynomial
StepSize = Rate | ClockLaw
