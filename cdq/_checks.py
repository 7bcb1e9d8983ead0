"""Checks of what is given to `cdq.planning`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdq._arguments import real
from cdq.errors import ConfigError, TableError
from cdq.mdp import MDP

FloatArray = NDArray[np.float64]


def check_gamma(gamma: float) -> None:
    """Raise unless gamma is in [0, 1]."""
    real("gamma", gamma, "a number from 0 to 1", 0.0, 1.0)


def check_stop(tolerance: float, max_iterations: int) -> None:
    """Raise unless an iteration can be told to stop so."""
    if not tolerance >= 0.0:
        raise ConfigError(f"tolerance is {tolerance!r}; allowed: 0 or more")
    if max_iterations < 1:
        raise ConfigError(f"max_iterations is {max_iterations!r}; allowed: at least 1")


def table_of(values: ArrayLike, model: MDP) -> FloatArray:
    """Return the table as float64, after checking that it fits the model and is finite."""
    table = np.ascontiguousarray(values, np.float64)
    if table.shape != (model.n_states, model.n_actions):
        raise TableError(
            f"the table has shape {table.shape}; {model.name} needs {(model.n_states, model.n_actions)}"
        )
    if not np.isfinite(table).all():
        raise TableError("the table holds values that are not finite")
    return table


def actions_of(policy: NDArray[Any], model: MDP) -> NDArray[np.int64]:
    """Return a deterministic policy as int64, after checking it."""
    if policy.shape != (model.n_states,) or policy.dtype.kind not in "iu":
        raise ConfigError(
            f"policy has shape {policy.shape} and dtype {policy.dtype}; "
            f"allowed: ({model.n_states},) of integers, or probabilities, {(model.n_states, model.n_actions)}"
        )
    actions = policy.astype(np.int64)
    wrong = np.flatnonzero((actions < 0) | (actions >= model.n_actions))
    if len(wrong):
        state = int(wrong[0])
        raise ConfigError(
            f"policy takes action {actions[state]} in state {state}; allowed: 0 to {model.n_actions - 1}"
        )
    return actions


def probabilities_of(policy: NDArray[Any], model: MDP) -> FloatArray:
    """Return a stochastic policy as float64, after checking it."""
    shape = (model.n_states, model.n_actions)
    if policy.shape != shape or policy.dtype.kind not in "iuf":
        raise ConfigError(
            f"policy has shape {policy.shape} and dtype {policy.dtype}; allowed: {shape} of numbers"
        )
    table = policy.astype(np.float64)
    wrong = np.flatnonzero(~((table >= 0.0).all(axis=1) & (np.abs(table.sum(axis=1) - 1.0) <= 1e-9)))
    if len(wrong):
        state = int(wrong[0])
        raise ConfigError(f"policy has {table[state]} in state {state}; allowed: at least 0, summing to 1")
    return table
