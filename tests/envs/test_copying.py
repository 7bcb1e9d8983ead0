"""Copies of environments that play as they do."""

from __future__ import annotations

import functools
import math
import re
import threading
import weakref
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils import EzPickle
from gymnasium.wrappers import TimeLimit, TransformReward

import cdq
from cdq.envs.copying import copy_of
from tests.envs.tables import Walk

FACTORS = [5.0]
SHARED = Walk()


class Restarting(Walk, EzPickle):
    """A copy of it is a new one."""

    def __init__(self, price: float = 1.0) -> None:
        Walk.__init__(self)
        EzPickle.__init__(self, price)
        self.price = price


def holding(**attributes: Any) -> Any:
    env: Any = Walk()
    for name, value in attributes.items():
        setattr(env, name, value)
    return env


def replaced() -> Any:
    env: Any = Walk()
    theirs = env.step

    def step(action: Any) -> Any:
        return theirs(action)

    env.step = step
    return env


@pytest.mark.parametrize(
    "env",
    [
        Walk(),
        holding(price=7.0, log=[1, 2], rule=max, other=math.sqrt, space=gymnasium.spaces.Discrete(3)),
        holding(rule=lambda reward, factor=3: factor * reward),
        holding(rules=[functools.partial(np.add, 1)]),
        TransformReward(Walk(), lambda reward: 100 * reward - 1),
        gymnasium.make("FrozenLake-v1"),
        gymnasium.make("Blackjack-v1"),
        gymnasium.make("CartPole-v1"),
    ],
)
def test_what_has_a_copy(env: Any) -> None:
    copied: Any = copy_of(env)
    assert copied is not None
    assert copied.unwrapped is not env.unwrapped
    assert re.sub(" at 0x[0-9a-f]+", "", str(copied)) == re.sub(" at 0x[0-9a-f]+", "", str(env))


@pytest.mark.parametrize(
    "env",
    [
        Restarting(),
        replaced(),
        holding(lock=threading.Lock()),
        holding(draw=[].append),
        holding(inner=Restarting()),
        holding(inner=gymnasium.make("cdq/RiverSwim-v0")),
        holding(lookup=functools.lru_cache(Walk().step)),
        holding(parent=weakref.ref(SHARED)),
        holding(turns=(i for i in ())),
        holding(rule=lambda reward: reward * FACTORS[0]),
        holding(rules={"reward": [functools.partial(lambda reward: reward * FACTORS[0])]}),
        TransformReward(Walk(), lambda reward: reward * FACTORS[0]),
    ],
)
def test_what_has_none(env: Any) -> None:
    assert copy_of(env) is None


# ---- evaluation plays what was given


def price_seen(env: Any, **arguments: Any) -> float:
    """Learn an environment whose price was changed, and return what evaluation says."""
    env.unwrapped.price = 7.0
    agent = cdq.QLearner(env, seed=0, exploration=0.5, **arguments).learn(1000)
    assert agent.table.values.max() > 6.0
    return agent.evaluate().mean_return


@pytest.fixture(autouse=True)
def registered() -> Any:
    for name, kind in {"Walk-v0": Walk, "Restarting-v0": Restarting}.items():
        gymnasium.register(name, kind)
    yield
    for name in ("Walk-v0", "Restarting-v0"):
        del gymnasium.registry[name]


@pytest.mark.parametrize("name", ["Walk-v0", "Restarting-v0"])
def test_an_attribute_that_was_changed(name: str) -> None:
    env: Any = gymnasium.make(name, disable_env_checker=True)
    assert price_seen(env) == 7.0
    assert (
        price_seen(gymnasium.wrappers.TransformReward(gymnasium.make(name), lambda reward: 2 * reward))
        == 14.0
    )
    env.unwrapped.price = 3.0
    agent = cdq.QLearner(env, seed=0).learn(1000)
    env.unwrapped.price = 5.0  # between learning and the report
    assert agent.report()["mean_return"] == 5.0


@pytest.mark.parametrize("name", ["Walk-v0", "Restarting-v0"])
def test_a_condition_looks_at_what_was_given(name: str) -> None:
    env: Any = gymnasium.make(name, disable_env_checker=True)
    env.unwrapped.price = 7.0
    agent = cdq.QLearner(env, seed=0, exploration=0.5).learn(200_000, until=cdq.MeanReturn(6.5))
    assert agent.steps < 100_000


def test_a_pole_that_falls_early() -> None:
    env: Any = gymnasium.make("CartPole-v1")
    env.unwrapped.theta_threshold_radians = 0.02
    agent = cdq.QLearner(env, seed=0)
    assert agent.stepping == "Python environment"
    assert agent.evaluate(20).mean_length < 25  # by always pushing to the left, it is 10 of 0.2 radians


def test_a_compiled_environment_plays_itself() -> None:
    env = TransformReward(
        gymnasium.make("cdq/RiverSwim-v0", max_episode_steps=10), lambda reward: reward + 1.0
    )
    agent = cdq.QLearner(env, seed=0).learn(100)
    assert agent.evaluate(5).mean_return >= 10.0


def test_training_is_not_disturbed_where_there_is_a_copy() -> None:
    env, other = TimeLimit(Walk(), 9), TimeLimit(Walk(), 9)
    agent, alike = (cdq.QLearner(each, seed=0, exploration=0.5) for each in (env, other))
    for _ in range(3):
        agent.learn(7)
        alike.learn(7)
        agent.evaluate()
    assert agent.table.digest() == alike.table.digest()
    assert env.unwrapped.at == other.unwrapped.at  # type: ignore[attr-defined]
