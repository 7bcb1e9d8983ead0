"""Environments that are stepped, under all that a run can do: several workers, overlap, checkpoints, exact resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import EnvironmentFailure, LearningDiverged
from cdq.training.monitor import Monitor
from tests.envs import failing
from tests.envs.compiled import scripted

KINDS: dict[str, dict[str, Any]] = {
    "table": {"env": "cdq/RiverSwim-v0"},
    "hash": {"env": "cdq/GridWorld-v0", "table": "hash"},
    "tiles": {"env": "MountainCar-v0", "features": cdq.TileCoding(4, 4)},
    "fourier": {"env": "MountainCar-v0", "features": cdq.FourierBasis(2), "step_size": 0.1},
}
STEPS = 48_000


def learner(kind: str, **changes: Any) -> cdq.QLearner:
    return cdq.QLearner(**{"workers": 3, "seed": 4, "num_envs": 4, **KINDS[kind], **changes})


def outcome(agent: cdq.QLearner) -> tuple[int, str]:
    return agent.steps, agent.table.digest()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_result(kind: str, dtype: str) -> None:
    first, second = (outcome(learner(kind, dtype=dtype).learn(STEPS)) for _ in range(2))
    assert first == second
    other = outcome(learner(kind, dtype=dtype, seed=5).learn(STEPS))
    assert other != first


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_resumed_is_the_run_that_was_not(kind: str, workers: int, tmp_path: Path) -> None:
    whole = learner(kind, workers=workers).learn(STEPS)
    cut = learner(kind, workers=workers, checkpoint=tmp_path, checkpoint_every=STEPS // 4)
    stop_after(cut, STEPS // 8)
    assert 0 < cut.steps < STEPS
    again = cdq.QLearner.resume(tmp_path)
    assert again.steps == cut.steps
    assert outcome(again.learn()) == outcome(whole)


def stop_after(agent: cdq.QLearner, steps: int) -> None:
    """Let a call of `learn` for all steps end with a checkpoint after so many."""
    by_round, by_stretch = Monitor.__call__, Monitor.see

    def watch(monitor: Monitor, done: int, played: Any) -> bool:
        agent._requests.finish[0] = done >= steps
        return by_round(monitor, done, played)

    def see(monitor: Monitor, stretch: Any) -> bool:
        agent._requests.finish[0] = stretch.records[0]["steps"][-1] >= steps
        return by_stretch(monitor, stretch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Monitor, "__call__", watch)
        patch.setattr(Monitor, "see", see)
        agent.learn(STEPS)


@pytest.mark.parametrize("kind", KINDS)
def test_two_calls_are_one(kind: str) -> None:
    window = {"sync_every": 400}
    once = learner(kind, **window).learn(STEPS)
    twice = learner(kind, **window).learn(STEPS // 2).learn(STEPS // 2)
    assert outcome(twice) == outcome(once)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "hash"])
def test_overlap(kind: str) -> None:
    first, second = (outcome(learner(kind, overlap=True).learn(STEPS)) for _ in range(2))
    assert first == second
    assert first != outcome(learner(kind).learn(STEPS))


def test_a_python_environment_begins_an_episode_after_a_resume(tmp_path: Path) -> None:
    agent = cdq.QLearner(failing.Sound, seed=0, checkpoint=tmp_path).learn(1005)
    again = cdq.QLearner.resume(tmp_path, failing.Sound)
    assert outcome(again) == outcome(agent)
    again.learn(95)
    assert again.steps == 1100
    # Ten steps an episode: 5 of the episode that was cut are lost.
    assert again.history[-1].episodes == 100 + 9


@pytest.mark.parametrize("merge", ["mean", "visits", "importance", "affine", "max"])
def test_every_merge_rule_merges_weights(merge: str) -> None:
    agent = learner("tiles", merge=merge, step_size=0.05, sync_every=200).learn(STEPS)
    assert agent.steps == STEPS
    assert agent.table.visits.any()


def test_weights_that_diverge_are_never_kept() -> None:
    agent = learner("fourier", merge="sum", step_size=1.0, gamma=1.0, sync_every=400)
    with pytest.raises(LearningDiverged, match="use a smaller step_size"):
        agent.learn(10_000_000)
    assert np.isfinite(agent.table.values).all()


def test_a_failure_among_threads_undoes_the_window_of_all() -> None:
    """Rounds are played in compiled code; the worker that fails is named, and the table is that of whole rounds."""
    calls = [0]

    def step(lane: Any) -> None:
        calls[0] += 1
        lane["reward"] = np.nan if calls[0] == 3000 else 1.0

    agent = cdq.QLearner(scripted(step, name="bad"), seed=0, num_envs=2, workers=2, sync_every=100)
    with pytest.raises(EnvironmentFailure, match=r"bad.*reward is nan") as caught:
        agent.learn(100_000)
    assert caught.value.worker in {0, 1}
    assert 0 < agent.steps < 3000
    assert agent.table.visits.sum() == agent.steps
    before = agent.steps
    agent.learn(2000)
    assert agent.steps == agent.table.visits.sum() == before + 2000
