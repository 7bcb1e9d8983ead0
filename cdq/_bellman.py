"""The engine of `cdq.planning`: a model folded for backups, and the iteration that certifies its result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.core import plan
from cdq.errors import ConfigError

if TYPE_CHECKING:
    from cdq.mdp import MDP

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]
Flags = NDArray[np.uint8]

# Values beyond the second-level cache are worth prefetching.
_CACHED_STATES = 50_000
_PREFETCH_STATES = 8


class Margin(NamedTuple):
    """Constants by which values may be shifted: V + low <= V* <= V + high."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Backups:
    """Hold a model folded for backups: what a pair pays on average, and where it goes on to with what weight.

    A policy's Markov chain is one of these with a single action.
    """

    n_states: int
    n_actions: int
    offsets: NDArray[np.int64]
    next_state: NDArray[np.int32]
    weight: FloatArray  # probability of going on to next_state; zero where the outcome ends
    reward: FloatArray  # (n_pairs,)
    largest_reward: float
    ends: Flags | None = None  # (n_pairs,) some outcome ends; only where there is no discount
    quiet: Flags | None = None  # (n_pairs,) no outcome pays anything; only where there is no discount

    @property
    def ahead(self) -> int:
        """States to prefetch ahead."""
        return _PREFETCH_STATES if self.n_states > _CACHED_STATES else 0

    @property
    def sweep_cost(self) -> float:
        """Work of a policy's sweep, in sweeps of value iteration.

        Out of cache it waits for memory as often: measured 0.65 with 4 actions and 3 outcomes.
        """
        return 1.0 / self.n_actions if self.n_states <= _CACHED_STATES else max(0.65, 1.0 / self.n_actions)

    @cached_property
    def widest(self) -> int:
        """Largest number of outcomes of a pair."""
        return int(np.diff(self.offsets).max())

    @cached_property
    def goes_on(self) -> tuple[float, float]:
        """The least and greatest probability of going on, with their rounding."""
        total = np.add.reduceat(self.weight, self.offsets[:-1])
        slack = (self.widest + 4) * 2.0**-52
        return max(0.0, float(total.min()) - slack), float(total.max()) + slack

    def rounding(self, gamma: float, values: FloatArray, shift: float = 0.0) -> float:
        """Return a bound of the rounding error of one backup of values + shift.

        In units of 2**-53 of the absolute terms: k + 2 for a sum of k products, k + 1 for the mean reward,
        3 for the shift and the difference from V; the rest is to spare.
        """
        scale = self.largest_reward + gamma * self.goes_on[1] * (plan.largest(values) + abs(shift))
        return (2 * self.widest + 12) * 2.0**-53 * scale

    def improve(
        self, gamma: float, values: FloatArray, out: FloatArray, policy: IntArray
    ) -> tuple[float, float, float]:
        """Fill *out* with TV and *policy* with its actions; return least, greatest, mean of TV - V."""
        return plan.improve(*self._arrays, gamma, self.ahead, values, out, policy)

    def evaluate(
        self,
        gamma: float,
        policy: IntArray,
        values: FloatArray,
        work: FloatArray,
        *,
        in_place: bool,
        sweeps: int,
        until: float,
    ) -> int:
        """Do sweeps of policy evaluation on *values*, at most *sweeps*; return how many."""
        return plan.evaluate(*self._arrays, gamma, self.ahead, policy, values, work, in_place, sweeps, until)

    def action_values(self, gamma: float, values: FloatArray) -> FloatArray:
        """Return the backup of every pair, shape (n_states, n_actions)."""
        out = np.empty(self.n_states * self.n_actions)
        plan.action_values(*self._arrays, gamma, self.ahead, values, out)
        return out.reshape(self.n_states, self.n_actions)

    def margin(self, gamma: float, delta_low: float, delta_high: float) -> Margin:
        """Return the MacQueen-Porteus margin for the range of TV - V (rounding included by the caller).

        V + c is a subsolution, T(V + c) >= V + c, if TV - V >= c (1 - gamma kappa) for every probability
        kappa of going on; T being monotone, V + c <= T^n(V + c) -> V*. Where outcomes end, kappa < 1: the
        denominator is 1 - gamma max(kappa) for c < 0 and 1 - gamma min(kappa) for c > 0. Above, by symmetry.
        """
        least, most = (1.0 - gamma * kappa for kappa in self.goes_on[::-1])
        low = delta_low / (most if delta_low > 0.0 else least)
        high = delta_high / (least if delta_high > 0.0 else most)
        return Margin(low, high)

    @property
    def _arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int32], FloatArray, FloatArray]:
        return self.offsets, self.next_state, self.weight, self.reward


def fold(model: MDP, gamma: float) -> Backups:
    """Return the model folded for backups."""
    terminated = model.terminated
    weight = np.where(terminated, 0.0, model.probability) if terminated.any() else model.probability
    reward = np.empty(model.n_pairs)
    plan.fold(model.offsets, model.probability, model.reward, reward)
    starts = model.offsets[:-1]
    graph = gamma == 1.0
    folded = Backups(
        model.n_states,
        model.n_actions,
        model.offsets,
        model.next_state,
        weight,
        reward,
        plan.largest(model.reward),
        ends=_flags(np.logical_or, terminated, starts) if graph else None,
        quiet=_flags(np.logical_and, model.reward == 0.0, starts) if graph else None,
    )
    if gamma < 1.0 and gamma * folded.goes_on[1] >= 1.0:
        raise ConfigError(f"gamma is {gamma!r}: too close to 1 for how these probabilities sum")
    return folded


