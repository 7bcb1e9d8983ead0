"""Jobs of fleets, tasks, agents and compiled environments: the same bits as threads, and nothing lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cdq
from tests.job.jobs import Hub

ROBOTS = [cdq.MDP.garnet(12, 3, branching=2, seed=seed) for seed in range(3)]
POLES = [{"length": 0.3}, {"length": 0.5}, {"length": 0.9, "masspole": 0.2}]
CITY = {"rows": 2, "columns": 2}


def pay(states: Any, actions: Any, rewards: Any, after: Any) -> Any:
    return np.stack([after % 3, rewards + actions], axis=1)


KINDS: dict[str, dict[str, Any]] = {
    "fleet": {"env": ROBOTS},
    "fleet, mean": {"env": ROBOTS, "merge": "mean", "dtype": "float32"},
    "fleet beside": {"env": ROBOTS, "merge": cdq.Personal(50.0)},
    "fleet apart": {"env": ROBOTS, "merge": cdq.Personal(0.0, memory=9.0), "dtype": "float32"},
    "poles": {"env": "cdq/CartPole-v0", "env_kwargs": POLES, "features": cdq.TileCoding(tilings=4)},
    "poles beside": {
        "env": "cdq/CartPole-v0",
        "env_kwargs": POLES,
        "bins": 4,
        "merge": cdq.Personal(50.0),
    },
    "goals": {"env": ROBOTS[0], "tasks": cdq.Goals([3, 7, 5])},
    "rewards": {"env": ROBOTS[0], "tasks": cdq.Rewards(["a", "b"], pay)},
    "weights": {"env": ROBOTS[0], "tasks": cdq.Weights([[1.0, 0.0], [0.5, 2.0]], pay), "dtype": "float32"},
    "goals, compiled": {"env": "cdq/GridWorld-v0", "tasks": cdq.Goals([3, 7, 5])},
    "compiled": {"env": "cdq/GridWorld-v0", "env_kwargs": {"slip": 0.2}},
    "agents": {"env": "cdq/Signals-v0", "env_kwargs": CITY},
    "agents, shared": {"env": "cdq/Signals-v0", "env_kwargs": CITY, "groups": "shared"},
    "packets": {"env": "cdq/Routing-v0", "env_kwargs": {"load": 1.0}},
    "plies": {"env": "cdq/Nim-v0", "opponent": "self"},
}


def threads(kind: str, steps: int) -> cdq.QLearner:
    return cdq.QLearner(workers=3, num_envs=3, seed=5, gamma=0.9, sync_every=60, **KINDS[kind]).learn(steps)


@pytest.mark.parametrize("kind", KINDS)
def test_workers_of_a_job_learn_the_table_of_threads(kind: str) -> None:
    hub = Hub(workers=3, steps=4000, sync_every=60, **KINDS[kind])
    hub.play(range(3))
    other = threads(kind, 4000)
    assert hub.learner.steps == other.steps
    assert hub.digest == other.table.digest()
    assert hub.clock() == other._state.merged.clock.tobytes()
