"""Members that do their work together: all of them deliver, and the same, or all begin again."""

from __future__ import annotations

from collections.abc import Callable, Collection

from cdq.job.membership.events import Service
from cdq.job.membership.roster import Peer, Roster

_LONGEST = 10.0  # seconds in which they deliver


def must_begin_again(service: Service, members: Collection[Peer], waited: float, limit: float) -> bool:
    """Return whether some of those who do their work together are gone, take too long, or end it in another way."""
    submissions = {peer.uid: peer.submission for peer in members if peer.submission is not None}
    if len(submissions) == service.together:
        return not service.agree(submissions)
    gone = any(peer.route is None and peer.submission is None for peer in members)
    return gone or len(members) < service.together or waited >= min(limit, _LONGEST)


def end_sessions(
    roster: Roster, excused: Callable[[Peer], bool], evict: Callable[[Peer], None]
) -> list[Peer]:
    """Make void what members have in hand, drop those that need not be waited for, and return who can be reached."""
    for peer in list(roster.members.values()):
        if excused(peer):
            evict(peer)
        else:
            peer.submission, peer.incarnation = None, 0
    return [peer for peer in roster.members.values() if peer.route is not None]
