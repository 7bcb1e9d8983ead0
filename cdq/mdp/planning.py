"""Exact answers where the model is known: optimal values, a policy's value, bounds of a table's values."""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from cdq.errors import ConfigError
from cdq.errors.checks import one_of, real, whole
from cdq.errors.naming import named
from cdq.mdp import average_reward, finite_horizon, games
from cdq.mdp.arguments import check_scale, check_stop, gamma_of, model_of, stages_of, start_of, table_of
from cdq.mdp.arrays import FloatArray
from cdq.mdp.bellman import Backups, fold
from cdq.mdp.gap import optimality_gap, state_bounds
from cdq.mdp.model import MDP
from cdq.mdp.optimum import discounted_optimum, policy_values, total_optimum
from cdq.mdp.solution import AverageSolution, Bounds, HorizonSolution, OptimalityGap, Solution

__all__ = [
    "MDP",
    "AverageSolution",
    "Bounds",
    "HorizonSolution",
    "OptimalityGap",
    "Solution",
    "bounds",
    "evaluate_policy",
    "optimality_gap",
    "solve",
]

Criterion = Literal["discounted", "average"]

_MAX_ITERATIONS = 100_000


@overload
def solve(
    model: Any,
    gamma: float,
    *,
    tolerance: float = ...,
    max_iterations: int = ...,
    horizon: None = ...,
    criterion: Literal["discounted"] = ...,
    initial_values: ArrayLike | None = ...,
    initial_policy: ArrayLike | None = ...,
) -> Solution: ...
@overload
def solve(model: Any, gamma: float = ..., *, horizon: int) -> HorizonSolution: ...
@overload
def solve(
    model: Any,
    *,
    criterion: Literal["average"],
    tolerance: float = ...,
    max_iterations: int = ...,
    initial_values: ArrayLike | None = ...,
) -> AverageSolution: ...
@named
def solve(
    model: Any,
    gamma: float | None = None,
    *,
    tolerance: float = 1e-10,
    max_iterations: int = _MAX_ITERATIONS,
    horizon: int | None = None,
    criterion: Criterion = "discounted",
    initial_values: ArrayLike | None = None,
    initial_policy: ArrayLike | None = None,
) -> Solution | HorizonSolution | AverageSolution:
    """Find the optimal action values of a model.

    Discounted: modified policy iteration, that is, sweeps of value iteration, whose MacQueen-Porteus bounds say when
    to stop, with sweeps of policy evaluation (Jacobi or Gauss-Seidel, whichever measures faster) between them. The
    values returned are the middle of the bounds.

    Without discount (``gamma = 1``) the optimum is over the policies that end, or that stay for ever where
    nothing is paid. It is found by policy iteration among these. Both its bounds are certified, state by state;
    `above` is infinity where some loop pays and costs in turn and comes to nothing in all, or where near-optimal
    ways of a large model are too long for their errors to be found.

    With a horizon: backward induction, action values for every number of steps left.

    Average reward: relative value iteration on the model made aperiodic, and policy iteration where that is slow
    (up to 4,000 states). The gain is certified whatever the model; a model whose best gain depends on the first
    state is refused. A RuntimeWarning says that `max_iterations` came before `tolerance`.

    Parameters
    ----------
    model : MDP, str, environment, callable or QLearner
        A model, or what has one: an environment with a transition table, its id or its maker, or a learner.
        Time limits are not considered.
    gamma : float
        Discount, in [0, 1]. With a horizon it is 1 by default; it has no meaning for the average reward.
    tolerance : float, optional
        Stop when ``max |values - Q*| <= tolerance`` is certified (or the gain). Where float64 cannot (about 1e-15 of
        the values, divided by 1 - gamma), stop there: `error` of the result says what holds. Not used without
        discount or with a horizon.
    max_iterations : int, optional
        Stop after so many sweeps of value iteration in any case; `error` says what holds.
    horizon : int, optional
        Number of steps, at least 1. There is a table for every stage, and all must fit the memory that is free.
    criterion : {"discounted", "average"}, optional
        Discounted (or total) reward, or average reward per step.
    initial_values : array of shape (n_states,) or (n_states, n_actions), optional
        Values to begin with; the nearer to optimal, the fewer iterations. Default: zeros.
    initial_policy : int array of shape (n_states,), optional
        A policy to begin with, instead of values.

    Returns
    -------
    Solution, HorizonSolution (with a horizon) or AverageSolution (average reward)

    Raises
    ------
    ConfigError
        If an argument is outside what is allowed, or there is no model.
    ModelError
        If values may not fit float64; if without discount the optimum is infinite or some state has no policy that
        ends; if the best average reward depends on the first state, or episodes end.

    Notes
    -----
    Puterman, Markov Decision Processes, 1994, sections 4.5, 6.5, 6.6.3 and 8.5.

    Examples
    --------
    >>> optimal = solve("FrozenLake-v1", gamma=0.99)
    >>> round(float(optimal.state_values[0]), 4)
    0.542
    >>> optimal.error < 1e-10
    True
    >>> round(float(solve("FrozenLake-v1", horizon=100).state_values[0, 0]), 4)
    0.7442
    """
    known = model_of(model)
    check_stop(tolerance, max_iterations)
    one_of("criterion", criterion, ("discounted", "average"))
    if criterion == "average":
        if gamma is not None or horizon is not None or initial_policy is not None:
            raise ConfigError("the average reward takes no gamma, horizon or initial_policy; leave them out")
        games.refuse(known, "average reward")
        return average_reward.solve(known, tolerance, max_iterations, initial_values)
    discount = gamma_of(gamma, horizon)
    if known.opponent is not None:
        if horizon is not None or initial_values is not None or initial_policy is not None:
            games.refuse(known, "horizon, and no initial values or policy")
        return games.optimum(known, discount, tolerance, max_iterations)
    backups = fold(known, discount)
    start = start_of(initial_values, initial_policy, known, backups)
    if horizon is not None:
        if start.values is not None or start.policy is not None:
            raise ConfigError("a horizon takes no initial values or policy; leave them out")
        return _finite(backups, discount, whole("horizon", horizon, 1))
    if discount == 1.0:
        return total_optimum(backups, max_iterations, start)
    return discounted_optimum(backups, discount, tolerance, max_iterations, start)


