"""Order in which workers are welcomed: a WELCOME holds a whole table, and a worker that asks for many may take none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cdq.job.membership.roster import Peer

_UNDER_WAY = 1 << 24  # bytes of all that may be on their way; beyond, one at a time
_PER_SECOND = 10  # of one worker


class Welcomes:
    """Welcomes that are on their way, and the workers that wait for one.

    Attributes
    ----------
    under_way : int
        Bytes that are on their way to all peers.
    line : dict of int to Peer
        Members that have still to be welcomed, by number, in the order in which they came.
    """

    def __init__(self) -> None:
        self.under_way = 0
        self.line: dict[int, Peer] = {}
        self._last = 0  # size of the last one

    @property
    def has_room(self) -> bool:
        """True if another welcome may be sent now."""
        return not self.under_way or self.under_way + self._last <= _UNDER_WAY

    def sent(self, size: int) -> None:
        """Take in that one of that many bytes is on its way."""
        self.under_way, self._last = self.under_way + size, size

    def may_ask(self, peer: Peer, now: float) -> bool:
        """Return whether a worker may be welcomed again by the same connection."""
        if now - peer.asked_since >= 1.0:
            peer.asked_since, peer.asked = now, 0
        peer.asked += 1
        return not peer.unread and peer.asked <= _PER_SECOND

    def next(self, members: Mapping[int, Peer]) -> Iterator[Peer]:
        """Yield those whose turn has come, and that still are members."""
        while self.line and self.has_room:
            peer = self.line.pop(next(iter(self.line)))
            if peer.route is not None and members.get(peer.uid) is peer:
                yield peer
