"""A rank among many without the others: what it does in a merge, on one core, without messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cdq.comm.base import Communicator
from cdq.comm.contribution import SlicedContribution
from cdq.comm.kept import Kept
from cdq.comm.mpi.communicator import MPICommunicator
from cdq.comm.mpi.records import Records
from cdq.comm.mpi.slices import MERGED, PART, number_of_pieces

Request = Callable[[], int]  # brings its bytes, and returns their number


class Mirror(MPICommunicator):
    """One rank among many that all do as it does: its work without their messages."""

    def __init__(self, size: int) -> None:
        Communicator.__init__(self, 0, size)
        self._records, self._kept, self._mpi = Records(size), Kept(), _Library
        self._channel = _Copies(size)
        self.at_once = self._records.largest_room
        self._step = 0

    def _run(self, start: Callable[..., Any], *arguments: Any) -> None:
        start(*arguments)

    def _merge_slices(self, contribution: SlicedContribution, rule: Any, most: int) -> list[memoryview]:
        self._channel.begin(contribution, number_of_pieces(most, self.size) * self.size)
        return super()._merge_slices(contribution, rule, most)

    def _until_done(self, request: Any, started: float | None = None) -> None:
        request.Test()

    def share(self, n_bytes: int) -> None:
        """Have none."""


class _Library:
    """The part of MPI's library that a merge needs."""

    BYTE = None

    class Status:
        def Get_count(self, _: None) -> int:
            return self.count

        count = 0

    class Request:
        @staticmethod
        def Testall(requests: Sequence[Any], statuses: Sequence[_Library.Status]) -> bool:
            for request, status in zip(requests, statuses, strict=True):
                status.count = request()
            return True

    @staticmethod
    def Is_finalized() -> bool:
        return False


class _Copies:
    """The part of a channel that a merge needs, where what others send is what this rank, the first, would send itself.

    Its part of its own slices is packed once, and not again in later merges, as that is not work of a rank.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: dict[int, bytes] = {}  # of each piece of its slice
        self._merged: list[memoryview] = []
        self._messages = {PART: 0, MERGED: 0}  # received

    def begin(self, contribution: SlicedContribution, of: int) -> None:
        """Begin a merge by so many slices."""
        self._contribution, self._of = contribution, of
        self._merged.clear()
        self._messages = dict.fromkeys(self._messages, 0)

    def Get_rank(self) -> int:
        return 0

    def Get_size(self) -> int:
        return self._size

    def Iallgather(self, outgoing: bytes, incoming: bytearray) -> None:
        incoming[:] = outgoing * self._size

    def Iallgatherv(self, part: memoryview, incoming: Sequence[Any]) -> None:
        for count, first in zip(*incoming[1:3], strict=True):
            incoming[0][first : first + count] = np.frombuffer(part[:count], np.uint8)

    def Isend(self, message: Sequence[Any], rank: int, tag: int) -> Request:
        if tag == MERGED and rank == 1:  # the others get the same
            self._merged.append(message[0])
        return lambda: int(message[0].nbytes)

    def Irecv(self, message: Sequence[Any], rank: int, tag: int) -> Request:
        piece = self._messages[tag] // (self._size - 1)  # all others send one before any sends the next
        self._messages[tag] += 1

        def bring() -> int:
            data = self._merged[piece] if tag == MERGED else self._part(piece, message[0].nbytes)
            message[0][: len(data)] = data
            return len(data)

        return bring

    def _part(self, piece: int, most: int) -> bytes:
        if piece not in self._parts:
            room = memoryview(bytearray(most))
            self._parts[piece] = bytes(self._contribution.pack(piece, self._of, room))
        return self._parts[piece]
