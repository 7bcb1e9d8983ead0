"""Copies of environments that play as they do."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import functools
import logging
import math
import random
import re
import threading
import types
import weakref
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.utils import EzPickle
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit, TransformReward

import cdq
from cdq.envs.copying import copy_of, true_copy_of
from tests.envs import identities
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


def holding_in(env: Any, thing: Any) -> Any:
    env.thing = thing
    return env


def replaced() -> Any:
    env: Any = Walk()
    theirs = env.step

    def step(action: Any) -> Any:
        return theirs(action)

    env.step = step
    return env


@dataclasses.dataclass
class Price:
    """Compared by value."""

    amount: float
    of: Any = None


class Sealed(Price):
    """A copy of it is another one than it was."""

    def __deepcopy__(self, memo: Any) -> Sealed:
        return Sealed(1.0)


class Slotted(Walk):
    """Has an attribute that is not in its dictionary."""

    __slots__ = ("mark",)

    def __init__(self, mark: Any) -> None:
        super().__init__()
        self.mark = mark


def foreign(env: Any) -> Any:
    """Return an environment with a method that leads to another one."""
    env.step = types.MethodType(lambda self, action: SHARED.step(action), env)
    return env


BOARD = np.arange(4)


@pytest.mark.parametrize(
    "env",
    [
        Walk(),
        holding(board=np.arange(9).reshape(3, 3), row=np.arange(4)[1:], prices=np.array([Price(1.0)])),
        holding(price=Price(1.0, [Price(2.0)]), kind=identities.Kind.GOAL, more=types.SimpleNamespace(a=1)),
        holding(turns=collections.deque([1]), table=collections.defaultdict(list, {(1, 2): [3]})),
        holding(random=random.Random(0), draw=np.random.default_rng(0), since=datetime.date(2020, 1, 1)),
        holding(log=logging.getLogger("shop"), where=Path("shop"), span=range(3)),
        Slotted(3.0),
        gymnasium.wrappers.NormalizeReward(Walk()),
        RecordEpisodeStatistics(Walk()),
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
        foreign(Walk()),
        holding(goal=object()),
        holding(goals={identities.Tile(): 7.0}),
        holding(goals=np.array([identities.Tile()])),
        holding(tiles=[{"a": (identities.GOLD,)}]),
        holding(board=BOARD[1:]),
        holding(board=(board := np.arange(3)), place=board[:1]),
        holding(price=Price(1.0, identities.Pristine())),
        holding(price=Sealed(7.0)),
        holding(more=types.SimpleNamespace(goal=object())),
        Slotted(object()),
        identities.Sentinels(),
        identities.Priced(identities.Anew),
    ],
)
def test_what_has_none(env: Any) -> None:
    assert copy_of(env) is None


class Counted(Walk):
    """The class counts the steps, of which each pays more."""

    steps: ClassVar = [0.0]

    def step(self, action: Any) -> Any:
        self.steps[0] += 1
        observation, _, *rest = super().step(action)
        return (observation, self.steps[0], *rest)


def test_a_copy_is_true_where_both_were_seen_to_play_alike() -> None:
    assert true_copy_of(Walk()) is not None
    assert true_copy_of(gymnasium.make("CartPole-v1")) is not None
    for kind in (identities.ById, identities.Registered, identities.Aliased):
        assert copy_of(kind()) is not None
        assert true_copy_of(kind()) is None
    elsewhere = identities.Elsewhere(of_class=True)
    elsewhere.place = types.SimpleNamespace(at=0)
    assert copy_of(elsewhere) is not None
    assert true_copy_of(elsewhere) is None


def test_chance_that_no_seed_rules_leaves_it_to_what_is_held() -> None:
    assert true_copy_of(Counted()) is not None
    assert true_copy_of(holding_in(Counted(), object())) is None


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
