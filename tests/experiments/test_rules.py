"""Known results of update rules: the cliff, where exploring has its price, and the bias of a maximum."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.mdp.model import MDP
from cdq.mdp.sampler import follow_policy, pack_model
from cdq.qfunctions.merged import MergedTable
from cdq.rules import RULES
from cdq.schedules import Constant, build_law
from cdq.workers.worker import Worker, streams
from tests.strategies import make_worker

CLIFF = MDP.from_gymnasium("CliffWalking-v1")


def worker_by(rule: str, model: MDP, seed: int) -> Worker:
    merged = MergedTable(model.n_states, model.n_actions, "float64", 0.0, RULES[rule])
    return make_worker(model, merged=merged, gamma=1.0, seed=seed)


def greedy_return(model: MDP, values: Any) -> float:
    words = streams(0, (0,), 1)
    returns, _ = follow_policy(
        pack_model(model, "float64"),
        values.argmax(axis=1),
        words,
        1,
        longest=1000,
        stop=np.zeros(1, np.int32),
    )
    return float(returns[0])


@pytest.mark.parametrize(
    ("rule", "least", "most"),
    [("q-learning", -53.0, -47.0), ("sarsa", -31.5, -25.5), ("expected-sarsa", -22.0, -20.0)],
)
def test_the_cliff(rule: str, least: float, most: float) -> None:
    """Example 6.6 of Sutton and Barto, step size 0.5, exploration 0.1: returns after 400 episodes, in 60 runs.

    Published are about -51 for Q-learning, which walks along the edge, -28 for SARSA, and -21 for Expected SARSA.
    """
    law, returns = build_law(Constant(0.5), 0, 0.3, "float64"), []
    for seed in range(60):
        worker, done = worker_by(rule, CLIFF, seed), 0
        while done < 400:
            window = worker.run(law, 200, 0.1, 0.1)
            assert window is not None
            done += window.episodes
        worker.commit_alone()
        if rule == "q-learning":
            assert greedy_return(CLIFF, worker._merged.mean_values()) == -13.0
        window = worker.run(law, 3000, 0.1, 0.1)
        assert window is not None
        returns.append(window.return_sum / window.episodes)
    assert least < np.mean(returns) < most


def test_expected_sarsa_comes_to_the_values_of_its_policy() -> None:
    """With a decaying step size the table is that of an epsilon-greedy policy that is greedy in its own values."""
    model, epsilon = MDP.garnet(8, 3, branching=3, seed=2), 0.3
    agent = cdq.QLearner(
        model, rule="expected-sarsa", exploration=epsilon, gamma=0.9, workers=3, seed=0
    ).learn(3_000_000)
    values = np.zeros((8, 3))
    reward, move = dense(model)
    for _ in range(500):
        worth = (1 - epsilon) * values.max(axis=1) + epsilon * values.mean(axis=1)
        values = reward + 0.9 * move @ worth
    assert np.abs(agent.table.values - values).max() < 0.02 * np.abs(values).max()


def dense(model: MDP) -> tuple[Any, Any]:
    """Return expected rewards, and the probability of each next state, of every pair; nothing terminates."""
    shape = (model.n_states, model.n_actions)
    pair = np.repeat(np.arange(model.n_pairs), np.diff(model.offsets))
    move = np.zeros((model.n_pairs, model.n_states))
    np.add.at(move, (pair, model.next_state), model.probability)
    reward = np.bincount(pair, model.probability * model.reward, model.n_pairs)
    return reward.reshape(shape), move.reshape(*shape, -1)


def bias_model() -> MDP:
    """Example 6.7: right ends with 0, left leads to ten actions whose rewards are N(-0.1, 1), here of 100 quantiles."""
    rewards = [NormalDist(-0.1, 1.0).inv_cdf((i + 0.5) / 100) for i in range(100)]
    pairs = [(0, 0, 0, 1.0, 0.0, True), (0, 1, 1, 1.0, 0.0, False)]
    pairs += [(1, action, 0, 0.01, reward, True) for action in range(10) for reward in rewards]
    actions = np.ones((2, 10), bool)
    actions[0, 2:] = False
    return MDP.from_outcomes(*zip(*pairs, strict=True), start=[1.0, 0.0], actions=actions)


@pytest.mark.parametrize(
    ("rule", "least", "most"),
    [
        ("q-learning", 0.88, 0.97),
        ("sarsa", 0.78, 0.91),
        ("expected-sarsa", 0.6, 0.74),
        ("double-q", 0.3, 0.52),
    ],
)
def test_the_bias_of_a_maximum(rule: str, least: float, most: float) -> None:
    """Part of the choices of left in Example 6.7, by windows of ten steps over 150 runs; the best takes it in 5 %.

    Published peaks are 94 %, 87 %, 67 %, and for Double Q no more than the ties of the beginning.
    """
    model, law = bias_model(), build_law(Constant(0.1), 0, 0.3, "float64")
    chosen = np.zeros((40, 2))
    for seed in range(150):
        worker, before = worker_by(rule, model, seed), np.zeros(2)
        for window in range(40):
            worker.run(law, 10, 0.1, 0.1)
            worker.commit_alone()
            now = worker._merged.updates()[0, :2].copy()
            chosen[window] += now - before
            before = now
    left = chosen[:, 1] / chosen.sum(axis=1)
    assert least < left.max() < most
    assert left[-5:].mean() < left.max() / 2
