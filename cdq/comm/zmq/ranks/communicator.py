"""Ranks as processes that a hub connects."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NoReturn

from cdq.comm.base import Call
from cdq.comm.contribution import Received
from cdq.comm.kept import Kept
from cdq.comm.processes import ProcessCommunicator
from cdq.comm.rendezvous import SIZE_VARIABLE, URL, Meeting, rendezvous
from cdq.comm.zmq.address import EXAMPLES, Address, parse
from cdq.comm.zmq.link import Link
from cdq.comm.zmq.ranks.collectives import (
    Mode,
    Why,
    pack_call,
    pack_group,
    pack_lengths,
    pack_loss,
    unpack_loss,
    unpack_parts,
)
from cdq.comm.zmq.ranks.greeting import ANY, Whole, join
from cdq.comm.zmq.ranks.meeting import HostedRelay, meet
from cdq.comm.zmq.ranks.relay import WHOLE
from cdq.comm.zmq.wire import Assembled, Body, Frame, Kind, Rejected, decode, encode, outgoing
from cdq.errors import CollectiveMismatch, CommClosed, CommError, CommTimeout, ConfigError, PeerLost

if TYPE_CHECKING:
    from typing_extensions import Self

SCHEME = "zmq"
RANK_VARIABLE = "CDQ_RANK"  # set by who starts the processes, as SIZE_VARIABLE is
_EMPTY = memoryview(b"")
_GRACE = 1.0  # seconds that the hub has to say who is missing


class ZmqCommunicator(ProcessCommunicator):
    """The rank that this process is, among those that a hub connects.

    As :class:`~cdq.comm.Communicator`. Every collective is one message to the hub and one back.

    Parameters
    ----------
    link : Link
        Link to the hub; shared with communicators that are split from this one.
    whole : Whole
        The hub's number, and this one's rank of the whole.
    members : sequence of int
        Ranks of the whole, in the order of their ranks here.
    timeout : float
        Deadline of each collective, in seconds.
    group : int
        The number of this group.
    parent : ZmqCommunicator, optional
        The communicator that this one was split from.
    relay : HostedRelay, optional
        The hub, where it is in a thread of this process.
    """

    API_VERSION = 1
    at_once = 1 << 14  # beyond, the hub sending all to all costs more than a second message each way

    def __init__(
        self,
        link: Link,
        whole: Whole,
        members: Sequence[int],
        timeout: float,
        *,
        group: int = WHOLE,
        parent: ZmqCommunicator | None = None,
        relay: HostedRelay | None = None,
    ) -> None:
        super().__init__(members.index(whole.rank), len(members), timeout)
        self._link = link
        self._run, self._place = whole
        self._members = tuple(members)
        self._group = group
        self._parent = parent
        self._relay = relay
        self._kept = Kept()

    @classmethod
    def connect(cls, url: str, workers: int, timeout: float) -> Sequence[Self]:
        """Join the hub at `url` and return when all ranks have.

        Raises
        ------
        ConfigError
            If `url` is no address, or the hub has not `workers` ranks.
        CommTimeout
            If the hub does not answer, or not all ranks come.
        """
        if url == URL:
            return [cls._meet(_meeting(workers), timeout)]
        wanted = os.environ.get(RANK_VARIABLE, "")
        rank = int(wanted) if wanted.isdecimal() else ANY
        deadline = time.monotonic() + timeout
        link = Link(_address(url), timeout)
        return [cls(link, join(link, rank, workers, deadline, timeout), range(workers), timeout)]

    @classmethod
    def _meet(cls, meeting: Meeting, timeout: float) -> Self:
        """Join the ranks of a launcher that starts no relay; this process hosts it where it is rank 0."""
        link, whole, relay = meet(meeting, timeout)
        made = cls(link, whole, range(meeting.size), timeout, relay=relay)
        if relay is not None:
            relay.owner = weakref.ref(made)
        return made

    @classmethod
    def ranks(cls, url: str, workers: int | None) -> int:
        """Return how many ranks were started, as environment variables tell (``CDQ_SIZE``), or `workers`."""
        if url == URL:
            return _meeting(workers).size
        _address(url)
        started = os.environ.get(SIZE_VARIABLE, "")
        if workers is not None:
            return workers
        if not started.isdecimal():
            raise ConfigError(
                f"communicator {url!r}: give workers, the number of ranks that the hub waits for"
            )
        return int(started)

    # ---- collectives

    def _gather(self, operation: str, part: memoryview) -> Sequence[Received]:
        return self._with_own(self._collect(operation, part), part)

    def _collect(self, operation: str, part: memoryview) -> list[Received]:
        """Return the parts of all ranks; this rank's, if they are large, is empty, as it does not come back."""
        call = self._begin(operation)
        try:
            parts = unpack_parts(self._converse(call, Mode.GATHER, part), self.size)
        except BaseException as error:
            self._fail(error)
            raise
        self.bytes_sent += part.nbytes * (self.size - 1)
        return [*parts]

    def _alltoall(self, call: Call, parts: Sequence[memoryview]) -> Sequence[Received]:
        if call.root < 0:
            others = [*parts[: self.rank], _EMPTY, *parts[self.rank + 1 :]]
            answer = self._converse(call, Mode.ALLTOALL, pack_lengths(others), *others)
            return self._with_own([*unpack_parts(answer, self.size)], parts[self.rank])
        mine = parts[self.rank] if self.rank == call.root else b""
        return [self._converse(call, Mode.BROADCAST, mine)] * self.size

    def _with_own(self, parts: list[Received], own: memoryview) -> list[Received]:
        """Return parts with this rank's own, if the hub did not send it back; copied, as the caller may change it."""
        if len(own) and not len(parts[self.rank]):
            parts[self.rank] = self._kept.copy(own)
        return parts

    def _merge_by_messages(self, contribution: Any, rule: Any, most: int) -> Any:
        if not hasattr(contribution, "merge_into"):
            return super()._merge_by_messages(contribution, rule, most)
        packed, merged = contribution.begin(self.size)
        parts = [contribution.pack(rank, self.size, self._kept.take(packed)) for rank in range(self.size)]
        own, parts[self.rank] = parts[self.rank], _EMPTY
        received = [*self.alltoall(parts)]
        received[self.rank] = own
        room = self._kept.take(merged)
        part = room[: contribution.merge_into(received, rule, self.rank, self.size, room)]
        slices = self._collect("allgather", part)
        slices[self.rank] = part
        return contribution.join(slices)

    def _converse(self, call: Call, mode: Mode, *body: Received) -> Received:
        """Give the hub this rank's part of a call, and return the answer."""
        deadline = time.monotonic() + self.timeout
        frame = Frame(
            Kind.CONTRIB,
            self._run,
            uid=self._place,
            sequence=call.sequence,
            base=self._group,
        )
        take, check = partial(self._take, call), partial(self._check_open, call)
        with self._link as link:
            check()
            link.send(outgoing(frame, Body(pack_call(call, mode), *body)))
            answer = link.wait(deadline, take, check)
            if answer is None:  # the hub knows who is missing, and tells all that wait
                link.send(encode(frame._replace(kind=Kind.PING)))
                answer = link.wait(deadline + _GRACE, take, check)
        if answer is None:
            raise CommTimeout(f"{call}: the hub did not answer within {self.timeout:g} s")
        return memoryview(answer)

    def _check_open(self, call: Call) -> None:
        if self._closed:
            raise CommClosed(f"{call}: closed by another thread during the call")

    def _take(self, call: Call, data: Received | Assembled) -> Received | None:
        """Return the answer to a call if a message is that; raise if it says that the call failed."""
        try:
            frame = decode(data)
        except Rejected as rejected:
            raise CommError(f"{call}: the hub sent what is no message: {rejected}") from None
        if frame.kind == Kind.WHO:
            raise PeerLost(
                f"{call}: the hub does not know this connection any more: it was cut, or is another hub"
            )
        if (frame.base, frame.sequence) != (self._group, call.sequence):
            return None
        if frame.kind == Kind.LOST:
            self._raise_loss(call, frame.payload)
        return frame.payload if frame.kind == Kind.RESULT else None

    def _raise_loss(self, call: Call, payload: Received) -> NoReturn:
        why, ranks, text = unpack_loss(payload)
        if why == Why.MISMATCH:
            raise CollectiveMismatch(text)
        if why == Why.TIMEOUT:
            seconds = f"within {self.timeout:g} s; raise the timeout if they were only slow"
            raise CommTimeout(f"{call}: {text} {seconds}", ranks)
        raise PeerLost(f"{call}: {text}", ranks)

    def _fail(self, error: BaseException) -> None:
        super()._fail(error)
        if isinstance(error, CommError):
            relative = self._parent
            while relative is not None:
                relative._victim = True
                relative = relative._parent

    # ---- groups and the end

    def _subset(self, members: Sequence[int]) -> ZmqCommunicator | None:
        if not members:
            return None
        ranks = [self._members[rank] for rank in members]
        name = (
            f"{self._group} {self._sequence} {ranks[0]}".encode()
        )  # the same on all members, and on no others
        number = int.from_bytes(blake2b(name, digest_size=8).digest(), "little") or 1
        payload = pack_group(self._group, ranks)
        with self._link as link:
            link.send(encode(Frame(Kind.HELLO, self._run, uid=self._place, base=number, payload=payload)))
        whole = Whole(self._run, self._place)
        return type(self)(self._link, whole, ranks, self.timeout, group=number, parent=self)

    def _close(self) -> None:
        self._leave(Why.CLOSED, "closed its communicator")

    def _abort(self, reason: str) -> None:
        self._leave(Why.FAILED, reason)

    def _leave(self, why: Why, text: str) -> None:
        why = Why.VICTIM if self._is_victim() else why
        frame = Frame(
            Kind.BYE, self._run, uid=self._place, base=self._group, payload=pack_loss(why, (), text)
        )
        if os.getpid() == self._process:  # a fork's sockets are its parent's
            self._link.post(encode(frame), last=self._group == WHOLE)
            if self._relay is not None:
                self._relay.release()

    def _is_victim(self) -> bool:
        """Return True if this rank failed because of another one, whose failure the others are to be sent instead."""
        return self._victim or (self._parent is not None and self._parent._is_victim())


def _meeting(workers: int | None) -> Meeting:
    """Return where the ranks meet; raise `ConfigError` where no launcher tells, or other workers are asked for."""
    meeting = rendezvous()
    if meeting is None:
        raise ConfigError(
            f"communicator {URL!r}: no launcher gave this process one of several ranks, as RANK and WORLD_SIZE do"
        )
    if workers not in {None, meeting.size}:
        raise ConfigError(
            f"workers is {workers}, but {meeting.launcher} started {meeting.size} ranks, one worker each: leave "
            f"workers out, or start {workers}"
        )
    return meeting


def _address(url: str) -> Address:
    if url.removesuffix("://") == SCHEME:
        raise ConfigError(f"communicator {url!r}: give the hub's address, one of {EXAMPLES}")
    return parse(url)
