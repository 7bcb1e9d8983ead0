"""Environments that differ, and the steps between two merges (E6; Jin et al. 2022, Wang, Yang and Su 2024).

The mean of tables that each were updated once is an update of the mean environment. After several updates it is not:
what workers come to together is then another table, the further away the more updates lie between two merges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq import MDP, QLearner
from tests.experiments.harness import FloatArray

GAMMA, STEP_SIZE, SIDE, WALLS, ROBOTS = 0.99, 0.2, 5, 0.3, 20
CELLS, PAIRS, MOVES = SIDE**2, SIDE**2 * 4, ((-1, 0), (0, 1), (1, 0), (0, -1))
PERIODS = (1, 10, 20, 40)  # updates of each pair between two merges
UPDATES = 7200  # of each pair, by each robot; the last sixth is on the plateau


def maze(random: np.random.Generator) -> FloatArray:
    """Return the transitions of a maze: each step from a cell is blocked with some probability."""
    table, blocked = np.zeros((CELLS, 4, CELLS)), random.random((CELLS, 4)) < WALLS
    for cell in range(CELLS):
        for action, (down, right) in enumerate(MOVES):
            row, column = cell // SIDE + down, cell % SIDE + right
            goes = 0 <= row < SIDE and 0 <= column < SIDE and not blocked[cell, action]
            table[cell, action, row * SIDE + column if goes else cell] = 1.0
    return table


def apart(values: FloatArray, others: FloatArray) -> float:
    return float((1 - GAMMA) * np.abs(values - others).max())


def together(
    mazes: FloatArray, rewards: FloatArray, step_size: float, period: int, rounds: int
) -> FloatArray:
    """Return what rounds come to in which all pairs are updated *period* times before the tables' mean is taken."""
    values = np.zeros(rewards.shape)
    for _ in range(rounds):
        own = np.repeat(values[np.newaxis], len(mazes), axis=0)
        for _ in range(period):
            best = np.einsum("ksat,kt->ksa", mazes, own.max(axis=2))
            own = (1 - step_size) * own + step_size * (rewards + GAMMA * best)
        values = own.mean(axis=0)
    return values


def optimal(mazes: FloatArray, rewards: FloatArray) -> FloatArray:
    """Return the optimal values of the mean environment."""
    return together(mazes.mean(axis=0, keepdims=True), rewards, 1.0, 1, 3000)


def errors(mazes: FloatArray, rewards: FloatArray, period: int) -> FloatArray:
    """Return how far the fleet's table is from the optimal values of the mean environment, along its way."""
    models = [
        MDP.from_arrays(table, rewards, layout="SAS", start=np.full(CELLS, 1 / CELLS), time_limit=1)
        for table in mazes
    ]
    how: dict[str, Any] = {
        "merge": "mean",
        "exploration": 1.0,
        "step_size": STEP_SIZE,
        "num_envs": PAIRS,
        "seed": 0,
    }
    agent = QLearner(models, gamma=GAMMA, sync_every=PAIRS * period, **how)
    best, found = optimal(mazes, rewards), []
    for _ in range(12):
        agent.learn(len(models) * PAIRS * UPDATES // 12, verbose=0)
        found.append(apart(agent.table.values, best))
    return np.array(found)


def drawn(seed: int) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(seed)
    return np.stack([maze(random) for _ in range(ROBOTS)]), random.random((CELLS, 4))


def test_one_update_between_merges_is_one_of_the_mean_environment() -> None:
    """For one the fixed point is exact, whatever the step size; else it is off, more with more and with larger ones."""
    mazes, rewards = drawn(1)
    best = optimal(mazes, rewards)
    off = {
        (step_size, period): apart(together(mazes, rewards, step_size, period, 6000 // period), best)
        for step_size in (0.5, 1.0)
        for period in (1, 2, 8)
    }
    assert off[0.5, 1] <= 1e-8
    assert off[1.0, 1] <= 1e-8
    for step_size in (0.5, 1.0):
        assert 1e-4 < off[step_size, 2] < off[step_size, 8], off
    assert off[0.5, 2] < off[1.0, 2], off


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_plateaus_are_in_the_order_of_the_periods(seed: int) -> None:
    """Each is where the rounds without noise come to; without any difference between the robots there is none."""
    mazes, rewards = drawn(seed)
    plateaus = [float(errors(mazes, rewards, period)[-2:].mean()) for period in PERIODS]
    assert plateaus == sorted(plateaus), plateaus
    assert plateaus[0] <= 0.5 * plateaus[1], plateaus
    best = optimal(mazes, rewards)
    for period, plateau in zip(PERIODS[1:], plateaus[1:], strict=True):
        expected = apart(together(mazes, rewards, STEP_SIZE, period, 12_000 // period), best)
        assert plateau == pytest.approx(expected, rel=0.25), (period, plateaus)
    alike = np.repeat(mazes[:1], 5, axis=0)
    assert errors(alike, rewards, PERIODS[-1])[-1] <= 1e-4


@pytest.mark.slow
def test_with_one_update_the_floor_falls_with_the_robots() -> None:
    """The same five mazes, with one robot in each or four: the square of the error is a quarter, or about that."""
    squares = []
    for times in (1, 4):
        floors = []
        for seed in range(4):
            mazes, rewards = drawn(seed)
            floors.append(errors(np.tile(mazes[:5], (times, 1, 1, 1)), rewards, 1)[-4:])
        squares.append(float((np.array(floors) ** 2).mean()))
    assert 2.0 <= squares[0] / squares[1] <= 8.0, squares


@pytest.mark.slow
def test_the_error_falls_and_bounces_back() -> None:
    """Many updates between merges: at first the table comes nearer than where it stays."""
    mazes, rewards = drawn(1)
    way = errors(mazes, rewards, 20)
    assert way.min() <= 0.8 * way[-1], way
