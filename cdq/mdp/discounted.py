"""Modified policy iteration for gamma < 1, and the certificate of its result."""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

import numpy as np

from cdq.core.planning import plan
from cdq.mdp.arrays import FloatArray
from cdq.mdp.bellman import Backups, Certificate, Chain


class Solved(NamedTuple):
    """Values, and their certificate."""

    values: FloatArray
    certificate: Certificate
    iterations: int
    settled: bool  # only rounding keeps the values from being exact


class _Sweeps(Enum):
    """Kind of the sweeps that follow a sweep of value iteration before the next."""

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

    def knows(self, kind: _Sweeps) -> bool:
        """Return whether such sweeps were tried before."""
        return self.rates[kind] > -math.inf

    def learn(self, before: float, after: float, work: float) -> None:
        """Note what so much work of the chosen kind did."""
        if before > 0.0 and after > 0.0:
            self.rates[self.kind] = math.log(after / before) / work


_MAX_SWEEPS = 64
_TRIAL_SWEEPS = 4  # of Gauss-Seidel for the first time: where it does not suit it spoils what Jacobi did
_FORCING = 0.03
# Differences of this share of the values may be rounding alone.
_NOISE = 2.0**-44
# Values are settled if they differ from their backups by this share of what rounding can make of it at worst,
# or by no more than all of it and do not come nearer in so many iterations.
STILL = 0.125
_PATIENCE = 20


def discounted(
    backups: Backups, gamma: float, tolerance: float, max_iterations: int, start: FloatArray | None = None
) -> Solved:
    """Find V* by modified policy iteration from below, gamma < 1.

    Each iteration is one sweep of value iteration, which gives the margin, and sweeps of policy evaluation,
    at most 64, until they change V by a third as much (inexact policy iteration). V begins and stays a
    subsolution, V <= TV, so that it rises to V* whatever the kind and number of the sweeps
    (Puterman, Markov Decision Processes, 1994, section 6.5).
    """
    values = np.zeros(backups.n_states) if start is None else start.copy()
    work, policy = np.empty(backups.n_states), np.zeros(backups.n_states, np.int32)
    chain, pace, spread, cost, iterations, idle, best = Chain(backups), _Pace(), 0.0, 1.0, 0, 0, math.inf
    least, most = backups.goes_on
    sweep_cost = 1.0 / backups.n_actions
    while True:
        iterations += 1
        low, high, mean = backups.improve(gamma, values, work, policy)
        before, spread = spread, mean - low
        pace.learn(before, spread, cost)
        width = high / (1.0 - gamma * (most if high > 0.0 else least)) - low / (
            1.0 - gamma * (least if low > 0.0 else most)
        )
        unit = _NOISE * plan.largest(values)
        noise = max(-low, high) <= unit
        if gamma * width <= 2.0 * tolerance or noise or iterations >= max_iterations:
            found = backups.certify(gamma, values)
            margin = found.margin
            idle, best = (0, found.excess) if found.excess < best else (idle + 1, best)
            settled = found.excess <= STILL or (found.excess <= 1.0 and idle > _PATIENCE)
            accurate = gamma * (margin.high - margin.low) <= 2.0 * tolerance
            if accurate or settled or iterations >= max_iterations:
                return Solved(values, found, iterations, settled)
        if abs(low) > unit:
            kappa = least if low > 0.0 else most
            work += low * gamma * kappa / (1.0 - gamma * kappa)
        values, work = work, values
        kind, cost = pace.choose(), 1.0
        if kind is not _Sweeps.NONE:
            chain.select(policy)
            until, in_place = _FORCING * (high - low), kind is _Sweeps.GAUSS_SEIDEL
            first = in_place and not pace.knows(kind)
            most_sweeps = _TRIAL_SWEEPS if first else _MAX_SWEEPS
            sweeps = chain.evaluate(gamma, values, in_place=in_place, sweeps=most_sweeps, until=until)
            cost += (sweeps + 1) * sweep_cost
