"""Games learnt by self-play: plies until nobody beats the table, and workers as experience."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cdq
from cdq.learner.matches import Match, Worst
from cdq.mdp import worst_results
from tests.reference import games as reference

UNBEATABLE = Worst(0.0, 0.0)
BOARD: dict[str, Any] = {
    "env": "cdq/TicTacToe-v0",
    "opponent": "self",
    "table": "hash",
    "gamma": 1.0,
    "num_envs": 64,
}
# 0.1 is the page's max(0.1, 1 / n) but for the first ten visits; the others are the defaults with and without discount.
STEP_SIZES: list[Any] = [0.1, cdq.RescaledLinear(0.99), cdq.Polynomial(0.77)]


@pytest.fixture(scope="module")
def model() -> cdq.MDP:
    return cdq.MDP.from_gymnasium("cdq/TicTacToe-v0")


def worst(agent: cdq.QLearner, model: cdq.MDP) -> tuple[float, float]:
    """Return what `exploit` does, of a model that is read once."""
    values, table = np.zeros((model.n_states, model.n_actions)), agent.table
    values[slice(None) if table.keys is None else table.keys.astype(int)] = table.values
    return worst_results(model, np.where(model.actions, values, -np.inf).argmax(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("step_size", STEP_SIZES, ids=str)
def test_g1_nobody_beats_tic_tac_toe_after_768_thousand_plies(step_size: Any, model: cdq.MDP) -> None:
    for seed in range(5):
        agent = cdq.QLearner(**BOARD, step_size=step_size, seed=seed).learn(64_000)
        assert worst(agent, model)[1] == -1.0, "64 thousand are too few"
        assert worst(agent.learn(768_000 - agent.steps), model) == UNBEATABLE, seed


def test_g1_the_defaults_do_it_too(model: cdq.MDP) -> None:
    agent = cdq.QLearner("cdq/TicTacToe-v0", opponent="self", seed=0)
    assert agent.exploit() == worst(agent, model) != UNBEATABLE
    assert agent.learn(768_000).exploit() == worst(agent, model) == UNBEATABLE


def nim_right(agent: cdq.QLearner) -> tuple[float, float]:
    """Return the parts of the positions of Nim 7, 7, 7 whose sign is right, and of the won ones whose move wins."""
    values = np.where(agent.model.actions, agent.table.values, -np.inf)  # type: ignore[union-attr]
    positions = [tuple(int(n) for n in np.unravel_index(state, (8, 8, 8))) for state in range(1, 512)]
    lost = np.array([reference.is_lost(position) for position in positions])
    signs = (values[1:].max(axis=1) < 0) == lost
    moves = []
    for state, position in enumerate(positions, 1):
        if not lost[state - 1]:
            heap, taken = divmod(int(values[state].argmax()), 7)
            after = [size - (taken + 1) * (k == heap) for k, size in enumerate(position)]
            moves.append(reference.is_lost(tuple(after)))
    return float(signs.mean()), float(np.mean(moves))


@pytest.mark.parametrize("seed", range(6))
def test_g2_nim_is_solved(seed: int) -> None:
    how: dict[str, Any] = {"gamma": 1.0, "step_size": 0.5, "num_envs": 64, "seed": seed}
    agent = cdq.QLearner("cdq/Nim-v0", opponent="self", **how).learn(64_000)
    assert nim_right(agent)[0] >= 0.97
    assert nim_right(agent.learn(256_000 - agent.steps)) == (1.0, 1.0)


def plies_until_unbeatable(workers: int, seed: int, model: cdq.MDP) -> int:
    """Return after how many plies of all workers, in steps of 16 thousand, nobody beats the table."""
    how = {**BOARD, "num_envs": 8, "step_size": 0.3, "sync_every": 1000}
    agent = cdq.QLearner(**how, workers=workers, seed=seed, comm="inprocess")
    while agent.steps < 1_000_000:
        if worst(agent.learn(16_000), model) == UNBEATABLE:
            break
    return agent.steps


@pytest.mark.slow
def test_g3_plies_of_several_workers_count_as_much(model: cdq.MDP) -> None:
    medians = {}
    for workers in (1, 4, 8):
        medians[workers] = float(
            np.median([plies_until_unbeatable(workers, seed, model) for seed in range(4)])
        )
    assert max(medians.values()) <= 1.5 * min(medians.values()), medians


@pytest.mark.slow
def test_g4_the_first_seat_against_random_loses_nothing() -> None:
    """The complaint of OpenSpiel's issue 1180 was that tabular Q-learning loses to random play."""
    agent = cdq.QLearner(**{**BOARD, "gamma": 0.99}, seed=0).learn(768_000)
    found = agent.evaluate(10_000, seed=0)
    assert isinstance(found, Match)
    assert found.first.wins >= 0.95
    assert (found.first.losses, found.second.losses) == (0.0, 0.0)


@pytest.mark.slow
def test_connect_four_beats_random() -> None:
    agent = cdq.QLearner("cdq/ConnectFour-v0", opponent="self", table="hash", num_envs=64, seed=0).learn(
        4_000_000
    )
    found = agent.evaluate(300, seed=0)
    assert isinstance(found, Match)
    assert found.first.wins >= 0.75
    assert found.second.wins >= 0.65
