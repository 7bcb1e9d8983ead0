"""Communicators between processes: the cheapest way to merge, and shared memory."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from cdq.comm import memory
from cdq.comm.base import Communicator, as_bytes_view
from cdq.comm.contribution import Contribution, Received

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
