"""The state values of a Q-function of vectors, over two inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cdq.errors import ConfigError
from cdq.errors.checks import shown, whole
from cdq.plot.axes import VALUES, axes_for
from cdq.plot.learners import Learner, is_learner

_PLACES = 61  # along each input


def surface(agent: Learner, *, inputs: Sequence[int] = (0, 1), ax: Any = None) -> Any:
    """Draw the greatest action value over two inputs of the observation; the others are in the middle of their bounds.

    A network's input that its space does not bound is drawn from -3 to 3.

    Parameters
    ----------
    agent : QLearner
        A learner of observations that are vectors: with features, with a network, or with bins and a hashed table.
    inputs : (int, int)
        Numbers of the inputs to the right, and upwards.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on, by default new ones; on axes in three dimensions the values are a surface.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If observations are no vectors, or do not have these inputs.
    PackageMissing
        If matplotlib is not installed.

    Examples
    --------
    >>> import cdq
    >>> cdq.plot.surface(cdq.QLearner("MountainCar-v0", seed=0).learn(20_000)).get_xlabel()
    'input 0'
    """
    low, high = _bounds(agent)
    across, upwards = _checked(inputs, len(low))
    x, y = (np.linspace(low[i], high[i], _PLACES) for i in (across, upwards))
    observations = np.tile((low + high) / 2, (_PLACES * _PLACES, 1))
    right, up = np.meshgrid(x, y)
    observations[:, across], observations[:, upwards] = right.ravel(), up.ravel()
    values = _greatest(agent, observations).reshape(right.shape)
    ax = axes_for(ax)
    if ax.name == "3d":
        ax.plot_surface(right, up, values, cmap=VALUES, linewidth=0)
        ax.set_zlabel("value")
        ax.locator_params(nbins=4)
        for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
            axis.labelpad = 10  # beyond the numbers
    else:
        mesh = ax.pcolormesh(right, up, values, cmap=VALUES, shading="gouraud")
        ax.figure.colorbar(mesh, ax=ax, label="value of the best action")
    ax.set_xlabel(f"input {across}")
    ax.set_ylabel(f"input {upwards}")
    return ax


def _greatest(agent: Learner, observations: Any) -> Any:
    return agent.action_values(observations).max(axis=1)


def _bounds(agent: Any) -> Any:
    if not is_learner(agent) or agent.input_bounds is None:
        raise ConfigError(
            f"{shown(agent)} has no values of vectors; allowed: a learner with features, with a network, or with "
            "bins and table='hash'"
        )
    return agent.input_bounds


def _checked(inputs: Any, n: int) -> tuple[int, int]:
    numbers = tuple(inputs) if isinstance(inputs, (tuple, list)) else ()
    if len(numbers) != 2 or numbers[0] == numbers[1]:
        raise ConfigError(
            f"inputs are {shown(inputs)}; allowed: two different numbers of inputs, 0 to {n - 1}"
        )
    across, upwards = (whole("a number of inputs", number, 0, n - 1) for number in numbers)
    return across, upwards
