"""Evaluations: with a seed, in another environment, and where episodes do not end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import cdq
from cdq.cli import main
from cdq.errors import ConfigError


class Treadmill(gymnasium.Env[Any, Any]):
    """An environment that never ends: action 1 is paid 0.5 a step, action 0 nothing. A slope has other observations."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(2)

    def __init__(self, ends: bool = False) -> None:
        self._ends, self._place = ends, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._place = 0
        return self._place, {}

    def step(self, action: Any) -> Any:
        self._place = (self._place + 1) % 3
        return self._place, 0.5 * int(action), self._ends and self._place == 0, False, {}


CASES: dict[str, dict[str, Any]] = {
    "model": {"env": "FrozenLake-v1"},
    "compiled": {"env": "cdq/CartPole-v0"},
    "python": {"env": "Blackjack-v1"},
    "hashed": {"env": "Blackjack-v1", "table": "hash"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_seed_is_the_same_figure(case: str) -> None:
    agent = cdq.QLearner(**CASES[case], seed=0).learn(3000)
    first = agent.evaluate(50, seed=5)
    other = agent.evaluate(50, seed=6)
    agent.evaluate(50)
    assert agent.evaluate(50, seed=5) == first
    assert other != first


def test_an_evaluation_with_a_seed_leaves_the_others_as_they_are() -> None:
    one, other = (cdq.QLearner("FrozenLake-v1", seed=0).learn(50_000) for _ in range(2))
    one.evaluate(100, seed=5)
    assert one.evaluate(1000) == other.evaluate(1000)


@pytest.mark.parametrize("seed", [-1, 0.5, True, "one", 2**256, math.nan])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match="the seed is .*; allowed: a whole number"):
        cdq.QLearner("FrozenLake-v1", seed=0).evaluate(10, seed=seed)


def test_a_policy_is_evaluated_in_another_environment() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(500_000)
    sure = cdq.QLearner("FrozenLake-v1", seed=0, initial_table=agent.table)
    dry = gymnasium.make("FrozenLake-v1", is_slippery=False)
    steps, history = agent.steps, len(agent.history)
    found = agent.evaluate(200, env=dry, seed=3)
    assert found.mean_return in {0.0, 1.0}  # nothing is left to chance
    assert found != agent.evaluate(200, seed=3)
    assert agent.evaluate(200, env="FrozenLake-v1", seed=3) == agent.evaluate(200, seed=3)
    assert agent.evaluate(200, env="FrozenLake-v1") == sure.evaluate(200, seed=0)
    assert (agent.steps, len(agent.history)) == (steps, history)


@pytest.mark.parametrize(
    ("name", "settings", "other"),
    [
        ("cdq/CartPole-v0", {}, lambda: gymnasium.make("CartPole-v1")),
        ("Blackjack-v1", {"table": "hash"}, lambda: gymnasium.make("Blackjack-v1", sab=True)),
        ("FrozenLake-v1", {}, lambda: cdq.MDP.from_gymnasium("FrozenLake-v1")),
        ("MountainCar-v0", {"bins": 5}, lambda: "cdq/MountainCar-v0"),
    ],
)
def test_other_environments_of_every_kind(name: str, settings: Any, other: Any) -> None:
    agent = cdq.QLearner(name, seed=0, **settings).learn(2000)
    assert agent.evaluate(20, env=other(), seed=1).episodes == 20


@pytest.mark.parametrize(
    ("name", "settings", "other"),
    [
        ("FrozenLake-v1", {}, "FrozenLake8x8-v1"),
        ("FrozenLake-v1", {}, "CliffWalking-v1"),
        ("cdq/CartPole-v0", {}, "MountainCar-v0"),
        ("Blackjack-v1", {}, "FrozenLake-v1"),
    ],
)
def test_environments_with_other_observations_are_refused(name: str, settings: Any, other: str) -> None:
    agent = cdq.QLearner(name, seed=0, **settings)
    with pytest.raises(ConfigError, match=f"was learnt on {name} cannot be evaluated on .*{other}"):
        agent.evaluate(10, env=other)


def test_what_a_log_taught_is_evaluated_nowhere() -> None:
    agent = cdq.QLearner.from_log(["a", "b"], [0, 1], [1.0, 0.0], ["b", "a"], [False, True], seed=0)
    with pytest.raises(ConfigError, match="a log has names of states, which no environment shows"):
        agent.evaluate(10, env="FrozenLake-v1")


def test_episodes_that_do_not_end_have_no_return() -> None:
    agent = cdq.QLearner(Treadmill(), seed=0, exploration=0.5).learn(3000)
    found = agent.evaluate(3)
    assert (found.unended, found.episodes, found.mean_length, found.mean_reward) == (3, 3, 10_000.0, 0.5)
    assert math.isnan(found.mean_return)
    assert math.isnan(found.standard_error)
    ended = agent.evaluate(3, env=Treadmill(ends=True))
    assert (ended.unended, ended.mean_return, ended.mean_reward) == (0, 1.5, 0.5)
    report = json.loads(json.dumps(agent.report(), allow_nan=False))
    assert (report["mean_return"], report["mean_return_error"]) == (None, None)
    assert (report["mean_reward"], report["episodes_unended"], report["episodes_evaluated"]) == (0.5, 3, 3)


def test_a_model_without_end_has_its_value_and_the_reward_of_a_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = cdq.MDP.from_arrays(np.ones((2, 1, 1)), [[0.25, 1.0]])
    agent = cdq.QLearner(model, gamma=0.9, seed=0).learn(100_000)
    report = agent.report()
    assert report["mean_return"] is None
    assert report["mean_reward"] == 1.0
    assert report["policy_value"] == pytest.approx(10.0)
    assert report["solved"] is None
    agent.save(tmp_path / "model.safetensors")
    assert main(["train", "CliffWalking-v1", "--steps", "64", "--seed", "1"]) == 0
    shown = capsys.readouterr().out
    assert "none, as 1,000 of 1,000 episodes did not end" in shown
    assert "mean reward" in shown


def test_a_limit_of_time_ends_episodes() -> None:
    limited = gymnasium.wrappers.TimeLimit(Treadmill(), 12_000)
    found = cdq.QLearner(limited, seed=0).learn(2000).evaluate(2)
    assert (found.unended, found.mean_length, found.mean_return) == (0, 12_000.0, 6000.0)


def test_a_condition_on_returns_waits_for_episodes_that_end() -> None:
    agent = cdq.QLearner(Treadmill(), seed=0).learn(25_000, until=cdq.MeanReturn(100.0))
    assert agent.steps >= 25_000


def test_a_report_plays_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(100_000)
    found = agent.evaluate(300)
    played: list[int] = []
    task: Any = agent._task
    run = task.run_episodes
    monkeypatch.setattr(task, "run_episodes", lambda *given: played.append(given[2]) or run(*given))
    report = agent.report()
    assert (report["mean_return"], report["episodes_evaluated"]) == (found.mean_return, 300)
    assert agent.report() == report
    assert played == []
    agent.learn(1000)
    assert agent.report()["episodes_evaluated"] == 1000
    assert agent.report()["steps"] == agent.steps
    assert played == [1000]


def test_a_report_can_be_had_without_playing(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(100_000)
    task: Any = agent._task
    monkeypatch.setattr(task, "run_episodes", lambda *given: pytest.fail("it is played"))
    report = agent.report(play=False)
    names = ("mean_return", "mean_return_error", "mean_reward", "episodes_evaluated", "solved")
    assert [report[name] for name in names] == [None] * 5
    assert report["gap"] >= 0
    assert report["steps"] == agent.steps


def test_a_report_has_the_history_on_request() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(10_000)
    assert "history" not in agent.report(play=False)
    told = json.loads(json.dumps(agent.report(play=False, history=True), allow_nan=False))["history"]
    assert told["steps"] == agent.history["steps"].tolist()
    for wrong in ({"play": 2}, {"history": "yes"}):
        with pytest.raises(ConfigError, match="allowed: True or False"):
            agent.report(**wrong)
