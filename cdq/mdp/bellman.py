"""Models folded for backups: the mean reward of each pair, and the successors with their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import certify, graph, plan
from cdq.errors import ConfigError
from cdq.mdp.arrays import FloatArray, StateArray

if TYPE_CHECKING:
    from cdq.mdp.model import MDP

Flags = NDArray[np.uint8]
Arrays = tuple[NDArray[np.int64], NDArray[np.int32], FloatArray, FloatArray]

# Values beyond the second-level cache are worth prefetching: the last level may be taken by others.
_CACHED_STATES = 131_072
_PREFETCH_STATES = 8


class Margin(NamedTuple):
    """Constants by which values may be shifted: V + low <= V* <= V + high."""

    low: float
    high: float


class Certificate(NamedTuple):
    """Shifts of each state's value that keep it below, and above, its backup; rounding taken outwards."""

    low: FloatArray
    high: FloatArray
    excess: float  # greatest difference of a value from its backup, in units of what rounding can make of it
    onward: float  # greatest probability of going on

    @property
    def margin(self) -> Margin:
        """Shifts that hold for all states together."""
        return Margin(float(self.low.min()), float(self.high.max()))


@dataclass(frozen=True, eq=False)
class Backups:
    """Hold a model folded for backups.

    A policy's Markov chain is one of these with a single action. A pair without outcomes is an action that the
    state lacks; its reward is minus infinity. Outcomes that lead to where nothing is ever paid count as ends.
    """

    n_states: int
    n_actions: int
    offsets: NDArray[np.int64]
    next_state: NDArray[np.int32]
    weight: FloatArray  # probability of going on to next_state; zero where the outcome ends
    reward: FloatArray  # (n_pairs,)
    size: FloatArray  # (n_pairs,) mean of |reward|, whatever its sign
    ends: Flags | None = None  # (n_pairs,) some outcome ends; only where there is no discount
    quiet: Flags | None = None  # (n_pairs,) no outcome pays anything; only where there is no discount

    @property
    def ahead(self) -> int:
        """States to prefetch ahead."""
        return _PREFETCH_STATES if self.n_states > _CACHED_STATES else 0

    @cached_property
    def goes_on(self) -> tuple[float, float]:
        """The least and greatest probability of going on, with their rounding."""
        least, most, n_outcomes = self._onward
        slack = (n_outcomes + 4) * 2.0**-52
        return max(0.0, least - slack), most + slack

    @property
    def most_outcomes(self) -> int:
        """The most outcomes of a pair."""
        return self._onward[2]

    @cached_property
    def _onward(self) -> tuple[float, float, int]:
        return plan.onward(self.offsets, self.weight)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Pairs whose state lacks the action, (n_states, n_actions)."""
        lacked: NDArray[np.bool_] = np.diff(self.offsets) == 0
        return lacked.reshape(self.n_states, self.n_actions)

    def improve(
        self, gamma: float, values: FloatArray, out: FloatArray, policy: StateArray
    ) -> tuple[float, float, float]:
        """Fill *out* with TV and *policy* with its actions; return least, greatest, mean of TV - V."""
        return plan.improve(*self.arrays, gamma, self.ahead, values, out, policy)

    def action_values(self, gamma: float, values: FloatArray) -> FloatArray:
        """Return the backup of every pair, shape (n_states, n_actions)."""
        out = np.empty(self.n_states * self.n_actions)
        certify.action_values(*self.arrays, self.size, gamma, self.ahead, values, out, None)
        return out.reshape(self.n_states, self.n_actions)

    def rounded_action_values(self, gamma: float, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the backup of every pair and a bound of its rounding, of shape (n_states, n_actions)."""
        out, error = np.empty((2, self.n_states * self.n_actions))
        certify.action_values(*self.arrays, self.size, gamma, self.ahead, values, out, error)
        shape = self.n_states, self.n_actions
        return out.reshape(shape), error.reshape(shape)

    def certify(self, gamma: float, values: FloatArray) -> Certificate:
        """Return by how much V may be shifted to stay below, and above, its backup (MacQueen, Porteus).

        V + c is a subsolution, T(V + c) >= V + c, if in every state some action has q - V >= c (1 - gamma kappa),
        kappa being its probability of going on; T being monotone, V + c <= T^n(V + c) -> V*. Above, by symmetry.
        """
        low, high = np.empty((2, self.n_states))
        excess, most = certify.certify(*self.arrays, self.size, gamma, self.ahead, values, low, high)
        return Certificate(low, high, excess, most)

    @property
    def arrays(self) -> Arrays:
        """Arrays that the kernels read."""
        return self.offsets, self.next_state, self.weight, self.reward


