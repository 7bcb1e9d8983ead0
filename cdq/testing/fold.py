"""A small contribution: arrays that are folded in rank order, from bytes or from shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.contribution import Received

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
        Numbers to merge; their length is the same on every rank.
    """

    def __init__(self, values: Array) -> None:
        self.values = values

    @property
    def nbytes(self) -> int:
        """The size of the numbers."""
        return self.values.nbytes

    def cut(self, size: int) -> Sequence[Array]:
        """Return `size` slices of almost the same length."""
        return np.array_split(self.values, size)

    def merge(self, parts: Sequence[Received], rule: str, index: int, size: int) -> Array:
        """Fold the parts in rank order."""
        return fold([from_bytes(part) for part in parts], rule)

    def join(self, slices: Sequence[Received]) -> Array:
        """Concatenate the merged slices."""
        return np.concatenate([from_bytes(part) for part in slices])


class SharedFold(Fold):
    """A contribution that can also be merged from the others' memory.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Numbers to merge; their length is the same on every rank.
    segments : sequence of memoryview, optional
        Memory that `Communicator.share` returned for at least `segment_bytes`: room for the numbers, which are
        copied there, and for the merged slice.
    rank : int
        Number of this rank; needed with `segments`.
    """

    def __init__(self, values: Array, segments: Sequence[memoryview] | None = None, rank: int = 0) -> None:
        super().__init__(values)
        self.merged: Array = np.empty(len(values))
        self._segments = segments
        if segments is not None:
            self.values, self.merged = halves(segments[rank], len(values))
            self.values[:] = values

    @staticmethod
    def segment_bytes(length: int) -> int:
        """Return how much memory a rank needs for `length` numbers."""
        return 16 * length

    def describe(self) -> bytes:
        """Return the length; nothing if the memory is the process's own."""
        return b"" if self._segments is None else len(self.values).to_bytes(8, "little")

    def peers(self, descriptions: Sequence[Received]) -> Sequence[SharedFold]:
        """Return contributions over the other ranks' memory."""
        segments = self._segments or ()
        return [
            _over(segment, int.from_bytes(text, "little"))
            for segment, text in zip(segments, descriptions, strict=True)
        ]

    def merge_shared(self, contributions: Sequence[Any], rule: str, rank: int) -> None:
        """Fold slice number `rank` of the contributions in rank order."""
        size = len(contributions)
        slices = [other.cut(size)[rank] for other in contributions]
        np.array_split(self.merged, size)[rank][:] = fold(slices, rule)

    def join_shared(self, contributions: Sequence[Any]) -> Array:
        """Concatenate the merged slices."""
        size = len(contributions)
        return np.concatenate(
            [np.array_split(other.merged, size)[rank] for rank, other in enumerate(contributions)]
        )


def halves(segment: memoryview, length: int) -> tuple[Array, Array]:
    """Return the two arrays of `length` numbers that a rank's memory holds."""
    numbers = np.frombuffer(segment, np.float64, 2 * length)
    return numbers[:length], numbers[length:]


def _over(segment: memoryview, length: int) -> SharedFold:
    other = SharedFold(np.empty(0))
    other.values, other.merged = halves(segment, length)
    return other


def from_bytes(part: Received) -> Array:
    """Return the numbers in a buffer."""
    return np.frombuffer(part, np.float64)
