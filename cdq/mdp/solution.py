"""Results of planning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.errors import FileError
from cdq.errors.checks import path_of, read_only, shown
from cdq.mdp.arrays import FloatArray, IntArray
from cdq.qfunctions import as_html
from cdq.storage import in_digits, read_tensors, require_kind, write_tensors

if TYPE_CHECKING:
    from typing_extensions import Self

# Type of each field of a result in files, and a letter for each axis: those of one letter have one length.
# "?": a number may stand for an array of equal entries.
_LAYOUTS = {
    "Solution": {
        "values": "f8 sa",
        "state_values": "f8 s",
        "policy": "i8 s",
        "residual": "f8",
        "below": "f8",
        "above": "f8",
        "iterations": "i8",
        "_margins.0": "f8 ?sa",
        "_margins.1": "f8 ?sa",
    },
    "HorizonSolution": {"values": "f8 hsa", "state_values": "f8 hs", "policy": "i8 hs", "error": "f8"},
    "AverageSolution": {
        "gain": "f8",
        "lower": "f8",
        "upper": "f8",
        "bias": "f8 s",
        "policy": "i8 s",
        "iterations": "i8",
    },
}


class _Frozen:
    """A result whose arrays are read-only, also in copies of it, and that files hold."""

    def __post_init__(self) -> None:
        self.__setstate__(dict(self.__dict__))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Hold the arrays of a copy as those of the original are held."""
        arrays = {name: read_only(value) for name, value in state.items() if isinstance(value, np.ndarray)}
        self.__dict__.update({**state, **arrays})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result to a safetensors file, atomically; `load` reads it back.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        tensors = _flat(self.__dict__)
        write_tensors(path_of("the file", path), tensors, {"kind": "solution", "class": type(self).__name__})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the result in a file that `save` wrote.

        Raises
        ------
        FileError
            If the file is missing, truncated, altered, or holds something else than such a result.
        """
        where = path_of("the file", path)
        tensors, header = read_tensors(where)
        require_kind(where, header, "solution")
        if header.get("class") != cls.__name__:
            raise FileError(f"{path} holds {shown(header.get('class'))}, not a {cls.__name__}; use its load")
        if not _fits(tensors, _LAYOUTS[cls.__name__]):
            raise FileError(f"{path} lacks what a {cls.__name__} is made of; use another file")
        return cls(**_nested(tensors))


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

    def _repr_html_(self) -> str:
        sizes = "{:,} states, {:,} actions".format(*self.values.shape)
        return as_html(
            f"Solution of {sizes}, error at most {in_digits(self.error, 2)}", self.values, None, None
        )

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


def _flat(state: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the fields of a result as tensors; those of a pair have numbers."""
    result = {}
    for name, value in state.items():
        pairs = enumerate(value) if isinstance(value, tuple) else [(None, value)]
        for number, part in pairs:
            result[name if number is None else f"{name}.{number}"] = np.asarray(part)
    return result


def _nested(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return what `_flat` made tensors of."""
    result: dict[str, Any] = {}
    for full, tensor in sorted(tensors.items()):
        name, _, number = full.partition(".")
        value = tensor.item() if tensor.ndim == 0 else tensor
        result[name] = (*result.get(name, ()), value) if number else value
    return result


def _fits(tensors: Mapping[str, NDArray[Any]], layout: Mapping[str, str]) -> bool:
    """Return whether tensors are those of a layout, where axes of one letter have one length of at least 1."""
    if set(tensors) != set(layout):
        return False
    lengths: dict[str, int] = {}
    for name, tensor in tensors.items():
        kind, _, axes = layout[name].partition(" ")
        optional = axes.startswith("?") and tensor.ndim == 0  # a number in place of an array of equal entries
        axes = "" if optional else axes.removeprefix("?")
        if tensor.dtype != kind or len(axes) != tensor.ndim:
            return False
        for axis, length in zip(axes, tensor.shape, strict=True):
            if lengths.setdefault(axis, length) != length or length == 0:
                return False
    policy = tensors["policy"]
    return bool(policy.min() >= 0 and policy.max() < lengths.get("a", np.inf))


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
