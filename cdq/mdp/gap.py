"""Bounds of a table's values, and the distance of the greedy policy from optimal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import graph, plan
from cdq.errors import ConfigError, ModelError
from cdq.errors.checks import real
from cdq.errors.naming import named
from cdq.mdp import games
from cdq.mdp.arguments import actions_of, check_scale, model_of, table_of
from cdq.mdp.arrays import FloatArray
from cdq.mdp.bellman import Backups, chain_of, fold
from cdq.mdp.model import MDP
from cdq.mdp.optimum import certified_policy_values, discounted_optimum, total_optimum
from cdq.mdp.solution import OptimalityGap, Solution

_TOLERANCE, _MAX_ITERATIONS = 1e-10, 100_000
_SOLVED_OUTCOMES = 2_000_000  # above, optimality_gap does one sweep rather than solve


def state_bounds(
    backups: Backups, gamma: float, values: FloatArray, reachable: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Return a lower and an upper bound of V* in every state, from any values.

    The bounds that zeros give are the range that the rewards allow; values are brought into it first.
    The reachable states are closed under every action, so their margin may come from them alone; it is the
    narrower one, and V + margin remains a sub- and a supersolution elsewhere.
    """
    lowest, highest = _shifted(backups, gamma, np.zeros_like(values), reachable)
    low, high = _shifted(backups, gamma, np.clip(values, lowest, highest), reachable)
    return np.maximum(low, lowest), np.minimum(high, highest)


def _shifted(
    backups: Backups, gamma: float, values: FloatArray, reachable: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    found = backups.certify(gamma, values)
    if gamma == 1.0 and found.onward >= 1.0:  # some action never ends
        endless = np.full_like(values, np.inf)
        return -endless, endless
    low = np.where(reachable, found.low[reachable].min(), found.low.min())
    high = np.where(reachable, found.high[reachable].max(), found.high.max())
    spare = 2.0**-51
    return (
        values + low - spare * (np.abs(values) + np.abs(low)),
        values + high + spare * (np.abs(values) + np.abs(high)),
    )


@named
def optimality_gap(model: Any, values: Any, gamma: float, optimum: Solution | None = None) -> OptimalityGap:
    """Return how far the greedy policy of a table is from optimal, from the start distribution.

    The greedy policy takes the lowest index of equals; that of a Solution is its own `policy`, which ends
    without discount, where the lowest of equals may go round for ever. `gap` is an upper bound of the optimal
    value minus a lower bound of the policy's, rounding included.

    Parameters
    ----------
    model : MDP, str, environment, callable or QLearner
        A model, or what has one; see `solve`.
    values : array of shape (n_states, n_actions), QTable, QLearner or Solution
        The table; finite. What stands for an action that a state lacks is passed over. Of a Solution, its `policy`
        is judged; give its `values` to judge their greedy policy.
    gamma : float
        Discount, in [0, 1]. Without discount a policy that never ends is worth minus infinity.
    optimum : Solution, optional
        Solution of the same model and gamma, to be used again. Without it, models of more than 2e6 outcomes are
        bounded by one sweep: `policy_value` is then a lower and `optimal_value` an upper bound.

    Returns
    -------
    OptimalityGap

    Raises
    ------
    TableError
        If the table has another shape or is not finite.
    ConfigError
        If `gamma` is outside [0, 1], `optimum` is of another model, or there is no model.
    ModelError
        If values may not fit float64.

    Examples
    --------
    >>> import cdq
    >>> model = cdq.MDP.from_gymnasium("CliffWalking-v1")
    >>> optimality_gap(model, cdq.solve(model, gamma=1.0).values, gamma=1.0).policy_value
    -13.0
    """
    known, discount = model_of(model), real("gamma", gamma, "0 to 1", 0.0, 1.0)
    backups = fold(known, discount)
    table = table_of(values, known, backups.missing)
    policy = table.argmax(axis=1)
    if isinstance(values, Solution):
        policy = actions_of(values.policy, known, backups.missing)
    if optimum is not None and optimum.values.shape != table.shape:
        raise ConfigError(f"optimum has shape {optimum.values.shape}; this model has {table.shape}")
    if known.opponent is not None:
        known_best = optimum or games.optimum(known, discount, _TOLERANCE, _MAX_ITERATIONS)
        return games.gap(known, policy, discount, known_best)
    if optimum is None and discount < 1.0 and known.n_outcomes > _SOLVED_OUTCOMES:
        check_scale(backups, discount)
        return _gap_by_one_sweep(backups, known, table, policy, discount)
    if optimum is None:
        optimum = (
            total_optimum(backups, _MAX_ITERATIONS)
            if discount == 1.0
            else discounted_optimum(backups, discount, _TOLERANCE, _MAX_ITERATIONS)
        )
    worth, error = _value_from_start(backups, known, policy, discount)
    first = known.start > 0.0
    start, best = known.start[first], optimum.state_values[first]
    above = optimum.upper[first].max(axis=1) - best
    value = float(start @ best)
    rounding = _dot_rounding(start, best) + _dot_rounding(start, above)
    return OptimalityGap(worth, value, max(0.0, value - worth + error + float(start @ above) + rounding))


def _value_from_start(
    backups: Backups, model: MDP, policy: NDArray[np.int64], gamma: float
) -> tuple[float, float]:
    """Return the value of a policy from the start and a bound of its error."""
    chain = chain_of(backups, policy, np.arange(model.n_states))
    seen = (model.start > 0.0).view(np.uint8)
    goes_on = (chain.weight > 0.0).view(np.uint8)
    graph.visit(chain.offsets, chain.next_state, goes_on, 1, seen, np.empty(model.n_states, np.int32))
    states = np.flatnonzero(seen)
    try:
        values, errors = certified_policy_values(chain_of(backups, policy, states), gamma)
    except ModelError:
        return -math.inf, 0.0
    first = model.start[states] > 0.0
    start, values, errors = model.start[states][first], values[first], errors[first]
    rounding = _dot_rounding(start, values) + _dot_rounding(start, errors)
    return float(start @ values), float(start @ errors) + rounding


def _gap_by_one_sweep(
    backups: Backups, model: MDP, table: FloatArray, policy: NDArray[np.int64], gamma: float
) -> OptimalityGap:
    reachable = model.reachable()
    chain = chain_of(backups, policy, np.arange(model.n_states))
    lower, _ = state_bounds(chain, gamma, table.max(axis=1), reachable)
    _, upper = state_bounds(backups, gamma, table.max(axis=1), reachable)
    slack = _dot_rounding(model.start, lower) + _dot_rounding(model.start, upper)
    worth, best = float(model.start @ lower) - slack, float(model.start @ upper) + slack
    return OptimalityGap(worth, best, best - worth)


def _dot_rounding(start: FloatArray, values: FloatArray) -> float:
    """Return a bound of the rounding error of start @ values, whose terms weigh at most the largest value."""
    return (len(start) + 4) * 2.0**-52 * plan.largest(values)
