"""Exact answers where the model is known: optimal values, a policy's value, a table's gap to optimal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdq._arguments import read_only
from cdq._bellman import Backups, chain_of, discounted, fold, mixture
from cdq._checks import actions_of, check_gamma, check_stop, probabilities_of, table_of
from cdq._undiscounted import optimum as undiscounted_optimum
from cdq._undiscounted import policy_total
from cdq.core import graph, plan
from cdq.errors import ConfigError, ModelError
from cdq.mdp import MDP

FloatArray = NDArray[np.float64]

_MAX_ITERATIONS = 100_000
_SOLVED_OUTCOMES = 2_000_000  # above, optimality_gap does one sweep rather than solve


@dataclass(frozen=True, eq=False)
class Solution:
    """Hold what `solve` found; the arrays are read-only.

    Attributes
    ----------
    values : ndarray of float64, shape (n_states, n_actions)
        Action values.
    state_values : ndarray of float64, shape (n_states,)
        The greatest of each row.
    policy : ndarray of int64, shape (n_states,)
        A greedy policy: the lowest index of equals; without discount one that ends.
    residual : float
        Bound of ``max |TQ - Q|`` for these values: what one more sweep would change.
    below, above : float
        Certified: ``values - below <= Q* <= values + above``, rounding included. Infinity where not known.
    iterations : int
        Sweeps of value iteration, or policies without discount.
    """

    values: FloatArray
    state_values: FloatArray
    policy: NDArray[np.int64]
    residual: float
    below: float
    above: float
    iterations: int

    def __post_init__(self) -> None:
        self.__setstate__(dict(self.__dict__))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Hold read-only arrays, also in copies."""
        arrays = {name: read_only(value) for name, value in state.items() if isinstance(value, np.ndarray)}
        self.__dict__.update({**state, **arrays})

    @property
    def error(self) -> float:
        """Certified bound of ``max |values - Q*|``."""
        return max(self.below, self.above)

    @property
    def lower(self) -> FloatArray:
        """Certified lower bound of Q*, shape (n_states, n_actions)."""
        return read_only(self.values - self.below)

    @property
    def upper(self) -> FloatArray:
        """Certified upper bound of Q*, shape (n_states, n_actions)."""
        return read_only(self.values + self.above)


class Bounds(NamedTuple):
    """Bounds of Q*: `lower` and `upper` of shape (n_states, n_actions), `gap` the widest of those visited."""

    lower: FloatArray
    upper: FloatArray
    gap: float


class OptimalityGap(NamedTuple):
    """Value of a greedy and of an optimal policy from the start; `gap` bounds their difference."""

    policy_value: float
    optimal_value: float
    gap: float


def solve(
    model: MDP, gamma: float, *, tolerance: float = 1e-10, max_iterations: int = _MAX_ITERATIONS
) -> Solution:
    """Find the optimal action values of a model.

    Modified policy iteration: sweeps of value iteration, whose MacQueen-Porteus bounds say when to stop, with
    sweeps of policy evaluation (Jacobi or Gauss-Seidel, whichever measures faster) between them. The values
    returned are the middle of the bounds.

    Without discount (``gamma = 1``) the optimum is over the policies that end, or that stay for ever where
    nothing is paid. It is found by policy iteration among these. `below` is certified by the expected steps
    to the end; so is `above`, unless optimal actions tie with detours that cost nothing: then it is infinity.

    Parameters
    ----------
    model : MDP
        Its time limit is not considered.
    gamma : float
        Discount, in [0, 1].
    tolerance : float, optional
        Stop when ``max |values - Q*| <= tolerance`` is certified. Where float64 cannot (about 1e-15 of the
        values, divided by 1 - gamma), stop there: `error` of the result says what holds. Not used without
        discount.
    max_iterations : int, optional
        Stop after so many sweeps of value iteration in any case; `error` says what holds.

    Returns
    -------
    Solution

    Raises
    ------
    ConfigError
        If an argument is outside what is allowed.
    ModelError
        If without discount the optimum is infinite or some state has no policy that ends.

    Notes
    -----
    Puterman, Markov Decision Processes, 1994, sections 6.5 and 6.6.3.

    Examples
    --------
    >>> optimal = solve(MDP.from_gymnasium("FrozenLake-v1"), gamma=0.99)
    >>> round(float(optimal.state_values[0]), 4)
    0.542
    >>> optimal.error < 1e-10
    True
    """
    check_gamma(gamma)
    check_stop(tolerance, max_iterations)
    backups = fold(model, gamma)
    if gamma == 1.0:
        best = undiscounted_optimum(backups, max_iterations)
        return _solution(backups, gamma, best.values, (best.below, best.above), best.iterations, best.policy)
    found = discounted(backups, gamma, tolerance, max_iterations)
    half = gamma * backups.goes_on[1] * (found.margin.high - found.margin.low) / 2.0
    middle = found.values + (found.margin.low + found.margin.high) / 2.0
    return _solution(backups, gamma, middle, (half, half), found.iterations)


