"""The optimum of a model and the values of a policy, each with certified bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cdq.core.planning import certify, plan
from cdq.errors import ModelError
from cdq.mdp.arguments import NOTHING, Start, check_scale
from cdq.mdp.arrays import FloatArray, IntArray, StateArray
from cdq.mdp.bellman import Backups, chain_of
from cdq.mdp.certify import chain_errors, upper_errors
from cdq.mdp.discounted import Solved, discounted
from cdq.mdp.solution import Solution
from cdq.mdp.undiscounted import UNMIXED_STATES, dense_total, lowest_that_ends, optimum, policy_total

# Differences of this share of the largest value tell actions apart, whatever the error.
_ALWAYS_APART = 1e-9
_MAX_ITERATIONS = 100_000
_MANY_STATES = 10_000  # each state's own error then takes as long as the values


class _Margins(NamedTuple):
    """V - below <= V* <= V + above: the same for every state, or each its own."""

    below: FloatArray | float
    above: FloatArray | float


def discounted_optimum(
    backups: Backups, gamma: float, tolerance: float, max_iterations: int, start: Start = NOTHING
) -> Solution:
    """Return the discounted optimum, gamma < 1."""
    check_scale(backups, gamma)
    values = start.values
    if start.policy is not None:
        chain = chain_of(backups, start.policy, np.arange(backups.n_states))
        values = discounted(chain, gamma, tolerance, max_iterations).values
    found = discounted(backups, gamma, tolerance, max_iterations, values)
    values, margins = _middle(backups, gamma, tolerance, found)
    return _solution(backups, gamma, values, margins, found.iterations, tolerance)


def total_optimum(backups: Backups, max_iterations: int, start: Start = NOTHING) -> Solution:
    """Return the optimum without discount."""
    policy = start.policy
    if start.values is not None:
        policy = backups.action_values(1.0, start.values).argmax(axis=1).astype(np.int32)
    best = optimum(backups, max_iterations, policy)
    margins = _Margins(best.below, best.above)
    return _solution(backups, 1.0, best.values, margins, best.iterations, 0.0, best.policy)


def policy_values(chain: Backups, gamma: float) -> FloatArray:
    """Return the values of a policy, given its chain."""
    if gamma == 1.0:
        return policy_total(chain).values
    return _settled_values(chain, gamma).values


def certified_policy_values(chain: Backups, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Return the values of a policy, given its chain, and a bound of the error of each."""
    if gamma == 1.0:
        return policy_total(chain)
    found = _settled_values(chain, gamma)
    alike = max(abs(bound) for bound in found.certificate.margin)
    if alike <= 1e-12 * plan.largest(found.values):
        return found.values, np.full(chain.n_states, alike)
    return found.values, np.minimum(chain_errors(chain, found.values, gamma), alike)


def _settled_values(chain: Backups, gamma: float) -> Solved:
    """Return values of a chain that only rounding keeps from being exact."""
    check_scale(chain, gamma)
    if chain.n_states <= UNMIXED_STATES:
        values = dense_total(chain, gamma, chain.reward)
        return Solved(values, chain.certify(gamma, values), 0, True)
    found = discounted(chain, gamma, 0.0, _MAX_ITERATIONS)
    values = chain.action_values(gamma, found.values)[:, 0]
    return Solved(values, chain.certify(gamma, values), found.iterations, found.settled)


def _middle(backups: Backups, gamma: float, tolerance: float, found: Solved) -> tuple[FloatArray, _Margins]:
    """Return the middle of the certified interval and its half width; if rounding prevails, each state's own error."""
    low, high = found.certificate.margin
    half = (high - low) / 2.0
    if gamma * half <= tolerance or not found.settled or _one_scale(found.values):
        spare = 2.0**-52 * (plan.largest(found.values) + abs(low) + abs(high))
        return found.values + (low + high) / 2.0, _Margins(half + spare, half + spare)
    policy = backups.action_values(gamma, found.values).argmax(axis=1)
    errors = chain_errors(chain_of(backups, policy, np.arange(backups.n_states)), found.values, gamma)
    _, above = upper_errors(backups, found.values, gamma, np.where(np.isfinite(errors), errors, 0.0))
    return found.values, _Margins(np.minimum(errors, max(0.0, -low)), np.minimum(above, max(0.0, high)))


def _one_scale(values: FloatArray) -> bool:
    """Return whether many values are of one size, so that their own errors would be little below the common one."""
    return len(values) > _MANY_STATES and float(np.median(np.abs(values))) > 1e-3 * plan.largest(values)


