"""Games of two players in turn, by enumeration, in NumPy: positions from the mover's side, self-play, exact play.

A position is seen by whoever moves: 1 is the mover's, 2 the opponent's. `Game` lists what every move does; a value is
the mover's, so that the next position counts with the other sign.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Outcome = tuple[
    Any, float, bool
]  # the next position, seen by its mover; the reward of the move; whether it ends
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


class Game(NamedTuple):
    """All positions that can come about, and what each move does there, arrays (positions, moves)."""

    positions: list[Any]
    legal: npt.NDArray[np.bool_]
    successor: npt.NDArray[np.int64]  # 0 where the game ends
    reward: Floats
    ends: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]


def enumerated(starts: list[Any], n_moves: int, move: Callable[[Any, int], Outcome | None]) -> Game:
    """Return the game that begins in *starts*; *move* returns None for a move that is not legal."""
    number: dict[Hashable, int] = {position: i for i, position in enumerate(starts)}
    todo, rows = list(starts), []
    for position in todo:  # it grows
        row: list[tuple[int, float, bool] | None] = []
        for action in range(n_moves):
            outcome = move(position, action)
            if outcome is None:
                row.append(None)
                continue
            after, reward, over = outcome
            if not over and after not in number:
                number[after] = len(number)
                todo.append(after)
            row.append((0 if over else number[after], reward, over))
        rows.append(row)
    legal = np.array([[one is not None for one in row] for row in rows])
    filled = [[one or (0, 0.0, False) for one in row] for row in rows]
    columns = [np.array([[one[k] for one in row] for row in filled]) for k in range(3)]
    return Game(todo, legal, columns[0], columns[1], columns[2], np.arange(len(starts)))


def tic_tac_toe() -> Game:
    """Return tic-tac-toe: nine cells, 0 free."""

    def move(board: Any, cell: int) -> Outcome | None:
        if board[cell]:
            return None
        after = list(board)
        after[cell] = 1
        if any(after[i] == after[j] == after[k] == 1 for i, j, k in LINES):
            return None, 1.0, True
        return tuple((0, 2, 1)[side] for side in after), 0.0, all(after)

    return enumerated([(0,) * 9], 9, move)


def nim(heaps: tuple[int, ...]) -> Game:
    """Return Nim: action heap * largest + taken - 1; whoever takes the last wins."""
    largest = max(heaps)

    def move(position: Any, action: int) -> Outcome | None:
        heap, taken = action // largest, action % largest + 1
        if position[heap] < taken:
            return None
        after = (*position[:heap], position[heap] - taken, *position[heap + 1 :])
        return (None, 1.0, True) if not any(after) else (after, 0.0, False)

    sizes = [heap + 1 for heap in heaps]
    starts = [tuple(int(n) for n in position) for position in np.ndindex(*sizes) if any(position)]
    return enumerated(starts, len(heaps) * largest, move)


def is_lost(position: tuple[int, ...]) -> bool:
    """Return whether the mover loses a position of Nim against the best play (Bouton): its binary sum is 0."""
    return bool(np.bitwise_xor.reduce(position) == 0)


def backed_up(game: Game, values: Floats, gamma: float) -> Floats:
    """Return TQ: reward - gamma times the best of the opponent's values; -inf where a move is not legal."""
    best = values.max(axis=1)
    targets = game.reward - gamma * np.where(game.ends, 0.0, best[game.successor])
    return np.where(game.legal, targets, -np.inf)


def solved(game: Game, gamma: float = 1.0) -> Floats:
    """Return Q*: sweeps until nothing changes, which they do in a game that ends."""
    values = np.where(game.legal, 0.0, -np.inf)
    while True:
        after = backed_up(game, values, gamma)
        if np.array_equal(after, values):
            return values
        values = after


def worst(game: Game, policy: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return what a policy comes to against the best opponent: where it moves, and where the opponent does.

    Both are of every position, in the eyes of the policy.
    """
    n = len(game.positions)
    mine, theirs = np.zeros(n), np.zeros(n)
    rows = np.arange(n)
    while True:
        onward = np.where(game.ends, 0.0, theirs[game.successor])
        moves = (game.reward + onward)[rows, policy]
        replies = -game.reward + np.where(game.ends, 0.0, mine[game.successor])
        others = np.where(game.legal, replies, np.inf).min(axis=1)
        if np.array_equal(moves, mine) and np.array_equal(others, theirs):
            return mine, theirs
        mine, theirs = moves, others


def greedy(game: Game, values: Floats) -> npt.NDArray[np.int64]:
    """Return the best legal move of each position, the lowest among equals."""
    return np.where(game.legal, values, -np.inf).argmax(axis=1)


def self_play(
    game: Game, sweeps: int, lanes: int, gamma: float, explore: float, step_size: Any, seed: int
) -> Floats:
    """Return Q after *sweeps* plies of every lane, each of an epsilon-greedy mover; *step_size* is one of a count."""
    random = np.random.default_rng(seed)
    shape = len(game.positions), game.legal.shape[1]
    values, counts = np.where(game.legal, 0.0, -np.inf), np.zeros(shape)
    state = random.choice(game.starts, lanes)
    for _ in range(sweeps):
        any_legal = np.where(game.legal[state], random.random((lanes, shape[1])), -1).argmax(axis=1)
        best = (values[state] + 1e-9 * random.random((lanes, shape[1]))).argmax(axis=1)
        action = np.where(random.random(lanes) < explore, any_legal, best)
        over, after = game.ends[state, action], game.successor[state, action]
        target = game.reward[state, action] - gamma * np.where(over, 0.0, values[after].max(axis=1))
        for lane in range(lanes):
            pair = state[lane], action[lane]
            counts[pair] += 1
            values[pair] += step_size(counts[pair]) * (target[lane] - values[pair])
        state = np.where(over, random.choice(game.starts, lanes), after)
    return values
