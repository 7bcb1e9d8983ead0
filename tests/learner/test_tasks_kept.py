"""Learners of several tasks on other ranks, and in files."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.core.lanes import Lanes
from cdq.errors import CdqError, ConfigError, FileError
from tests.learner.test_tasks import CALM, GOALS, LAKE, Line, by_action, two_features


def digest(agent: Any) -> str:
    return str(agent.report(play=False)["digest"])


@pytest.mark.parametrize("tasks", [GOALS, cdq.Weights(np.eye(2), two_features)])
def test_three_workers_come_to_the_same_on_every_backend(tasks: Any) -> None:
    """Expected: the same bits by threads and by processes."""
    found = {}
    for comm in ("inprocess", "zmq"):
        with cdq.QLearner(LAKE, tasks=tasks, workers=3, seed=5, comm=comm) as agent:
            found[comm] = digest(agent.learn(30_000, verbose=0))
    assert found["inprocess"] == found["zmq"]


def test_a_file_holds_all_tasks(tmp_path: Path) -> None:
    path = tmp_path / "all.safetensors"
    agent = cdq.QLearner(LAKE, tasks=GOALS, **CALM).learn(10_000, verbose=0)
    agent.save(path)
    again = cdq.QLearner.load(path)
    assert again.settings.tasks == GOALS
    assert digest(again) == digest(agent)
    assert again.predict(13, 14) == 2
    for twin in (copy.deepcopy(agent), pickle.loads(pickle.dumps(agent))):
        assert digest(twin) == digest(agent)
        assert list(twin.tables) == [14, 10, 3]
    weights = cdq.QLearner(Line, tasks=cdq.Weights(np.eye(2), names=["a", "b"]), seed=0).learn(100, verbose=0)
    weights.save(path)
    assert list(cdq.QLearner.load(path, Line).tables) == ["a", "b"]


def test_a_file_of_functions_needs_them(tmp_path: Path) -> None:
    path = tmp_path / "functions.safetensors"
    tasks = cdq.Rewards(["end", "no left"], by_action)
    agent = cdq.QLearner(LAKE, tasks=tasks, seed=0).learn(10_000, verbose=0)
    agent.save(path)
    with pytest.raises(ConfigError, match="which no file holds; give them"):
        cdq.QLearner.load(path)
    again = cdq.QLearner.load(path, tasks=tasks)
    assert digest(again) == digest(agent)
    other = cdq.Rewards(["end", "no left"], lambda *given: 2 * by_action(*given))
    with pytest.raises(CdqError, match="differ"):
        cdq.QLearner.load(path, tasks=other)
    with pytest.raises(CdqError, match="differ"):
        cdq.QLearner.load(path, tasks=GOALS)
    assert digest(copy.deepcopy(agent)) == digest(agent)


def test_a_run_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    common: dict[str, Any] = {"tasks": GOALS, "workers": 2, "seed": 3, "sync_every": 100}
    whole = cdq.QLearner(LAKE, **common).learn(4000, verbose=0).learn(4000, verbose=0)
    cdq.QLearner(LAKE, **common, checkpoint=tmp_path / "run").learn(4000, verbose=0)
    again = cdq.QLearner.resume(tmp_path / "run").learn(4000, verbose=0)
    assert digest(again) == digest(whole)
    functions = {**common, "tasks": cdq.Rewards(["end", "no left"], by_action)}
    whole = cdq.QLearner(LAKE, **functions).learn(4000, verbose=0).learn(4000, verbose=0)
    cdq.QLearner(LAKE, **functions, checkpoint=tmp_path / "other").learn(4000, verbose=0)
    again = cdq.QLearner.resume(tmp_path / "other", tasks=functions["tasks"]).learn(4000, verbose=0)
    assert digest(again) == digest(whole)


def test_lanes_in_no_state_of_the_model_are_refused(tmp_path: Path) -> None:
    cdq.QLearner(LAKE, tasks=GOALS, seed=0, checkpoint=tmp_path).learn(1000, verbose=0)
    again = cdq.QLearner.resume(tmp_path)
    lanes = Lanes(again.settings.num_envs, 8)
    lanes.memory[:] = np.frombuffer(again._team.lane_states[0], np.uint8)
    lanes.state[0] = 16
    again._team.lane_states[0] = lanes.memory.tobytes()
    with pytest.raises(FileError, match="state 16 of 16"):
        again.learn(1000, verbose=0)
