"""When to stop before the steps are used up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cdq.errors import ConfigError


@dataclass(frozen=True)
class OptimalWithin:
    """Stop once the greedy policy is certified to be within *tolerance* of optimal, from the start distribution.

    Parameters
    ----------
    tolerance : float
        In units of discounted return; above 0.

    Examples
    --------
    >>> OptimalWithin(0.01).tolerance
    0.01
    """

    tolerance: float

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < math.inf:
            raise ConfigError(f"the tolerance is {self.tolerance}; allowed: above 0 and finite")


@dataclass(frozen=True)
class MeanReturn:
    """Stop once the greedy policy's mean undiscounted return, over 1,000 episodes, is *at_least* this.

    Examples
    --------
    >>> MeanReturn(0.7).at_least
    0.7
    """

    at_least: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.at_least):
            raise ConfigError(f"the mean return to reach is {self.at_least}; it must be finite")


Until = OptimalWithin | MeanReturn
