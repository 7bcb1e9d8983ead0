"""Checks of the arguments of `cdq.mdp.planning`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import plan
from cdq.errors import ConfigError, ModelError, TableError
from cdq.errors.checks import real, whole
from cdq.mdp.arrays import FloatArray, StateArray
from cdq.mdp.bellman import Backups, chain_of, mixture
from cdq.mdp.model import MDP
from cdq.qfunctions import QTable

_LARGEST = 2.0**1021  # differences of such values fit float64


def model_of(given: Any) -> MDP:
    """Return a model as it is, or that of a learner, an environment, an id, a spec or a function that makes one."""
    if isinstance(given, MDP):
        return given
    held = getattr(given, "model", None)
    if isinstance(held, MDP):
        return held
    learner = isinstance(getattr(given, "table", None), QTable)
    if (
        given is None
        or learner
        or not (
            isinstance(given, str)
            or callable(given)
            or hasattr(given, "spec")
            or hasattr(given, "entry_point")
        )
    ):
        got = (
            f"a learner of {given.name}, whose model is not known"
            if learner
            else f"{type(given).__name__}: {given!r:.80}"
        )
        raise ConfigError(
            f"model is {got}; allowed: a cdq.MDP, the id of an environment, an environment with a transition "
            "table P, or a learner of one"
        )
    return MDP.from_gymnasium(given)


def gamma_of(gamma: float | None, horizon: int | None = None) -> float:
    """Return the discount, after checking that it is in [0, 1]; 1 by default where a horizon is given."""
    if gamma is None:
        if horizon is None:
            raise ConfigError("gamma is missing; allowed: 0 to 1, e.g. gamma=0.99; or give a horizon")
        return 1.0
    return real("gamma", gamma, "0 to 1", 0.0, 1.0)


def check_stop(tolerance: float, max_iterations: int) -> None:
    """Raise unless an iteration can be told to stop so."""
    real("tolerance", tolerance, "0 or more", 0.0)
    whole("max_iterations", max_iterations, 1)


def check_scale(backups: Backups, gamma: float, steps: float = np.inf) -> None:
    """Raise unless the values of the model fit float64.

    Raises
    ------
    ModelError
        If they do not.
    """
    kappa = gamma * backups.goes_on[1]
    length = min(steps, 1.0 / (1.0 - kappa)) if kappa < 1.0 else steps
    if not np.isfinite(length):
        return  # judged by the result
    if plan.largest(backups.reward) <= _LARGEST / length:
        return
    best = backups.reward.reshape(backups.n_states, -1).max(
        axis=1
    )  # what nobody should take counts for nothing
    needed = plan.largest(best)
    if not needed <= _LARGEST / length:
        raise ModelError(
            f"rewards of {needed:.3g} may add up to more than float64 holds (allowed here: "
            f"{_LARGEST / length:.3g}); scale the rewards down"
        )


def table_of(values: Any, model: MDP, missing: NDArray[np.bool_]) -> FloatArray:
    """Return the table as float64, minus infinity at missing pairs, after checking that it fits the model."""
    if isinstance(values, QTable):
        values = values.values
    elif isinstance(getattr(values, "table", None), QTable):
        values = values.table.values
    elif isinstance(getattr(values, "values", None), np.ndarray):
        values = values.values
    try:
        table: FloatArray = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise TableError(f"the table is {type(values).__name__}, not numbers: {error}") from error
    if table.shape != (model.n_states, model.n_actions):
        raise TableError(
            f"the table has shape {table.shape}; {model.name} needs {(model.n_states, model.n_actions)}"
        )
    table[missing] = -np.inf
    wrong = ~np.isfinite(table) & ~missing
    if wrong.any():
        state, action = np.argwhere(wrong)[0]
        raise TableError(
            f"the table holds values that are not finite: {table[state, action]} at (state {state}, action {action})"
        )
    return table


def actions_of(policy: NDArray[Any], model: MDP, missing: NDArray[np.bool_]) -> NDArray[np.int64]:
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
    _check_taken(np.eye(model.n_actions, dtype=np.bool_)[actions] & missing)
    return actions


def probabilities_of(policy: NDArray[Any], model: MDP, missing: NDArray[np.bool_]) -> FloatArray:
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
    _check_taken((table > 0.0) & missing)
    return table


def _check_taken(wrong: NDArray[np.bool_]) -> None:
    if wrong.any():
        state, action = np.argwhere(wrong)[0]
        raise ConfigError(f"policy takes action {action} in state {state}, which does not have it")


class Start(NamedTuple):
    """Values or a policy to begin with."""

    values: FloatArray | None = None
    policy: StateArray | None = None


NOTHING = Start()


def start_of(values: Any, policy: Any, model: MDP, backups: Backups) -> Start:
    """Return checked values (n_states,) or a checked policy to begin with."""
    if values is not None and policy is not None:
        raise ConfigError("initial_values and initial_policy are both given; allowed: one of them")
    if policy is not None:
        return Start(policy=actions_of(np.asarray(policy), model, backups.missing).astype(np.int32))
    if values is None:
        return NOTHING
    given = values if isinstance(values, QTable) else np.asarray(values)
    if isinstance(given, np.ndarray) and given.shape == (model.n_states,) and given.dtype.kind in "iuf":
        initial = given.astype(np.float64)
    else:
        initial = table_of(values, model, backups.missing).max(axis=1)
    if not plan.largest(initial) <= _LARGEST:
        raise ConfigError(
            f"initial_values go up to {plan.largest(initial):.3g}; allowed: {_LARGEST:.3g} at most"
        )
    return Start(values=initial)


def _policy_in(given: Any) -> Any:
    """Return the policy of a table, a learner or a solution; anything else as it is."""
    table = given if isinstance(given, QTable) else getattr(given, "table", None)
    if isinstance(table, QTable):
        return table.policy()
    held = getattr(given, "policy", None)
    return held if isinstance(held, np.ndarray) else given


def stages_of(policy: Any, model: MDP, backups: Backups, horizon: int | None) -> list[Backups]:
    """Return the Markov chain of a policy, one for every stage where there is a horizon."""
    given, states = np.asarray(_policy_in(policy)), np.arange(model.n_states)
    if horizon is not None and given.shape == (horizon, model.n_states) and given.dtype.kind in "iu":
        return [chain_of(backups, actions_of(row, model, backups.missing), states) for row in given]
    if given.ndim == 1:
        chain = chain_of(backups, actions_of(given, model, backups.missing), states)
    else:
        chain = mixture(backups, probabilities_of(given, model, backups.missing))
    return [chain] * (horizon or 1)
