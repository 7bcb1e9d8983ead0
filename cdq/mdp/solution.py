"""Results of planning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cdq.errors.checks import read_only
from cdq.mdp.arrays import FloatArray, IntArray


class _Frozen:
    """A result whose arrays are read-only, also in copies of it."""

    def __post_init__(self) -> None:
        self.__setstate__(dict(self.__dict__))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Hold the arrays of a copy as those of the original are held."""
        arrays = {name: read_only(value) for name, value in state.items() if isinstance(value, np.ndarray)}
        self.__dict__.update({**state, **arrays})


@dataclass(frozen=True, eq=False)
class Solution(_Frozen):
    """Hold the discounted or total optimum that `solve` found.

    An action that a state lacks has the value minus infinity.

    Attributes
    ----------
    values : ndarray of float64, shape (n_states, n_actions)
        Optimal action values.
    state_values : ndarray of float64, shape (n_states,)
        Optimal value of each state: the greatest of its action values.
    policy : ndarray of int64, shape (n_states,)
        A greedy policy: the lowest of the actions that the certified error does not tell apart (differences of
        1e-9 of the largest value always count), where its worth stays within a few times that error: small
        losses in every step add up. Without discount the policy ends.
    residual : float
        Bound of ``max |TQ - Q|`` for these values: what one more sweep would change.
    below, above : float
        Certified: ``values - below <= Q* <= values + above``, rounding included. Infinity where not known.
    iterations : int
        Sweeps of value iteration, or policies without discount.
    """

    values: FloatArray
    state_values: FloatArray
    policy: IntArray
    residual: float
    below: float
    above: float
    iterations: int
    _margins: tuple[FloatArray | float, FloatArray | float] = field(repr=False)

    @property
    def error(self) -> float:
        """Certified bound of ``max |values - Q*|``."""
        return max(self.below, self.above)

    @property
    def lower(self) -> FloatArray:
        """Certified lower bound of Q*, shape (n_states, n_actions); each pair's own where they differ much."""
        return read_only(self.values - self._margins[0])

    @property
    def upper(self) -> FloatArray:
        """Certified upper bound of Q*, shape (n_states, n_actions); each pair's own where they differ much."""
        return read_only(self.values + self._margins[1])


@dataclass(frozen=True, eq=False)
class HorizonSolution(_Frozen):
    """Hold the optimum over a fixed number of steps, stage by stage: stage 0 is the first step.

    Attributes
    ----------
    values : ndarray of float64, shape (horizon, n_states, n_actions)
        Action values: what the steps from that stage on are worth.
    state_values : ndarray of float64, shape (horizon, n_states)
        The greatest of each row.
    policy : ndarray of int64, shape (horizon, n_states)
        An optimal action for each stage: the lowest of those that rounding does not tell apart.
    error : float
        Certified bound of the rounding of every value.
    """

    values: FloatArray
    state_values: FloatArray
    policy: IntArray
    error: float


@dataclass(frozen=True, eq=False)
class AverageSolution(_Frozen):
    """Hold the best average reward per step.

    Attributes
    ----------
    gain : float
        Average reward per step under an optimal policy, the same from every state.
    lower, upper : float
        Certified bounds of the optimal gain, rounding included. `policy` earns at least `lower`.
    bias : ndarray of float64, shape (n_states,)
        Relative values: what starting in a state is worth beside starting in state 0. Not certified.
    policy : ndarray of int64, shape (n_states,)
        A policy that earns at least `lower`.
    iterations : int
        Sweeps of relative value iteration.
    """

    gain: float
    lower: float
    upper: float
    bias: FloatArray
    policy: IntArray
    iterations: int

    @property
    def error(self) -> float:
        """Certified bound of ``|gain - optimal gain|``."""
        return max(self.gain - self.lower, self.upper - self.gain)


class Bounds(NamedTuple):
    """Bounds of Q*: `lower` and `upper` of shape (n_states, n_actions), `gap` the widest of those visited."""

    lower: FloatArray
    upper: FloatArray
    gap: float


class OptimalityGap(NamedTuple):
    """Value of a greedy and of an optimal policy from the start; `gap` bounds their difference."""

    policy_value: float
    optimal_value: float
    gap: float