def fold(model: MDP, gamma: float, *, absorb: bool = True) -> Backups:
    """Return the model folded for backups; outcomes after which nothing is paid count as ends, unless told not to.

    Raises
    ------
    ConfigError
        If gamma is so close to 1 that probabilities that sum to a little more outweigh it.
    """
    reward, noisy = np.empty(model.n_pairs), np.empty(model.n_states, np.uint8)
    mixed = plan.fold(model.offsets, model.probability, model.reward, reward, noisy)
    size = reward
    if mixed:
        size = np.empty(model.n_pairs)
        plan.sizes(model.offsets, model.probability, model.reward, size)
    ended = _ended(model, noisy) if absorb else None
    weight = model.probability if ended is None else np.where(ended, 0.0, model.probability)
    folded = Backups(model.n_states, model.n_actions, model.offsets, model.next_state, weight, reward, size)
    if gamma < 1.0:
        if gamma * folded.goes_on[1] >= 1.0:
            raise ConfigError(f"gamma is {gamma!r}: too close to 1 for how these probabilities sum")
        return folded
    never = np.zeros(model.n_outcomes, np.bool_)
    possible = model.probability > 0.0
    ends = _any(never if ended is None else ended & possible, model.offsets)
    quiet = ~_any((model.reward != 0.0) & possible, model.offsets) & ~folded.missing.ravel()
    return replace(folded, ends=ends.view(np.uint8), quiet=quiet.view(np.uint8))


def _ended(model: MDP, noisy: Flags) -> NDArray[np.bool_] | None:
    """Return the outcomes after which nothing is ever paid; None if there are none."""
    terminated = model.terminated if model.terminated.any() else None
    n_sources = int(np.diff(model.offsets[:: model.n_actions])[noisy == 0].sum())
    if not n_sources:
        return terminated
    goes_on = model.probability if terminated is None else np.where(terminated, 0.0, model.probability)
    first, sources = np.zeros(model.n_states + 2, np.int64), np.empty(n_sources, np.int32)
    queue = np.empty(model.n_states, np.int32)
    graph.spread(model.offsets, model.next_state, goes_on, model.n_actions, noisy, first, sources, queue)
    if noisy.all():
        return terminated
    silent: NDArray[np.bool_] = (noisy == 0)[model.next_state]
    return silent if terminated is None else silent | terminated


