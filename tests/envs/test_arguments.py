"""Arguments with which an environment is made, from the learner to its files."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import cdq
from cdq.envs.arguments import with_arguments
from cdq.errors import ConfigError, UnsupportedEnvironment
from tests.runs import MODEL

FIRM = {"is_slippery": False}


class Corridor(gymnasium.Env[int, int]):
    """A corridor of some length, that is walked to its end."""

    observation_space = gymnasium.spaces.Discrete(20)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int = 3, *, reward: float = 1.0) -> None:
        self.length, self.reward, self.place = length, reward, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.place = max(0, self.place + (1 if action else -1))
        done = self.place >= self.length
        return self.place, self.reward * done, done, False, {}


@pytest.mark.parametrize("env", ["FrozenLake-v1", "FrozenLake", gymnasium.spec("FrozenLake-v1")])
def test_an_id_is_made_with_the_arguments(env: Any) -> None:
    agent = cdq.QLearner(env, env_kwargs=FIRM, seed=0)
    assert agent.model is not None
    assert (
        agent.model.fingerprint() == cdq.MDP.from_gymnasium("FrozenLake-v1", is_slippery=False).fingerprint()
    )
    usual = cdq.MDP.from_gymnasium("FrozenLake-v1", is_slippery=True).fingerprint()
    assert cdq.MDP.from_gymnasium("FrozenLake-v1").fingerprint() == usual  # the registered spec is as it was


@pytest.mark.parametrize("make", [Corridor, lambda length, reward=1.0: Corridor(length, reward=reward)])
def test_a_callable_gets_the_arguments(make: Any) -> None:
    agent = cdq.QLearner(
        make, env_kwargs={"length": 5, "reward": 2.0}, gamma=0.5, step_size=1.0, seed=0
    ).learn(2000)
    assert agent.table.values[4, 1] == pytest.approx(2.0)


def test_files_and_checkpoints_keep_the_arguments(tmp_path: Path) -> None:
    """No argument need be given again, as no name need be."""
    agent = cdq.QLearner(
        "FrozenLake-v1", env_kwargs={**FIRM, "map_name": "8x8"}, seed=0, checkpoint=tmp_path / "run"
    )
    agent.learn(1000).save(tmp_path / "saved")
    assert agent.model is not None
    for again in (
        cdq.QLearner.load(tmp_path / "saved"),
        cdq.QLearner.load(tmp_path / "saved", "FrozenLake-v1"),
        cdq.QLearner.resume(tmp_path / "run"),
        copy.deepcopy(agent),
        pickle.loads(pickle.dumps(agent)),
    ):
        assert again.model is not None
        assert again.model.fingerprint() == agent.model.fingerprint()
        again.learn(100)


def test_arguments_reach_the_processes_of_workers() -> None:
    agent = cdq.QLearner("CartPole-v1", env_kwargs={"sutton_barto_reward": True}, workers=2, seed=0)
    assert "compiled" not in agent.stepping
    agent.learn(400)
    assert agent.table.values.sum() < 0.0  # rewards are 0 and -1


def test_no_arguments_change_nothing() -> None:
    assert with_arguments("CartPole-v1", {}) == with_arguments("CartPole-v1", None) == "CartPole-v1"
    agent = cdq.QLearner("CartPole-v1", env_kwargs={}, seed=0)
    assert agent.stepping == cdq.QLearner("CartPole-v1", seed=0).stepping


@pytest.mark.parametrize(
    "env",
    [
        lambda: gymnasium.make("FrozenLake-v1"),
        Corridor,
        lambda: MODEL,
        lambda: gymnasium.make_vec("CartPole-v1"),
    ],
)
def test_what_exists_takes_no_arguments(env: Any) -> None:
    existing = env()
    with pytest.raises(ConfigError, match="env_kwargs has is_slippery, and .* is not made here; give"):
        cdq.QLearner(existing, env_kwargs=FIRM)


def test_a_log_takes_no_arguments() -> None:
    with pytest.raises(ConfigError, match="env_kwargs has is_slippery"):
        cdq.QLearner.from_log(["a"], ["b"], [1.0], [None], [True], env_kwargs=FIRM)


@pytest.mark.parametrize("wrong", [["is_slippery"], "is_slippery=false", {1: False}, 3])
def test_what_is_no_dictionary_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"env_kwargs is .*; allowed: a dictionary of arguments by name"):
        cdq.QLearner("FrozenLake-v1", env_kwargs=wrong)


@pytest.mark.parametrize(
    ("env", "wrong", "error", "match"),
    [
        (
            "FrozenLake-v1",
            {"slippery": True},
            UnsupportedEnvironment,
            "'FrozenLake-v1' with the arguments .*slippery",
        ),
        (
            "FrozenLake-v1",
            {"map_name": "9x9"},
            UnsupportedEnvironment,
            "'FrozenLake-v1' with the arguments .*9x9",
        ),
        ("FrozenLake-v99", FIRM, UnsupportedEnvironment, "FrozenLake"),
        ("Nothing-v0", FIRM, UnsupportedEnvironment, "unknown environment 'Nothing-v0'"),
        (
            Corridor,
            {"lenght": 3},
            ConfigError,
            r"unexpected keyword argument 'lenght'; Corridor takes \(length",
        ),
    ],
)
def test_arguments_that_it_does_not_take(env: Any, wrong: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        cdq.QLearner(env, env_kwargs=wrong)