def _flags(reduce: np.ufunc, outcomes: NDArray[np.bool_], starts: NDArray[np.int64]) -> Flags:
    result: Flags = reduce.reduceat(outcomes, starts).view(np.uint8)
    return result


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
        backups.largest_reward,
        None if backups.ends is None else backups.ends[pairs],
        None if backups.quiet is None else backups.quiet[pairs],
    )


def mixture(backups: Backups, policy: FloatArray) -> Backups:
    """Return the Markov chain of a stochastic policy (n_states, n_actions)."""
    count = np.diff(backups.offsets)
    pairs = (backups.n_states, backups.n_actions)
    return Backups(
        backups.n_states,
        1,
        np.ascontiguousarray(backups.offsets[:: backups.n_actions]),
        backups.next_state,
        backups.weight * np.repeat(policy.ravel(), count),
        np.ascontiguousarray((backups.reward.reshape(pairs) * policy).sum(axis=1)),
        backups.largest_reward,
        _of_taken(np.logical_or, backups.ends, policy, False),
        _of_taken(np.logical_and, backups.quiet, policy, True),
    )


def _of_taken(reduce: np.ufunc, flags: Flags | None, policy: FloatArray, otherwise: bool) -> Flags | None:
    """Reduce the flags of the actions that a stochastic policy takes."""
    if flags is None:
        return None
    result: Flags = reduce.reduce(np.where(policy > 0.0, flags.reshape(policy.shape) > 0, otherwise), axis=1)
    return result.view(np.uint8)


class Solved(NamedTuple):
    """Values that were certified: V + margin.low <= V* <= V + margin.high in every state."""

    values: FloatArray
    margin: Margin
    iterations: int


class _Sweeps(Enum):
    """What follows a sweep of value iteration before the next."""

    NONE = 0
    JACOBI = 1
    GAUSS_SEIDEL = 2


class _Pace:
    """Choose sweeps by how fast each kind shrank the mean of TV - V above its minimum, per unit of work.

    Where everything mixes (Garnet models), Jacobi sweeps win by far: the margin itself takes out the slowest
    mode, which Gauss-Seidel would spoil. Along paths (mazes), Gauss-Seidel wins by far.
    """

    def __init__(self) -> None:
        self.rates = dict.fromkeys(_Sweeps, -math.inf)  # none tried: each is tried first
        self.kind = _Sweeps.NONE
        self.phase = 0

    def choose(self) -> _Sweeps:
        """Return the best kind so far, now and then another: rates change as the policy settles."""
        self.phase += 1
        self.kind = min(_Sweeps, key=self.rates.__getitem__)
        if self.phase % 8 == 0:
            other = _Sweeps((self.kind.value + 1 + self.phase // 8 % 2) % 3)
            # One that was four times slower seldom gets another chance.
            if self.phase % 64 == 0 or self.rates[other] < 0.25 * self.rates[self.kind]:
                self.kind = other
        return self.kind

    def learn(self, before: float, after: float, work: float) -> None:
        """Note what so much work of the chosen kind did."""
        if before > 0.0 and after > 0.0:
            self.rates[self.kind] = math.log(after / before) / work


_MAX_SWEEPS = 64
_FORCING = 0.3
# Rounding may keep the margin from getting as narrow as promised: give up near the floor, never far from it.
_PATIENCE = 50
_NOISE = 1e4


def discounted(backups: Backups, gamma: float, tolerance: float, max_iterations: int) -> Solved:
    """Find V* by modified policy iteration from below, gamma < 1.

    Each iteration is one sweep of value iteration, which gives the margin, and sweeps of policy evaluation,
    at most 64, until they change V by a third as much (inexact policy iteration). V begins and stays a
    subsolution, V <= TV, so that it rises to V* whatever the kind and number of the sweeps
    (Puterman, Markov Decision Processes, 1994, section 6.5).
    """
    values, work = np.zeros(backups.n_states), np.empty(backups.n_states)
    policy = np.zeros(backups.n_states, np.int32)
    pace, spread, cost, best, idle, iterations = _Pace(), 0.0, 1.0, math.inf, 0, 0
    while True:
        iterations += 1
        low, high, mean = backups.improve(gamma, values, work, policy)
        slack = backups.rounding(gamma, values)
        margin = backups.margin(gamma, low - slack, high + slack)
        before, spread = spread, mean - low
        pace.learn(before, spread, cost)
        width, floor = margin.high - margin.low, -2.0 * backups.margin(gamma, -slack, slack).low
        idle = idle + 1 if width >= best else 0
        best = min(best, width)
        accurate = gamma * width <= 2.0 * (tolerance - slack) or width <= 2.0 * floor
        stuck = idle > _PATIENCE and best < _NOISE * floor
        if accurate or stuck or iterations >= max_iterations:
            return Solved(values, margin, iterations)
        if abs(low) > slack:
            work += gamma * margin.low * backups.goes_on[0 if margin.low > 0.0 else 1]
        values, work = work, values
        kind, cost = pace.choose(), 1.0
        if kind is not _Sweeps.NONE:
            until, in_place = _FORCING * (high - low), kind is _Sweeps.GAUSS_SEIDEL
            sweeps = backups.evaluate(
                gamma, policy, values, work, in_place=in_place, sweeps=_MAX_SWEEPS, until=until
            )
            cost += sweeps * backups.sweep_cost