def _any(outcomes: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pairs have such an outcome."""
    before = np.zeros(len(outcomes) + 1, np.int64)
    np.cumsum(outcomes, out=before[1:])
    result: NDArray[np.bool_] = before[offsets[1:]] > before[offsets[:-1]]
    return result


class Chain:
    """Sweeps over a model and over the chains of deterministic policies of it, one after the other; their buffers."""

    def __init__(self, backups: Backups) -> None:
        n_states = backups.n_states
        self._backups, self._arrays = backups, backups.arrays
        self._policy, self._work = np.zeros(n_states, np.int32), np.empty(n_states)
        self.share = 1.0 / backups.n_actions  # of a sweep over the model, a sweep over a chain
        if backups.n_actions > 1:
            n_outcomes = min(len(backups.next_state), n_states * backups.most_outcomes)
            parts = np.empty(n_outcomes, np.int32), np.empty(n_outcomes), np.empty(n_states)
            self._arrays = np.empty(n_states + 1, np.int64), *parts

    def select(self, policy: StateArray) -> None:
        """Copy the chain of a policy."""
        if self._backups.n_actions > 1:
            plan.select(*self._backups.arrays, policy, *self._arrays)

    def improve(self, gamma: float, values: FloatArray, out: FloatArray) -> tuple[float, float, float]:
        """Fill *out* with TV, copy the chain of the greedy policy; return least, greatest, mean of TV - V."""
        backups = self._backups
        chain = self._arrays if backups.n_actions > 1 else ()
        return plan.improve(*backups.arrays, gamma, backups.ahead, values, out, self._policy, *chain)

    def evaluate(self, gamma: float, values: FloatArray, *, in_place: bool, sweeps: int, until: float) -> int:
        """Do sweeps of policy evaluation on *values*, at most *sweeps*; return how many."""
        ahead = 2 * self._backups.ahead
        return plan.evaluate(*self._arrays, gamma, ahead, values, self._work, in_place, sweeps, until)

    def iterate(self, gamma: float, values: FloatArray) -> int:
        """Do sweeps of value iteration in place, forwards and backwards; return how many."""
        arrays, ahead = self._backups.arrays, self._backups.ahead
        return plan.evaluate(*arrays, gamma, ahead, values, self._work, True, 2, 0.0)


def chain_of(backups: Backups, policy: NDArray[np.signedinteger[Any]], states: NDArray[np.int64]) -> Backups:
    """Return the Markov chain of a deterministic policy on *states*, which it must not leave."""
    pairs = states * backups.n_actions + policy[states]
    first, count = backups.offsets[pairs], backups.offsets[pairs + 1] - backups.offsets[pairs]
    offsets = np.zeros(len(pairs) + 1, np.int64)
    np.cumsum(count, out=offsets[1:])
    chosen = np.repeat(first - offsets[:-1], count) + np.arange(offsets[-1])
    number = np.zeros(backups.n_states, np.int32)
    number[states] = np.arange(len(states))
    return Backups(
        len(states),
        1,
        offsets,
        number[backups.next_state[chosen]],
        backups.weight[chosen],
        backups.reward[pairs],
        backups.size[pairs],
        None if backups.ends is None else backups.ends[pairs],
        None if backups.quiet is None else backups.quiet[pairs],
    )


def mixture(backups: Backups, policy: FloatArray) -> Backups:
    """Return the Markov chain of a stochastic policy (n_states, n_actions)."""
    count = np.diff(backups.offsets)
    taken = policy > 0.0
    share = np.repeat(policy.ravel(), count)
    kept = share > 0.0
    before = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept, out=before[1:])
    reward, size = (
        (np.where(taken, part.reshape(policy.shape), 0.0) * policy).sum(axis=1)
        for part in (backups.reward, np.abs(backups.size))
    )
    return Backups(
        backups.n_states,
        1,
        before[backups.offsets[:: backups.n_actions]],
        backups.next_state[kept],
        (backups.weight * share)[kept],
        np.ascontiguousarray(reward),
        np.ascontiguousarray(size),
        _of_taken(np.logical_or, backups.ends, taken, False),
        _of_taken(np.logical_and, backups.quiet, taken, True),
    )


def _of_taken(
    reduce: np.ufunc, flags: Flags | None, taken: NDArray[np.bool_], otherwise: bool
) -> Flags | None:
    """Reduce the flags of the actions that a stochastic policy takes."""
    if flags is None:
        return None
    result: Flags = reduce.reduce(np.where(taken, flags.reshape(taken.shape) > 0, otherwise), axis=1)
    return result.view(np.uint8)


def given(flags: Flags | None) -> Flags:
    """Return flags that only a model folded without discount has."""
    assert flags is not None, "folded without gamma = 1"
    return flags
