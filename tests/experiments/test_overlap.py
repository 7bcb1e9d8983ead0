"""What it costs to apply a merge one window late: errors of overlapped rounds beside those of rounds in turn.

Garnet models of 20 states, 4 actions and 4 successors, gamma .9, uniform behaviour, four workers, pooled.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cdq import QLearner, solve
from tests.experiments.harness import FloatArray, garnet

GAMMA, SEEDS, MARKS = 0.9, 8, (1000, 2000, 4000, 8000, 32000)


@cache
def errors(window: str | int, overlap: bool, workers: int = 4) -> FloatArray:
    """Return the normalised error at the marks, in steps per worker: the mean over models."""
    found = np.zeros((SEEDS, len(MARKS)))
    for seed in range(SEEDS):
        model = garnet(seed)
        optimal = solve(model, GAMMA).values
        agent = QLearner(
            model,
            gamma=GAMMA,
            exploration=1.0,
            workers=workers,
            num_envs=1,
            sync_every=window,
            overlap=overlap,
            seed=seed,
        )
        for column, mark in enumerate(MARKS):
            agent.learn(mark * workers - agent.steps)
            found[seed, column] = (1 - GAMMA) * np.abs(agent.table.values - optimal).max()
    return np.asarray(found.mean(axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("window", [10, 100, 1000, "auto"])
def test_staleness_costs_less_than_half_of_the_steps(window: str | int) -> None:
    """Errors here fall like 1 / steps or faster: a factor below 2 is made up for by twice the steps at the most."""
    ratio = errors(window, overlap=True) / errors(window, overlap=False)
    assert (ratio < 2.0).all(), ratio


@pytest.mark.slow
def test_overlapped_workers_are_experience() -> None:
    """Four of them are better than one alone, by more than the steps that staleness costs."""
    overlapped, alone = errors("auto", overlap=True), errors(500, overlap=False, workers=1)
    assert (overlapped[1:] < alone[1:]).all(), (overlapped, alone)
    assert overlapped[-1] < alone[-1] / 1.5, (overlapped, alone)
