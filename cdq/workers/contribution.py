"""The contribution of a worker to a round, as its communicator sees it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from cdq.core.merge import merge as _core
from cdq.core.rounds import Seat, board_bytes
from cdq.core.table.rows import Law
from cdq.qfunctions import MergedTable, rows_over, table_bytes
from cdq.workers.tallies import LOG_BYTES, MOST_PARTS, PART_BYTES, log_over
from cdq.workers.worker import Episodes, Worker

_EXTENT = struct.Struct("<qq")  # touched pairs, bytes of the merged part
# A summary: its first four fields, the request, and the number of tallies behind it.
_SUMMARY = struct.Struct("<qqdqii")
MOST_SUMMARY = _SUMMARY.size + MOST_PARTS * PART_BYTES  # bytes


Rule = str | Callable[..., None]


class Summary(NamedTuple):
    """Summary of a contribution: ended episodes, payload bytes sent so far, and the request to go on or to stop.

    `tallies` are the bytes of the window's tallies (`cdq.workers.tallies`), for the history: none where nobody asks.
    """

    episodes: int
    length_sum: int
    return_sum: float
    bytes_sent: int
    request: int
    tallies: bytes = b""

    @property
    def nbytes(self) -> int:
        """Number of bytes of `pack`."""
        return _SUMMARY.size + len(self.tallies)

    def pack(self) -> bytes:
        """Return the summary as bytes, which `unpack` reads."""
        return _SUMMARY.pack(*self[:5], len(self.tallies) // PART_BYTES) + self.tallies

    @classmethod
    def unpack(cls, data: Any, offset: int = 0) -> Summary:
        """Return the summary that *data* has at an offset; `ValueError` if it is none."""
        begin = offset + _SUMMARY.size
        if len(data) < begin:
            raise ValueError(f"{len(data)} bytes are too short for a summary")
        episodes, length_sum, return_sum, bytes_sent, request, count = _SUMMARY.unpack_from(data, offset)
        end = begin + count * PART_BYTES
        if not 0 <= count <= MOST_PARTS or len(data) < end:
            raise ValueError(f"a summary has {count} tallies, which it cannot")
        return cls(episodes, length_sum, return_sum, bytes_sent, request, bytes(data[begin:end]))

    @classmethod
    def of(cls, ended: Episodes, bytes_sent: int, request: int) -> Summary:
        """Return the summary of a window whose episodes are *ended*."""
        return cls(ended.episodes, ended.length_sum, ended.return_sum, bytes_sent, request, ended.tallies)


LARGEST_SUMMARY = _SUMMARY.size + MOST_PARTS * PART_BYTES


class PeerTable:
    """A worker whose table is in memory that processes share, as the others read it.

    Parameters
    ----------
    memory : memoryview
        Memory of `peer_bytes`: the table, then room for the merged part, then for what the worker says of rounds.
    merged : MergedTable
        The merged table that all workers start from.
    size, rank : int
        Number of workers, and the place of this one among them.

    Attributes
    ----------
    board, log : array of uint8
        Memory of its place among those that play rounds without Python in between (`cdq.core.rounds.Seat`), and of
        what is recorded of them.
    records, tallies : array
        Records and tallies in that memory.
    """

    def __init__(self, memory: memoryview, merged: MergedTable, size: int, rank: int) -> None:
        whole = np.frombuffer(memory, np.uint8)
        ends = np.cumsum([table_bytes(merged), _board_bytes(merged, size)])
        self.rows = rows_over(whole, merged)
        self.board, self.log = whole[ends[0] : ends[1]], whole[ends[1] :]
        self.records, self.tallies = log_over(self.log)
        self.room = memory[ends[0] : ends[1]]
        self.merged = self.room[:0]
        self.summary: Summary
        self._rank = rank

    @cached_property
    def seat(self) -> Seat:
        """Place of the worker, which is of another process."""
        return Seat.elsewhere_of(self._rank, self.rows, self.board)

    def read(self, description: Any) -> None:
        """Take over what the worker's process says: how much it touched, the size of its merged part, its summary."""
        self.rows.touched, merged_bytes = _EXTENT.unpack_from(description)
        self.merged = self.room[:merged_bytes]
        self.summary = Summary.unpack(description, _EXTENT.size)


def peer_bytes(merged: MergedTable, size: int) -> int:
    """Return how much memory a worker that shares it with *size* - 1 others needs."""
    return table_bytes(merged) + _board_bytes(merged, size) + LOG_BYTES


def _board_bytes(merged: MergedTable, size: int) -> int:
    n_states, n_actions = merged.values.shape
    return board_bytes(_core.most_merged_bytes(n_states, n_actions, merged.values.itemsize, size))


