"""Policies on grids, as arrows."""

from __future__ import annotations

import numpy as np

import cdq
from cdq.qfunctions.grid import aims, policy_lines


def test_arrows_follow_each_environment_s_own_actions() -> None:
    lake = cdq.MDP.from_gymnasium("FrozenLake-v1")
    cliff = cdq.MDP.from_gymnasium("CliffWalking-v1")
    actions = np.arange(4)
    assert policy_lines(lake, np.resize(actions, 16))[0] == "← ↓ → ↑"
    assert policy_lines(cliff, np.resize(actions, 48))[0] == "↑ → ↓ ← " * 2 + "↑ → ↓ ←"
    assert policy_lines(cliff, np.resize(actions, 48))[3] == "↑ . . . . . . . . . . G"
    assert policy_lines(lake, np.resize(actions, 16))[1][2] == "H"


def test_arrows_can_be_diagonal_and_an_action_may_have_none() -> None:
    # Two rows, two columns; action 0 goes from 0 to 3 (down and right), action 1 stays.
    state = [0, 1, 2, 3] * 2
    model = cdq.MDP.from_outcomes(
        state, [0] * 4 + [1] * 4, [3, 1, 2, 3, 0, 1, 2, 3], [1.0] * 8, [0.0] * 8, grid=(2, 2)
    )
    assert policy_lines(model, np.array([0, 1, 0, 1])) == ["↘ 1", "↘ 1"]


def test_what_is_no_grid_is_not_drawn() -> None:
    assert policy_lines(cdq.MDP.garnet(5, 2, branching=2, seed=0), np.zeros(5, np.int64)) == []


def test_actions_without_a_grid_aim_at_nothing() -> None:
    assert aims(cdq.MDP.garnet(5, 2, branching=2, seed=0)) == [None, None]
