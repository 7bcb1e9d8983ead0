"""Blackjack, which has no model: measured, learnt from logs, and judged by its exact rules."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import cdq
from tests import blackjack
from tests.blackjack import HIT, STICK, expected_return, index_of, play, random_play

UNTIL_17 = np.repeat(np.where(np.arange(32) < 17, HIT, STICK), 22)
GOAL = -0.048


def test_the_rules_are_those_of_gymnasium() -> None:
    env, games, rewards = gymnasium.make("Blackjack-v1"), 8000, []
    observation, _ = env.reset(seed=1)
    while len(rewards) < games:
        observation, reward, terminated, _, _ = env.step(int(UNTIL_17[index_of(*observation)]))
        if terminated:
            rewards.append(reward)
            observation, _ = env.reset()
    error = np.std(rewards) / np.sqrt(games)
    assert abs(np.mean(rewards) - expected_return(UNTIL_17)) < 3.5 * error


def test_many_games_return_what_is_expected() -> None:
    rewards = play(UNTIL_17, 10**6, np.random.default_rng(0))
    assert abs(rewards.mean() - expected_return(UNTIL_17)) < 3.5 * rewards.std() / 10**3
    assert expected_return(None) == pytest.approx(-0.0431, abs=1e-4)  # the best that can be had


def test_a_plan_on_the_measured_model_plays_well() -> None:
    columns = random_play(400_000, np.random.default_rng(2))
    states, actions, rewards, successors, over = columns
    model = cdq.MDP.from_samples(
        states, actions, rewards, successors, over, n_states=blackjack.N_STATES, n_actions=2
    )
    assert expected_return(cdq.solve(model, 1.0).values.argmax(axis=1)) > GOAL


@pytest.mark.parametrize("table", ["dense", "hash"])
@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_learnt_from_logged_games_plays_well(table: str, workers: int) -> None:
    agent = cdq.QLearner(
        "Blackjack-v1", table=table, gamma=1.0, step_size=cdq.Polynomial(1.0), workers=workers, seed=0
    )
    agent.learn_from(*observed(random_play(400_000, np.random.default_rng(3))))
    policy = np.zeros(blackjack.N_STATES, np.int64)
    keys = range(blackjack.N_STATES) if agent.table.keys is None else agent.table.keys
    policy[keys] = agent.table.policy()
    assert expected_return(policy) > GOAL


def observed(columns: list[np.ndarray]) -> tuple[object, ...]:
    """Return the columns with observations in place of indices."""
    states, actions, rewards, successors, over = columns
    return hands(states), actions, rewards, hands(successors), over


def hands(indices: np.ndarray) -> tuple[np.ndarray, ...]:
    return indices // 22, indices // 2 % 11, indices % 2
