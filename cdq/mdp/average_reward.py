"""Average reward per step: relative value iteration, and the bounds that certify the gain."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import plan
from cdq.errors import ModelError
from cdq.mdp.arguments import check_scale, stages_of, start_of
from cdq.mdp.arrays import FloatArray
from cdq.mdp.bellman import Backups, chain_of, fold
from cdq.mdp.gain_policies import MOST_STATES, by_policies, classes, dense_bias, span
from cdq.mdp.model import MDP
from cdq.mdp.solution import AverageSolution

# Aperiodicity transformation: stay with probability 1 - _MOVE. A cycle of two states then converges like 0.6**n.
_MOVE = 0.8
_PATIENCE = 2000  # sweeps without progress
_DENSE_STATES = 1000
_DENSE_EVERY = 100
_MAX_SWEEPS = 100_000


class Gain(NamedTuple):
    """Bounds of the optimal gain, relative values, and a policy that earns at least the lower bound."""

    lower: float
    upper: float
    bias: FloatArray
    policy: NDArray[np.int64]
    iterations: int


def solve(model: MDP, tolerance: float, max_iterations: int, initial_values: Any) -> AverageSolution:
    """Return the best average reward of a model."""
    backups = _folded(model)
    start = start_of(initial_values, None, model, backups)
    found = best_gain(backups, tolerance, max_iterations, start.values)
    gain = found.lower + (found.upper - found.lower) / 2.0
    return AverageSolution(gain, found.lower, found.upper, found.bias, found.policy, found.iterations)


def evaluate(model: MDP, policy: Any) -> FloatArray:
    """Return the average reward of a policy, the same in every state."""
    (chain,) = stages_of(policy, model, _folded(model), None)
    check_one_class(chain)
    found = best_gain(chain, 0.0, _MAX_SWEEPS)
    return np.full(model.n_states, found.lower + (found.upper - found.lower) / 2.0)


def _folded(model: MDP) -> Backups:
    backups = fold(model, 1.0, absorb=False)
    check_scale(backups, 1.0, 1.0)
    check_goes_on(model, backups)
    return backups


def best_gain(
    backups: Backups, tolerance: float, max_iterations: int, start: FloatArray | None = None
) -> Gain:
    """Find the greatest average reward by relative value iteration on the model made aperiodic.

    min (TV - V) <= gain <= max (TV - V) whatever V is (Puterman, Markov Decision Processes, 1994, section 8.5.4).
    The bounds meet only where the optimal gain is the same from every state.

    Raises
    ------
    ModelError
        If the bounds stop narrowing while they are still apart.
    """
    values = np.zeros(backups.n_states) if start is None else start - start[0]
    tried = backups.n_states > MOST_STATES
    work, policy = np.empty_like(values), np.zeros(backups.n_states, np.int32)
    best, idle, iterations = np.inf, 0, 0
    while True:
        iterations += 1
        low, high, _ = backups.improve(1.0, values, work, policy)
        idle, best = (0, high - low) if high - low < 0.999 * best else (idle + 1, best)
        noise = high - low <= 2.0**-48 * plan.largest(values)
        if high - low <= 2.0 * tolerance or noise or idle > _PATIENCE or iterations >= max_iterations:
            found = _certified(backups, values, iterations)
            slack = found.upper - found.lower
            unavoidable = slack <= 2.0 * tolerance or slack - (high - low) >= 0.5 * slack
            if not unavoidable and iterations >= max_iterations:
                warnings.warn(_unfinished(found, iterations, tolerance), RuntimeWarning, stacklevel=4)
            if unavoidable or iterations >= max_iterations:
                return found
            if idle > _PATIENCE and tried:
                raise ModelError(_apart(found, iterations))
        if not tried and iterations >= _PATIENCE:
            tried, idle = True, 0
            values = by_policies(backups, policy, values)
            continue
        if iterations % _DENSE_EVERY == 0 and backups.n_states <= _DENSE_STATES:
            values = _relative_values(backups, policy, values)
        else:
            values += _MOVE * (work - values)
        values -= values[0]


def _apart(found: Gain, sweeps: int) -> str:
    return (
        f"the best average reward lies between {found.lower:.6g} and {found.upper:.6g} after {sweeps} sweeps and is "
        "not told apart further: it depends on the first state, or a rare or costly way to the best loop hides that "
        "it does not; use gamma < 1, or a model in which every state can reach the best loop cheaply"
    )


def _unfinished(found: Gain, sweeps: int, tolerance: float) -> str:
    return (
        f"the average reward is certified only between {found.lower:.6g} and {found.upper:.6g} after {sweeps} sweeps, "
        f"tolerance {tolerance:g} asked for; raise max_iterations or tolerance, or begin with better initial_values"
    )


def _certified(backups: Backups, values: FloatArray, iterations: int) -> Gain:
    table, rounding = backups.rounded_action_values(1.0, values)
    least, most = backups.goes_on
    off = max(abs(1.0 - least), abs(most - 1.0)) * plan.largest(values)  # probabilities stand for their share
    change = table - values[:, None]
    rounding = rounding + 2.0**-52 * np.abs(np.where(backups.missing, 0.0, change)) + off
    surely = change - rounding
    lower, upper = float(surely.max(axis=1).min()), float((change + rounding).max(axis=1).max())
    return Gain(lower, upper, values - values[0], (surely >= lower).argmax(axis=1), iterations)


def _relative_values(backups: Backups, policy: NDArray[np.int32], otherwise: FloatArray) -> FloatArray:
    """Return the bias of a policy by a dense linear solve; *otherwise* where that narrows nothing."""
    found = dense_bias(chain_of(backups, policy, np.arange(backups.n_states)))
    if found is None:
        return otherwise
    return found[1] if span(backups, found[1]) < span(backups, otherwise) else otherwise


def check_goes_on(model: MDP, backups: Backups) -> None:
    """Raise unless the process never ends and has a single set of states that it cannot leave.

    Raises
    ------
    ModelError
        Naming a state whose episode ends, or two states between which no way leads.
    """
    ends = np.flatnonzero(model.terminated & (model.probability > 0.0))
    if len(ends):
        pair = int(np.searchsorted(model.offsets, ends[0], side="right")) - 1
        state, action = divmod(pair, model.n_actions)
        raise ModelError(
            f"(state {state}, action {action}) may end the episode; an average reward needs a process that goes on: "
            "lead the outcome back to a first state, or use gamma"
        )
    check_one_class(backups)


def check_one_class(backups: Backups) -> None:
    """Raise if two states exist that can reach no state in common."""
    component, closed = classes(backups)
    if len(closed) > 1:
        one, other = (int((component == number).argmax()) for number in closed[:2])
        raise ModelError(
            f"states {one} and {other} lead to no state in common, so that the average reward may depend on the first "
            "state; allowed: models with one recurrent class (unichain); use gamma < 1"
        )