class WorkerContribution:
    """A worker's window as the communicator sees it (`cdq.comm.base.SharedContribution`).

    Parameters
    ----------
    worker : Worker
        The worker that contributes; its table of the last merge is the same on every rank.
    needs_mass : bool
        True if the next window depends on the round's pooled mass; this costs two look-ups per pair and
        worker.
    peers : sequence of PeerTable, optional
        The workers of all ranks, this one included, where their tables are in memory that their processes share.
    rank : int
        The worker's own place among them.

    Attributes
    ----------
    law : Law
        Step sizes of the window.
    known_peers : sequence of PeerTable
        Workers of all ranks, as they were given.
    laws : sequence of Law or None, optional
        Step sizes of each worker, in rank order, where they differ; None for one whose window is not merged.
    """

    def __init__(
        self, worker: Worker, needs_mass: bool, peers: Sequence[PeerTable] = (), rank: int = 0
    ) -> None:
        self.rows = worker.rows
        self._needs_mass = needs_mass
        self.known_peers = peers
        self.law: Law
        self.laws: Sequence[Law | None] | None = None
        self.summary: Summary
        # Kept from round to round: fresh memory costs more than the merge.
        self._bytes = bytearray()
        self.merged: bytearray | memoryview = peers[rank].room if peers else self._bytes
        self._merged_bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes that travel of this window: the values and counts of the touched pairs, and their numbers."""
        return self.rows.touched * (self.rows.pair_size + 4)

    def merge_shared(
        self, contributions: Sequence[WorkerContribution | PeerTable], rule: Rule, rank: int
    ) -> None:
        """Merge this rank's part straight from the tables of all ranks."""
        # Now, not when joining: then the others may be a window ahead.
        self._summaries = [contribution.summary for contribution in contributions]
        tables = [contribution.rows for contribution in contributions]
        self._merged_bytes = _core.merge_tables(
            tables, rank, rule, self.law, self._needs_mass, self.merged, self.laws
        )

    def join_shared(
        self, contributions: Sequence[WorkerContribution | PeerTable]
    ) -> tuple[list[Any], list[Summary]]:
        """Return the merged parts of all ranks and their summaries."""
        return [contribution.merged for contribution in contributions], self._summaries

    def describe(self) -> bytes:
        """Return what the peers' processes need to read this table, and then its merged part."""
        if not self.known_peers:
            return b""
        return _EXTENT.pack(self.rows.touched, self._merged_bytes) + self.summary.pack()

    def peers(self, descriptions: Sequence[Any]) -> Sequence[PeerTable]:
        """Return the workers of all ranks, as they described themselves."""
        for peer, description in zip(self.known_peers, descriptions, strict=True):
            peer.read(description)
        return self.known_peers

    def cut(self, size: int) -> list[Any]:
        """Return a part for each of *size* ranks: the summary, and the touched pairs of its slice or all of them."""
        self.begin(size)
        return [self._packed(rank, size) for rank in range(size)]

    def begin(self, of: int) -> tuple[int, int]:
        """Return the most bytes of a packed slice, and of a merged one, for a merge by so many slices."""
        touched = np.asarray(self.rows.log)[: self.rows.touched]
        n_pairs = _core.slice_bounds(self.rows, of - 1, of)[1]
        # So many travel as whole slices, and need not be sorted, which takes longer than all the rest.
        self._listed = np.sort(touched) if touched.size * 2 < n_pairs else None
        packed, merged = _core.most_packed_bytes(self.rows, of)
        return MOST_SUMMARY + packed, merged

    def pack(self, index: int, of: int, out: memoryview) -> memoryview:
        """Write a slice to the beginning of *out*, and return that."""
        packed: memoryview = self._packed(index, of, out)
        return packed

    def _packed(self, index: int, of: int, out: memoryview | None = None) -> Any:
        """Return a slice behind the summary; the tallies are for rank 0, which keeps the history."""
        first, last = _core.slice_bounds(self.rows, index, of)
        listed = self._listed
        if listed is not None:
            begin, end = np.searchsorted(listed, (first, last))
            listed = listed[begin:end]
        summary = self.summary._replace(tallies=b"") if index else self.summary
        return _core.pack(self.rows, listed, first, last, summary.pack(), out)

    def merge(self, parts: Sequence[Any], rule: Rule, index: int, size: int) -> bytearray:
        """Merge slice number *index* of *size* from the parts that all ranks cut for it."""
        self.merge_into(parts, rule, index, size, self._bytes)
        return self._bytes

    def merge_into(self, parts: Sequence[Any], rule: Rule, index: int, of: int, out: Any) -> int:
        """Merge a slice from the parts that all ranks packed into *out*; return its bytes."""
        summaries = [Summary.unpack(part) for part in parts]
        if index * len(parts) % of == 0:  # the first slice that this rank merges
            self._summaries = summaries
        slices = [memoryview(part)[summary.nbytes :] for part, summary in zip(parts, summaries, strict=True)]
        bounds = _core.slice_bounds(self.rows, index, of)
        return _core.merge_slices(
            self.rows, slices, *bounds, rule, self.law, self._needs_mass, out, self.laws
        )

    def join(self, slices: Sequence[Any]) -> tuple[list[Any], list[Summary]]:
        """Return the merged slices of all ranks and their summaries."""
        return list(slices), self._summaries
