"""The noise of K averaged workers is 1/K of one worker's (E4)."""

from __future__ import annotations

import numpy as np
import pytest

from cdq import MDP, solve
from tests.experiments.harness import FloatArray, learn, plan, slope, woo

WORKERS = (1, 4, 16)


def generative(n_actions: int, noise: float) -> MDP:
    """Return a model of 10 states whose every step is an independent draw of a uniformly random pair.

    An episode lasts one step, is truncated, so that it bootstraps, and the next starts in a uniformly random state.
    The reward is the pair's plus or minus *noise*.
    """
    random = np.random.default_rng(11)
    probability, reward = random.random((10, 5, 10)), random.random((10, 5))
    probability /= probability.sum(axis=-1, keepdims=True)
    state, action, following, sign = (index.ravel() for index in np.indices((10, n_actions, 10, 2)))
    return MDP.from_outcomes(
        state,
        action,
        following,
        probability[state, action, following] / 2,
        reward[state, action] + noise * (2 * sign - 1),
        time_limit=1,
    )


class SquaredError:
    """A watch that averages the squared error over pairs, and over the rounds after *start* steps."""

    def __init__(self, optimal: FloatArray, start: int) -> None:
        self._optimal, self._start = optimal, start
        self._squares: list[float] = []

    def __call__(self, steps: int, values: FloatArray) -> bool:
        if steps > self._start:
            self._squares.append(float(((values - self._optimal) ** 2).mean()))
        return False

    def mean(self) -> float:
        """Return that average."""
        return float(np.mean(self._squares))


def sweeps(model: MDP, n: int) -> int:
    """Return the steps in which every pair is drawn *n* times on average."""
    return n * model.n_pairs


def stationary(model: MDP, workers: int, seed: int, merge: str = "mean", one_stream: bool = False) -> float:
    """Return the squared error in the second half of 1600 sweeps at step size .05, merged every 10 sweeps."""
    watch = SquaredError(solve(model, 0.5).values, sweeps(model, 800))
    learn(
        model,
        plan(0.05, merge, sweeps(model, 10)),
        gamma=0.5,
        workers=workers,
        steps=sweeps(model, 1600),
        seed=seed,
        watch=watch,
        num_envs=model.n_pairs,
        one_stream=one_stream,
    )
    return watch.mean()


def merged_once(model: MDP, workers: int, seed: int) -> tuple[float, float]:
    """Return the squared error and the error of workers averaged once, after 400 sweeps at step size .3."""
    steps, doing = sweeps(model, 400), plan(0.3, "mean", sweeps(model, 400))
    values = learn(model, doing, gamma=0.5, workers=workers, steps=steps, seed=seed, num_envs=model.n_pairs)
    error = values - solve(model, 0.5).values
    return float((error**2).mean()), float(error.mean())


@pytest.mark.slow
@pytest.mark.parametrize(("n_actions", "alone"), [(1, 7.7e-3), (5, 6.8e-3)])
def test_averaging_divides_the_noise_by_the_workers(n_actions: int, alone: float) -> None:
    model = generative(n_actions, noise=0.5)
    errors = [np.mean([stationary(model, k, seed) for seed in range(max(4, 16 // k))]) for k in WORKERS]
    assert errors[0] == pytest.approx(alone, rel=0.1)
    assert -1.1 <= slope(WORKERS, errors) <= -0.9, errors


def test_workers_that_draw_the_same_add_nothing() -> None:
    model = generative(1, noise=0.5)
    alone, together = (stationary(model, k, seed=0, one_stream=True) for k in (1, 8))
    assert together == pytest.approx(alone, rel=1e-6)


@pytest.mark.slow
def test_averaging_divides_the_noise_of_trajectories() -> None:
    def error(workers: int, seed: int) -> float:
        model = woo(4, seed)
        optimal = solve(model, 0.9).values
        watch = SquaredError(optimal, 5_000)
        doing = plan(0.05, "mean", 10)
        learn(model, doing, gamma=0.9, workers=workers, steps=10_000, seed=seed, watch=watch, initial=optimal)
        return watch.mean()

    errors = [np.mean([error(k, seed) for seed in range(4)]) for k in WORKERS]
    # Steeper than -1: the bias of the maximum over noisy actions falls too, and its square with it.
    assert -1.4 <= slope(WORKERS, errors) <= -0.9, errors


@pytest.mark.slow
def test_averaging_once_leaves_the_bias_of_the_maximum() -> None:
    evaluation, control = generative(1, noise=0.5), generative(5, noise=1.0)
    policy = [np.mean([merged_once(evaluation, k, seed)[0] for seed in range(320 // k)]) for k in WORKERS]
    assert -1.15 <= slope(WORKERS, policy) <= -0.85, policy
    found = np.array(
        [np.mean([merged_once(control, k, seed) for seed in range(160 // k)], axis=0) for k in WORKERS]
    )
    squares, bias = found.T
    assert np.allclose(bias, 0.25, atol=0.04), bias
    assert squares[0] < 5 * squares[-1], squares
