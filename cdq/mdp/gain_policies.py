"""Policy iteration on the average reward: what sweeps find too slowly, by dense linear solves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import graph
from cdq.mdp.arrays import FloatArray, StateArray
from cdq.mdp.bellman import Backups, chain_of

MOST_STATES = 4000  # a dense solve takes about two seconds then
_POLICIES = 30
_BETTER = 1e-10  # of the largest value: an action gives way to one better by more


def by_policies(backups: Backups, policy: StateArray, values: FloatArray) -> FloatArray:
    """Return the bias of the best of some improving policies that all lead to one loop; *values* if that is no better.

    A policy with several loops is led to the best of them first: its gain is then the same from every state
    (Puterman, Markov Decision Processes, 1994, section 9.5).
    """
    best, states = span(backups, values), np.arange(backups.n_states)
    for _ in range(_POLICIES):
        led = _led_to_best_loop(backups, policy)
        found = None if led is None else dense_bias(chain_of(backups, led, states))
        if led is None or found is None:
            break
        bias = found[1]
        if (width := span(backups, bias)) < best:
            best, values = width, bias
        table = backups.action_values(1.0, bias)
        gains = table.max(axis=1) - table[states, led] > _BETTER * (1.0 + np.abs(bias).max())
        if not gains.any():
            break
        policy = np.where(gains, table.argmax(axis=1), led).astype(np.int32)
    return values


def _led_to_best_loop(backups: Backups, policy: StateArray) -> StateArray | None:
    """Return the policy, led to its best recurrent class from everywhere; None where no way leads there."""
    chain = chain_of(backups, policy, np.arange(backups.n_states))
    component, closed = classes(chain)
    if len(closed) == 1:
        return policy
    loops = [np.flatnonzero(component == number) for number in closed]
    found = [dense_bias(chain_of(backups, policy, loop)) for loop in loops]
    gains = [-np.inf if one is None else one[0] for one in found]
    inside, none = np.zeros(backups.n_states, np.uint8), np.zeros(len(backups.reward), np.uint8)
    inside[loops[int(np.argmax(gains))]] = 1
    within, led = np.ones_like(inside), policy.copy()
    graph.ending(*backups.arrays[:3], none, inside, within, np.empty_like(inside), led)
    return led if within.all() else None


def dense_bias(chain: Backups) -> tuple[float, FloatArray] | None:
    """Return the gain of a chain and its bias, that of state 0 being 0; None where it has several loops."""
    n = chain.n_states
    cell = np.repeat(np.arange(n) * n, np.diff(chain.offsets)) + chain.next_state
    system = np.eye(n) - np.bincount(cell, chain.weight, n * n).reshape(n, n)
    system[:, 0] = 1.0  # the gain takes the place of state 0's bias
    try:
        solution = np.asarray(np.linalg.solve(system, chain.reward), np.float64)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(solution).all():
        return None
    gain, solution[0] = float(solution[0]), 0.0
    return gain, solution


def span(backups: Backups, values: FloatArray) -> float:
    """Return by how much the changes that one sweep makes differ: the bounds of the gain are so far apart."""
    low, high, _ = backups.improve(1.0, values, np.empty_like(values), np.empty(len(values), np.int32))
    return high - low


def classes(backups: Backups) -> tuple[StateArray, NDArray[np.int64]]:
    """Return the strongly connected component of each state, and the components that nothing leaves."""
    first = np.ascontiguousarray(backups.offsets[:: backups.n_actions])
    component, scratch = np.empty(backups.n_states, np.int32), np.empty((5, backups.n_states), np.int64)
    arrows = (backups.weight > 0.0).view(np.uint8)
    n_components = graph.components(first, backups.next_state, arrows, component, scratch)
    state = np.repeat(np.arange(backups.n_states), np.diff(first))
    leaves = (arrows > 0) & (component[state] != component[backups.next_state])
    closed = np.ones(n_components, np.bool_)
    closed[component[state[leaves]]] = False
    return component, np.flatnonzero(closed)
