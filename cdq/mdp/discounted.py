"""Modified policy iteration for gamma < 1, and the certificate of its result."""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

import numpy as np

from cdq.core.planning import plan
from cdq.mdp.arrays import FloatArray
from cdq.mdp.bellman import Backups, Certificate, Chain

_SOON = 40.0  # sweeps of value iteration: to try another kind takes several, and may spoil some
_MAX_SWEEPS = 64
_TRIAL_SWEEPS = 4  # of Gauss-Seidel for the first time: where it does not suit it spoils what Jacobi did
_FORCING = 0.2


class Solved(NamedTuple):
    """Values, and their certificate."""

    values: FloatArray
    certificate: Certificate
    iterations: int
    settled: bool  # only rounding keeps the values from being exact


class _Sweeps(Enum):
    """Kind of the sweeps between two sweeps of value iteration."""

    JACOBI = 0
    GAUSS_SEIDEL = 1


class _Pace:
    """Choose sweeps by how fast each kind shrank the mean of TV - V above its minimum, per unit of work.

    Where everything mixes (Garnet models), Jacobi sweeps win by far: the margin itself takes out the slowest
    mode, which Gauss-Seidel would spoil. Along paths (mazes), Gauss-Seidel wins by far.
    """

    def __init__(self) -> None:
        self.rates: dict[_Sweeps, float] = {}
        self.kind = _Sweeps.JACOBI
        self.phase = 0

    def choose(self, left: float) -> _Sweeps:
        """Return the best kind so far, ever more seldom the other: rates change as the policy settles.

        *left* is the logarithm of how much the margin has yet to shrink. Gauss-Seidel is not tried where Jacobi
        will be done soon.
        """
        self.phase += 1
        self.kind = min(self.rates, key=self.rates.__getitem__, default=_Sweeps.JACOBI)
        other = _Sweeps(1 - self.kind.value)
        rate = self.rates.get(self.kind, -math.inf)
        if other not in self.rates:
            if left > -rate * _SOON:
                self.kind = other
        elif self.phase.bit_count() == 1 or (self.phase % 8 == 0 and self.rates[other] < 0.25 * rate):
            self.kind = other  # one that was four times slower seldom gets another chance
        return self.kind

    def learn(self, before: float, after: float, work: float) -> None:
        """Note what so much work of the chosen kind did."""
        if before > 0.0 and after > 0.0:
            self.rates[self.kind] = math.log(after / before) / work


# Differences of this share of the values may be rounding alone.
_NOISE = 2.0**-44
_TINY = 1e-300
# Values are settled if they differ from their backups by this share of what rounding can make of it at worst,
# or by no more than all of it and do not come nearer in so many iterations.
STILL = 0.125
_PATIENCE = 20
# Rounding of several sweeps may add up to more than that of one, in a cycle without end: values so near are as good as
# they get if so many iterations bring them no nearer.
_CYCLE = 8.0
_LONG_PATIENCE = 200


def discounted(
    backups: Backups, gamma: float, tolerance: float, max_iterations: int, start: FloatArray | None = None
) -> Solved:
    """Find V* by modified policy iteration from below, gamma < 1.

    Each iteration is one sweep of value iteration, which gives the margin, and sweeps of policy evaluation,
    at most 64, until they change V by a fifth as much (inexact policy iteration). V begins and stays a
    subsolution, V <= TV, so that it rises to V* whatever the kind and number of the sweeps
    (Puterman, Markov Decision Processes, 1994, section 6.5). The chain of a policy needs no such beginning.
    """
    values = np.zeros(backups.n_states) if start is None else start.copy()
    work, chain, pace = np.empty(backups.n_states), Chain(backups), _Pace()
    spread, cost, iterations, idle, best = 0.0, 1.0, 0, 0, math.inf
    least, most = backups.goes_on
    while True:
        iterations += 1
        low, high, mean = chain.improve(gamma, values, work)
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
            cycles = found.excess <= _CYCLE and idle > _LONG_PATIENCE
            if accurate or settled or cycles or iterations >= max_iterations:
                return Solved(values, found, iterations, settled)
        shift = mean if noise or backups.n_actions == 1 else low
        if abs(shift) > unit * (2.0**-8 if noise else 1.0):
            kappa = least if shift > 0.0 else most
            work += shift * gamma * kappa / (1.0 - gamma * kappa)
        values, work = work, values
        left = math.log(max(1.0, gamma * width / max(2.0 * tolerance, unit, _TINY)))
        cost = 1.0 + _sweep(chain, pace, left, gamma, values, _FORCING * (high - low))


def _sweep(  # noqa: PLR0917
    chain: Chain, pace: _Pace, left: float, gamma: float, values: FloatArray, until: float
) -> float:
    """Do the sweeps between two sweeps of value iteration; return their work, as a number of the latter.

    Gauss-Seidel ends with sweeps of value iteration, which make a policy better along the whole of a path at once.
    """
    kind = pace.choose(left)
    in_place = kind is _Sweeps.GAUSS_SEIDEL
    most = _TRIAL_SWEEPS if in_place and kind not in pace.rates else _MAX_SWEEPS
    work = chain.share * chain.evaluate(gamma, values, in_place=in_place, sweeps=most, until=until)
    if in_place and chain.share < 1.0:
        work += chain.iterate(gamma, values)
    return work
