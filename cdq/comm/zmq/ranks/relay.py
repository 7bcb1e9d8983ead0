"""The hub of a fixed number of ranks, as a machine: it carries collectives, and knows present and lost ranks.

A rank has one call at a time in each group. When all members of a group have called, the calls are compared and each
gets its answer; when one is gone, those that called hear of it, and so do those that call later. Nothing is sent
again: a connection that breaks is a rank that is lost.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cdq.comm.contribution import Received as Payload
from cdq.comm.zmq.events import (
    TOKEN_BYTES,
    Done,
    Dropped,
    HubAction,
    HubEvent,
    Note,
    Received,
    Send,
    Stop,
    Tick,
    Unreachable,
)
from cdq.comm.zmq.ranks.collectives import (
    SIZE,
    WANTED_RANK,
    Mode,
    Request,
    Why,
    pack_lengths,
    pack_loss,
    unpack_call,
    unpack_group,
    unpack_loss,
    unpack_parts,
)
from cdq.comm.zmq.wire import (
    LARGEST_WHOLE,
    Body,
    Frame,
    Kind,
    Message,
    Reason,
    Rejected,
    decode,
    encode,
    outgoing,
    pack_reason,
)

WHOLE = 0  # the group of all ranks
_PING_INTERVAL = 0.25
_MOST_GROUPS = 1 << 16  # at once
_HELLO = TOKEN_BYTES + WANTED_RANK.size  # bytes of a greeting; the number of ranks may follow


@dataclass
class _Group:
    """Ranks that make collectives together.

    Attributes
    ----------
    parent : _Group or None
        Group that this one was split from: a rank that is lost there is lost here.
    members : tuple of int
        Ranks of the whole, in order of the ranks here.
    calls : dict of int to Request
        Calls that are under way, by member.
    gone : dict of int to (Why, str)
        Members that are lost, each with the kind and the text of the reason.
    """

    parent: _Group | None
    members: tuple[int, ...]
    calls: dict[int, Request] = field(default_factory=dict)
    gone: dict[int, tuple[Why, str]] = field(default_factory=dict)

    def losses(self) -> dict[int, tuple[Why, str]]:
        """Return the members that are lost, here or in the group that this one was split from."""
        above = {} if self.parent is None else self.parent.losses()
        return {rank: above[rank] for rank in self.members if rank in above} | self.gone

    def culprits(self) -> dict[int, str]:
        """Return the ranks to be named as lost: victims of others only if there is nobody else."""
        losses = self.losses()
        causes = {rank: why for rank, (kind, why) in losses.items() if kind != Why.VICTIM}
        return causes or {rank: why for rank, (_, why) in losses.items()}


class RelayMachine:
    """Carries the collectives of `size` ranks.

    Parameters
    ----------
    size : int
        Number of ranks; more are refused.
    run : int
        Random, of 64 bits and not 0.
    """

    def __init__(self, size: int, run: int) -> None:
        self.size, self.run = size, run
        self.counts: Counter[str] = Counter()
        self._routes: dict[int, bytes] = {}
        self._ranks: dict[bytes, int] = {}
        self._tokens: dict[int, bytes] = {}
        self.turned_away = ""  # why the last one was that asked for a rank
        self._groups = {WHOLE: _Group(None, tuple(range(size)))}
        self._complete = False
        self._next_ping = 0.0
        self._actions: list[HubAction] = []

    def step(self, event: HubEvent) -> list[HubAction]:
        """Take in an event, and return the actions to take, in order."""
        self._actions = []
        if isinstance(event, Received):
            self._receive(event)
        elif isinstance(event, Tick):
            self._tick(event.now)
        elif isinstance(event, Unreachable):
            self._lose(event.route)
        elif isinstance(event, Dropped):
            self.counts[f"refused {event.why}"] += 1
        elif isinstance(event, Stop):
            self._actions.append(Done())
        return self._actions

    def status(self) -> dict[str, Any]:
        """Return the public state of the hub; can be written as JSON."""
        return {"size": self.size, "ranks": sorted(self._routes), "counts": dict(self.counts)}

    # ---- messages

    def _receive(self, event: Received) -> None:
        self.counts["frames"] += 1
        try:
            frame = decode(event.data, lambda frame: self._accept(frame, event.route))
            if frame.kind == Kind.STATUS:
                reply = json.dumps(self.status()).encode()
                self._actions.append(
                    Send(event.route, encode(Frame(Kind.STATUS_REPLY, self.run, payload=reply)))
                )
            elif frame.kind == Kind.HELLO and event.route not in self._ranks:
                self._greet(frame, event.route)
            else:
                self._take(frame, self._ranks[event.route])
        except Rejected as rejected:
            self._refuse(rejected, event.route)

    def _accept(self, frame: Frame, route: bytes) -> None:
        if frame.kind == Kind.STATUS:
            return
        rank = self._ranks.get(route)
        if rank is None and frame.kind != Kind.HELLO:
            raise Rejected(Reason.SESSION, frame)
        if rank is not None and self._complete and (frame.run, frame.uid) != (self.run, rank):
            raise Rejected(Reason.FOREIGN, frame)

    def _refuse(self, rejected: Rejected, route: bytes) -> None:
        self.counts[f"refused {rejected.reason.name}"] += 1
        if rejected.reason == Reason.SESSION:
            self._actions.append(Send(route, encode(Frame(Kind.WHO, self.run))))
        elif rejected.reason in {Reason.REFUSED, Reason.VERSION}:
            payload = pack_reason(rejected.reason, str(rejected))
            self._actions.append(Send(route, encode(Frame(Kind.NACK, self.run, payload=payload))))

    def _take(self, frame: Frame, rank: int) -> None:
        if frame.kind == Kind.HELLO:
            self._make_group(frame, rank)
            return
        group = self._groups.get(frame.base)
        if group is None or rank not in group.members:
            raise Rejected(Reason.CONTENT, frame)
        if frame.kind == Kind.CONTRIB:
            self._call(frame, group, rank)
        elif frame.kind == Kind.PING:
            self._give_up(frame.base, group, rank)
        elif frame.kind == Kind.BYE:
            self._leave(frame, group, rank)

    def _send(self, rank: int, data: Payload | Message) -> None:
        route = self._routes.get(rank)
        if route is not None:
            self.counts["bytes sent"] += len(data)
            self._actions.append(Send(route, data))

    # ---- coming and going

    def _greet(self, frame: Frame, route: bytes) -> None:
        """Give a process its rank; when all have come, all begin."""
        if len(frame.payload) not in {_HELLO, _HELLO + SIZE.size}:
            raise Rejected(Reason.CONTENT, frame)
        token = frame.payload[:TOKEN_BYTES]
        (wanted,) = WANTED_RANK.unpack_from(frame.payload, TOKEN_BYTES)
        if self._complete and wanted in self._tokens and wanted not in self._routes:
            return  # it left and comes again, to the relay that follows when all have left
        if not self._complete and wanted in self._routes and self._tokens[wanted] == token:
            self._forget(wanted)  # the same process, by a new connection
        free = [rank for rank in range(self.size) if rank not in self._routes]
        why = self._objection(wanted, free, frame.payload[_HELLO:])
        if why:
            self.turned_away = why
            raise Rejected(Reason.REFUSED, frame, why)
        rank = wanted if wanted >= 0 else free[0]
        self._routes[rank], self._ranks[route], self._tokens[rank] = route, rank, bytes(token)
        if len(free) == 1:
            self._complete = True
            for each in range(self.size):
                self._send(
                    each, encode(Frame(Kind.WELCOME, self.run, uid=each, payload=SIZE.pack(self.size)))
                )

    def _objection(self, wanted: int, free: Sequence[int], told: Payload) -> str:
        """Return why a process cannot have a rank; empty if it can."""
        size = SIZE.unpack(told)[0] if told else self.size
        if size != self.size:
            ranks = f"{self.size} rank{'s' * (self.size > 1)}"
            return f"workers is {size}, but the hub has {ranks}, one worker each"
        if wanted >= self.size:
            return f"rank {wanted} is none of the hub, which has {self.size} ranks, from 0"
        if wanted >= 0 and wanted not in free:
            return f"rank {wanted} has come already; are two processes started with this rank?"
        come = self._complete or not free
        return f"the {self.size} ranks of this hub have come already" if come else ""

    def missing(self) -> list[int]:
        """Return the ranks that have not come; those that are gone where all have."""
        ranks = range(self.size)
        never = [rank for rank in ranks if rank not in self._tokens]
        return never or [rank for rank in ranks if rank not in self._routes]

    def _make_group(self, frame: Frame, rank: int) -> None:
        parent, members = unpack_group(frame.payload)
        if parent not in self._groups or rank not in members or frame.base == WHOLE:
            raise Rejected(Reason.CONTENT, frame)
        if len(set(members)) < len(members) or not set(members) <= set(self._groups[parent].members):
            raise Rejected(Reason.CONTENT, frame)
        if len(self._groups) > _MOST_GROUPS:
            raise Rejected(Reason.CONTENT, frame)
        group = self._groups.setdefault(frame.base, _Group(self._groups[parent], members))
        if group.members != members:
            raise Rejected(Reason.CONTENT, frame)

    def _leave(self, frame: Frame, group: _Group, rank: int) -> None:
        why, _, text = unpack_loss(frame.payload)
        if self._complete:
            group.gone[rank] = (why, text)
            self._tell_losses()
        if group is self._groups[WHOLE]:
            self._forget(rank)
        elif len(group.gone) == len(group.members):
            del self._groups[frame.base]

    def _lose(self, route: bytes) -> None:
        rank = self._ranks.get(route)
        if rank is None:
            return
        if self._complete:
            # All ranks are told, which is louder.
            self._actions.append(Note(logging.INFO, "rank cannot be reached", {"rank": rank}))
            self._groups[WHOLE].gone[rank] = (
                Why.FAILED,
                "its process cannot be reached: it ended or was cut off",
            )
            self._tell_losses()
        self._forget(rank)

    def _forget(self, rank: int) -> None:
        del self._ranks[self._routes.pop(rank)]
        if self._complete and not self._routes:
            self._actions.append(Done())

    def _tick(self, now: float) -> None:
        """Try whether the ranks can be reached."""
        if now >= self._next_ping:
            self._next_ping = now + _PING_INTERVAL
            for rank in list(self._routes):
                self._send(rank, encode(Frame(Kind.PING, self.run)))

    # ---- collectives

    def _call(self, frame: Frame, group: _Group, rank: int) -> None:
        request = unpack_call(frame.payload, frame.sequence)
        if rank in group.calls or not -1 <= request.call.root < len(group.members):
            raise Rejected(Reason.CONTENT, frame)
        if request.mode == Mode.ALLTOALL:
            unpack_parts(request.body, len(group.members))
        group.calls[rank] = request
        if len(group.calls) == len(group.members):
            self._answer(frame.base, group)
        elif group.losses():
            self._fail_for_losses(frame.base, group)

    def _answer(self, number: int, group: _Group) -> None:
        requests = [group.calls[rank] for rank in group.members]
        first = requests[0]
        if any((request.call, request.mode) != (first.call, first.mode) for request in requests):
            calls = "; ".join(f"rank {rank}: {request.call}" for rank, request in enumerate(requests))
            self._fail(number, group, Why.MISMATCH, (), f"the ranks made different calls: {calls}")
            return
        group.calls = {}
        answer = Frame(Kind.RESULT, self.run, sequence=first.call.sequence, base=number)
        if first.mode == Mode.ALLTOALL:
            self._answer_each(answer, group, requests)
            return
        bodies = [request.body for request in requests]
        if first.mode == Mode.BROADCAST:
            self._answer_all(group, outgoing(answer, Body(bodies[first.call.root])))
        elif sum(map(len, bodies)) > LARGEST_WHOLE:  # each rank has its own part
            for place, rank in enumerate(group.members):
                others = [*bodies[:place], b"", *bodies[place + 1 :]]
                self._send(rank, outgoing(answer, Body(pack_lengths(others), *others)))
        else:
            self._answer_all(group, encode(answer, Body(pack_lengths(bodies), *bodies)))

    def _answer_all(self, group: _Group, data: Payload | Message) -> None:
        for rank in group.members:
            self._send(rank, data)

    def _answer_each(self, answer: Frame, group: _Group, requests: Sequence[Request]) -> None:
        rows = [unpack_parts(request.body, len(group.members)) for request in requests]
        for column, rank in enumerate(group.members):
            parts = [row[column] for row in rows]
            self._send(rank, outgoing(answer, Body(pack_lengths(parts), *parts)))

    # ---- failures

    def _fail(self, number: int, group: _Group, why: Why, ranks: Sequence[int], text: str) -> None:
        """Send a failure to all that called; *ranks* are those of the group."""
        payload = pack_loss(why, ranks, text)
        calls, group.calls = group.calls, {}
        for rank, request in calls.items():
            self._send(
                rank,
                encode(
                    Frame(Kind.LOST, self.run, sequence=request.call.sequence, base=number, payload=payload)
                ),
            )

    def _tell_losses(self) -> None:
        for number, group in list(self._groups.items()):
            if group.calls and group.losses():
                self._fail_for_losses(number, group)

    def _fail_for_losses(self, number: int, group: _Group) -> None:
        places = {rank: place for place, rank in enumerate(group.members)}
        culprits = {places[rank]: why for rank, why in sorted(group.culprits().items())}
        text = "; ".join(f"rank {place}: {why}" for place, why in culprits.items())
        self._fail(number, group, Why.FAILED, sorted(culprits), text)

    def _give_up(self, number: int, group: _Group, rank: int) -> None:
        """End a call whose deadline passed for a rank: all that called are sent the names of those that did not."""
        if rank not in group.calls:
            return  # the answer is on its way
        missing = [place for place, member in enumerate(group.members) if member not in group.calls]
        names = f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
        for member in group.calls:
            group.gone[member] = (Why.FAILED, f"gave up waiting for {names}")
        self._fail(number, group, Why.TIMEOUT, missing, f"{names} did not come")
