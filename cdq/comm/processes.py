"""Communicators between processes: the cheapest way to merge, and shared memory."""

from __future__ import annotations

import os
import struct
import weakref
from collections.abc import Sequence
from typing import Any, NoReturn

from cdq.comm import memory, node
from cdq.comm.base import Call, Communicator
from cdq.comm.contribution import Contribution, Received, as_bytes_view
from cdq.comm.together import Item, Together
from cdq.core.barrier import DONE, TIMED_OUT, Barrier, barrier_bytes
from cdq.errors import CommTimeout

# Whether the whole contribution comes with it, the length of the description, the bytes of the contribution.
_MERGE = struct.Struct("<?3xiq")
_EMPTY = memoryview(b"")


class ProcessCommunicator(Communicator):
    """A communicator whose ranks are processes.

    Attributes
    ----------
    at_once : int
        The size in bytes of contributions that go to all ranks at once rather than by slices.
    """

    SPREAD = True
    at_once: int
    _meeting: Barrier | None = None

    def merge(self, contribution: Contribution, rule: Any) -> Any:
        """Merge as :meth:`Communicator.merge`, in the way that costs least; all give the same bits.

        Small contributions go to all ranks at once and each merges them all. Large ones are merged straight from
        memory that the ranks share, if all can describe themselves, else by `alltoall`.
        """
        description = getattr(contribution, "describe", bytes)()
        small = contribution.nbytes <= self.at_once
        whole = as_bytes_view(contribution.cut(1)[0]) if small else _EMPTY
        parts = self._gather(
            f"merge by {rule}" if isinstance(rule, str) else "merge",
            memoryview(
                b"".join((_MERGE.pack(small, len(description), contribution.nbytes), description, whole))
            ),
        )
        heads = [_MERGE.unpack_from(part) for part in parts]
        stops = [_MERGE.size + length for _, length, _ in heads]
        if all(head[0] for head in heads):
            wholes = [memoryview(part)[end:] for part, end in zip(parts, stops, strict=True)]
            return contribution.join([as_bytes_view(contribution.merge(wholes, rule, 0, 1))])
        if not all(length for _, length, _ in heads):
            return self._merge_by_messages(contribution, rule, max(n_bytes for _, _, n_bytes in heads))
        described = [memoryview(part)[_MERGE.size : end] for part, end in zip(parts, stops, strict=True)]
        return self._merge_shared(contribution, rule, described)

    def _merge_by_messages(self, contribution: Contribution, rule: Any, most: int) -> Any:
        """Merge contributions of `most` bytes at most; for communicators that can do it better than by `alltoall`."""
        return super().merge(contribution, rule)

    def _merge_shared(self, contribution: Any, rule: Any, described: Sequence[Received]) -> Any:
        contribution.merge_shared(contribution.peers(described), rule, self.rank)
        merged = self._gather("merged", memoryview(contribution.describe()))
        self.bytes_sent += contribution.nbytes * (self.size - 1) // self.size
        return contribution.join_shared(contribution.peers(merged))

    def share(self, n_bytes: int) -> Sequence[memoryview] | None:
        """Return memory as :meth:`Communicator.share`: of ranks that are all on one node, on Linux."""
        if self.size == 1:
            return None
        offer = memory.Offer(n_bytes)
        try:
            addresses = self._gather("share", memoryview(offer.address))
            segments = memory.accept(addresses, self.rank, offer)
            return segments if self.agree(segments is not None) else None
        finally:
            offer.withdraw()

    def together(self) -> Together | None:
        """Return where the ranks' compiled code meets: of ranks that share memory, and merge as this class does."""
        if self.size == 1 or type(self).merge is not ProcessCommunicator.merge:
            return super().together()
        offer, sent = memory.Offer(barrier_bytes(self.size)), self.bytes_sent
        try:
            own = offer.address + b"\n" + node.here("").packed()
            told = [bytes(part).split(b"\n", 1) for part in self._gather("together", memoryview(own))]
            addresses, places = zip(*told, strict=True)
            crowded = bool(node.crowded([node.unpacked(place) for place in places]))
            place = self._place_of(addresses, offer, crowded)
            return place if self.agree(place is not None) else None
        finally:
            self.bytes_sent = sent
            offer.withdraw()

    def _place_of(self, addresses: Sequence[bytes], own: memory.Offer, crowded: bool) -> _OfProcesses | None:
        """Return the place whose barrier is in memory that rank 0 offers, and ends with any process; None without."""
        ends: list[int] = []
        try:
            shared = own.memory() if self.rank == 0 else memory.reach(addresses[0], writable=True)
            ends += [memory.end_of(at) for rank, at in enumerate(addresses) if rank != self.rank]
        except OSError:
            _close(ends)
            return None
        self._meeting = Barrier(self.size, shared, crowded, ends)
        made = _OfProcesses(self, self._meeting)
        weakref.finalize(made, _close, ends)
        return made

    def _give_up_on(self, missing: Sequence[int], doing: str) -> NoReturn:
        """Raise that ranks did not come where compiled code meets; they are sent that this rank has given up."""
        call = Call(doing, self._sequence)
        ranks = f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
        within = f"within {self.timeout:g} s; raise the timeout if they were only slow"
        error = CommTimeout(f"{call}: {ranks} did not come {within}", missing)
        self._fail(error)
        self._victim = False
        raise error

    def _end(self, how: str) -> bool:
        """Let nobody wait for this rank any more."""
        if self._meeting is not None:
            self._meeting.break_()
        return super()._end(how)


class _OfProcesses(Together):
    """Meeting place of processes, as `Together`: items stay where they are, and others stand for them here."""

    def __init__(self, comm: ProcessCommunicator, barrier: Barrier) -> None:
        super().__init__(barrier)
        self._comm = comm

    def bring(self, item: Item | None, stand_ins: Sequence[Item] = ()) -> list[Item | None]:
        comm = self._comm
        sent = comm.bytes_sent
        votes = comm._gather("bring", memoryview(b"" if item is None else b"\x01"))
        comm.bytes_sent = sent
        others: Sequence[Item | None] = stand_ins or [None] * comm.size
        brought = [other if len(vote) else None for vote, other in zip(votes, others, strict=True)]
        return [*brought[: comm.rank], item, *brought[comm.rank + 1 :]]

    def leave(self, status: int, doing: str) -> None:
        if status == DONE:
            return
        if status == TIMED_OUT:
            self._comm._give_up_on(self.barrier.missing(), doing)
        self._comm._gather(doing, memoryview(b""))  # a rank that broke off does not come: this says why
        raise AssertionError("a barrier broke, and all ranks are there")


def _close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)
