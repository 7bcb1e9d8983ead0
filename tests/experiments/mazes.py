"""Four rooms, 13 x 13: a maze of 104 cells, whose doors are goals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.mdp.model import MDP

ROOMS = """
#############
#     #     #
#     #     #
#           #
#     #     #
#     #     #
## ####     #
#     ### ###
#     #     #
#     #     #
#           #
#     #     #
#############
""".strip().splitlines()

CELLS = [(row, column) for row in range(13) for column in range(13) if ROOMS[row][column] == " "]
NUMBER = {cell: number for number, cell in enumerate(CELLS)}
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
DOORS = [NUMBER[cell] for cell in ((3, 6), (10, 6), (6, 2), (7, 9))]


def moved() -> npt.NDArray[np.int64]:
    """Return the cell that each move leads to, (n_cells, 4)."""
    to = [[NUMBER.get((r + down, c + right), NUMBER[r, c]) for down, right in MOVES] for r, c in CELLS]
    return np.array(to)


def matrices(slip: float) -> npt.NDArray[np.float64]:
    """Return transition probabilities, (n_cells, 4, n_cells); with probability *slip* another move is made."""
    n, to = len(CELLS), moved()
    P = np.zeros((n, 4, n))
    for action in range(4):
        for move in range(4):
            P[np.arange(n), action, to[:, move]] += 1 - slip if move == action else slip / 3
    return P


def rooms(slip: float) -> MDP:
    """Return the maze, where nothing pays and nothing ends; episodes begin anywhere."""
    return MDP.from_arrays(matrices(slip), np.zeros((len(CELLS), 4)), layout="SAS", name="four rooms")


def collecting(slip: float) -> MDP:
    """Return the maze in which entering door d pays d + 1 and leads to any cell at once: rewards name doors."""
    P, n, rows = matrices(slip), len(CELLS), []
    for state, action, entered in np.argwhere(P > 0).tolist():
        probability = P[state, action, entered]
        if entered in DOORS:
            paid = DOORS.index(entered) + 1.0
            rows += [(state, action, cell, probability / n, paid) for cell in range(n)]
        else:
            rows.append((state, action, entered, probability, 0.0))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return MDP.from_outcomes(*columns, name="collecting robot")


def features(states: Any, actions: Any, rewards: Any, next_states: Any) -> npt.NDArray[np.bool_]:
    """Return which door each transition entered, (n, 4)."""
    return np.asarray(rewards)[:, None] == np.arange(1, 5)


def distances() -> npt.NDArray[np.int64]:
    """Return the steps between cells, (from, to)."""
    n, to = len(CELLS), moved()
    steps = np.full((n, n), n)
    np.fill_diagonal(steps, 0)
    for _ in range(n):
        steps = np.minimum(steps, 1 + steps[to].min(axis=1))
    return steps


def shortest(values: npt.NDArray[Any]) -> float:
    """Return the part of pairs of a cell and a goal whose greedy action is on a shortest path; (goal, cell, action)."""
    steps, n = distances(), len(CELLS)
    greedy = values.argmax(axis=2).T  # (cell, goal)
    after = steps[moved()[np.arange(n)[:, None], greedy], np.arange(n)]
    return float(((after == steps - 1) | (steps == 0)).mean())