def _solution(  # noqa: PLR0917
    backups: Backups,
    gamma: float,
    state_values: FloatArray,
    margins: tuple[float, float],
    iterations: int,
    policy: NDArray[np.int32] | None = None,
) -> Solution:
    values = backups.action_values(gamma, state_values)
    best = values.max(axis=1)
    rounding = backups.rounding(gamma, state_values)
    chosen = values.argmax(axis=1) if policy is None else policy.astype(np.int64)
    below, above = (margin + rounding for margin in margins)
    residual = gamma * backups.goes_on[1] * plan.largest(best - state_values)
    return Solution(values, best, chosen, residual, below, above, iterations)


def evaluate_policy(model: MDP, policy: ArrayLike, gamma: float) -> FloatArray:
    """Return the expected discounted return of a policy from every state.

    Exact up to rounding (about 1e-15 of the largest value, divided by 1 - gamma).

    Parameters
    ----------
    model : MDP
        Its time limit is not considered.
    policy : int array of shape (n_states,) or float array of shape (n_states, n_actions)
        One action per state, or the probability of each.
    gamma : float
        Discount, in [0, 1]. Without discount, loops in which nothing is ever paid are worth 0.

    Returns
    -------
    ndarray of float64, shape (n_states,)

    Raises
    ------
    ConfigError
        If `policy` is not one or `gamma` is outside [0, 1].
    ModelError
        If without discount the policy never ends from some state, and is paid there.

    Examples
    --------
    >>> model = MDP.from_gymnasium("FrozenLake-v1", is_slippery=False)
    >>> policy = solve(model, gamma=0.9).policy
    >>> round(float(evaluate_policy(model, policy, gamma=0.9)[0]), 6)
    0.59049
    """
    check_gamma(gamma)
    backups = fold(model, gamma)
    given = np.asarray(policy)
    if given.ndim == 1:
        chain = chain_of(backups, actions_of(given, model), np.arange(model.n_states))
    else:
        chain = mixture(backups, probabilities_of(given, model))
    return _evaluate(chain, gamma)[0]


def _evaluate(chain: Backups, gamma: float) -> tuple[FloatArray, float]:
    """Return the values of a chain and a bound of their error."""
    if gamma == 1.0:
        total = policy_total(chain)
        return total.values, total.margin
    found = discounted(chain, gamma, 0.0, _MAX_ITERATIONS)
    low, high = found.margin
    return found.values + (low + high) / 2.0, (high - low) / 2.0 + chain.rounding(gamma, found.values)


def bounds(model: MDP, values: ArrayLike, gamma: float) -> Bounds:
    """Return a lower and an upper bound of Q* from any finite table.

    One sweep: with V = max_a Q and delta = TV - V, the MacQueen-Porteus bounds of V give those of Q*, also
    where outcomes end, and with rounding taken outwards. They tighten as the table nears Q*.
    States that no episode acts in are bounded on their own, and `gap` leaves them out.

    Parameters
    ----------
    model : MDP
        The model.
    values : array of shape (n_states, n_actions)
        Any table; finite.
    gamma : float
        Discount, in [0, 1]. Without discount the bounds are infinite: use `solve`.

    Returns
    -------
    Bounds

    Raises
    ------
    TableError
        If the table has another shape or is not finite.
    ConfigError
        If `gamma` is outside [0, 1].

    Notes
    -----
    MacQueen 1966, Porteus 1971; Puterman, Markov Decision Processes, 1994, section 6.6.3.

    Examples
    --------
    >>> model = MDP.from_gymnasium("FrozenLake-v1")
    >>> start = bounds(model, np.zeros((16, 4)), gamma=0.9)
    >>> optimal = bounds(model, solve(model, gamma=0.9).values, gamma=0.9)
    >>> start.gap > 1.0, optimal.gap < 1e-9
    (True, True)
    """
    check_gamma(gamma)
    table = table_of(values, model)
    if gamma == 1.0:
        endless = np.full(table.shape, np.inf)
        return Bounds(-endless, endless, math.inf)
    backups = fold(model, gamma)
    state_values = table.max(axis=1)
    backed_up, policy = np.empty(model.n_states), np.empty(model.n_states, np.int32)
    backups.improve(gamma, state_values, backed_up, policy)
    low, high = _shifts(backups, gamma, backed_up - state_values, state_values, model.reachable())
    slack = backups.rounding(gamma, state_values, max(plan.largest(low), plan.largest(high)))
    lower = backups.action_values(gamma, state_values + low) - slack
    upper = backups.action_values(gamma, state_values + high) + slack
    return Bounds(lower, upper, float((upper - lower).max(axis=1)[model.reachable()].max()))


