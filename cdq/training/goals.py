"""Goals of `learn`: a number of steps, or a condition that may end it sooner."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cdq.errors.checks import MOST_STEPS, real, whole


@dataclass(frozen=True)
class OptimalWithin:
    """Stop once the greedy policy is certified to be within *tolerance* of optimal, from the start distribution.

    Parameters
    ----------
    tolerance : float
        Greatest distance from optimal, in units of discounted return; above 0.

    Examples
    --------
    >>> OptimalWithin(0.01).tolerance
    0.01
    """

    tolerance: float

    def __post_init__(self) -> None:
        tolerance = real("the tolerance", self.tolerance, "above 0 and finite", math.nextafter(0.0, 1.0))
        object.__setattr__(self, "tolerance", tolerance)


@dataclass(frozen=True)
class MeanReturn:
    """Stop once the greedy policy's mean undiscounted return, as `evaluate` finds it, is *at_least* this.

    Examples
    --------
    >>> MeanReturn(0.7).at_least
    0.7
    """

    at_least: float

    def __post_init__(self) -> None:
        reached = real("the mean return to reach", self.at_least, "a finite number")
        object.__setattr__(self, "at_least", reached)


Until = OptimalWithin | MeanReturn

_COUNTS = ("target", "keep_every", "measure_at")
_CONDITIONS = {kind.__name__: kind for kind in (OptimalWithin, MeanReturn)}


@dataclass(frozen=True)
class Goal:
    """Goal of a call of `learn`; one that was reached sooner than its steps is replaced by one of so many steps.

    Attributes
    ----------
    target : int
        Steps of all workers at which the call ends.
    until : OptimalWithin, MeanReturn or None
        Condition that ends the call sooner.
    keep_every : int
        Steps between two checkpoints.
    measure_at : int
        Steps at which the gap is measured next.
    """

    target: int
    until: Until | None = None
    keep_every: int = 0
    measure_at: int = 0

    def to_config(self) -> dict[str, Any]:
        """Return the goal as a JSON object."""
        until = None if self.until is None else {"kind": type(self.until).__name__, **asdict(self.until)}
        return {
            "target": self.target,
            "until": until,
            "keep_every": self.keep_every,
            "measure_at": self.measure_at,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Goal:
        """Return the goal that `to_config` described."""
        until = dict(config["until"] or {})
        condition = _CONDITIONS[until.pop("kind")](**until) if until else None
        counts = {name: whole(name, config[name], 0, MOST_STEPS) for name in _COUNTS}
        return cls(**{**config, **counts, "until": condition})
