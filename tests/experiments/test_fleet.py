"""Fleets of robots that are more or less alike: alone, as one, and each for itself beside the common table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq import MDP, Personal, QLearner, evaluate_policy, solve
from tests.experiments.harness import FloatArray

GAMMA, ROBOTS, STATES, ACTIONS, SUCCESSORS, SEEDS = 0.9, 8, 20, 3, 4, 8
STEPS = (500, 2000, 8000)  # of each robot
WAYS: dict[str, Any] = {"alone": Personal(0), "fleet": "pooled", "personal": Personal(100)}


def fleet(unlike: float, seed: int) -> list[MDP]:
    """Return robots of one reward table, whose transitions are alike but for a part that is each one's own."""
    random = np.random.default_rng(seed)

    def transitions() -> FloatArray:
        table = np.zeros((STATES, ACTIONS, STATES))
        for state in range(STATES):
            for action in range(ACTIONS):
                table[state, action, random.choice(STATES, SUCCESSORS, replace=False)] = random.dirichlet(
                    np.ones(SUCCESSORS)
                )
        return table

    common, rewards = transitions(), random.random((STATES, ACTIONS))
    return [MDP.from_arrays((1 - unlike) * common + unlike * transitions(), rewards) for _ in range(ROBOTS)]


def worth(model: MDP, policy: Any) -> float:
    return float(model.start @ evaluate_policy(model, policy, GAMMA))


def lost(models: list[MDP], merge: Any, seed: int) -> list[float]:
    """Return the mean part of what there is to gain over random actions that the greedy policies lose."""
    best = [worth(model, solve(model, GAMMA).policy) for model in models]
    poor = [worth(model, np.full((STATES, ACTIONS), 1 / ACTIONS)) for model in models]
    agent = QLearner(models, gamma=GAMMA, merge=merge, exploration=0.5, sync_every=100, num_envs=1, seed=seed)
    found = []
    for steps in STEPS:
        agent.learn(ROBOTS * steps - agent.steps, verbose=0)
        tables = [agent.table] * ROBOTS if merge == "pooled" else [agent.tables[k] for k in range(ROBOTS)]
        parts = [
            (high - worth(model, table.policy())) / (high - low)
            for model, table, high, low in zip(models, tables, best, poor, strict=True)
        ]
        found.append(float(np.mean(parts)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("unlike", [0.0, 0.2, 0.5, 1.0])
def test_the_blend_is_near_the_better_of_both(unlike: float) -> None:
    """Early as good as the fleet where robots are alike, late as good as each alone where they are not."""
    found = {
        name: np.mean([lost(fleet(unlike, seed), merge, seed) for seed in range(SEEDS)], axis=0)
        for name, merge in WAYS.items()
    }
    assert found["personal"][0] <= 0.45 * found["alone"][0], found
    assert found["personal"][2] <= min(found["alone"][2], found["fleet"][2]) + 0.012, found
    if unlike >= 0.5:
        assert found["personal"][2] <= 0.4 * found["fleet"][2], found
