"""What a report says in words: why a table is as it is, and what helps. The advice is followed here."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.toy_text.frozen_lake import generate_random_map

import cdq
from cdq.cli import main
from cdq.learner.report import unvisited


def lake(size: int = 20) -> Any:
    return gymnasium.make(
        "FrozenLake-v1",
        desc=generate_random_map(size, p=0.9, seed=1),
        is_slippery=False,
        max_episode_steps=400,
    )


def test_a_table_of_zeros_says_that_no_reward_was_seen() -> None:
    poor = cdq.QLearner(lake(), seed=0).learn(500_000).report()
    assert (poor["gap"] > 0.1, poor["mean_return"]) == (True, 0)
    assert [hint for hint in poor["hints"] if "No reward was seen" in hint and "initial_value=1 " in hint]
    rich = cdq.QLearner(lake(), seed=0, initial_value=1).learn(500_000).report()
    assert rich["mean_return"] == 1
    assert rich["hints"] == []


class Far(gymnasium.Env[Any, Any]):
    """A corridor with a prize at its end, stepped in Python."""

    action_space = spaces.Discrete(2)

    def __init__(self, length: int = 40, vector: bool = False) -> None:
        self._length, self._vector = length, vector
        self.observation_space = spaces.Box(0, length, (1,)) if vector else spaces.Discrete(length + 1)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._place = self._steps = 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        self._place = max(self._place + (1 if action else -1), 0)
        ended = self._place == self._length
        return self._seen(), 5.0 * ended, ended, self._steps == 3 * self._length, {}

    def _seen(self) -> Any:
        return np.array([self._place], np.float32) if self._vector else self._place


@pytest.mark.parametrize("arguments", [{}, {"table": "hash"}, {"features": cdq.TileCoding(4, 40)}])
def test_it_is_said_without_a_model_too(arguments: dict[str, Any]) -> None:
    env = Far(vector="features" in arguments)
    agent = cdq.QLearner(env, seed=0, **arguments).learn(500)
    report = agent.report()
    assert [hint.partition(":")[0] for hint in report["hints"]] == ["No reward was seen"]
    assert report["pairs_unvisited"] is None
    agent.learn(20_000)
    assert not agent.table.values.any()
    assert len(agent.report()["hints"]) == 1
    good = cdq.QLearner(env, seed=0, initial_value=1.0, **arguments).learn(20_000)
    assert good.evaluate(5).mean_return == 5
    assert good.report()["hints"] == []


def test_nothing_is_said_where_nothing_can_be_paid_or_nothing_was_learnt() -> None:
    model = cdq.MDP.from_arrays([[[0, 1.0], [1.0, 0]], [[1.0, 0], [0, 1.0]]], np.zeros((2, 2)))
    assert cdq.QLearner(model, seed=0, gamma=0.5).learn(1000).report()["hints"] == []
    assert cdq.QLearner("FrozenLake8x8-v1", seed=0).report()["hints"] == []


def test_pairs_that_were_never_visited_are_counted() -> None:
    model = cdq.MDP.garnet(2000, 4, branching=3, seed=0)
    few = cdq.QLearner(model, seed=0).learn(4000)
    report = few.report()
    there = model.reachable()
    assert report["pairs_unvisited"] == pytest.approx((few.table.visits[there] == 0).mean())
    assert 0.4 < report["pairs_unvisited"] < 1
    (hint,) = report["hints"]
    assert hint.startswith(f"{report['pairs_unvisited']:.0%} of the pairs")
    assert "cdq solve" in hint
    assert cdq.solve(few.model, 0.99).error < 1e-9  # as the hint says
    many = cdq.QLearner(model, seed=0, gamma=0.9).learn(3_000_000).report()
    assert many["pairs_unvisited"] < 0.01
    assert many["hints"] == []


def test_pairs_that_no_episode_reaches_do_not_count() -> None:
    lake8 = cdq.MDP.from_gymnasium("FrozenLake-v1")
    visits = np.zeros((16, 4), np.int64)
    assert unvisited(lake8, visits) == 1
    visits[lake8.reachable()] = 1
    assert unvisited(lake8, visits) == 0
    assert unvisited(None, visits) is None


def test_both_are_said_where_an_optimal_policy_is_below_the_threshold() -> None:
    name = "LakeBelowItsThreshold-v0"
    spec = gymnasium.spec("FrozenLake-v1")
    gymnasium.register(name, spec.entry_point, kwargs={"is_slippery": False}, reward_threshold=2.0)
    try:
        report = cdq.QLearner(name, seed=0).learn(500_000).report()
    finally:
        del gymnasium.registry[name]
    assert report["solved"] is False
    assert report["gap"] < 1e-6
    (hint,) = report["hints"]
    assert hint.startswith(
        "Below Gymnasium's threshold, and yet optimal: at gamma 0.99 no policy is better by more"
    )


def test_the_command_line_prints_hints_and_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "FrozenLake8x8-v1", "--steps", "2000", "--seed", "0"]
    assert main(train) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "No reward was seen" in printed
    assert "were never visited" in printed
    assert main([*train, "--json", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)["hints"]) == 2
    assert main([*train, "--initial-value", "1", "--steps", "5e6"]) == 0
    assert "No reward" not in capsys.readouterr().out
