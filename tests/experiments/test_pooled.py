"""Workers as experience: K pooled workers reach an error in about 1/K of the steps each (E9, E10).

Garnet models of 20 states, 4 actions and 4 successors, gamma .9, uniform behaviour, one trajectory per worker.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cdq import QLearner
from cdq.schedules import RescaledLinear
from cdq.windows import FixedWindow
from tests.experiments.harness import SHORTEST, Errors, FloatArray, garnet, learn, plan, slope

GAMMA, SEEDS, ENOUGH = 0.9, 8, 0.05
LAW = RescaledLinear(GAMMA)


Marks = tuple[int, ...]


@cache
def steps_needed(merge: str, workers: int, window: int) -> float:
    """Return the steps per worker to a normalised error of .05 at step size .1, the median over models."""
    needed = []
    for seed in range(SEEDS):
        model = garnet(seed)
        watch = Errors(model, GAMMA, ENOUGH)
        doing = plan(0.1, merge, window)
        learn(model, doing, gamma=GAMMA, workers=workers, steps=40_000, seed=seed, watch=watch)
        needed.append(watch.first_below(ENOUGH))
    return float(np.median(needed))


@cache
def errors(merge: str, workers: int, window: int | None, marks: Marks) -> FloatArray:
    """Return the mean error over models at so many steps per worker, with the default step size.

    *window* None: chosen from merged data.
    """
    every = SHORTEST if window is None else FixedWindow(window)
    found = []
    for seed in range(SEEDS):
        model = garnet(seed)
        watch = Errors(model, GAMMA)
        doing = plan(LAW, merge, every)
        learn(model, doing, gamma=GAMMA, workers=workers, steps=marks[-1], seed=seed, watch=watch)
        found.append([watch.after(mark) for mark in marks])
    return np.asarray(np.mean(found, axis=0))


def test_the_experiments_run_what_users_run() -> None:
    model = garnet(0)
    agent = QLearner(
        model, gamma=GAMMA, exploration=1.0, workers=2, num_envs=3, sync_every=SHORTEST, seed=5
    ).learn(12_000)
    table = learn(model, plan(LAW), gamma=GAMMA, workers=2, steps=6000, seed=5, num_envs=3)
    assert table.tobytes() == agent.table.values.tobytes()


# ---- E9: a constant step size


@pytest.mark.slow
def test_pooled_workers_are_experience() -> None:
    workers = (1, 2, 4, 8)
    assert slope(workers, [steps_needed("pooled", k, 100) for k in workers]) <= -0.8


@pytest.mark.slow
def test_short_windows_waste_next_to_nothing() -> None:
    assert steps_needed("pooled", 8, 10) <= 1.15 * steps_needed("pooled", 1, 100) / 8


@pytest.mark.slow
def test_averaged_workers_are_not() -> None:
    assert steps_needed("mean", 1, 100) < 1.3 * steps_needed("mean", 8, 100)


# ---- E10: the default, a decaying step size


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 8])
def test_workers_with_automatic_windows_do_as_one_with_all_their_steps(workers: int) -> None:
    pooled = errors("pooled", workers, None, (1000, 2000))
    alone = errors("pooled", 1, 100, (1000 * workers, 2000 * workers))
    assert (pooled <= 1.5 * alone).all(), (pooled, alone)


@pytest.mark.slow
@pytest.mark.parametrize("window", [10, 100, 1000])
def test_no_window_makes_more_workers_worse(window: int) -> None:
    marks = (1000, 2000, 4000)
    pooled, alone = errors("pooled", 8, window, marks), errors("pooled", 1, 100, marks)
    assert (pooled <= 1.05 * alone).all(), (pooled, alone)  # the standard error of the ratio is a few percent


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 100])
def test_averaging_makes_more_workers_worse(window: int | None) -> None:
    marks = (1000, 2000, 4000)
    averaged, alone = errors("mean", 8, window, marks), errors("mean", 1, 100, marks)
    assert (averaged > 1.15 * alone).all(), (averaged, alone)