def _shifts(
    backups: Backups, gamma: float, delta: FloatArray, state_values: FloatArray, reachable: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Return per state what to add to V for the lower and for the upper bound.

    The reachable states are closed under every action, so their margin may come from them alone; it is the
    narrower one, and V + shift remains a sub- and a supersolution elsewhere.
    """
    slack = backups.rounding(gamma, state_values)
    every, inner = (
        backups.margin(gamma, float(part.min()) - slack, float(part.max()) + slack)
        for part in (delta, delta[reachable])
    )
    return np.where(reachable, inner.low, every.low), np.where(reachable, inner.high, every.high)


def optimality_gap(
    model: MDP, values: ArrayLike, gamma: float, optimum: Solution | None = None
) -> OptimalityGap:
    """Return how far the greedy policy of a table is from optimal, from the start distribution.

    The greedy policy takes the lowest index of equals. `gap` is an upper bound of the optimal value minus a
    lower bound of the policy's, rounding included.

    Parameters
    ----------
    model : MDP
        The model.
    values : array of shape (n_states, n_actions)
        The table; finite.
    gamma : float
        Discount, in [0, 1]. Without discount a policy that never ends is worth minus infinity.
    optimum : Solution, optional
        Of the same model and gamma, to be used again. Without it, models of more than 2e6 outcomes are
        bounded by one sweep: `policy_value` is then a lower and `optimal_value` an upper bound.

    Returns
    -------
    OptimalityGap

    Raises
    ------
    TableError
        If the table has another shape or is not finite.
    ConfigError
        If `gamma` is outside [0, 1] or `optimum` is of another model.

    Examples
    --------
    >>> model = MDP.from_gymnasium("CliffWalking-v1")
    >>> optimality_gap(model, solve(model, gamma=1.0).values, gamma=1.0).policy_value
    -13.0
    """
    check_gamma(gamma)
    table = table_of(values, model)
    if optimum is not None and optimum.values.shape != table.shape:
        raise ConfigError(f"optimum has shape {optimum.values.shape}; this model has {table.shape}")
    backups = fold(model, gamma)
    if optimum is None and gamma < 1.0 and model.n_outcomes > _SOLVED_OUTCOMES:
        return _gap_by_one_sweep(backups, model, table, gamma)
    optimum = optimum or solve(model, gamma)
    worth, error = _value_from_start(backups, model, table.argmax(axis=1), gamma)
    best = float(model.start @ optimum.state_values)
    rounding = _dot_rounding(model.start, optimum.state_values)
    return OptimalityGap(worth, best, max(0.0, best - worth + error + optimum.above + rounding))


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
        values, error = _evaluate(chain_of(backups, policy, states), gamma)
    except ModelError:
        return -math.inf, 0.0
    start = model.start[states]
    return float(start @ values), error + _dot_rounding(start, values)


def _gap_by_one_sweep(backups: Backups, model: MDP, table: FloatArray, gamma: float) -> OptimalityGap:
    state_values, greedy = table.max(axis=1), table.argmax(axis=1)
    backed_up = backups.action_values(gamma, state_values)
    followed = np.take_along_axis(backed_up, greedy[:, None], axis=1)[:, 0]
    reachable = model.reachable()
    low, _ = _shifts(backups, gamma, followed - state_values, state_values, reachable)
    _, high = _shifts(backups, gamma, backed_up.max(axis=1) - state_values, state_values, reachable)
    lower, upper = state_values + low, state_values + high
    slack = _dot_rounding(model.start, lower) + _dot_rounding(model.start, upper)
    worth, best = float(model.start @ lower) - slack, float(model.start @ upper) + slack
    return OptimalityGap(worth, best, best - worth)


def _dot_rounding(start: FloatArray, values: FloatArray) -> float:
    """Return a bound of the rounding error of start @ values, whose terms weigh at most the largest value."""
    return (len(start) + 4) * 2.0**-52 * plan.largest(values)
