"""A merge by messages: slices are packed, sent and merged one after another, while those before and behind travel.

Each rank's slice is cut into finer ones, so short that those on their way stay in the processor's caches. They are
packed into what is sent and received into what is merged, in memory that is kept from merge to merge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from cdq.comm.contribution import SlicedContribution
from cdq.comm.kept import Kept
from cdq.comm.mpi.library import LOCK

PIECE = 1 << 21  # bytes of a fine slice, where so many are not too many
_LONGEST = 1 << 29  # bytes of a fine slice: MPI counts in 32 bits
_MOST = 64  # fine slices of a rank, unless they would be longer than that
_AHEAD = 2  # fine slices that are sent before one is merged
PART, MERGED = 8, 9  # tags, beside that of notices
_ALIGNED = 64  # where each begins in memory


class Requests:
    """Several requests of MPI, to be tested as one.

    Parameters
    ----------
    mpi : module
        The module ``mpi4py.MPI``.
    requests : sequence of Request, optional
        At first none: then they are done.
    """

    def __init__(self, mpi: Any, requests: Sequence[Any] = ()) -> None:
        self._mpi, self._requests = mpi, list(requests)
        self._statuses = [mpi.Status() for _ in requests]

    def Test(self) -> bool:  # as a request of MPI has it
        """Return whether all are done."""
        done: bool = self._mpi.Request.Testall(self._requests, self._statuses)
        return done

    def lengths(self) -> list[int]:
        """Return the bytes that each has received, once all are done."""
        return [status.Get_count(self._mpi.BYTE) for status in self._statuses]


Wait: TypeAlias = Callable[[Requests], None]


class Exchange:
    """One merge by messages, as a rank sees it; MPI uses its memory until all its requests are done.

    Parameters
    ----------
    mpi : module
        The module ``mpi4py.MPI``.
    channel : MPI.Intracomm
        Carries nothing else meanwhile, but notices.
    contribution : SlicedContribution
        Contribution of this rank.
    n_bytes : int
        Bytes of the largest contribution of any rank: the same number on all of them.
    kept : Kept
        Source of the memory.

    Attributes
    ----------
    bytes_sent : int
        Bytes that went to other ranks.
    """

    def __init__(
        self, mpi: Any, channel: Any, contribution: SlicedContribution, n_bytes: int, kept: Kept
    ) -> None:
        self._mpi, self._channel, self._contribution = mpi, channel, contribution
        self._rank, self._size = channel.Get_rank(), channel.Get_size()
        self._others = [(self._rank + i) % self._size for i in range(1, self._size)]
        self._pieces = number_of_pieces(n_bytes, self._size)
        self._of = self._pieces * self._size
        self._slots = min(_AHEAD + 1, self._pieces)  # of fine slices on their way
        part, merged = (-(-most // _ALIGNED) * _ALIGNED for most in contribution.begin(self._of))
        self._results = _rooms(kept, self._of, merged)
        rooms = _rooms(kept, 2 * self._slots * self._size, part)
        self._outgoing, self._incoming = rooms[: len(rooms) // 2], rooms[len(rooms) // 2 :]
        self._started: list[Requests] = []
        self.bytes_sent = 0

    def run(self, wait: Wait, rule: Any) -> list[memoryview]:
        """Return the merged slices of all ranks, which are overwritten once nobody refers to them."""
        results = self._receive_results()
        parts = [self._receive_parts(slot) for slot in range(self._slots)]
        sent = [Requests(self._mpi)] * self._slots
        merged = []
        for step in range(self._pieces + _AHEAD):
            slot, done = step % self._slots, step - _AHEAD
            if step < self._pieces:
                wait(sent[slot])
                sent[slot] = self._send_parts(step)
            if done >= 0:
                slot = done % self._slots
                wait(parts[slot])
                merged.append(self._merge(done, parts[slot].lengths(), rule))
                if done + self._slots < self._pieces:
                    parts[slot] = self._receive_parts(slot)
        for requests in (results, *sent, *merged):
            wait(requests)
        for index, length in zip(self._of_others(), results.lengths(), strict=True):
            self._results[index] = self._results[index][:length]
        return self._results

    def _of_others(self) -> list[int]:
        """Return the numbers of the slices that other ranks merge, in the order in which they come from each."""
        return [other * self._pieces + piece for piece in range(self._pieces) for other in self._others]

    def _receive_results(self) -> Requests:
        return self._start(self._channel.Irecv, [
            (self._results[index], index // self._pieces, MERGED) for index in self._of_others()
        ])  # fmt: skip

    def _receive_parts(self, slot: int) -> Requests:
        rooms = self._incoming[slot * self._size :]
        return self._start(self._channel.Irecv, [(rooms[other], other, PART) for other in self._others])

    def _send_parts(self, piece: int) -> Requests:
        """Send each rank what this one has of the next of its fine slices."""
        rooms = self._outgoing[piece % self._slots * self._size :]
        return self._send([(self._pack(other, piece, rooms[other]), other, PART) for other in self._others])

    def _pack(self, rank: int, piece: int, room: memoryview) -> memoryview:
        return self._contribution.pack(rank * self._pieces + piece, self._of, room)

    def _merge(self, piece: int, lengths: Sequence[int], rule: Any) -> Requests:
        """Merge the next of this rank's fine slices, and send the others what came of it."""
        rooms = self._incoming[piece % self._slots * self._size :][: self._size]
        parts = [room.toreadonly() for room in rooms]
        for other, length in zip(self._others, lengths, strict=True):
            parts[other] = parts[other][:length]
        parts[self._rank] = self._pack(self._rank, piece, rooms[self._rank])
        index = self._rank * self._pieces + piece
        n_bytes = self._contribution.merge_into(parts, rule, index, self._of, self._results[index])
        self._results[index] = merged = self._results[index][:n_bytes]
        return self._send([(merged, other, MERGED) for other in self._others])

    def _send(self, messages: Sequence[tuple[memoryview, int, int]]) -> Requests:
        self.bytes_sent += sum(data.nbytes for data, _, _ in messages)
        return self._start(self._channel.Isend, messages)

    def _start(self, start: Callable[..., Any], messages: Sequence[tuple[memoryview, int, int]]) -> Requests:
        with LOCK:
            requests = [start([data, self._mpi.BYTE], rank, tag) for data, rank, tag in messages]
            self._started.append(Requests(self._mpi, requests))
        return self._started[-1]


def number_of_pieces(n_bytes: int, size: int) -> int:
    """Return into how many slices that of each rank is cut, if a contribution has so many bytes at most."""
    each = -(-n_bytes // size)
    return max(1, min(-(-each // PIECE), _MOST), -(-each // _LONGEST))


def _rooms(kept: Kept, n: int, n_bytes: int) -> list[memoryview]:
    memory = kept.take(n * n_bytes)
    return [memory[begin : begin + n_bytes] for begin in range(0, n * n_bytes, n_bytes)]
