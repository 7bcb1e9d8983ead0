"""Average reward per step: relative value iteration, and the bounds that certify the gain."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import graph, plan
from cdq.errors import ModelError
from cdq.mdp.arguments import check_scale, stages_of, start_of
from cdq.mdp.bellman import Backups, FloatArray, fold
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
            if unavoidable or iterations >= max_iterations:
                return found
            if idle > _PATIENCE:
                raise ModelError(_apart(found, iterations))
        if iterations % _DENSE_EVERY == 0 and backups.n_states <= _DENSE_STATES:
            values = _relative_values(backups, policy, values)
        else:
            values += _MOVE * (work - values)
        values -= values[0]


def _apart(found: Gain, sweeps: int) -> str:
    return (
        f"the best average reward lies between {found.lower:.6g} and {found.upper:.6g} after {sweeps} sweeps and is "
        "not told apart further: it depends on the first state; use gamma < 1, or a model in which every state "
        "can reach the best loop"
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
    n = backups.n_states
    pairs = np.arange(n) * backups.n_actions + policy
    count = np.diff(backups.offsets)
    of_pair = np.repeat(np.arange(len(count)), count)
    chosen = np.isin(of_pair, pairs)
    cell = of_pair[chosen] // backups.n_actions * n + backups.next_state[chosen]
    system = np.eye(n) - np.bincount(cell, backups.weight[chosen], n * n).reshape(n, n)
    system[:, 0] = 1.0  # the gain takes the place of state 0's bias, which is 0
    try:
        solution = np.linalg.solve(system, backups.reward[pairs])
    except np.linalg.LinAlgError:
        return otherwise
    solution[0] = 0.0
    work = np.empty_like(solution)
    spans = []
    for values in (solution, otherwise):
        low, high, _ = backups.improve(1.0, values, work, np.empty(n, np.int32))
        spans.append(high - low)
    return solution if spans[0] < spans[1] else otherwise


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
    first = np.ascontiguousarray(backups.offsets[:: backups.n_actions])
    component, scratch = np.empty(backups.n_states, np.int32), np.empty((5, backups.n_states), np.int64)
    arrows = (backups.weight > 0.0).view(np.uint8)
    n_components = graph.components(first, backups.next_state, arrows, component, scratch)
    state = np.repeat(np.arange(backups.n_states), np.diff(first))
    leaves = (arrows > 0) & (component[state] != component[backups.next_state])
    closed = np.ones(n_components, np.bool_)
    closed[component[state[leaves]]] = False
    if closed.sum() > 1:
        one, other = (int((component == number).argmax()) for number in np.flatnonzero(closed)[:2])
        raise ModelError(
            f"states {one} and {other} lead to no state in common, so that the average reward may depend on the first "
            "state; allowed: models with one recurrent class (unichain); use gamma < 1"
        )
