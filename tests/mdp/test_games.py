"""Models of games: the optimum, bounds of any table, and the worst result of a policy, beside exhaustive search."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cdq
from cdq.cli.benchmarks import random_jumps
from cdq.envs.games import Nim
from cdq.errors import CdqError, ConfigError
from cdq.mdp.games import optimum
from tests.reference import games as reference

MODEL = cdq.MDP.from_gymnasium(Nim((2, 3)))
EXACT = reference.nim((2, 3))
ROWS = [int(np.ravel_multi_index(position, (3, 4))) for position in EXACT.positions]


@pytest.mark.parametrize("gamma", [0.5, 0.9, 1.0])
def test_solve_is_exhaustive_search(gamma: float) -> None:
    found = cdq.solve(MODEL, gamma)
    expected = reference.solved(EXACT, gamma)
    np.testing.assert_allclose(found.values[ROWS], expected, atol=1e-9)
    assert found.error < 1e-8
    gap = cdq.optimality_gap(MODEL, found, gamma)
    assert gap.policy_value == pytest.approx(gap.optimal_value)
    assert gap.gap < 1e-8


@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_sweeps_end_where_rounding_keeps_values_in_a_cycle(gamma: float) -> None:
    found = optimum(random_jumps(5, 3, seed=0), gamma, 0.0, 20_000)
    assert found.iterations < 5_000
    assert found.residual <= found.above < 1e-9


@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.9, 1.0]))
@settings(deadline=None)
def test_bounds_hold_whatever_the_table(seed: int, gamma: float) -> None:
    """Those of MacQueen and Porteus would not: what is too high for one player is too low for the other."""
    table = np.random.default_rng(seed).uniform(-1, 1, (MODEL.n_states, MODEL.n_actions))
    bounds = cdq.bounds(MODEL, table, gamma)
    expected = reference.solved(EXACT, gamma)
    legal = EXACT.legal
    assert (bounds.lower[ROWS][legal] <= expected[legal]).all()
    assert (bounds.upper[ROWS][legal] >= expected[legal]).all()
    assert (bounds.upper[ROWS][legal] - bounds.lower[ROWS][legal]).max() <= bounds.gap
    exact = np.full(table.shape, 0.0)
    exact[ROWS] = np.where(legal, expected, 0.0)
    assert cdq.bounds(MODEL, exact, gamma).gap < 1e-9


def test_the_gap_is_a_policys_worst_result() -> None:
    for seed in range(5):
        table = np.random.default_rng(seed).uniform(-1, 1, (MODEL.n_states, MODEL.n_actions))
        values = table[ROWS]
        policy = np.where(EXACT.legal, values, -np.inf).argmax(axis=1)
        mine, _ = reference.worst(EXACT, policy)
        gap = cdq.optimality_gap(MODEL, table, 1.0)
        assert gap.policy_value == pytest.approx(mine.mean())
        assert gap.gap == pytest.approx(gap.optimal_value - gap.policy_value, abs=1e-9)


@pytest.mark.parametrize("arguments", [{"criterion": "average"}, {"gamma": 1.0, "horizon": 3}])
def test_answers_that_games_do_not_have(arguments: Any) -> None:
    with pytest.raises(ConfigError, match="is a game of two players, for which there is no"):
        cdq.solve(MODEL, **arguments)
    with pytest.raises(
        ConfigError, match="is a game of two players, for which there is no value of a policy"
    ):
        cdq.evaluate_policy(MODEL, np.zeros(12, int), 0.9)


def test_a_game_that_never_ends() -> None:
    endless = dataclasses.replace(cdq.MDP.garnet(5, 2, branching=1, seed=0), opponent="self")
    with pytest.raises(CdqError, match="may go on for ever"):
        cdq.solve(endless, 1.0)
    assert cdq.bounds(endless, np.zeros((5, 2)), 1.0).gap == np.inf
    with pytest.raises(CdqError, match="may go on for ever"):
        cdq.QLearner(endless, opponent="self").exploit()
    assert cdq.solve(endless, 0.9).error < 1e-9


def test_a_model_of_a_game_is_kept_and_another_one(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "nim")
    assert cdq.MDP.load(tmp_path / "nim").fingerprint() == MODEL.fingerprint()
    assert cdq.MDP.load(tmp_path / "nim").opponent == "self"
    assert dataclasses.replace(MODEL, opponent=None).fingerprint() != MODEL.fingerprint()
    with pytest.raises(CdqError, match="opponent is 'me'; allowed: None or 'self'"):
        dataclasses.replace(MODEL, opponent="me")
