"""A small contribution: arrays that are folded in rank order, from bytes or from shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Received

Array = npt.NDArray[np.float64]
RULES = {"sum": np.add, "max": np.maximum}


def fold(arrays: Sequence[Array], rule: str) -> Array:
    """Fold from the left: the order matters to the last bits of a float sum."""
    return reduce(RULES[rule], arrays)


def mixed_magnitudes(seed: int, rank: int, length: int) -> Array:
    """Return numbers over 16 decades, whose sums differ between any two orders."""
    random = np.random.default_rng([seed, rank])
    return random.standard_normal(length) * 10.0 ** random.integers(-8, 8, length)


class Fold:
    """A contribution that is merged from bytes.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        As long on every rank.
    """

    def __init__(self, values: Array) -> None:
        self.values = values

    def cut(self, size: int) -> Sequence[Array]:
        """Return `size` slices of almost the same length."""
        return np.array_split(self.values, size)

    def merge(self, parts: Sequence[Received], rule: str, rank: int) -> Array:
        """Fold the parts in rank order."""
        return fold([from_bytes(part) for part in parts], rule)

    def join(self, slices: Sequence[Received]) -> Array:
        """Concatenate the merged slices."""
        return np.concatenate([from_bytes(part) for part in slices])


class SharedFold(Fold):
    """A contribution that can also be merged from the others' memory."""

    def merge_shared(self, contributions: Sequence[Any], rule: str, rank: int) -> Array:
        """Fold slice number `rank` of the contributions in rank order."""
        return fold([other.cut(len(contributions))[rank] for other in contributions], rule)

    def join_shared(self, slices: Sequence[Array]) -> Array:
        """Concatenate the merged slices."""
        return np.concatenate(slices)


def from_bytes(part: Received) -> Array:
    """Return the numbers in a buffer."""
    return np.frombuffer(part, np.float64)
