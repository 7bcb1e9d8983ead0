"""Games of plies, compiled, beside the definition that enumerates them."""

from __future__ import annotations

import numpy as np

from tests.reference import games as reference


def test_the_definition_knows_the_size_and_the_value_of_tic_tac_toe() -> None:
    game = reference.tic_tac_toe()
    assert (len(game.positions), int(game.legal.sum())) == (4520, 16167)
    values = reference.solved(game)
    assert values[0].max() == 0.0
    assert [part[0] for part in reference.worst(game, reference.greedy(game, values))] == [0.0, 0.0]
    mine, theirs = reference.worst(game, np.where(game.legal, 0.0, -np.inf).argmax(axis=1))
    assert (mine[0], theirs[0]) == (-1.0, -1.0)


def test_the_definition_loses_nim_where_the_binary_sum_is_zero() -> None:
    game = reference.nim((3, 4, 5))
    best = reference.solved(game).max(axis=1)
    assert [value < 0 for value in best] == [reference.is_lost(position) for position in game.positions]


def test_self_play_learns_the_signs_of_nim() -> None:
    game = reference.nim((3, 3, 3))
    values = reference.self_play(game, 600, 64, 1.0, 0.3, lambda count: 0.5, seed=0)
    right = (values.max(axis=1) < 0) == [reference.is_lost(position) for position in game.positions]
    assert right.mean() >= 0.97
