"""The table of a job is that of threads, to the bit, while the same workers come to every round."""

from __future__ import annotations

from typing import Any

import pytest

import cdq
from cdq import merges
from tests.job.jobs import MODEL, STEPS, Hub

WAYS: dict[str, dict[str, Any]] = {
    "automatic windows": {"sync_every": cdq.AutoWindow(floor=20)},
    "fixed windows": {"sync_every": 70},
    "decays": {
        "sync_every": cdq.AutoWindow(floor=30),
        "step_size": cdq.LinearDecay(0.5, 0.01, STEPS),
        "exploration": cdq.ExponentialDecay(1.0, 0.01, STEPS),
    },
}


def threads(workers: int, **arguments: Any) -> cdq.QLearner:
    learner = cdq.QLearner(
        MODEL, workers=workers, **{"num_envs": 3, "seed": 5, "gamma": 0.9, "comm": "inprocess", **arguments}
    )
    return learner.learn(STEPS)


def assert_same(hub: Hub, learner: cdq.QLearner) -> None:
    assert hub.learner.steps == learner.steps
    assert hub.digest == learner.table.digest()
    assert hub.clock() == learner._state.merged.clock.tobytes()
    assert hub.learner._state.progress.window == learner._state.progress.window


@pytest.mark.parametrize("workers", [1, 3, 4])
@pytest.mark.parametrize("way", WAYS)
def test_g1_workers_of_a_job_learn_the_table_of_threads(workers: int, way: str) -> None:
    hub = Hub(workers=workers, **WAYS[way])
    hub.play(range(workers))
    assert_same(hub, threads(workers, **WAYS[way]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("merge", merges.NAMES)
def test_g1_every_rule_merges_as_threads_do(merge: str, dtype: str) -> None:
    hub = Hub(workers=3, merge=merge, dtype=dtype, sync_every=50)
    hub.play(range(3))
    assert_same(hub, threads(3, merge=merge, dtype=dtype, sync_every=50))
