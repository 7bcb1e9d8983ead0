"""Lengths of windows: fixed, or chosen after each round from merged data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from cdq.errors import ConfigError
from cdq.errors.checks import real, shown, whole

# Visit counts of a window are 32-bit, also summed over workers.
LONGEST_WINDOW = 2**24
# An automatic window costs nothing measurable to end at this length, and somebody may be waiting for it.
LONGEST_AUTOMATIC = 2**20


@dataclass(frozen=True)
class AutoWindow:
    """Chooses each window from merged data, so that a round's pooled mass stays near *mass*.

    A round contracts the error like exp(-(1 - gamma) mass) only while its mass, the sum of the step sizes that all
    workers spent on a pair, is small; what goes beyond about 1 is spent on variance. After each round the window is
    multiplied by mass / (visit-weighted mean mass of the round), at least 1/2 and at most 2. As step sizes fall,
    windows grow: rounds grow like the logarithm of the steps.

    Parameters
    ----------
    mass : float
        Pooled mass to stay near, above 0.
    floor : int
        The shortest window, in steps per worker: what keeps merging cheap where a step takes nanoseconds. A higher
        floor than the mass asks for makes small tables learn worse with more workers, not better.

    Examples
    --------
    >>> AutoWindow(mass=0.3, floor=1000).next(2000.0, 0.6)
    1000.0
    """

    mass: float = 0.3
    floor: int = 500

    def __post_init__(self) -> None:
        mass = real("mass of AutoWindow", self.mass, "above 0 and finite", math.nextafter(0.0, 1.0))
        object.__setattr__(self, "mass", mass)
        object.__setattr__(self, "floor", whole("floor of AutoWindow", self.floor, 1, LONGEST_WINDOW))

    def next(self, window: float, mass: float) -> float:
        """Return the window after one of *window* steps whose round had the pooled *mass*."""
        factor = min(max(self.mass / mass, 0.5), 2.0) if mass > 0 else 2.0
        return min(max(window * factor, float(self.floor)), float(max(self.floor, LONGEST_AUTOMATIC)))


@dataclass(frozen=True)
class FixedWindow:
    """Windows of the same length."""

    steps: int
    mass: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole("sync_every", self.steps, 1, LONGEST_WINDOW))
        mass = real("mass of FixedWindow", self.mass, "above 0 and finite", math.nextafter(0.0, 1.0))
        object.__setattr__(self, "mass", mass)

    @property
    def floor(self) -> int:
        """The length of the first window."""
        return self.steps

    def next(self, window: float, mass: float) -> float:
        """Return the length of the next window."""
        return window


Window = AutoWindow | FixedWindow


def as_window(sync_every: str | int | Window) -> Window:
    """Return *sync_every* as a window: "auto", a number of steps per worker, or an `AutoWindow`.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if isinstance(sync_every, str) and sync_every == "auto":
        return AutoWindow()
    if isinstance(sync_every, (AutoWindow, FixedWindow)):
        return sync_every
    if isinstance(sync_every, Real) and not isinstance(sync_every, bool):
        return FixedWindow(whole("sync_every", sync_every, 1, LONGEST_WINDOW))
    raise ConfigError(
        f"sync_every is {shown(sync_every)}; allowed: 'auto', a number of steps or cdq.AutoWindow(...)"
    )


def sweeps_of(window: float, left: int, size: int, num_envs: int) -> int:
    """Return how often each lane steps in a window, given the steps of all workers that are *left*."""
    needed = math.ceil(left / (size * num_envs))
    return max(1, min(math.ceil(window / num_envs), needed))
