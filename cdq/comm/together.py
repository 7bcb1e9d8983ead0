"""Ranks whose compiled code meets without messages, as they share memory: threads, processes of a node, one alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cdq.core.barrier import Barrier

Item = TypeVar("Item")


class Together:
    """Meeting place of the compiled code of all ranks; this one is of a single rank.

    Parameters
    ----------
    barrier : Barrier
        Barrier at which that code meets.

    Attributes
    ----------
    barrier : Barrier
        The same.
    """

    def __init__(self, barrier: Barrier) -> None:
        self.barrier = barrier

    def bring(self, item: Item | None, stand_ins: Sequence[Item] = ()) -> list[Item | None]:
        """Return the items that all ranks brought, in rank order; a collective, whose bytes are not counted.

        Parameters
        ----------
        item : Any
            Item of this rank; None if it has none.
        stand_ins : sequence, optional
            Objects over memory that the ranks share, in rank order, which stand here for the items of other
            processes; without them those are None. Threads of one process get the items themselves.
        """
        return [item]

    def leave(self, status: int, doing: str) -> None:
        """Raise as a collective does, unless compiled code of all ranks has met.

        Parameters
        ----------
        status : int
            Last result of the barrier.
        doing : str
            Name of what the ranks met for.

        Raises
        ------
        CommTimeout, PeerLost, CommClosed
            If some rank did not come.
        """
