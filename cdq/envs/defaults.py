"""Settings with which known environments are learnt well, where the general defaults do not do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cdq.features import TileCoding
from cdq.schedules import Constant, Polynomial


@dataclass(frozen=True)
class Recommended:
    """Arguments and number of steps that are known to do well on an environment.

    Attributes
    ----------
    arguments : mapping
        Arguments of `QLearner`.
    steps : int
        Steps of all workers.
    """

    arguments: Mapping[str, Any]
    steps: int


def _recommended(steps: int, **arguments: Any) -> Recommended:
    return Recommended(MappingProxyType(arguments), steps)


# The bounds of CartPole's first and third number are those at which an episode ends; speeds beyond the others are of
# episodes that are lost. tests/experiments/test_linear.py learns all of them.
RECOMMENDED = MappingProxyType(
    {
        "CartPole": _recommended(
            500_000,
            features=TileCoding(32, (2, 3, 6, 6), low=(-2.4, -3.0, -0.21, -3.5), high=(2.4, 3.0, 0.21, 3.5)),
        ),
        "Acrobot": _recommended(
            500_000,
            features=TileCoding(
                32, (2, 2, 2, 2, 4, 4), low=(*[None] * 4, -7.0, -14.0), high=(*[None] * 4, 7.0, 14.0)
            ),
        ),
        # Rewards are noise most of all: the mean of what was seen, of games at random, which show every hand.
        "Blackjack": _recommended(250_000, gamma=1.0, step_size=Polynomial(1.0), exploration=Constant(1.0)),
        # All rewards are -1: weights of 0 are optimistic, which leads everywhere.
        "MountainCar": _recommended(500_000, features=TileCoding(16, 8), exploration=Constant(0.0)),
    }
)


def recommended(env_id: str) -> Recommended | None:
    """Return the settings for an id of Gymnasium's, of any namespace and version; None: the general ones do.

    Examples
    --------
    >>> recommended("cdq/CartPole-v0").steps
    500000
    >>> recommended("FrozenLake-v1") is None
    True
    """
    return RECOMMENDED.get(re.sub(r"^.*/|^.*:|-v\d+$", "", env_id))
