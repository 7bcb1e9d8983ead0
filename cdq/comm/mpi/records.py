"""Records that open every collective over MPI: the call of a rank, the length of its part, the part if it is short.

All ranks gather a record of the same size whatever they call, so ranks that make different calls still meet, and all
of them see it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from cdq.comm.base import Call

LARGEST_ROOM = (
    1 << 14
)  # bytes of a part in a record: beyond, gathering twice costs less than moving them twice
_SMALLEST_ROOM = 64
_LARGEST_INCOMING = 1 << 18  # of all ranks

_RECORD = struct.Struct("<qqi44s")  # length, sequence, root, operation: 64 bytes
_COMPARED = struct.Struct("<q56s")  # length; what must be the same


class Records:
    """The records of one communicator, reused from call to call.

    How many bytes of a part go with a record follows from what all ranks saw: the longest part of the call that came
    last time after such a call as the one before. A run repeats the same few calls, so that is mostly right.

    Parameters
    ----------
    size : int
        Number of ranks.

    Attributes
    ----------
    outgoing, incoming : bytearray
        This rank's record, and those of all ranks in rank order.
    room : int
        The most bytes of a part that a record holds.
    largest_room : int
        The most that `room` can grow to.
    """

    def __init__(self, size: int) -> None:
        self.largest_room = max(_SMALLEST_ROOM, min(LARGEST_ROOM, _LARGEST_INCOMING // size))
        self._size = size
        self._buffers: dict[int, tuple[bytearray, bytearray]] = {}
        self._longest_after: dict[str, int] = {}
        self._previous = ""
        self._make_room(_SMALLEST_ROOM)

    def _make_room(self, room: int) -> None:
        if room not in self._buffers:
            stride = _RECORD.size + room
            self._buffers[room] = bytearray(stride), bytearray(stride * self._size)
        self.room = room
        self.outgoing, self.incoming = self._buffers[room]

    def write(self, call: Call, length: int, part: memoryview) -> None:
        """Fill this rank's record; a part that is too long is left out."""
        _RECORD.pack_into(self.outgoing, 0, length, call.sequence, call.root, call.operation.encode())
        if part.nbytes <= self.room:
            self.outgoing[_RECORD.size : _RECORD.size + part.nbytes] = part

    def lengths(self) -> list[int] | None:
        """Return the lengths that the ranks gave, None if their calls differ."""
        wanted = _COMPARED.unpack_from(self.outgoing)[1]
        lengths = []
        for start in range(0, len(self.incoming), _RECORD.size + self.room):
            length, compared = _COMPARED.unpack_from(self.incoming, start)
            if compared != wanted:
                return None
            lengths.append(length)
        return lengths

    def parts(self, lengths: Sequence[int]) -> list[bytes]:
        """Return copies of the parts that came with the records."""
        incoming = memoryview(self.incoming)
        starts = range(_RECORD.size, len(incoming), _RECORD.size + self.room)
        return [
            bytes(incoming[start : start + length]) for start, length in zip(starts, lengths, strict=True)
        ]

    def calls(self) -> list[Call]:
        """Return what the ranks called."""
        calls = []
        for start in range(0, len(self.incoming), _RECORD.size + self.room):
            _, sequence, root, operation = _RECORD.unpack_from(self.incoming, start)
            calls.append(Call(operation.rstrip(b"\0").decode(errors="replace"), sequence, root))
        return calls

    def learn(self, operation: str, longest: int) -> None:
        """Take in the longest part of a call that all ranks made, and make room for the next one."""
        before = self._longest_after.get(self._previous, 0)
        short = longest if longest <= self.largest_room else 0  # a long one has no use of room
        self._longest_after[self._previous] = max(short, before - before // 8)
        self._previous = operation
        expected = self._longest_after.get(operation, 0)
        self._make_room(max(_SMALLEST_ROOM, 1 << (expected - 1).bit_length() if expected else 0))
