"""Total reward without discount: policy iteration over policies that end, and what can be certified of it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq._bellman import Backups, Flags, FloatArray, IntArray, chain_of
from cdq.core import graph, plan
from cdq.errors import ModelError

_DENSE_STATES = 1000  # a dense solve of a policy's chain takes about 50 ms then
_SWEEPS = 32
_MAX_CHUNKS = 20_000


class Total(NamedTuple):
    """Total rewards of a policy that ends: true ones are within margin of values."""

    values: FloatArray
    margin: float
    steps: FloatArray  # expected steps to the end, give or take: steps - P steps >= 1/2 was verified


class Optimum(NamedTuple):
    """Optimal total rewards: values - below <= V* <= values + above."""

    values: FloatArray
    policy: IntArray
    below: float
    above: float
    iterations: int


def optimum(backups: Backups, max_iterations: int) -> Optimum:
    """Find the best total reward of the policies that end, or rest for ever where nothing is paid.

    Policy iteration from such a policy, in which an action only gives way to one better beyond rounding.
    A change to a policy that never ends from some state then proves a loop that pays: the optimum is infinite
    (the loop's stationary distribution gives T_policy V - V a positive mean, which is its mean reward).
    """
    policy, resting = _initial_policy(backups)
    can_rest = resting.copy()
    values = np.zeros(backups.n_states)
    iterations, better = 0, np.ones(backups.n_states, np.bool_)
    while better.any() and iterations < max_iterations:
        iterations += 1
        chain = _with_rest(chain_of(backups, policy, np.arange(backups.n_states)), resting)
        _require_end(chain, resting, f"a loop that pays begins in state {{state}}: {_UNBOUNDED}")
        total = total_reward(chain, values)
        values = total.values
        table = backups.action_values(1.0, values)
        gain = table.max(axis=1) - values
        better = gain > 2.0 * (total.margin + backups.rounding(1.0, values))
        policy[better] = table[better].argmax(axis=1)
        resting[better] = 0
    above = _upper_margin(backups, total, can_rest, float(gain.max()))
    return Optimum(values, policy, total.margin, above, iterations)


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
    graph.rest(*_graph(chain), _given(chain.quiet), resting, np.zeros(chain.n_states, np.int32))
    chain = _with_rest(chain, resting)
    _require_end(chain, resting, f"from state {{state}} the policy never ends: {_ENDLESS}")
    return total_reward(chain, np.zeros(chain.n_states))


def total_reward(chain: Backups, guess: FloatArray) -> Total:
    """Evaluate a chain that ends from every state."""
    steps_chain = replace(chain, reward=np.ones(chain.n_states), largest_reward=1.0)
    small = chain.n_states <= _DENSE_STATES
    values, settled = _sweep(chain, guess, 2 if small else _MAX_CHUNKS)
    steps, counted = _sweep(steps_chain, np.ones(chain.n_states), 2 if small else _MAX_CHUNKS)
    if small and not (settled and counted):
        values, steps = _dense(chain, values)
    # V + c steps is a subsolution for c = the least of (TV - V) / (steps - P steps); above, by symmetry.
    onward = steps_chain.action_values(1.0, steps).ravel() - 1.0
    drop = float((steps - onward).min()) - steps_chain.rounding(1.0, steps)
    if not drop >= 0.5 or not np.isfinite(steps).all():
        return Total(values, np.inf, steps)
    delta = plan.largest(chain.action_values(1.0, values).ravel() - values) + chain.rounding(1.0, values)
    return Total(values, delta / drop * float(steps.max()), steps)


def _initial_policy(backups: Backups) -> tuple[IntArray, Flags]:
    """Return a policy that surely ends, or rests where nothing is paid, and the states where it rests."""
    n_states = backups.n_states
    policy, resting = np.zeros(n_states, np.int32), np.empty(n_states, np.uint8)
    graph.rest(*_graph(backups), _given(backups.quiet), resting, policy)
    within = _ending(backups, resting, policy)
    if not within.all():
        state = int(within.argmin())
        raise ModelError(f"from state {state} no policy surely ends: {_ENDLESS}")
    return policy, resting


def _ending(backups: Backups, resting: Flags, policy: IntArray) -> Flags:
    within, reached = np.ones(backups.n_states, np.uint8), np.empty(backups.n_states, np.uint8)
    graph.ending(*_graph(backups), _given(backups.ends), resting, within, reached, policy)
    return within


def _require_end(chain: Backups, resting: Flags, message: str) -> None:
    """Raise the message unless the chain surely ends or rests from every state."""
    within = _ending(chain, resting, np.zeros(chain.n_states, np.int32))
    if not within.all():
        raise ModelError(message.format(state=int(within.argmin())))


def _graph(backups: Backups) -> tuple[NDArray[np.int64], IntArray, FloatArray]:
    return backups.offsets, backups.next_state, backups.weight


def _given(flags: Flags | None) -> Flags:
    assert flags is not None, "folded without gamma = 1"
    return flags


def _with_rest(chain: Backups, resting: Flags) -> Backups:
    """Return the chain with episodes that end, unpaid, at the resting states."""
    going = resting == 0
    weight = chain.weight * np.repeat(going, np.diff(chain.offsets))
    return replace(chain, weight=weight, reward=np.where(going, chain.reward, 0.0))


def _dense(chain: Backups, otherwise: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return total rewards and expected steps by one dense linear solve."""
    n = chain.n_states
    cell = np.repeat(np.arange(n) * n, np.diff(chain.offsets)) + chain.next_state
    moves = np.bincount(cell, chain.weight, n * n).reshape(n, n)
    try:
        solution = np.linalg.solve(np.eye(n) - moves, np.stack([chain.reward, np.ones(n)], axis=1))
    except np.linalg.LinAlgError:  # episodes too long for float64
        return otherwise, np.full(n, np.inf)
    return np.ascontiguousarray(solution[:, 0]), np.ascontiguousarray(solution[:, 1])


def _sweep(chain: Backups, values: FloatArray, chunks: int) -> tuple[FloatArray, bool]:
    """Return total rewards by Gauss-Seidel sweeps, and whether only rounding is left to change.

    Episodes that are not much longer than the chain settle in a few sweeps, much cheaper than a dense solve.
    """
    values, work, only = values.copy(), np.empty(chain.n_states), np.zeros(chain.n_states, np.int32)
    best, idle = np.inf, 0
    for _ in range(chunks):
        chain.evaluate(1.0, only, values, work, in_place=True, sweeps=_SWEEPS, until=-1.0)
        low, high, _ = chain.improve(1.0, values, work, only)
        change = max(-low, high)
        idle = 0 if change < best else idle + 1
        best = min(best, change)
        if change <= 0.25 * chain.rounding(1.0, values):
            return values, True
        if idle > 50:
            break
    return values, False


def _upper_margin(backups: Backups, total: Total, can_rest: Flags, gain: float) -> float:
    """Return c with V* <= V + c, infinity if none is found.

    Any U with TU <= U, and U >= 0 where resting is possible, is above the total reward of every policy that
    ends or rests. Tried: V + c steps. It fails where a tie leads to longer or endless detours at no cost.
    """
    if not np.isfinite(total.margin):
        return np.inf
    work, policy = np.empty_like(total.values), np.empty(backups.n_states, np.int32)
    smallest = max(gain, 0.0) + 4.0 * backups.rounding(1.0, total.values)
    for factor in (1.0, 100.0, 10_000.0):
        upper = total.values + factor * smallest * total.steps
        _, high, _ = backups.improve(1.0, upper, work, policy)
        if high <= -backups.rounding(1.0, upper) and (upper[can_rest > 0] >= 0.0).all():
            return float((upper - total.values).max())
    return np.inf
