"""Copies of learners: made by way of a file, they are whole, and have nothing in common with what they were made of."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.comm.inprocess import InProcessCommunicator
from cdq.errors import ConfigError
from cdq.merges import MergeRule
from tests.strategies import random_model

MODEL = random_model(12, 3, seed=8, time_limit=20)

WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda agent: pickle.loads(pickle.dumps(agent)),
    "old pickle": lambda agent: pickle.loads(pickle.dumps(agent, protocol=2)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


class Mean(MergeRule):
    def combine(self, base: Any, values: Any, *others: Any) -> Any:
        return values.mean(axis=0)


LEARNERS: dict[str, Callable[[], cdq.QLearner]] = {
    "a model": lambda: cdq.QLearner(MODEL, seed=0, workers=2, step_size=0.2, exploration=0.3, sync_every=300),
    "an id": lambda: cdq.QLearner("FrozenLake-v1", seed=0, dtype="float32"),
    "steps": lambda: cdq.QLearner("FrozenLake-v1", seed=0, stepping="python"),
    "an environment": lambda: cdq.QLearner(gymnasium.make("Blackjack-v1"), seed=0, gamma=1.0),
    "a class": lambda: cdq.QLearner(Corridor, seed=0),
    "features": lambda: cdq.QLearner("CartPole-v1", seed=0),
    "hash": lambda: cdq.QLearner("Blackjack-v1", seed=0, table="hash"),
    "a rule": lambda: cdq.QLearner(MODEL, seed=0, workers=3, merge=Mean()),
}


class Corridor(gymnasium.Env[Any, Any]):
    observation_space, action_space = gymnasium.spaces.Discrete(5), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = 0
        return 0, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.state = max(0, self.state + (1 if action else -1))
        return self.state, float(self.state == 4), self.state == 4, False, {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", LEARNERS)
def test_a_copy_is_whole_and_apart(kind: str, way: str) -> None:
    agent = LEARNERS[kind]().learn(3000)
    before = agent.table.digest()
    other = WAYS[way](agent)
    assert type(other) is cdq.QLearner
    assert other.table.digest() == before
    assert (other.steps, repr(list(other.history))) == (agent.steps, repr(list(agent.history)))
    if kind == "a rule":
        assert other.settings.to_config() == agent.settings.to_config()
    else:
        assert other.settings == agent.settings
    other.learn(2000)
    assert other.table.digest() != before == agent.table.digest()
    assert other.steps > agent.steps
    assert other.table.visits.sum() == other.steps * (32 if kind == "features" else 1)  # tilings
    agent.learn(1000)
    agent.close()
    assert other.evaluate(3).episodes == 3
    other.close()


def test_a_copy_shares_no_environment() -> None:
    env = Corridor()
    agent = cdq.QLearner(env, seed=0).learn(1000)
    other = copy.copy(agent)
    assert other._env is not env
    assert agent._env is env


def test_a_learner_that_has_not_learnt_is_copied() -> None:
    other = copy.deepcopy(cdq.QLearner(MODEL, seed=0, initial_value=3.0))
    assert (other.table.values == 3.0).all()
    assert other.learn(1000).steps >= 1000


def test_a_copy_writes_no_checkpoints(tmp_path: Path) -> None:
    agent = cdq.QLearner(MODEL, seed=0, checkpoint=tmp_path).learn(1000)
    files = sorted(tmp_path.iterdir())
    copy.deepcopy(agent).learn(5000)
    assert sorted(tmp_path.iterdir()) == files
    agent.learn(1000)


def test_one_rank_of_several_is_not_copied() -> None:
    (comm,) = InProcessCommunicator.connect("inprocess", 1, 5.0)
    agent = cdq.QLearner(MODEL, seed=0, comm=comm)
    for way in WAYS.values():
        with pytest.raises(ConfigError, match="one rank of several.*save it on rank 0 and load"):
            way(agent)


def test_a_copy_goes_to_another_process(tmp_path: Path) -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(20_000)
    (tmp_path / "agent").write_bytes(pickle.dumps(agent))
    script = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).learn(1000).table.visits.sum())"
    told = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "agent"], capture_output=True, text=True, check=True
    )
    assert int(told.stdout) >= 21_000


def test_what_a_learner_hands_out_is_copied(tmp_path: Path) -> None:
    agent = cdq.QLearner(MODEL, seed=0).learn(1000)
    for way in WAYS.values():
        table, history = way(agent.table), way(agent.history)
        assert table.digest() == agent.table.digest()
        assert not table.values.flags.writeable
        assert repr(list(history)) == repr(list(agent.history))
        history.append(history[-1])
        assert len(history) == len(agent.history) + 1
        assert way(agent.settings) == agent.settings
        found = way(cdq.solve(MODEL, 0.9))
        np.testing.assert_array_equal(found.values, cdq.solve(MODEL, 0.9).values)
        assert not found.values.flags.writeable
