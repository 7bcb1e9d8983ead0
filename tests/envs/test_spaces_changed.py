"""Spaces that call states or actions otherwise than the table of the environment does."""

from __future__ import annotations

from typing import Any

import gymnasium
import pytest
from gymnasium.spaces import Discrete, MultiDiscrete

import cdq
from cdq.errors import CdqError

CHANGES: dict[str, tuple[str, str, Any]] = {
    "actions": ("FrozenLake-v1", "action_space", Discrete(4, start=1)),
    "negative actions": ("Taxi-v4", "action_space", Discrete(6, start=-1)),
    "cliff": ("CliffWalking-v1", "action_space", Discrete(4, start=1)),
    "states": ("FrozenLake-v1", "observation_space", Discrete(16, start=1)),
    "rows and columns": ("FrozenLake-v1", "observation_space", MultiDiscrete([4, 4])),
    "compiled": ("cdq/GridWorld-v0", "action_space", Discrete(4, start=2)),
    "compiled states": ("cdq/RiverSwim-v0", "observation_space", Discrete(6, start=1)),
}


def changed(name: str) -> Any:
    env_id, attribute, space = CHANGES[name]
    env = gymnasium.make(env_id, disable_env_checker=True)
    setattr(env.unwrapped, attribute, space)
    return env


@pytest.mark.parametrize("name", CHANGES)
def test_a_space_that_is_not_the_tables(name: str) -> None:
    assert cdq.QLearner(changed(name), seed=0).stepping == "Python environment"
    with pytest.raises(CdqError):
        cdq.MDP.from_gymnasium(changed(name))


def test_a_space_of_a_subclass() -> None:
    class Shifted(gymnasium.envs.toy_text.FrozenLakeEnv):
        def __init__(self) -> None:
            super().__init__(is_slippery=False)
            self.action_space = Discrete(4, start=1)

    agent = cdq.QLearner(Shifted(), seed=0)
    assert agent.stepping == "Python environment"
    with pytest.raises(CdqError, match="KeyError"):
        agent.learn(1000)


def test_a_space_that_is_changed_between_two_calls() -> None:
    env = gymnasium.make("FrozenLake-v1")
    agent = cdq.QLearner(env, seed=0).learn(1000)
    env.unwrapped.action_space = Discrete(4, start=1)
    with pytest.raises(CdqError):
        agent.learn(1000)


def test_an_action_that_compiled_functions_do_not_have() -> None:
    env = changed("compiled")
    env.reset(seed=0)
    with pytest.raises(gymnasium.error.InvalidAction, match="allowed: 0 to 3"):
        env.step(4)
