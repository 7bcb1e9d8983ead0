"""An environment that is given: what a report says is what playing that very environment gives."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit
from gymnasium.wrappers.vector import RecordEpisodeStatistics as VectorRecorder

import cdq
from cdq.errors import ConfigError
from tests.envs import identities as ids
from tests.envs.tables import return_of

OTHERWISE: list[Callable[[], Any]] = [
    ids.Sentinels,
    ids.Tiles,
    ids.Kinds,
    ids.Aliased,
    ids.Viewed,
    ids.ById,
    ids.Registered,
    partial(ids.Priced, ids.Pristine),
    partial(ids.Priced, ids.Reduced),
    partial(ids.Priced, ids.Anew),
]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other processes import this one's test modules, as a user's would be."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


@pytest.mark.parametrize("make", OTHERWISE)
def test_a_report_is_of_what_was_given(make: Callable[[], Any]) -> None:
    env = make()
    agent = cdq.QLearner(env, seed=0).learn(4000)
    assert agent.report()["mean_return"] == agent.evaluate(5).mean_return == return_of(agent, env) == 7.0


@pytest.mark.parametrize("make", OTHERWISE)
def test_a_condition_is_met_by_what_was_given(make: Callable[[], Any]) -> None:
    agent = cdq.QLearner(make(), seed=0, exploration=0.5).learn(100_000, until=cdq.MeanReturn(6.9))
    assert agent.steps < 50_000


@pytest.mark.parametrize("kind", [ids.Sentinels, ids.Tiles])
def test_an_end_that_a_moment_does_not_reach(kind: Any) -> None:
    agent = cdq.QLearner(kind(60), seed=0, initial_value=7.0).learn(100_000)
    assert agent.evaluate(5).mean_return == 7.0


@pytest.mark.parametrize("make", OTHERWISE)
def test_several_workers_learn_what_was_given_or_nothing(make: Callable[[], Any]) -> None:
    env = make()
    try:
        agent = cdq.QLearner(env, seed=0, workers=2).learn(4000)
    except ConfigError as error:
        assert "another environment" in str(error)  # noqa: PT017 - either will do
        assert "ive what makes it" in str(error)  # noqa: PT017
        assert make not in {ids.Kinds}
    else:
        assert agent.report()["mean_return"] == return_of(agent, env) == 7.0
        assert agent.table.values[2, 1] > 6.9


def test_a_sentinel_is_told_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"a copy of it has another Sentinels\.cells\.0"):
        cdq.QLearner(ids.Sentinels(60), workers=2)


@pytest.mark.parametrize("make", OTHERWISE)
def test_a_copied_learner_learns_the_same_or_is_refused(make: Callable[[], Any]) -> None:
    agent = cdq.QLearner(make(), seed=0, exploration=0.5).learn(500)
    try:
        copied = copy.deepcopy(agent)
    except ConfigError as error:
        assert "plays otherwise than it does" in str(error)  # noqa: PT017 - either will do
    else:
        assert make is ids.Kinds
        assert copied.learn(2000).evaluate().mean_return == 7.0
    assert agent.learn(2000).evaluate().mean_return == 7.0


@pytest.mark.parametrize("of_class", [False, True])
def test_evaluation_does_not_move_training(of_class: bool) -> None:
    env = ids.Elsewhere(of_class=of_class)
    agent = cdq.QLearner(env, seed=0, gamma=1.0, sync_every=371)
    agent.learn(1)
    env.moved = 0
    agent.learn(40_000, until=cdq.MeanReturn(31))
    assert env.moved == 0
    assert agent.evaluate(3).mean_return == 30.0
    assert env.moved == 0


@pytest.mark.parametrize("kind", [ids.Pristine, ids.Reduced, ids.Anew])
def test_a_table_is_checked_against_what_was_given(kind: Any) -> None:
    env = TimeLimit(ids.Priced(kind, table=True), 20)
    agent = cdq.QLearner(env, seed=0).learn(4000)
    assert agent.stepping == "Python environment"
    assert agent.report()["mean_return"] == return_of(agent, env) == 7.0


@pytest.mark.parametrize("kind", [ids.Sentinels, ids.Tiles, ids.ById])
def test_vector_environments_that_have_no_copy(kind: Any) -> None:
    envs = SyncVectorEnv([kind] * 2)
    assert cdq.QLearner(envs, seed=0).learn(4000).evaluate(5).mean_return == 7.0
    with pytest.raises(ConfigError, match="another environment"):
        cdq.QLearner(envs, seed=0, workers=2).learn(4000)


@pytest.mark.parametrize(
    "env",
    [
        RecordEpisodeStatistics(ids.Corridor()),
        TimeLimit(RecordEpisodeStatistics(ids.Corridor()), 50),
        SyncVectorEnv([lambda: RecordEpisodeStatistics(ids.Corridor())] * 2),
        VectorRecorder(SyncVectorEnv([ids.Corridor] * 2)),
    ],
)
def test_counts_of_one_process_are_told(env: Any, caplog: pytest.LogCaptureFixture) -> None:
    notice = "its RecordEpisodeStatistics counts the episodes of this process alone"
    assert notice not in cdq.QLearner(env, seed=0).stepping_reason
    with caplog.at_level(logging.WARNING, "cdq"):
        agent = cdq.QLearner(env, seed=0, workers=2)
    assert notice in agent.stepping_reason
    assert notice in caplog.text


def test_counts_are_of_learning() -> None:
    env = RecordEpisodeStatistics(ids.Corridor())
    agent = cdq.QLearner(env, seed=0, exploration=0.5).learn(2000)
    agent.evaluate(9)
    assert env.episode_count in {agent.report()["episodes"], agent.report()["episodes"] + 1}
