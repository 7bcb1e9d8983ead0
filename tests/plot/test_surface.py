"""Values of vectors as surfaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

import cdq
from cdq.errors import ConfigError


def test_a_surface_has_the_values_of_its_places() -> None:
    agent = cdq.QLearner("MountainCar-v0", seed=0).learn(20_000)
    ax = cdq.plot.surface(agent)
    mesh = ax.collections[0]
    places, values = mesh.get_coordinates().reshape(-1, 2), np.asarray(mesh.get_array()).ravel()
    assert places[0].tolist() == pytest.approx([-1.2, -0.07], rel=1e-6)
    assert places[-1].tolist() == pytest.approx([0.6, 0.07], rel=1e-6)
    for number in (0, 100, 2_000, -1):
        assert values[number] == agent.action_values(places[number]).max()


def test_other_inputs_are_in_the_middle_of_their_bounds() -> None:
    agent = cdq.QLearner("CartPole-v1", seed=0).learn(20_000)
    assert agent.input_bounds is not None
    low, high = agent.input_bounds
    ax = cdq.plot.surface(agent, inputs=(3, 2))
    x, y = ax.collections[0].get_coordinates().reshape(-1, 2)[70]
    middle = (low + high) / 2
    expected = agent.action_values([middle[0], middle[1], y, x]).max()
    assert np.asarray(ax.collections[0].get_array()).ravel()[70] == expected
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input 3", "input 2")


def test_bins_are_drawn_too() -> None:
    agent = cdq.QLearner("MountainCar-v0", seed=0, bins=8, table="hash").learn(5_000)
    assert cdq.plot.surface(agent).collections


@pytest.mark.parametrize("env", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1"])
def test_networks_are_drawn_too(env: str) -> None:
    """Inputs without bounds from -3 to 3."""
    agent = cdq.QLearner(env, seed=0, network=cdq.Network((8,))).learn(5_000)
    assert agent.input_bounds is not None
    low, high = agent.input_bounds
    ax = cdq.plot.surface(agent, inputs=(1, 0))
    places = np.asarray(ax.collections[0].get_coordinates()).reshape(-1, 2)
    assert places[0].tolist() == [low[1], low[0]]
    assert places[-1].tolist() == [high[1], high[0]]
    if env == "CartPole-v1":
        assert (low[1], high[3]) == (-3, 3)
        assert high[0] == pytest.approx(4.8)
    observation = (low + high) / 2
    observation[[1, 0]] = places[7]
    assert np.asarray(ax.collections[0].get_array()).ravel()[7] == np.float32(
        agent.action_values(observation).max()
    )


def test_axes_of_three_dimensions_get_a_surface() -> None:
    ax = pyplot.figure().add_subplot(projection="3d")
    assert cdq.plot.surface(cdq.QLearner("MountainCar-v0", seed=0), ax=ax) is ax
    assert ax.get_zlabel() == "value"


@pytest.mark.parametrize("agent", [None, cdq.QTable(np.zeros((2, 2))), cdq.QLearner("FrozenLake-v1", seed=0)])
def test_what_has_no_vectors_is_refused(agent: Any) -> None:
    with pytest.raises(
        ConfigError, match="has no values of vectors; allowed: a learner with features, with a network"
    ):
        cdq.plot.surface(agent)


@pytest.mark.parametrize("inputs", [(0,), (0, 0), (0, 2), (-1, 0), "01", None, (0.5, 1)])
def test_inputs_that_do_not_exist_are_refused(inputs: Any) -> None:
    with pytest.raises(ConfigError, match="allowed: "):
        cdq.plot.surface(cdq.QLearner("MountainCar-v0", seed=0), inputs=inputs)
