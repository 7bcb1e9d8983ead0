"""The defaults learn Gymnasium's toy environments without tuning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq import AutoWindow, QLearner
from cdq.mdp.planning import optimality_gap

ENVIRONMENTS = ["FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4", "CliffWalking-v1"]
# FrozenLake8x8 asks for more: a good policy needs a few million steps.
QUICK = ["FrozenLake-v1", "Taxi-v4", "CliffWalking-v1"]


def relative_gap(agent: QLearner) -> float:
    """Return how far the greedy policy is from optimal, exactly, as a part of the optimal value."""
    found = optimality_gap(agent.model, agent.table.values.astype(np.float64), agent.settings.gamma)
    return found.gap / abs(found.optimal_value)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_defaults_learn(env: str, seed: int) -> None:
    agent = QLearner(env, workers=2, seed=seed).learn(2e7)
    assert relative_gap(agent) <= 0.01
    if env == "CliffWalking-v1":
        assert agent.evaluate(10).mean_return == -13.0


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 3}, {"workers": 2, "dtype": "float32"}])
@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_so_they_do_with_other_workers_and_types(env: str, options: dict[str, Any]) -> None:
    assert relative_gap(QLearner(env, seed=0, **options).learn(2e7)) <= 0.01


@pytest.mark.parametrize("num_envs", [1, 16, 64])
@pytest.mark.parametrize("env", QUICK)
def test_the_number_of_lanes_hardly_matters(env: str, num_envs: int) -> None:
    gaps = [
        relative_gap(QLearner(env, workers=2, num_envs=num_envs, seed=seed).learn(1e6)) for seed in range(5)
    ]
    assert np.median(gaps) <= 0.01, gaps


@pytest.mark.slow
def test_workers_are_experience_while_they_exploit() -> None:
    steps, short = 500_000, AutoWindow(floor=1)
    alone = [QLearner("FrozenLake8x8-v1", seed=seed).learn(steps) for seed in range(6)]
    team = [
        QLearner("FrozenLake8x8-v1", workers=8, sync_every=short, seed=seed).learn(8 * steps)
        for seed in range(6)
    ]
    one, eight = (np.median([relative_gap(agent) for agent in agents]) for agents in (alone, team))
    assert eight <= 0.5 * one, (eight, one)
