"""Wrappers and time limits round an environment: what is learnt is what playing all of it gives."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit, TransformObservation, TransformReward

import cdq
from cdq.errors import UnsupportedEnvironment
from tests.envs.tables import lake, learnt, return_of

MODEL, COMPILED, PYTHON = "compiled model", "compiled environment", "Python environment"


# ---- wrappers


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda env: TransformReward(env, lambda reward: 100 * reward - 1),
        lambda env: TransformObservation(env, lambda state: 15 - state, env.observation_space),
        lambda env: type("Mine", (TimeLimit,), {})(env, 50),
        lambda env: TimeLimit(TransformReward(env, lambda reward: 100 * reward - 1), 50),
    ],
)
def test_wrappers_that_may_change_the_model(wrapped: Any) -> None:
    agent = learnt(wrapped(lake()))
    assert agent.stepping == PYTHON
    assert agent.evaluate().mean_return == return_of(agent, wrapped(lake()))
    with pytest.raises(
        UnsupportedEnvironment, match="the wrapper .* may change what the environment within it does"
    ):
        cdq.MDP.from_gymnasium(wrapped(lake()))


def test_spaces_of_a_wrapper_that_were_changed() -> None:
    env = lake()
    env.action_space = gymnasium.spaces.Discrete(2)
    agent = cdq.QLearner(env, seed=0)
    assert (agent.stepping, agent.table.values.shape) == (PYTHON, (16, 2))


def test_statistics_that_see_nothing_are_told(caplog: pytest.LogCaptureFixture) -> None:
    env = RecordEpisodeStatistics(lake())
    with caplog.at_level(logging.WARNING, "cdq"):
        agent = learnt(env)
    assert agent.stepping == MODEL
    assert (
        "RecordEpisodeStatistics sees none of the steps; stepping='python' fills it" in agent.stepping_reason
    )
    assert "RecordEpisodeStatistics" in caplog.text
    assert len(env.return_queue) == 0
    learnt(env, 1000, stepping="python")
    assert len(env.return_queue) > 0


# ---- time limits


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda: TimeLimit(lake(), 1000), 100),
        (lambda: TimeLimit(lake(), 7), 7),
        (lambda: TimeLimit(TimeLimit(FrozenLakeEnv(is_slippery=False), 5), 9), 5),
        (lambda: lake(max_episode_steps=-1), None),
        (lambda: lake().unwrapped, None),
        (lambda: TimeLimit(gymnasium.make("cdq/RiverSwim-v0", max_episode_steps=9), 20), 9),
    ],
)
@pytest.mark.parametrize("stepping", ["auto", "python"])
def test_the_tightest_time_limit_counts(make: Any, limit: int | None, stepping: str) -> None:
    agent = cdq.QLearner(make(), seed=0, stepping=stepping)
    assert agent._task.time_limit == limit
    never = agent.evaluate(2).mean_length  # of a table of zeros, which goes left
    assert never == (limit or 10_000)
    if stepping == "auto":
        assert cdq.MDP.from_gymnasium(make()).time_limit == limit


def test_time_limits_of_compiled_environments() -> None:
    pole = TimeLimit(gymnasium.make("cdq/CartPole-v0"), 1000)
    assert cdq.QLearner(pole, seed=0)._task.time_limit == 500
    pole = TimeLimit(gymnasium.make("cdq/CartPole-v0"), 50)
    assert cdq.QLearner(pole, seed=0)._task.time_limit == 50


def test_a_time_limit_that_was_changed() -> None:
    env = lake()
    env._max_episode_steps = 3
    agent = learnt(env)
    assert (agent.evaluate().mean_length, return_of(agent, env)) == (3.0, 0.0)
