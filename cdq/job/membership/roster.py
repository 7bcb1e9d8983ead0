"""Workers that take part: found by number, by identity, and by the connection through which they are reached."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from cdq.comm.zmq.events import TOKEN_BYTES
from cdq.comm.zmq.wire import Body, Frame, Reason, Rejected
from cdq.job.membership.events import Submission

_REMEMBERED = 8  # former processes with the same key
_DESCRIBED = 256  # workers that the status describes one by one


@dataclass
class Peer:
    """A worker, as the hub knows it.

    Attributes
    ----------
    uid : int
        Number of the worker.
    identity : str
        Identity for which the number is kept: the worker's key, or its token where there are no keys.
    token : str
        Token of the worker's process, in hexadecimal.
    host : str
        Name of the worker's machine, as it says.
    applied : int
        Number of the last of the worker's contributions that counts.
    incarnation : int
        Number of the worker's session; 0 while it has none.
    route : bytes or None
        Connection through which the worker is reached.
    heard, welcomed, answered : float
        Times at which the worker last was heard of, welcomed, and sent its result.
    away_since : float or None
        Time since which the worker cannot be reached.
    submission : Submission or None
        The worker's contribution to the open round.
    result : tuple of (Body, int) or None
        The answer to the worker's last contribution, and the version that led to.
    asked_since, asked : float and int
        Start of the second in which the worker's requests for a welcome are counted, and their number.
    unread : int
        Bytes of large messages that the worker has still to take, as of its last message.
    leaving : bool
        True if the worker leaves with the end of the round.
    retired : deque of str
        Tokens of former processes with the worker's key.
    """

    uid: int
    identity: str = ""
    token: str = ""
    host: str = ""
    applied: int = 0
    incarnation: int = 0
    route: bytes | None = None
    heard: float = 0.0
    welcomed: float = -1e9
    answered: float = -1e9
    away_since: float | None = None
    submission: Submission | None = None
    result: tuple[Body, int] | None = None
    asked_since: float = -1e9
    asked: int = 0
    unread: int = 0
    leaving: bool = False
    retired: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    @property
    def has_come(self) -> bool:
        """True if it was heard since the start of the hub."""
        return self.incarnation > 0 or self.heard > 0

    @property
    def loss(self) -> tuple[int, str]:
        """Level and text for the log where the job goes on without it."""
        return (
            (logging.WARNING, "worker dropped")
            if self.has_come
            else (logging.INFO, "worker did not come back")
        )

    def begin_process(self, token: str) -> None:
        """Take in that another process stands for this worker: what the former one had open is void."""
        if self.token:
            self.retired.append(self.token)
        self.token, self.incarnation = token, 0
        self.submission = self.result = None
        self.leaving = False


class Roster:
    """All workers that ever took part, the members of the round, and those that wait for the next.

    Attributes
    ----------
    members, waiting : dict of int to Peer
        Workers by number; members in the order of their numbers.
    """

    def __init__(self) -> None:
        self.members: dict[int, Peer] = {}
        self.waiting: dict[int, Peer] = {}
        self._peers: dict[int, Peer] = {}
        self._by_identity: dict[str, Peer] = {}
        self._by_route: dict[bytes, Peer] = {}
        self._taken = 0  # lower numbers are taken, for a process without a key

    def by_route(self, route: bytes) -> Peer | None:
        """Return the worker behind a connection, None if it said no HELLO."""
        return self._by_route.get(route)

    def present(self) -> list[Peer]:
        """Return those members and waiting ones that there is a connection to."""
        return [peer for peer in (*self.members.values(), *self.waiting.values()) if peer.route is not None]

    def routes(self) -> list[tuple[bytes, Peer]]:
        """Return all connections with a session or the wish for one."""
        return list(self._by_route.items())

    def identify(
        self,
        route: bytes,
        key: str | None,
        frame: Frame,
        numbers: int | None = None,
        excused: Callable[[Peer], bool] = lambda peer: False,
    ) -> Peer:
        """Return the worker for which a process says HELLO; a new one gets the lowest free number.

        Where there are so many *numbers*, that of a member which is *excused* and cannot be reached is free, too.

        Raises
        ------
        Rejected
            If another process took its place, or the connection is another one's; or if all numbers are taken.
        """
        token = bytes(frame.payload[:TOKEN_BYTES]).hex()
        behind = self._by_route.get(route)
        if behind is not None and behind.token != token:
            raise Rejected(Reason.FOREIGN, frame)
        identity = f"key:{key}" if key is not None else f"token:{token}"
        peer = self._by_identity.get(identity)
        if peer is None:
            for gone in self._gone(excused) if numbers is not None else ():
                self.drop(gone)
            peer = self._number(identity, numbers, frame)
        if peer.token == token:
            return peer
        if token in peer.retired:
            why = "another worker uses the same key; make one for each: cdq keygen"
            raise Rejected(Reason.REPLACED, frame, why)
        peer.begin_process(token)
        return peer

    def _gone(self, excused: Callable[[Peer], bool]) -> list[Peer]:
        members = self.members.values()
        return [peer for peer in members if peer.route is None and peer.submission is None and excused(peer)]

    def _number(self, identity: str, numbers: int | None, frame: Frame) -> Peer:
        peer = self._lowest_free(identity.startswith("token:"), numbers)
        if peer is None:
            why = "each environment of the job has a worker; one is free when that leaves"
            raise Rejected(Reason.WAIT, frame, why)
        self._by_identity.pop(peer.identity, None)
        self.detach(peer)
        peer.identity, peer.token, peer.retired = identity, "", deque(maxlen=_REMEMBERED)
        self._peers[peer.uid] = self._by_identity[identity] = peer
        return peer

    def _lowest_free(self, by_token: bool, numbers: int | None) -> Peer | None:
        """Return who had the lowest number that can be given, of so many, or somebody new; None: all are taken.

        A key keeps its number, and a process without one while it takes part. Numbers are given without a gap.
        """
        uid = self._taken if by_token else len(self._peers)
        while uid in self._peers and not (by_token and self._is_vacant(self._peers[uid])):
            uid += 1
        if by_token:
            self._taken = uid
        return (self._peers.get(uid) or Peer(uid)) if numbers is None or uid < numbers else None

    def _is_vacant(self, peer: Peer) -> bool:
        takes_part = peer.uid in self.members or peer.uid in self.waiting
        return not takes_part and peer.identity.startswith("token:")

    def stop_waiting(self, peer: Peer) -> None:
        """Take in that a worker does not wait any more: its number may be free."""
        self.waiting.pop(peer.uid, None)
        self._taken = min(self._taken, peer.uid)

    def attach(self, peer: Peer, route: bytes, now: float) -> None:
        """Reach a worker through this connection from now on."""
        former = self._by_route.get(route)
        if former is not None and former is not peer:
            self.detach(former, now)
        if peer.route is not None and peer.route != route:
            del self._by_route[peer.route]
        peer.route, peer.away_since, peer.heard = route, None, now
        self._by_route[route] = peer

    def detach(self, peer: Peer, now: float | None = None) -> None:
        """Take in that a worker cannot be reached: it does not wait any more."""
        if peer.route is not None:
            del self._by_route[peer.route]
        peer.route, peer.away_since = None, now
        self.stop_waiting(peer)

    def join(self, peers: Iterable[Peer]) -> None:
        """Make workers members."""
        last, in_order = next(reversed(self.members), -1), True
        for peer in peers:
            self.waiting.pop(peer.uid, None)
            self.members[peer.uid] = peer
            in_order, last = in_order and peer.uid > last, peer.uid
        if not in_order:  # once for all of them
            self.members = dict(sorted(self.members.items()))

    def drop(self, peer: Peer) -> None:
        """End a worker's membership: its next message is answered with STALE."""
        self.members.pop(peer.uid, None)
        self._taken = min(self._taken, peer.uid)
        peer.incarnation, peer.submission, peer.leaving = 0, None, False

    def status(self, now: float, name_of: Callable[[str], str]) -> dict[str, list[Any]]:
        """Return the numbers of members, of those that delivered or cannot be reached, and of waiting workers.

        `workers` says of some of them, 256 at most, who they are: name of the key, machine, state, and the seconds
        since they were heard.
        """
        members = self.members.values()
        known = islice((*members, *self.waiting.values()), _DESCRIBED)
        return {
            "members": [peer.uid for peer in members],
            "delivered": [peer.uid for peer in members if peer.submission is not None],
            "unreachable": [peer.uid for peer in members if peer.route is None],
            "waiting": sorted(self.waiting),
            "workers": [
                {
                    "uid": peer.uid,
                    "name": name_of(peer.identity.removeprefix("key:"))
                    if peer.identity.startswith("key:")
                    else "",
                    "host": peer.host,
                    "state": self._state_of(peer),
                    "seen": round(max(now - peer.heard, 0.0), 1) if peer.heard else None,
                }
                for peer in known
            ],
        }

    def _state_of(self, peer: Peer) -> str:
        if peer.route is None:
            return "unreachable"
        if peer.uid in self.waiting:
            return "waiting"
        return "learning" if peer.submission is None else "delivered"

    def state(self) -> list[list[Any]]:
        """Return the part of the roster that a restart needs; can be written as JSON."""
        return [
            [peer.uid, peer.identity, peer.token, peer.applied, peer.uid in self.members]
            for peer in self._peers.values()
        ]

    def restore(self, state: Sequence[Sequence[Any]], now: float) -> None:
        """Take back what `state` returned; members are unreachable since now, until they are heard."""
        for uid, identity, token, applied, _ in state:
            peer = Peer(uid, identity, token, applied=applied, away_since=now)
            self._peers[uid] = self._by_identity[identity] = peer
        self.join(self._peers[uid] for uid, *_, member in state if member)
