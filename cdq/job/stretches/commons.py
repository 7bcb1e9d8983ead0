"""Memory that a hub and the workers that it started share: tables, records, and what to play next.

It is an anonymous file that workers inherit: it has no name, nobody else can open it, and it ends with its last user.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.core.barrier import barrier_bytes
from cdq.core.merge.merge import most_merged_bytes
from cdq.core.rounds import board_bytes
from cdq.qfunctions import MergedTable, table_bytes
from cdq.workers import MOST_ROUNDS, MOST_TALLIES, RECORD, TALLY_WIDTH

_LINE = 64  # bytes of a cache line, at which each part begins
MOST_TEXT = 1 << 16  # bytes of the exploration rate, as JSON
# Order for a stretch: the arguments of `core.rounds.Seat.play`, the lengths of windows, and how many pairs are known.
ORDER = np.dtype(
    [
        *((name, "i8") for name in ("steps", "target", "rule", "needs_mass", "at", "steps_per_look")),
        *((name, "i8") for name in ("most_rows", "unseen", "seen", "counts", "knows", "text")),
        *((name, "f8") for name in ("window", "seconds", "mass", "floor", "longest")),
    ]
)


class Desk(NamedTuple):
    """Part of a worker: its table, what it tells the others, and the records and tallies of its rounds."""

    rows: npt.NDArray[np.uint8]
    board: npt.NDArray[np.uint8]
    records: npt.NDArray[Any]
    tallies: npt.NDArray[np.float64]


class Commons:
    """Parts of the memory that a hub and its local workers share.

    Parameters
    ----------
    file : int
        File of the memory, of `commons_bytes`.
    merged : MergedTable
        A table of the size of the job's.
    size : int
        Number of workers.

    Attributes
    ----------
    order : (1,) array of ORDER
        Order for the next stretch; the hub writes it before it sends for that.
    finish : (1,) array of int32
        A flag that asks all to end after the round in hand.
    text : array of uint8
        Exploration rate as JSON (`schedules.to_config`), of `order["text"]` bytes.
    barrier : array of uint8
        Memory of the barrier at which workers meet.
    known : array of uint8
        Pairs whose visits are counted: 1, else 0.
    table : dict of str to array
        The merged table as it was before the stretch, until worker 0 has written what it came to.
    desks : list of Desk
        Parts of the workers, by rank.
    """

    def __init__(self, file: int, merged: MergedTable, size: int) -> None:
        lengths = list(_lengths(merged, size))
        memory = np.frombuffer(mmap.mmap(file, 0), np.uint8)
        if len(memory) < sum(lengths):
            raise ValueError(f"the memory of local workers has {len(memory)} bytes, not {sum(lengths)}")
        starts = accumulate(lengths[:-1], initial=0)
        parts = iter([memory[at : at + n] for at, n in zip(starts, lengths, strict=True)])
        self.order = next(parts)[: ORDER.itemsize].view(ORDER)
        self.finish = next(parts)[:4].view(np.int32)
        self.text, self.barrier, self.known = next(parts), next(parts), next(parts)
        self.table: dict[str, npt.NDArray[Any]] = {
            name: next(parts)[: own.nbytes].view(own.dtype).reshape(own.shape)
            for name, own in merged.tensors().items()
        }
        self.desks = [Desk(next(parts), next(parts), *_log(next(parts), next(parts))) for _ in range(size)]

    def release(self) -> None:
        """Keep nothing of the memory, which ends with its last user."""
        self.__dict__.clear()


def commons_bytes(merged: MergedTable, size: int) -> int:
    """Return how much memory *size* local workers share with their hub, which learn a table of the size of *merged*."""
    return sum(_lengths(merged, size))


def _lengths(merged: MergedTable, size: int) -> Iterator[int]:
    """Yield the bytes of all parts in order."""
    n_states, columns = merged.values.shape
    most = most_merged_bytes(n_states, columns, merged.values.itemsize, size)
    shared = [ORDER.itemsize, _LINE, MOST_TEXT, barrier_bytes(size), merged.values.size]
    shared += [own.nbytes for own in merged.tensors().values()]
    desk = [
        table_bytes(merged),
        board_bytes(most),
        MOST_ROUNDS * RECORD.itemsize,
        MOST_TALLIES * TALLY_WIDTH * 8,
    ]
    for length in (*shared, *desk * size):
        yield -(-length // _LINE) * _LINE


def _log(
    records: npt.NDArray[np.uint8], tallies: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return records and tallies over their memory."""
    own = records[: MOST_ROUNDS * RECORD.itemsize].view(RECORD)
    return own, tallies.view(np.float64).reshape(MOST_TALLIES, TALLY_WIDTH)
