"""The hub as a machine: membership, rounds and exactly-once, without sockets, clocks or threads.

A contribution counts if it is of the worker's session, has the next number of its sequence, and was learnt from the
table as it is. It is acknowledged, by its result, after the service made the round durable. Members come and go
between rounds only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from itertools import islice
from typing import Any

from cdq.comm.zmq.events import (
    Done,
    Dropped,
    HubAction,
    HubEvent,
    Received,
    Revoked,
    Stop,
    Tick,
    Unreachable,
)
from cdq.comm.zmq.wire import Body, Frame, Kind, Reason, Rejected, decode
from cdq.job.membership.events import PICTURE, HubSettings, HubState, Refused, Service, Submission
from cdq.job.membership.fence import accept, admit, check
from cdq.job.membership.replies import Replies
from cdq.job.membership.roster import Peer, Roster
from cdq.job.membership.together import end_sessions, must_begin_again
from cdq.job.membership.welcomes import Welcomes


class HubMachine:
    """Keeps the rounds of a job.

    The generation counts the starts of the hub: save `state()` before the first step, as the service does with each
    round, so that the next start has another one.

    Parameters
    ----------
    service : Service
        Service that checks, applies and answers contributions.
    settings : HubSettings
        Rules by which rounds are kept.
    run : int
        The job's number, random, of 64 bits and not 0.
    restored : dict, optional
        State that `state` returned when the last durable round was closed; its number of the job replaces *run*.
    now : float
        Time, by any clock that does not go back.

    Attributes
    ----------
    generation, epoch, version : int
        Number of starts of the hub, of changes of the membership, and of changes of the table.
    counts : Counter
        Frames and bytes received, frames refused by reason, contributions applied, sessions, evictions.
    """

    def __init__(
        self,
        service: Service,
        settings: HubSettings,
        run: int,
        restored: HubState | None = None,
        now: float = 0.0,
    ) -> None:
        self.run, self.generation, self.epoch, self.version = run, 1, 0, 0
        self._replies = Replies()
        self.counts = self._replies.counts
        self._service, self._settings = service, settings
        self._roster, self._welcomes, self._sessions = Roster(), Welcomes(), 0
        # Whether there are live members for a round, for all that is known: nobody was lost since they were counted.
        self._enough = False
        self._awaited = 0  # contributions that must come before all have: at least so many
        self._round_began = self._now = now
        self._finished_at: float | None = None
        self._spent: list[Any] = []  # of the last round, till a tick: giving large memory back takes time
        self._handlers: dict[int, Callable[[Frame, Peer], None]] = {
            Kind.CONTRIB: self._take_contribution,
            Kind.PING: self._answer_ping,
            Kind.PONG: lambda frame, peer: None,
            Kind.BYE: self._bid_farewell,
        }
        if restored is not None:
            self.run, self.epoch, self.version = restored["run"], restored["epoch"], restored["version"]
            self.generation = restored["generation"] + 1
            self._roster.restore(restored["peers"], now)

    def state(self) -> HubState:
        """Return the state that a restart needs; can be written as JSON."""
        numbers = {"generation": self.generation, "epoch": self.epoch, "version": self.version}
        return {"run": self.run, **numbers, "peers": self._roster.state()}

    def status(self, picture: bool = False) -> dict[str, Any]:
        """Return the public state of the hub, with the picture of its job if that is wanted; can be written as JSON."""
        numbers = {"generation": self.generation, "epoch": self.epoch, "version": self.version}
        told = {"run": f"{self.run:016x}", **numbers, "least": self._settings.min_members}
        told |= self._roster.status(self._now, self._settings.name_of)
        told |= {"counts": dict(self.counts), "service": self._service.status()}
        return told | {"picture": self._service.picture()} if picture else told

    def step(self, event: HubEvent) -> list[HubAction]:
        """Take in an event, and return the actions to take, in order."""
        self._now = event.now
        self._enough = self._enough and isinstance(event, Received)
        if isinstance(event, Received):
            self._receive(event)
        elif isinstance(event, Tick):
            self._tick(event.unread)
        elif isinstance(event, Dropped):
            self._replies.count_refused(event.why)
        elif isinstance(event, Unreachable):
            self._lose(event.route)
        elif isinstance(event, Revoked):
            self._revoke(event.keys)
        elif isinstance(event, Stop):
            self._replies.add(Done())
        return self._replies.take()

    # ---- messages

    def _receive(self, event: Received) -> None:
        route = event.route
        peer = self._roster.by_route(route)
        self.counts["frames"] += 1
        self.counts["bytes"] += len(event.data)
        try:
            frame = decode(
                event.data, lambda frame: accept(self._service, frame, peer, self.run, self.generation)
            )
            if frame.kind == Kind.HELLO:
                self._greet(frame, event)
            elif frame.kind == Kind.STATUS:
                reply = json.dumps(self.status(frame.payload == PICTURE)).encode()
                self._replies.send(route, Frame(Kind.STATUS_REPLY, self.run, self.generation, payload=reply))
            elif peer is not None:
                peer.heard, peer.unread = self._now, event.unread
                self._handlers[frame.kind](frame, peer)
        except Rejected as rejected:
            self._replies.refuse(rejected, route, self.run, self.generation)

    def _greet(self, frame: Frame, event: Received) -> None:
        if frame.run not in {0, self.run}:
            raise Rejected(Reason.RUN, frame, "this hub has another job")
        host = admit(self._service, frame)
        peer = self._roster.identify(event.route, event.key, frame, self._settings.numbers, self._excused)
        peer.host = host
        moved = peer.route != event.route
        self._roster.attach(peer, event.route, self._now)
        peer.unread = event.unread
        if peer.uid in self._roster.members:
            self._welcome_back(peer, frame, moved)
            return
        self._roster.waiting[peer.uid] = peer
        self._admit_if_short()
        if peer.uid in self._roster.waiting:
            raise Rejected(Reason.WAIT, frame, "the hub lets workers in between rounds, when it has place")

    def _welcome_back(self, peer: Peer, frame: Frame, moved: bool) -> None:
        """Answer a member's HELLO; one that had this session asks for another, the rest for what was lost."""
        if not moved and not self._welcomes.may_ask(peer, self._now):
            return  # it asks again
        if (frame.generation, frame.incarnation) == (self.generation, peer.incarnation):
            peer.incarnation = 0
        if not peer.incarnation or moved or self._now - peer.welcomed >= self._settings.resend:
            self._welcome(peer)

    def _welcome(self, peer: Peer) -> None:
        """Send a member all that it begins with; later, if there is much on its way to others."""
        if self._service.together:  # who begins anew cannot play on with the others
            self._begin_again()
            return
        if not self._welcomes.has_room:
            self._welcomes.line[peer.uid] = peer
            return
        if not peer.incarnation:
            self._sessions += 1
            peer.incarnation = self._sessions
            self.counts["sessions"] += 1
        peer.welcomed = self._now
        body = Body(self._service.welcome(peer.uid, self._roster.members))
        self._welcomes.sent(body.length)
        self._tell(peer, Kind.WELCOME, peer.applied, body)

    # ---- contributions

    def _take_contribution(self, frame: Frame, peer: Peer) -> None:
        if frame.sequence <= peer.applied:
            self._answer_ping(frame, peer)
            return
        if frame.sequence > peer.applied + 1:
            raise Rejected(Reason.GAP, frame)
        if peer.submission is not None:
            return  # again: it is here
        if not self._settings.asynchronous and frame.base != self.version:
            raise Rejected(Reason.STALE, frame)
        submission = Submission(frame.payload, frame.sequence, frame.base)
        check(self._service, peer.uid, submission, frame)
        if self._settings.asynchronous:
            self._apply_single(frame, peer, submission)
            return
        peer.submission = submission
        self._awaited -= 1
        if self._awaited <= 0:
            self._close_if_all_came()

    def _apply_single(self, frame: Frame, peer: Peer, submission: Submission) -> None:
        former = peer.applied, self.version
        peer.applied, self.version = submission.sequence, self.version + 1
        try:
            payload = self._service.single(peer.uid, submission, self.state)
        except Refused as refused:
            peer.applied, self.version = former
            raise Rejected(Reason.STALE, frame, str(refused)) from None
        self._acknowledge(peer, Body(payload))

    def _answer_ping(self, frame: Frame, peer: Peer) -> None:
        """Say what has come; if it is acknowledged, send the acknowledgement again."""
        known = frame.sequence == peer.applied and peer.result is not None
        if known and not peer.unread and self._now - peer.answered >= self._settings.resend:
            self._send_result(peer)
        else:
            self._tell(peer, Kind.PONG, peer.applied + (peer.submission is not None), base=frame.sequence)

    def _acknowledge(self, peer: Peer, result: Body) -> None:
        self.counts["applied"] += 1
        peer.result = (result, self.version)
        self._send_result(peer)

    def _send_result(self, peer: Peer) -> None:
        peer.answered = self._now
        if peer.result is not None:
            self._tell(peer, Kind.RESULT, peer.applied, *peer.result)

    # ---- rounds

    def _excused(self, peer: Peer) -> bool:
        away = peer.away_since
        return peer.leaving or (away is not None and self._now - away >= self._settings.grace)

    def _is_live(self, peer: Peer) -> bool:
        """Return True for who has delivered, or is to be waited for."""
        return peer.submission is not None or not self._excused(peer)

    def _close_if_all_came(self) -> None:
        """Close the round if nobody is missing; else look again when so many have come: each time takes all members."""
        self._awaited = sum(peer.submission is None for peer in self._roster.members.values())
        if not self._awaited:
            self._close_if_ready()

    def _close_if_ready(self) -> None:
        """Close the round if all have delivered, or enough have and the others need not be waited for."""
        members = self._roster.members.values()
        delivered = [peer for peer in members if peer.submission is not None]
        waited, limit = self._now - self._round_began, self._settings.round_timeout or float("inf")
        if self._service.together and must_begin_again(self._service, members, waited, limit):
            self._begin_again()
        elif len(delivered) >= max(self._settings.min_members, self._service.together, 1) and (
            waited >= limit or all(peer.submission is not None or self._excused(peer) for peer in members)
        ):
            self._close(delivered)

    def _close(self, delivered: list[Peer]) -> None:
        submissions = {peer.uid: peer.submission for peer in delivered if peer.submission is not None}
        absent = [peer for peer in self._roster.members.values() if peer.submission is None]
        leaving = [peer for peer in delivered if peer.leaving]
        for peer in delivered:
            peer.applied, peer.submission = peer.applied + 1, None
        for peer in absent:
            self._evict(peer)
        for peer in leaving:
            del self._roster.members[peer.uid]
        joining = self._let_in()
        self.version += 1
        self.epoch += bool(absent or leaving or joining)
        self._round_began, self._enough = self._now, False
        results = self._service.close_round(tuple(self._roster.members), submissions, self.state)
        self._spent = [submissions, [peer.result for peer in delivered]]
        for peer in delivered:
            self._acknowledge(peer, results[peer.uid])
        for peer in leaving:
            self._roster.drop(peer)
        for peer in joining:
            self._welcome(peer)

    def _begin_again(self) -> None:
        """Let members begin from the last round again, as those who do their work together cannot end it."""
        self._service.break_up()
        self._replies.note(logging.INFO, "workers that play together begin again")
        self.epoch += 1
        self._round_began, self._awaited = self._now, 0
        for peer in end_sessions(self._roster, self._excused, self._evict):
            self._welcome(peer)

    def _evict_absent(self) -> None:
        """End the membership of those who need not be waited for: others may take their places."""
        for peer in [peer for peer in self._roster.members.values() if not self._is_live(peer)]:
            self._evict(peer)
            self.epoch += 1

    def _evict(self, peer: Peer) -> None:
        self.counts["evicted"] += peer.has_come  # else it is one of the last start
        self._replies.note(*peer.loss, uid=peer.uid, reachable=peer.route is not None)
        self._roster.drop(peer)

    def _let_in(self) -> list[Peer]:
        """Make waiting workers members, as far as there is room."""
        room = self._settings.max_members - len(self._roster.members)
        joining = [peer for peer in self._roster.waiting.values() if peer.route is not None][: max(room, 0)]
        self._roster.join(joining)
        for peer in joining:
            self._replies.note(logging.INFO, "worker joins", uid=peer.uid)
        return joining

    def _admit_if_short(self) -> None:
        """Let workers in at once where there are too few for a round, or none are needed for it."""
        rounds = not (self._settings.asynchronous or self._service.finished)
        if rounds and (self._enough or not self._is_short()):
            return
        if not self._roster.waiting:
            return
        if not self._enough:
            self._evict_absent()
        self._enough, self.epoch = True, self.epoch + 1
        for peer in self._let_in():
            self._welcome(peer)

    def _is_short(self) -> bool:
        """Return whether a round has too few workers, and those that wait are enough for it."""
        roster, least = self._roster, self._settings.min_members
        live = sum(1 for _ in islice(filter(self._is_live, roster.members.values()), max(least, 1)))
        if not live and least <= len(roster.waiting):
            self._round_began = self._now
        self._enough = live >= least
        return live < least <= live + len(roster.waiting)

    # ---- coming and going

    def _tick(self, under_way: int) -> None:
        self._welcomes.under_way, settings = under_way, self._settings
        self._spent.clear()
        for peer in self._roster.present():
            if self._now - peer.heard >= settings.ping_interval:
                peer.heard = self._now
                self._tell(peer, Kind.PING)
        self._close_if_ready()
        for peer in self._welcomes.next(self._roster.members):
            self._welcome(peer)
        if self._roster.waiting:
            self._admit_if_short()
        if self._service.finished:
            self._finished_at = self._now if self._finished_at is None else self._finished_at
            here = any(peer.route or not self._excused(peer) for peer in self._roster.members.values())
            if not here or self._now - self._finished_at >= settings.grace:
                self._replies.add(Done())

    def _lose(self, route: bytes) -> None:
        peer = self._roster.by_route(route)
        if peer is not None:
            self._roster.detach(peer, self._now)
            self._replies.note(logging.INFO, "worker cannot be reached", uid=peer.uid)

    def _bid_farewell(self, frame: Frame, peer: Peer) -> None:
        if peer.route is not None:
            self._replies.send(peer.route, frame)
        self._enough = False
        self._roster.stop_waiting(peer)
        self._replies.note(logging.INFO, "worker leaves", uid=peer.uid)
        if peer.submission is not None:
            peer.leaving = True
        elif peer.uid in self._roster.members:
            self._roster.drop(peer)
            self.epoch += 1
            self._close_if_ready()
        else:
            peer.incarnation = 0

    def _revoke(self, keys: frozenset[str]) -> None:
        """End the sessions of keys: what they have delivered to the open round is void."""
        for route, peer in self._roster.routes():
            if peer.identity.removeprefix("key:") in keys:
                self._lose(route)
                self._roster.drop(peer)
                self.epoch += 1
        self._close_if_ready()

    # ---- out

    def _tell(
        self, peer: Peer, kind: Kind, sequence: int = 0, body: Body | None = None, base: int | None = None
    ) -> None:
        if peer.route is not None:
            session = (self.run, self.generation, self.epoch, peer.uid, peer.incarnation)
            version = self.version if base is None else base
            self._replies.send(peer.route, Frame(kind, *session, sequence, version), body)
