from __future__ import annotations

import math
from typing import Any

import pytest

import cdq
from cdq.errors import ConfigError
from cdq.training.goals import MeanReturn, OptimalWithin


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.inf, math.nan])
def test_tolerances_are_checked(tolerance: float) -> None:
    with pytest.raises(ConfigError, match=f"tolerance is {tolerance}; allowed: above 0 and finite"):
        OptimalWithin(tolerance)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_returns_are_checked(value: float) -> None:
    with pytest.raises(ConfigError, match="mean return to reach .*; allowed: a finite number"):
        MeanReturn(value)


@pytest.mark.parametrize("until", [0.1, "optimal", OptimalWithin])
def test_what_is_no_end_is_refused(until: Any) -> None:
    agent = cdq.QLearner(cdq.MDP.garnet(3, 2, branching=2, seed=0), seed=0)
    with pytest.raises(
        ConfigError, match=r"until is .*; allowed: cdq.OptimalWithin\(...\) or cdq.MeanReturn"
    ):
        agent.learn(100, until=until)
    assert agent.steps == 0


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_all_workers_stop_once_the_policy_is_good(workers: int) -> None:
    agent = cdq.QLearner("FrozenLake-v1", workers=workers, seed=3).learn(5e7, until=OptimalWithin(0.02))
    assert agent.steps < 5e7
    assert agent.report()["gap"] <= 0.02
    assert agent.table.visits.sum() == agent.steps


def test_stopping_is_the_same_every_time() -> None:
    digests = {
        cdq.QLearner("FrozenLake-v1", workers=2, seed=3).learn(5e7, until=MeanReturn(0.5)).table.digest()
        for _ in range(2)
    }
    assert len(digests) == 1


def test_an_end_that_is_never_reached_is_no_end() -> None:
    agent = cdq.QLearner("FrozenLake-v1", workers=2, seed=3).learn(2e5, until=MeanReturn(2.0))
    assert agent.steps >= 2e5
