"""Group of workers that play together: the hub's part, which offers the memory and says how far to play."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from cdq.comm import memory
from cdq.core.barrier import Barrier
from cdq.job.stretches.commons import Commons, commons_bytes
from cdq.job.stretches.offers import TOKEN_BYTES, Offer
from cdq.qfunctions import MergedTable


class Group:
    """Members of a hub that may play together.

    Parameters
    ----------
    uids : sequence of int
        Numbers of the members, in order.
    merged : MergedTable
        The table of the job.

    Attributes
    ----------
    uids : tuple of int
        Numbers of the members, in order.
    commons : Commons
        The memory, in which the hub reads nothing but the proofs that members have found it.
    plays : bool
        True while they play a stretch.

    Raises
    ------
    OSError
        If there is no such memory.
    """

    def __init__(self, uids: Sequence[int], merged: MergedTable) -> None:
        self.uids, self.plays = tuple(uids), False
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._memory = memory.Offer(commons_bytes(merged, len(uids)))
        if not self._memory.address:
            raise OSError("no memory that processes share")
        self.commons = Commons(self._memory.memory(), merged, len(uids))

    @property
    def offer(self) -> bytes:
        """Offer to the members: where the memory is, and what to write there."""
        return Offer(self._memory.address.decode(), self._token, self.uids).pack()

    @property
    def is_complete(self) -> bool:
        """True if all members have found the memory."""
        return all(desk.token.tobytes() == self._token for desk in self.commons.desks)

    def end(self) -> None:
        """Let nobody wait for the others any more, and give the memory back."""
        Barrier(len(self.uids), self.commons.barrier).break_()
        self.commons.release()
        self._memory.withdraw()
