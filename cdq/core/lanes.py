"""Lanes of a worker: the state of its environments, as one block of memory."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt

# Stream, steps and return of the running episode, state.
_COMMON = 32 + 8 + 8 + 4
_ALIGNMENT = 64
# Bytes at the end of a compiled environment's lane that files of earlier versions lack: its discount, successor, its
# allowed actions, which no environment of those versions has, and the address of its memory. All but those are set
# before they are read.
_ADDED = 32


class Lanes:
    """The lanes of a worker: one block, so that all that a window changes in them is saved and restored by one copy.

    Parameters
    ----------
    n : int
        Number of lanes.
    own_bytes : int
        Bytes that each environment needs besides the arrays that all environments have.
    rank : int
        Number of the worker.

    Attributes
    ----------
    memory : (n_bytes,) array of uint8
        Memory of all arrays.
    words : (4, n) array of uint64
        The random streams.
    elapsed : (n,) array of int64
        Steps of the running episode.
    returns : (n,) array of float64
        Undiscounted return of the running episode.
    state : (n,) array of uint32
        State index of each lane, where a model is sampled.
    own : (n, own_bytes) array of uint8
        Memory of each lane's environment, where no model is sampled.
    """

    def __init__(self, n: int, own_bytes: int = 0, rank: int = 0) -> None:
        first = -(-_COMMON * n // _ALIGNMENT) * _ALIGNMENT
        self.n, self.rank = n, rank
        self.memory = _aligned(bytes_of_lanes(n, own_bytes))
        self.words = self.memory[: 32 * n].view(np.uint64).reshape(4, n)
        self.elapsed = self.memory[32 * n : 40 * n].view(np.int64)
        self.returns = self.memory[40 * n : 48 * n].view(np.float64)
        self.state = self.memory[48 * n : _COMMON * n].view(np.uint32)
        self.own = self.memory[first : first + own_bytes * n].reshape(n, own_bytes)

    def apart(self) -> tuple[Lanes, npt.NDArray[np.uint64]]:
        """Return lanes whose environments have all but 8 bytes each of their own, and these bytes as numbers, (n,)."""
        left, memory = copy.copy(self), self.own.reshape(-1)
        end = memory.nbytes - 8 * self.n
        left.own = memory[:end].reshape(self.n, end // self.n)
        return left, memory[end:].view(np.uint64)

    def seeds(self) -> list[int]:
        """Return a seed for each lane's environment, of 31 bits, from its stream as it is."""
        return [int(word >> np.uint64(33)) for word in self.words[0]]


def _aligned(n_bytes: int) -> npt.NDArray[np.uint8]:
    """Return zeroed memory that begins at a cache line: vectors that lie across two lines take 3 % of a step."""
    memory = np.zeros(n_bytes + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + n_bytes]


def bytes_of_lanes(n: int, own_bytes: int) -> int:
    """Return how much memory *n* lanes take whose environments need so many bytes each.

    Examples
    --------
    >>> bytes_of_lanes(1, 0), bytes_of_lanes(1, 8)
    (52, 72)
    """
    return -(-_COMMON * n // _ALIGNMENT) * _ALIGNMENT + own_bytes * n if own_bytes else _COMMON * n


def widened(rows: npt.NDArray[np.uint8], n: int, own_bytes: int) -> npt.NDArray[np.uint8]:
    """Return saved lanes of several workers, a row each; those of an earlier version in the layout of today."""
    today = Lanes(n, own_bytes)
    first, former = today.memory.nbytes - n * own_bytes, own_bytes - _ADDED
    if former <= 0 or rows.shape[1:] != (first + n * former,):
        return rows
    wider = np.zeros((len(rows), today.memory.nbytes), np.uint8)
    wider[:, :first] = rows[:, :first]
    wider[:, first:].reshape(len(rows), n, own_bytes)[:, :, :former] = rows[:, first:].reshape(-1, n, former)
    return wider