def _finite(backups: Backups, gamma: float, horizon: int) -> HorizonSolution:
    check_scale(backups, gamma, horizon)
    finite_horizon.check_memory(horizon, 8 * backups.n_states * (backups.n_actions + 2))
    found = finite_horizon.backward_induction(backups, gamma, horizon)
    return HorizonSolution(found.values, found.values.max(axis=2), found.policy, found.error)


@named
def evaluate_policy(
    model: Any,
    policy: Any,
    gamma: float | None = None,
    *,
    horizon: int | None = None,
    criterion: Criterion = "discounted",
) -> FloatArray:
    """Return the expected discounted return of a policy from every state.

    Exact up to rounding: about 1e-15 of the largest value that the policy meets from that state on, divided by
    1 - gamma. What actions pay that the policy never takes makes no difference.

    Parameters
    ----------
    model : MDP, str, environment, callable or QLearner
        A model, or what has one; see `solve`. Time limits are not considered.
    policy : int array of shape (n_states,) or float array of shape (n_states, n_actions)
        Policy: one action per state, or the probability of each. With a horizon also integers of shape (horizon,
        n_states): an action for every stage. A QTable, a QLearner or a solution stands for its policy.
    gamma : float
        Discount, in [0, 1]. Without discount, loops in which nothing is ever paid are worth 0.
        With a horizon it is 1 by default; it has no meaning for the average reward.
    horizon : int, optional
        Number of steps.
    criterion : {"discounted", "average"}, optional
        Discounted (or total) reward, or average reward per step.

    Returns
    -------
    ndarray of float64, shape (n_states,), with a horizon (horizon, n_states)
        Values; with a horizon for every stage, stage 0 being the first step. Average reward: the gain, the same
        in every state.

    Raises
    ------
    ConfigError
        If `policy` is not one, `gamma` is outside [0, 1], or there is no model.
    ModelError
        If values may not fit float64; if without discount the policy never ends from some state, and is paid there;
        if the average reward depends on the first state, or episodes end.

    Examples
    --------
    >>> model = MDP.from_gymnasium("FrozenLake-v1", is_slippery=False)
    >>> policy = solve(model, gamma=0.9).policy
    >>> round(float(evaluate_policy(model, policy, gamma=0.9)[0]), 6)
    0.59049
    """
    known = model_of(model)
    games.refuse(known, "value of a policy alone")
    one_of("criterion", criterion, ("discounted", "average"))
    if criterion == "average":
        if gamma is not None or horizon is not None:
            raise ConfigError("the average reward takes no gamma or horizon; leave them out")
        return average_reward.evaluate(known, policy)
    discount = gamma_of(gamma, horizon)
    backups = fold(known, discount)
    if horizon is None:
        (chain,) = stages_of(policy, known, backups, None)
        return policy_values(chain, discount)
    n_stages = whole("horizon", horizon, 1)
    finite_horizon.check_memory(n_stages, 8 * (known.n_states + 1))
    chains = stages_of(policy, known, backups, n_stages)
    for chain in chains:
        check_scale(chain, discount, len(chains))
    return finite_horizon.follow(chains, discount)


