"""Known results of several learners in one environment: cooperation without communication, and whose reward it is."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
from gymnasium.spaces import Discrete

import cdq
from tests.envs.agents import Answer, Matrix

CLIMBING = ((11, -30, 0), (-30, 7, 6), (0, 0, 5))
PENALTY = ((10, 0, -100), (0, 2, 0), (-100, 0, 10))
GAMES: dict[str, tuple[Any, bool, set[tuple[int, int]]]] = {
    "climbing": (CLIMBING, False, {(0, 0)}),
    "penalty": (PENALTY, False, {(0, 0), (2, 2)}),
    "climbing by chance": (CLIMBING, True, {(0, 0)}),
}
# Parts of 40 runs that come to the best pair of actions, at least and at most. Published for exploration that falls
# are 0 of independent learners; .89 to .998, .94 to 1 and .6 to .8 of hysteretic ones, by their exploration; and 1, 1
# and 0 of distributed Q-learning: an agent that never forgets takes luck for value.
BANDS: dict[str, dict[Any, tuple[float, float]]] = {
    "climbing": {"q-learning": (0.0, 0.05), 0.01: (0.97, 1.0), 0.0: (1.0, 1.0)},
    "penalty": {"q-learning": (0.0, 0.05), 0.01: (0.97, 1.0), 0.0: (1.0, 1.0)},
    "climbing by chance": {"q-learning": (0.0, 0.05), 0.01: (0.6, 0.9), 0.0: (0.0, 0.0)},
}


def comes_to_the_best(game: str, rule: Any, seed: int) -> bool:
    payoffs, luck, best = GAMES[game]
    agent = cdq.QLearner(
        partial(Matrix, payoffs, luck), gamma=0.0, step_size=0.1, rule=rule, seed=seed,
        exploration=cdq.ExponentialDecay(1.0, 0.01, 3000),
    ).learn(6000, verbose=0)  # fmt: skip
    row, column = (int(agent.tables[name].policy()[0]) for name in ("row", "column"))
    return (row, column) in best


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["q-learning", 0.01, 0.0])
@pytest.mark.parametrize("game", GAMES)
def test_two_agents_with_one_reward(game: str, rule: Any) -> None:
    """3,000 games, step size 0.1: an agent is punished for what the other one tries, unless it forgets slowly."""
    given = rule if isinstance(rule, str) else cdq.Hysteretic(rule)
    least, most = BANDS[game][rule]
    assert least <= np.mean([comes_to_the_best(game, given, seed) for seed in range(40)]) <= most


class Groups:
    """Agents in groups of *n*, whose second action is worth 0.5 more than the first; noise is of variance 1.

    The reward of an agent is that of its action, or *together* the sum of those of its group.
    """

    metadata: ClassVar = {"name": "groups"}

    def __init__(self, n: int, groups: int, together: bool) -> None:
        self.possible_agents = [f"n{number}" for number in range(n * groups)]
        self.shape, self.together = (groups, n), together
        self.agents: list[str] = []
        self.seen, self.none = (
            dict.fromkeys(self.possible_agents, 0),
            dict.fromkeys(self.possible_agents, False),
        )

    def observation_space(self, agent: str) -> Discrete:
        return Discrete(1)

    def action_space(self, agent: str) -> Discrete:
        return Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Answer, Answer]:
        self.random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        return self.seen, {}

    def step(self, actions: Answer) -> tuple[Answer, Answer, Answer, Answer, Answer]:
        rewards = self.random.normal(0.5 * np.fromiter(actions.values(), float).reshape(self.shape))
        if self.together:
            rewards[:] = rewards.sum(axis=1, keepdims=True)
        return self.seen, dict(zip(actions, rewards.ravel().tolist(), strict=True)), self.none, self.none, {}


def samples_until_known(n: int, together: bool) -> int:
    """Return after how many uniform actions 95 % of the agents know their better one, as they see means of rewards."""
    groups = 1280 // n
    agent = cdq.QLearner(
        partial(Groups, n, groups, together),
        gamma=0.0,
        exploration=1.0,
        step_size=cdq.Polynomial(1.0),
        seed=n,
    )
    samples, every = 0, 10 if n < 16 else 20
    while samples < 6000:
        agent.learn(n * groups * every, verbose=0)
        samples += every
        values = agent.table.values
        if (values[:, 1] > values[:, 0]).mean() >= 0.95:
            break
    return samples


@pytest.mark.slow
@pytest.mark.parametrize(("together", "least", "most"), [(False, -0.05, 0.15), (True, 0.9, 1.1)])
def test_rewards_of_ones_own_scale(together: bool, least: float, most: float) -> None:
    """Bagnell and Ng 2005: samples grow with the agents where all see one reward, hardly where each sees its own.

    Of 1, 4, 16 and 64 agents they are 50, 50, 60, 60 and 50, 180, 760, 2,880.
    """
    agents = [1, 4, 16, 64]
    samples = [samples_until_known(n, together) for n in agents]
    slope = np.polyfit(np.log(agents), np.log(samples), 1)[0]
    assert least <= slope <= most, samples
