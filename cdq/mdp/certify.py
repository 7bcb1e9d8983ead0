"""Bounds of each state's own error: rounding, summed over the ways that near-optimal actions take.

A bound that is the same for all states is as wide as the worst of them: one state that is worth -1e300 would
leave nothing known of the others. Here V + e is shown to be above V* by T(V + e) <= V + e, state by state. The
errors e are values of the model in which a pair pays what it gains over V, rounding included.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import certify, graph
from cdq.mdp.arrays import FloatArray, StateArray
from cdq.mdp.bellman import Backups, given

_SETTLED = 1e-9  # relative
_SWEEPS, _WORK = 20_000, 1 << 28  # sweeps, and backups of states, at most
_ATTEMPTS = 6


def chain_errors(
    chain: Backups, values: FloatArray, gamma: float, guess: FloatArray | None = None
) -> FloatArray:
    """Return e with |V - v| <= e for the true values v of a chain, infinity if none is found."""
    backed_up, rounding = chain.rounded_action_values(gamma, values)
    off = np.abs(backed_up - values[:, None]) * (1.0 + 2.0**-50)
    alone = np.arange(chain.n_states, dtype=np.int32)
    return _supersolution(chain, off, 2.0 * rounding, alone, gamma, guess)


def upper_errors(
    backups: Backups, values: FloatArray, gamma: float, guess: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return U and e, U + e above V* in every state, e infinity if none is found. U is at least V.

    Without discount, moves within an end component where nothing is paid change neither total nor value, so that
    its states share one value and only the ways out of it count. Where such a component is one can rest, hence
    U + e is at least 0. Resting aside, some other loop may cost nothing; then there is no such e.
    """
    n_states = backups.n_states
    leader, inside = np.arange(n_states, dtype=np.int32), None
    least = np.zeros(n_states)
    if gamma == 1.0:
        leader, inside, resting = _quiet_components(backups)
        highest = np.full(n_states, -np.inf)
        np.maximum.at(highest, leader, values)
        values = highest[leader]
        np.maximum.at(least, leader, np.where(resting, -values, 0.0))
    backed_up, rounding = backups.rounded_action_values(gamma, values)
    ways = backups if inside is None else without(backups, inside)
    gain = backed_up - values[:, None]
    gain += np.abs(np.where(backups.missing, 0.0, gain)) * 2.0**-50
    if guess is not None:
        np.maximum.at(least, leader, guess)
    return values, _supersolution(ways, gain, 2.0 * rounding, leader, gamma, least)


def _supersolution(  # noqa: PLR0917
    ways: Backups,
    gain: FloatArray,
    rounding: FloatArray,
    leader: StateArray,
    gamma: float,
    least: FloatArray | None,
) -> FloatArray:
    """Return e >= least, e >= gain + rounding / 2 + gamma P e for every pair, the same for states with one leader."""
    if not np.isfinite(rounding).all():
        return np.full(ways.n_states, np.inf)
    onward = leader[ways.next_state]
    arrays = ways.offsets, onward, ways.weight
    errors = np.zeros(ways.n_states) if least is None else np.maximum(least, 0.0)
    pays = gain + rounding
    kept = ~ways.missing
    for _ in range(_ATTEMPTS):
        settled = _climb(arrays, pays.ravel(), gamma, leader, errors)
        probe = replace(
            ways, next_state=onward, reward=(gain + 0.5 * rounding).ravel(), size=rounding.ravel()
        )
        backed_up, slack = probe.rounded_action_values(gamma, errors)
        excess = np.where(kept, backed_up + slack - errors[leader][:, None], -np.inf)
        if (excess <= 0.0).all():
            return errors[leader]
        if not settled:
            break
        pays = np.where(excess > 0.0, pays + 2.0 * excess, pays)
    return np.full(ways.n_states, np.inf)


def _climb(
    arrays: tuple[NDArray[np.int64], StateArray, FloatArray],
    pays: FloatArray,
    gamma: float,
    leader: StateArray,
    errors: FloatArray,
) -> bool:
    """Raise the errors until they hardly change, or patience is over; return whether they settled."""
    for sweep in range(min(_SWEEPS, max(100, _WORK // len(leader)))):
        growth = certify.climb(*arrays, pays, gamma, leader, errors, sweep % 2 == 1)
        if not growth > _SETTLED:
            return bool(np.isfinite(errors).all())
    return False


def without(backups: Backups, pairs: NDArray[np.bool_]) -> Backups:
    """Return the model without the outcomes of some pairs: as if their states lacked them."""
    count = np.diff(backups.offsets)
    kept = np.repeat(~pairs, count)
    offsets = np.zeros_like(backups.offsets)
    np.cumsum(np.where(pairs, 0, count), out=offsets[1:])
    return replace(
        backups,
        offsets=offsets,
        next_state=backups.next_state[kept],
        weight=backups.weight[kept],
        reward=np.where(pairs, -np.inf, backups.reward),
    )


def _quiet_components(backups: Backups) -> tuple[StateArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return each state's leader, the pairs that stay inside an end component, and the states of such components.

    An end component (de Alfaro, Formal Verification of Probabilistic Systems, 1997) is a set of states among which
    some policy can go for ever from any to any. Here only pairs that neither pay nor end make them up.
    """
    n_states, count = backups.n_states, np.diff(backups.offsets)
    inside = (given(backups.quiet) > 0) & (given(backups.ends) == 0) & (count > 0)
    first = np.ascontiguousarray(backups.offsets[:: backups.n_actions])
    state = np.repeat(np.arange(n_states), np.diff(first))
    pair = np.repeat(np.arange(len(count)), count)
    possible = backups.weight > 0.0
    component, scratch = np.empty(n_states, np.int32), np.empty((5, n_states), np.int64)
    while inside.any():
        arrows = (inside[pair] & possible).view(np.uint8)
        graph.components(first, backups.next_state, arrows, component, scratch)
        leaves = (arrows > 0) & (component[state] != component[backups.next_state])
        if not leaves.any():
            break
        inside[pair[leaves]] = False
    leader = np.arange(n_states, dtype=np.int32)
    members = inside.reshape(n_states, -1).any(axis=1)
    if members.any():
        _, lead, which = np.unique(component[members], return_index=True, return_inverse=True)
        leader[members] = np.flatnonzero(members)[lead][which]
    return leader, inside, members
