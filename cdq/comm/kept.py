"""Large memory that is kept, and given again once nobody refers to what was given: fresh memory costs page faults."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from cdq.comm.contribution import Received

_MOST = 8  # pieces of memory that are kept
_SMALL = 1 << 16  # bytes: what is shorter is not worth it
_WASTE = 4  # times what was asked for: more is not given


class Kept:
    """Memory for messages, which are of similar sizes, as those of rounds are.

    Whoever holds a view, ZeroMQ while it sends included, has the memory to itself. For one thread.

    Examples
    --------
    >>> kept = Kept()
    >>> len(kept.take(1 << 22))
    4194304
    """

    def __init__(self) -> None:
        self._arrays: list[npt.NDArray[np.uint8]] = []

    def take(self, n_bytes: int) -> memoryview:
        """Return memory of so many bytes, of any content, that nobody else refers to."""
        unused = [number for number in range(len(self._arrays)) if self._is_unused(number)]
        for number in unused:
            if n_bytes <= self._arrays[number].size <= _WASTE * n_bytes:
                return self._arrays[number][:n_bytes].data
        if unused:  # of another size than is wanted now
            del self._arrays[unused[0]]
        made = np.empty(n_bytes, np.uint8)  # in huge pages: 64 MB take 28 ms in small ones, 5 in these
        if len(self._arrays) < _MOST:
            self._arrays.append(made)
        return made[:].data

    def copy(self, data: Received) -> Received:
        """Return what is the same, and does not change with it."""
        if len(data) < _SMALL:
            return bytes(data)
        made = self.take(len(data))
        made[:] = data
        return made.toreadonly()

    def _is_unused(self, number: int) -> bool:
        return sys.getrefcount(self._arrays[number]) == _ALONE


def _references_of_one() -> int:
    """Return the references that `sys.getrefcount` counts of an array that only a list has."""
    kept = Kept()
    kept._arrays.append(np.empty(0, np.uint8))
    return sys.getrefcount(kept._arrays[0])


_ALONE = _references_of_one()
