"""What networks learn with their defaults: with one worker, and shared by several."""

from __future__ import annotations

from functools import cache
from statistics import median
from typing import Any, NamedTuple

import pytest

import cdq

STEPS = 300_000


class Learnt(NamedTuple):
    """Steps of all workers at the first greedy mean that reaches the goal, and the mean at the end."""

    first: float
    last: float


class Reached(cdq.Callback):
    """Looks at the greedy mean of 100 episodes after every round, of 2,048 steps, until it reaches the goal."""

    def __init__(self, goal: float) -> None:
        self.goal, self.first = goal, float("inf")

    def on_round(self, run: cdq.RunView) -> None:
        if self.first == float("inf") and run.evaluate(100, seed=7).mean_return >= self.goal:
            self.first = run.steps


@cache
def learnt(env: str, goal: float, seed: int, workers: int = 1, merge: str | None = None) -> Learnt:
    reached = Reached(goal)
    agent = cdq.QLearner(env, network=cdq.Network(), seed=seed, workers=workers, merge=merge)
    agent.learn(STEPS, callbacks=[reached], verbose=0)
    return Learnt(reached.first, agent.evaluate(100, seed=8).mean_return)


def of_seeds(*arguments: Any, seeds: range, **settings: Any) -> list[Learnt]:
    return [learnt(*arguments, seed, **settings) for seed in seeds]


def test_a_network_balances_the_pole() -> None:
    found = of_seeds("CartPole-v1", 475.0, seeds=range(1, 7))
    assert max(one.first for one in found) <= 150_000
    assert sum(one.last >= 475 for one in found) >= 5


@pytest.mark.slow
def test_a_network_swings_up() -> None:
    found = of_seeds("Acrobot-v1", -100.0, seeds=range(1, 7))
    assert max(one.first for one in found) <= STEPS
    assert median(one.last for one in found) >= -105


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "share"), [(2, 0.65), (4, 0.35), (8, 0.2)])
def test_workers_that_average_gradients_share_the_steps(workers: int, share: float) -> None:
    alone = median(one.first for one in of_seeds("CartPole-v1", 475.0, seeds=range(1, 6)))
    found = of_seeds("CartPole-v1", 475.0, seeds=range(1, 6), workers=workers)
    assert max(one.first for one in found) < STEPS
    assert median(one.first for one in found) / workers <= share * alone


@pytest.mark.slow
def test_workers_that_average_parameters_share_some_of_them() -> None:
    alone = median(one.first for one in of_seeds("CartPole-v1", 475.0, seeds=range(1, 6)))
    found = of_seeds("CartPole-v1", 475.0, seeds=range(1, 6), workers=4, merge="mean")
    assert sum(one.first < STEPS for one in found) >= 4
    assert median(one.first for one in found) / 4 <= 0.8 * alone
