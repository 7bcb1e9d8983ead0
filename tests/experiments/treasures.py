"""Deep sea treasure: a grid in which treasures that are worth more take longer; a step pays a treasure and minus 1."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

# Row, column and worth of each treasure; below a treasure is rock.
TREASURES = {
    (1, 0): 0.7,
    (2, 1): 8.2,
    (3, 2): 11.5,
    (4, 3): 14.0,
    (4, 4): 15.1,
    (4, 5): 16.1,
    (7, 6): 19.6,
    (7, 7): 20.3,
    (9, 8): 22.4,
    (10, 9): 23.7,
}
DEPTHS = [*(row for row, _ in TREASURES), 10]  # the lowest row of each column
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


class DeepSea(gymnasium.Env[Any, Any]):
    """The grid, whose rewards are arrays: the treasure, and the time."""

    observation_space = spaces.Discrete(121)
    action_space = spaces.Discrete(4)
    reward_space = spaces.Box(np.array([0.0, -1.0]), np.array([23.7, -1.0]), dtype=np.float64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = (0, 0)
        return 0, {}

    def step(self, action: int) -> tuple[int, Any, bool, bool, dict[str, Any]]:
        row, column = self.at[0] + MOVES[action][0], self.at[1] + MOVES[action][1]
        if 0 <= column <= 10 and 0 <= row <= DEPTHS[column]:
            self.at = (row, column)
        found = TREASURES.get(self.at, 0.0)
        return 11 * self.at[0] + self.at[1], np.array([found, -1.0]), found > 0, False, {}


def points(gamma: float) -> Any:
    """Return the discounted (treasure, time) of each treasure by a shortest way."""
    steps = np.array([row + column for row, column in TREASURES])
    worth = np.array(list(TREASURES.values())) * gamma ** (steps - 1.0)
    return np.stack([worth, -(1 - gamma**steps) / (1 - gamma)], axis=1)


def weights(gamma: float) -> Any:
    """Return weights for each treasure, (n, 2), for which it is the best by the most."""
    known = points(gamma)
    share = np.linspace(0.0, 1.0, 100_001)
    all_weights = np.stack([share, 1 - share], axis=1)
    worth = all_weights @ known.T
    lead = worth[:, :, None] - worth[:, None, :]
    lead[:, np.arange(len(known)), np.arange(len(known))] = np.inf
    return all_weights[lead.min(axis=2).argmax(axis=0)]
