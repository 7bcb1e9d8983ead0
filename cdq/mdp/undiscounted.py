"""Total reward without discount: policy iteration over policies that end, and its certificate."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import graph
from cdq.errors import ModelError
from cdq.mdp.arrays import FloatArray, StateArray
from cdq.mdp.bellman import Backups, Chain, Flags, chain_of, given
from cdq.mdp.certify import chain_errors, upper_errors, without
from cdq.mdp.discounted import STILL

_DENSE_STATES = 2000  # a dense solve of a policy's chain takes half a second then
_LOWERED_STATES = 500  # walked through once for every lower action of each
UNMIXED_STATES = 200  # elimination by rows takes about 5 ms then
_SWEEPS = 32
_MAX_CHUNKS, _WORK = 100, 1 << 29  # at least so many times these sweeps, or so many backups


class Total(NamedTuple):
    """Total rewards of a policy that ends: true ones are within errors of values, state by state."""

    values: FloatArray
    errors: FloatArray


class Optimum(NamedTuple):
    """Optimal total rewards: values - below <= V* <= values + above, state by state."""

    values: FloatArray
    policy: StateArray
    below: FloatArray
    above: FloatArray
    iterations: int


def optimum(backups: Backups, max_iterations: int, start: StateArray | None = None) -> Optimum:
    """Find the best total reward of the policies that end, or rest for ever where nothing is paid.

    Policy iteration from such a policy, in which an action only gives way to one better beyond rounding.
    A change to a policy that never ends from some state then proves a loop that pays: the optimum is infinite
    (the loop's stationary distribution gives T_policy V - V a positive mean, which is its mean reward).
    """
    policy, resting = _initial_policy(backups)
    if start is not None and _ends(_chain(backups, start, np.zeros_like(resting))).all():
        policy, resting = start.copy(), np.zeros_like(resting)
    values, iterations, better = np.zeros(backups.n_states), 0, np.ones(backups.n_states, np.bool_)
    while better.any() and iterations < max_iterations:
        iterations += 1
        chain = _chain(backups, policy, resting)
        _require_end(chain, f"a loop that pays begins in state {{state}}: {_UNBOUNDED}")
        values, errors = total_reward(chain, values)
        unsure = np.where(np.isfinite(errors), errors, 1e-9 * (1.0 + np.abs(values)))
        table, rounding = backups.rounded_action_values(1.0, values - unsure)
        surely = table - rounding
        better = surely.max(axis=1) > values + unsure
        policy[better] = surely[better].argmax(axis=1)
        resting[better] = 0
    raised, above = upper_errors(backups, values, 1.0, np.where(np.isfinite(errors), errors, 0.0))
    return Optimum(values, policy, errors, above + (raised - values), iterations)


_UNBOUNDED = "the total reward without discount is unbounded; use gamma < 1"
_ENDLESS = "without discount (gamma = 1) its total reward is not defined; use gamma < 1"


def policy_total(chain: Backups) -> Total:
    """Return the total rewards of a policy's chain.

    Raises
    ------
    ModelError
        If from some state the policy goes on for ever and is paid on the way.
    """
    resting = np.empty(chain.n_states, np.uint8)
    graph.rest(*chain.arrays[:3], given(chain.quiet), resting, np.zeros(chain.n_states, np.int32))
    chain = _with_rest(chain, resting)
    _require_end(chain, f"from state {{state}} the policy never ends: {_ENDLESS}")
    return total_reward(chain, np.zeros(chain.n_states))


def total_reward(chain: Backups, guess: FloatArray) -> Total:
    """Evaluate a chain that ends from every state.

    Raises
    ------
    ModelError
        If a total is more than float64 holds.
    """
    small = chain.n_states <= _DENSE_STATES
    values, settled = _sweep(
        chain, guess, 2 if small else max(_MAX_CHUNKS, _WORK // (_SWEEPS * chain.n_states))
    )
    start = None
    if small and not settled:
        exact = dense_total(chain, 1.0, chain.reward)
        if np.isfinite(exact).all():
            values, _ = _sweep(chain, exact, 2)
    if not np.isfinite(values).all():
        state = int(np.isfinite(values).argmin())
        raise ModelError(
            f"the total reward from state {state} is more than float64 holds; scale the rewards down"
        )
    if small and not settled:
        backed_up, rounding = chain.rounded_action_values(1.0, values)
        off = np.abs(backed_up - values[:, None]) + 2.0 * rounding
        start = dense_total(chain, 1.0, off[:, 0])
        start = start if np.isfinite(start).all() else None
    return Total(values, chain_errors(chain, values, 1.0, start))


def lowest_that_ends(
    backups: Backups, allowed: NDArray[np.bool_], worthless: NDArray[np.bool_], policy: StateArray
) -> StateArray:
    """Return low allowed actions with which the policy surely ends or rests; *policy* if none is found.

    It may rest where no policy is known to be worth more than 0. States that do not end with their lowest action
    get ways to those that do, over actions of numbers as low as can be; then single states go lower still.
    """
    lowest = allowed.argmax(axis=1).astype(np.int32)
    chain = chain_of(backups, lowest, np.arange(backups.n_states))
    resting = np.empty(chain.n_states, np.uint8)
    graph.rest(*chain.arrays[:3], given(chain.quiet), resting, np.zeros(chain.n_states, np.int32))
    resting &= worthless
    ended = _ends(_with_rest(chain, resting))
    unended = np.flatnonzero(ended == 0)
    for action in range(1, backups.n_actions):
        if ended.all():
            return _lowered(backups, allowed, lowest, resting, unended)
        if allowed[ended == 0, action].any():
            low = allowed & (np.arange(backups.n_actions) <= action)
            usable = replace(without(backups, ~low.ravel()), ends=given(backups.ends) & low.ravel())
            ended = _ending(usable, ended, lowest)
    return _lowered(backups, allowed, lowest, resting, unended) if ended.all() else policy


def _lowered(
    backups: Backups,
    allowed: NDArray[np.bool_],
    policy: StateArray,
    resting: Flags,
    states: NDArray[np.int64],
) -> StateArray:
    """Return a policy that ends after lowering it in single states as long as it ends; large models are left."""
    if len(states) > _LOWERED_STATES:
        return policy
    policy = policy.copy()
    for state in states:
        for action in np.flatnonzero(allowed[state, : policy[state]]):
            other = policy.copy()
            other[state] = action
            if _ends(_chain(backups, other, resting)).all():
                policy = other
                break
    return policy


def _initial_policy(backups: Backups) -> tuple[StateArray, Flags]:
    """Return a policy that surely ends, or rests where nothing is paid, and the states where it rests."""
    n_states = backups.n_states
    policy, resting = np.zeros(n_states, np.int32), np.empty(n_states, np.uint8)
    graph.rest(*backups.arrays[:3], given(backups.quiet), resting, policy)
    within = _ending(backups, resting, policy)
    if not within.all():
        state = int(within.argmin())
        raise ModelError(f"from state {state} no policy surely ends: {_ENDLESS}")
    return policy, resting


def _ending(backups: Backups, resting: Flags, policy: StateArray) -> Flags:
    within, reached = np.ones(backups.n_states, np.uint8), np.empty(backups.n_states, np.uint8)
    graph.ending(*backups.arrays[:3], given(backups.ends), resting, within, reached, policy)
    return within


def _ends(chain: Backups) -> Flags:
    """Return the states from which a chain surely ends."""
    return _ending(chain, np.zeros(chain.n_states, np.uint8), np.zeros(chain.n_states, np.int32))


def _require_end(chain: Backups, message: str) -> None:
    """Raise the message unless the chain surely ends from every state."""
    within = _ends(chain)
    if not within.all():
        raise ModelError(message.format(state=int(within.argmin())))


def _chain(backups: Backups, policy: StateArray, resting: Flags) -> Backups:
    return _with_rest(chain_of(backups, policy, np.arange(backups.n_states)), resting)


def _with_rest(chain: Backups, resting: Flags) -> Backups:
    """Return the chain with episodes that end, unpaid, at the resting states."""
    going = resting == 0
    return replace(
        chain,
        weight=chain.weight * np.repeat(going, np.diff(chain.offsets)),
        reward=np.where(going, chain.reward, 0.0),
        size=np.where(going, chain.size, 0.0),
        ends=given(chain.ends) | resting,
    )


def dense_total(chain: Backups, gamma: float, right_side: FloatArray) -> FloatArray:
    """Return the totals of *right_side* along a chain, by one dense linear solve; infinity where that fails.

    Small systems are eliminated without pivoting, which I - gamma P does not need: pivoting would mix the totals
    of states that never meet, and their rounding with them.
    """
    n = chain.n_states
    cell = np.repeat(np.arange(n) * n, np.diff(chain.offsets)) + chain.next_state
    system = np.eye(n) - gamma * np.bincount(cell, chain.weight, n * n).reshape(n, n)
    if n <= UNMIXED_STATES:
        return _eliminated(system, right_side.copy())
    try:
        return np.asarray(np.linalg.solve(system, right_side), np.float64)
    except np.linalg.LinAlgError:  # episodes too long for float64
        return np.full(n, np.inf)


def _eliminated(system: FloatArray, right_side: FloatArray) -> FloatArray:
    """Solve a system by Gaussian elimination in place, without pivoting."""
    n = len(right_side)
    with np.errstate(all="ignore"):  # the caller sees what is not finite
        for k in range(n - 1):
            factor = system[k + 1 :, k] / system[k, k]
            rows = np.flatnonzero(factor)
            if len(rows):
                system[k + 1 + rows, k + 1 :] -= np.outer(factor[rows], system[k, k + 1 :])
                right_side[k + 1 + rows] -= factor[rows] * right_side[k]
        for k in range(n - 1, -1, -1):
            right_side[k] /= system[k, k]
            above = np.flatnonzero(system[:k, k])
            right_side[above] -= system[above, k] * right_side[k]
    return right_side if np.isfinite(right_side).all() else np.full(n, np.inf)


def _sweep(chain: Backups, values: FloatArray, chunks: int) -> tuple[FloatArray, bool]:
    """Return total rewards by Gauss-Seidel sweeps, and whether only rounding is left to change.

    Episodes that are not much longer than the chain settle in a few sweeps, much cheaper than a dense solve.
    """
    values, only = values.copy(), Chain(chain)
    only.select(np.zeros(chain.n_states, np.int32))
    best, idle = np.inf, 0
    for _ in range(chunks):
        only.evaluate(1.0, values, in_place=True, sweeps=_SWEEPS, until=-1.0)
        excess = chain.certify(1.0, values).excess
        idle, best = (0, excess) if excess < best else (idle + 1, best)
        if excess <= STILL or (excess <= 1.0 and idle > 2):
            return values, True
        if not np.isfinite(values).all():
            break
    return values, False
