"""The maze of Barreto et al. 2017: twelve objects of three kinds, which are worth something else in each task."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Array = npt.NDArray[Any]

PLAN = (
    """
1    2X     G
      X......
      1......
.............
      X......
2    3X......
XX3 XXXXX 1XX
      X2    3
      X......
.............
      2......
      X......
_     X3    1
""".replace(".", " ")
    .strip("\n")
    .splitlines()
)
SIDE, OBJECTS, TIME_LIMIT = 13, 1 << 12, 200
CELLS = "".join(line.ljust(SIDE) for line in PLAN)
START, GOAL = CELLS.index("_"), CELLS.index("G")
MOVES = ((0, -1), (-1, 0), (0, 1), (1, 0))
FEATURES = [
    np.array([what == of for of in "123G"], float) for what in CELLS
]  # one of each kind, and the goal


def moved(cell: int, action: int) -> int:
    """Return the cell that a move leads to: the same one, at a wall."""
    row, column = cell // SIDE + MOVES[action][0], cell % SIDE + MOVES[action][1]
    inside = 0 <= row < SIDE and 0 <= column < SIDE and CELLS[row * SIDE + column] != "X"
    return row * SIDE + column if inside else cell


TO = [[moved(cell, action) for action in range(4)] for cell in range(SIDE * SIDE)]
_PLACES = [cell for cell, what in enumerate(CELLS) if what in "123"]
BIT = [1 << _PLACES.index(cell) if cell in _PLACES else 0 for cell in range(SIDE * SIDE)]


class Objects(gymnasium.Env[int, int]):
    """The maze, whose rewards are arrays: which kind of object was found, or the goal, where the episode ends.

    Parameters
    ----------
    worth : array of shape (4,), optional
        Worth of each kind and of the goal: rewards are then numbers.
    """

    observation_space = spaces.Discrete(SIDE * SIDE * OBJECTS)  # the cell, and which objects were found
    action_space = spaces.Discrete(4)

    def __init__(self, worth: Array | None = None) -> None:
        self.worth = np.eye(4) if worth is None else np.asarray(worth)
        if worth is None:
            self.reward_space = spaces.Box(0.0, 1.0, (4,))
        self.paid = [self.worth @ features for features in FEATURES]
        self.nothing = 0.0 * self.paid[0]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        self.cell, self.found, self.steps = START, 0, 0
        return START * OBJECTS, {}

    def step(self, action: int) -> tuple[int, Any, bool, bool, dict[str, Any]]:
        cell = TO[self.cell][action]
        new = cell != self.cell and not self.found & BIT[cell]
        self.cell, self.found, self.steps = cell, self.found | BIT[cell], self.steps + 1
        reward = self.paid[cell] if new else self.nothing
        return cell * OBJECTS + self.found, reward, cell == GOAL, self.steps == TIME_LIMIT, {}