def _solution(  # noqa: PLR0917
    backups: Backups,
    gamma: float,
    state_values: FloatArray,
    margins: _Margins,
    iterations: int,
    tolerance: float,
    policy: StateArray | None = None,
) -> Solution:
    values, of_pairs = _action_values(backups, gamma, state_values, margins, tolerance)
    below, above = (float(np.max(margin)) for margin in of_pairs)
    best, chosen = np.empty(backups.n_states), np.empty(backups.n_states, np.int64)
    tie = min(below + above, _ALWAYS_APART * plan.largest(state_values))
    low, high = (np.broadcast_to(margin, values.shape) for margin in of_pairs)
    greatest = plan.choose(values, low, high, tie, best, chosen)
    residual = gamma * backups.goes_on[1] * plan.largest(best - state_values)
    solution = Solution(values, best, chosen, residual, below, above, iterations, of_pairs)
    if greatest and policy is None:
        return solution
    lower, upper = solution.lower, solution.upper
    floor = lower.max(axis=1)
    allowed = (upper >= floor[:, None]) & (values >= best[:, None] - tie)
    if policy is not None:
        lowest = lowest_that_ends(backups, allowed, floor <= 0.0, policy)
        good = _total_is_kept(backups, lowest, floor, best)
        return replace(solution, policy=(lowest if good else policy).astype(np.int64))
    width = upper.max(axis=1) - floor
    if _value_is_kept(backups, gamma, chosen, state_values, best - 2.0 * width, float(width.min()) / 2.0):
        return solution
    share = max(0.0, 1.0 - gamma * backups.goes_on[1])  # losses of one step add up to 1 / share of them
    likely = np.where(allowed, values, -np.inf)
    lowest = (likely >= (likely.max(axis=1) - np.minimum(tie, width) * share)[:, None]).argmax(axis=1)
    return replace(solution, policy=lowest)


def _value_is_kept(  # noqa: PLR0917
    backups: Backups,
    gamma: float,
    policy: IntArray,
    values: FloatArray,
    least: FloatArray,
    tolerance: float,
) -> bool:
    """Return whether a policy of actions taken for equal is surely worth *least*: small losses add up."""
    chain = chain_of(backups, policy, np.arange(backups.n_states))
    found = discounted(chain, gamma, tolerance, _MAX_ITERATIONS, values)
    if (found.values + found.certificate.margin.low >= least).all():
        return True
    if not found.settled or _one_scale(found.values):
        return False
    return bool((found.values - chain_errors(chain, found.values, gamma) >= least).all())


def _total_is_kept(backups: Backups, policy: StateArray, floor: FloatArray, best: FloatArray) -> bool:
    """Return whether a policy of actions taken for equal may be worth as much, all errors considered."""
    try:
        worth, errors = policy_total(chain_of(backups, policy, np.arange(backups.n_states)))
    except ModelError:  # it rests where others walk on
        return False
    off = np.where(np.isfinite(errors), errors, 0.0) + np.where(np.isfinite(floor), best - floor, 0.0)
    return bool((worth + off >= best - _spare(best)).all())


def _spare(values: FloatArray) -> FloatArray:
    return 2.0**-48 * np.abs(values)


def _action_values(
    backups: Backups, gamma: float, state_values: FloatArray, margins: _Margins, tolerance: float
) -> tuple[FloatArray, _Margins]:
    """Return the action values of V, and their certified margins: one for all pairs where that is narrow."""
    if isinstance(margins.below, float):
        values = np.empty((backups.n_states, backups.n_actions))
        arrays = (*backups.arrays, backups.size, gamma, backups.ahead)
        rounding = certify.action_values(*arrays, state_values, values.reshape(-1), None)
        if rounding <= max(tolerance, 1e-12):
            least = gamma * backups.goes_on[1]
            return values, _Margins(*(least * margin + rounding for margin in margins))
    values, errors = backups.rounded_action_values(gamma, state_values)
    missing, passed_on = backups.missing, replace(backups, reward=errors.ravel(), size=errors.ravel())
    below, above = (
        np.where(
            missing, 0.0, _passed_on(passed_on, gamma, np.broadcast_to(margin, state_values.shape).copy())
        )
        for margin in margins
    )
    return values, _Margins(below, above)


def _passed_on(backups: Backups, gamma: float, margin: FloatArray) -> FloatArray | float:
    """Return what the states' margins, and rounding, come to in every pair."""
    if not np.isfinite(margin).all():
        return np.inf
    return backups.action_values(gamma, margin) * (1.0 + 2.0**-40)
