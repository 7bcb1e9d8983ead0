"""What is learnt with the settings that are recommended, and with those of the examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq import FourierBasis, LinearDecay, MeanReturn, QLearner, TileCoding
from cdq.envs.defaults import RECOMMENDED
from tests.blackjack import expected_return

# What is counted as learnt: the mean return of 100 episodes.
GOALS = {"CartPole": 475.0, "Acrobot": -100.0, "MountainCar": -110.0}


def learnt(name: str, seed: int, **options: Any) -> float:
    """Return the mean return of 100 episodes after learning as is recommended, but for the *options*."""
    settings = RECOMMENDED[name]
    agent = QLearner(f"cdq/{name}-v0", seed=seed, **{**settings.arguments, **options})
    return agent.learn(settings.steps).evaluate(100).mean_return


def test_every_recommendation_is_tested() -> None:
    assert set(GOALS) | {"Blackjack"} == set(RECOMMENDED)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", GOALS)
def test_the_recommended_settings_learn(name: str, seed: int) -> None:
    assert learnt(name, seed) >= GOALS[name]


@pytest.mark.parametrize("options", [{"workers": 2}, {"workers": 4}, {"workers": 2, "dtype": "float32"}])
@pytest.mark.parametrize("name", GOALS)
def test_so_they_do_with_other_workers_and_types(name: str, options: dict[str, Any]) -> None:
    assert learnt(name, 0, **options) >= GOALS[name]


def test_the_recommended_settings_learn_blackjack() -> None:
    settings = RECOMMENDED["Blackjack"]
    agent = QLearner("Blackjack-v1", seed=0, **settings.arguments).learn(settings.steps)
    assert expected_return(np.asarray(agent.table.policy())) > -0.048


@pytest.mark.parametrize("seed", range(5))
def test_eight_tilings_of_eight_by_eight_learn_mountain_car(seed: int) -> None:
    """The settings of examples/mountain_car.py."""
    agent = QLearner("cdq/MountainCar-v0", features=TileCoding(tilings=8, tiles=8), seed=seed)
    agent.learn(2_000_000, until=MeanReturn(-110))
    assert agent.steps < 1_000_000
    assert agent.evaluate(100).mean_return >= -115


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_learn_at_a_rate_that_falls_with_the_steps(workers: int) -> None:
    """MergedTable as if each weight moved alone, four learnt nothing, and two little (tests/benchmarks/linear.py)."""
    options = {"gamma": 1.0, "step_size": LinearDecay(0.3, 0.03, 500_000), "workers": workers}
    assert learnt("MountainCar", 0, **options) >= -115


@pytest.mark.parametrize("seed", range(2))
def test_a_fourier_basis_learns_cartpole(seed: int) -> None:
    bounds = {"low": (-2.4, -3.0, -0.21, -3.5), "high": (2.4, 3.0, 0.21, 3.5)}
    agent = QLearner(
        "cdq/CartPole-v0",
        features=FourierBasis(2, **bounds),
        step_size=LinearDecay(0.3, 0.03, 100_000),
        exploration=0.05,
        sync_every=5_000,
        seed=seed,
    )
    assert agent.learn(100_000).evaluate(100).mean_return >= 475