@named
def bounds(model: Any, values: Any, gamma: float) -> Bounds:
    """Return a lower and an upper bound of Q* from any finite table.

    One sweep: with V = max_a Q and delta = TV - V, the MacQueen-Porteus bounds of V give those of Q*, also
    where outcomes end, and with rounding taken outwards. They tighten as the table nears Q*, and are never wider
    than the range that the rewards allow.
    States that no episode acts in are bounded on their own, and `gap` leaves them out.

    Parameters
    ----------
    model : MDP, str, environment, callable or QLearner
        A model, or what has one; see `solve`.
    values : array of shape (n_states, n_actions), QTable, QLearner or Solution
        Values of any finite table. What stands for an action that a state lacks is passed over.
    gamma : float
        Discount, in [0, 1]. Without discount the bounds are infinite unless every action may end the episode:
        use `solve`.

    Returns
    -------
    Bounds

    Raises
    ------
    TableError
        If the table has another shape or is not finite.
    ConfigError
        If `gamma` is outside [0, 1], or there is no model.
    ModelError
        If values may not fit float64.

    Notes
    -----
    MacQueen 1966, Porteus 1971; Puterman, Markov Decision Processes, 1994, section 6.6.3.

    Examples
    --------
    >>> model = MDP.from_gymnasium("FrozenLake-v1")
    >>> start = bounds(model, np.zeros((16, 4)), gamma=0.9)
    >>> optimal = bounds(model, solve(model, gamma=0.9).values, gamma=0.9)
    >>> 0.5 < start.gap <= 1.0, optimal.gap < 1e-9
    (True, True)
    """
    known, discount = model_of(model), real("gamma", gamma, "0 to 1", 0.0, 1.0)
    backups = fold(known, discount)
    missing = backups.missing
    table = table_of(values, known, missing)
    check_scale(backups, discount)
    if known.opponent is not None:
        return games.bounds(known, table, discount)
    reachable = known.reachable()
    low, high = state_bounds(backups, discount, table.max(axis=1), reachable)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        endless = np.full(table.shape, np.inf)
        return Bounds(-endless, endless, math.inf)
    (lower, below), (upper, above) = (backups.rounded_action_values(discount, part) for part in (low, high))
    lower, upper = lower - below, upper + above
    wide = np.where(missing, -np.inf, upper - np.where(missing, 0.0, lower))
    return Bounds(lower, upper, float(wide.max(axis=1)[reachable].max()))
