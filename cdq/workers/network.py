"""The contribution of a worker that trains a network: a checksum, or its parameters and moments, to be averaged."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.table.rows import Law
from cdq.errors import DivergenceError
from cdq.qfunctions import Parameters
from cdq.workers.contribution import Rule, Summary

NETWORK_HEAD = struct.Struct("<qq")  # count of steps, and checksum of the parameters where they must be equal

Numbers = npt.NDArray[np.float32]


class NetworkContribution:
    """A worker's window as the communicator sees it (`cdq.comm.contribution.Contribution`).

    Parameters
    ----------
    own : Parameters
        The worker's parameters and moments.
    averages : bool
        True where parameters and moments of all workers are averaged; else they are the same on all of them, as every
        gradient was, and are compared.

    Attributes
    ----------
    law : Law
        Step sizes of the window.
    """

    def __init__(self, own: Parameters, *, averages: bool) -> None:
        self._own, self._averages = own, averages
        self.law: Law
        self.laws: Sequence[Law | None] | None = None
        self.summary: Summary

    @property
    def nbytes(self) -> int:
        """Bytes that travel of this window."""
        return sum(array.nbytes for array in self._own.arrays) if self._averages else NETWORK_HEAD.size

    def cut(self, size: int) -> list[bytes]:
        """Return a part for each of *size* ranks: head, summary, and the numbers of its slice.

        The tallies are for rank 0, which keeps the history.
        """
        head = NETWORK_HEAD.pack(int(self._own.count[0]), -1 if self._averages else self._own.checksum())
        others = self.summary._replace(tallies=b"").pack()
        summaries = [self.summary.pack(), *[others] * (size - 1)]
        return [head + summaries[rank] + self._slice(rank, size) for rank in range(size)]

    def _slice(self, index: int, size: int) -> bytes:
        """Return the numbers of a slice: of the parameters, and of both moments."""
        if not self._averages:
            return b""
        first, end = _bounds(len(self._own.values), index, size)
        return b"".join(array[first:end].tobytes() for array in self._own.arrays[:3])

    def merge(self, parts: Sequence[Any], rule: Rule, index: int, size: int) -> bytes:
        """Return the mean of a slice over all ranks, added in rank order.

        Raises
        ------
        DivergenceError
            If the ranks have made another number of steps, or have other parameters where they must be equal.
        """
        heads = [NETWORK_HEAD.unpack_from(part) for part in parts]
        most = max(heads, key=heads.count)  # among equals that of the lowest rank
        odd = [rank for rank, head in enumerate(heads) if head != most]
        if odd:
            raise DivergenceError(
                f"the networks differ: rank {', '.join(map(str, odd))} against the others, although all made the same "
                "steps; memory or the connection are at fault",
                odd,
            )
        self._summaries = [Summary.unpack(part, NETWORK_HEAD.size) for part in parts]
        if not self._averages:
            return b""
        several = [
            np.frombuffer(part, np.float32, offset=NETWORK_HEAD.size + summary.nbytes)
            for part, summary in zip(parts, self._summaries, strict=True)
        ]
        return mean_of(several).tobytes()

    def join(self, slices: Sequence[Any]) -> tuple[list[Any], list[Summary]]:
        """Take over the means of all slices; return nothing more, and the summaries of all ranks."""
        if self._averages:
            for index, part in enumerate(slices):
                first, end = _bounds(len(self._own.values), index, len(slices))
                means = np.frombuffer(part, np.float32).reshape(3, end - first)
                for array, mean in zip(self._own.arrays, means, strict=False):
                    array[first:end] = mean
        return [], self._summaries


def mean_of(several: Sequence[Numbers]) -> Numbers:
    """Return the mean of arrays, added in their order in float32.

    Examples
    --------
    >>> mean_of([np.float32([1.0, 2.0]), np.float32([3.0, 4.0])]).tolist()
    [2.0, 3.0]
    """
    total = several[0].copy()
    for further in several[1:]:
        total += further
    return total / np.float32(len(several))


def _bounds(n: int, index: int, size: int) -> tuple[int, int]:
    return n * index // size, n * (index + 1) // size
