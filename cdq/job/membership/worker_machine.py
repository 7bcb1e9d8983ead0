"""The worker's side as a machine: joins, submits, resends until it is acknowledged; no sockets, clocks or threads."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from functools import cached_property

from cdq.comm.contribution import Received
from cdq.comm.zmq.events import TOKEN_BYTES, Tick
from cdq.comm.zmq.wire import Frame, Kind, Reason, Rejected, decode, outgoing, unpack_reason
from cdq.errors import CommClosed
from cdq.job.membership.events import (
    Again,
    Arrived,
    Deliver,
    Failed,
    Joined,
    Leave,
    Left,
    Submission,
    Submit,
    WorkerAction,
    WorkerEvent,
)

_FATAL = frozenset(
    {
        Reason.VERSION,
        Reason.RUN,
        Reason.TOO_LONG,
        Reason.CONTENT,
        Reason.REFUSED,
        Reason.REPLACED,
    }
)


class Phase(Enum):
    """Phase of a worker's session."""

    JOINING = auto()
    JOINED = auto()
    LEAVING = auto()
    ENDED = auto()


class WorkerMachine:
    """One worker's session with a hub; it may join again and again, as the same process.

    Parameters
    ----------
    hello : bytes
        Description of the worker, for the service.
    token : bytes of length 16
        Random bytes by which the hub knows the process.
    seed : int
        Seed of the jitter in the times of sending again, so that many workers do not send at once.
    first_retry, last_retry : float
        Seconds after which something is sent again: at first, and at most.

    Attributes
    ----------
    phase : Phase
        Phase of the session.
    uid, applied, version : int
        Number of the worker, the last of its contributions that counts, the version of the table that it knows.
    run, generation : int
        The job, and the start of the hub, 0 before they are known.
    waiting_for : str
        The hub's reason for not letting this worker in yet.
    counts : Counter
        Frames refused by reason, sessions, messages sent again.
    """

    def __init__(
        self, hello: bytes, token: bytes, seed: int, first_retry: float = 0.25, last_retry: float = 4.0
    ) -> None:
        if len(token) != TOKEN_BYTES:
            raise ValueError(f"a token has {TOKEN_BYTES} bytes; got {len(token)}")
        self.phase = Phase.JOINING
        self.uid = self.applied = self.version = self.run = self.generation = 0
        self.waiting_for = ""
        self.counts: Counter[str] = Counter()
        self._hello = token + hello
        self._random = random.Random(seed)
        self._first_retry, self._last_retry = first_retry, last_retry
        self._retry, self._next_try = first_retry, -1e9
        self._epoch = self._incarnation = 0
        self._pending: Submission | None = None
        self._bound = False  # whether that is void with the session
        self._actions: list[WorkerAction] = []
        self._now = 0.0

    @property
    def pending(self) -> bool:
        """True while a contribution is not acknowledged."""
        return self._pending is not None

    def step(self, event: WorkerEvent) -> list[WorkerAction]:
        """Take in an event, and return the actions to take, in order."""
        self._now = event.now
        if self.phase is Phase.ENDED:
            pass
        elif isinstance(event, Arrived):
            self._receive(event)
        elif isinstance(event, Tick):
            self._tick()
        elif isinstance(event, Submit):
            self._submit(event)
        elif isinstance(event, Again):
            self._incarnation, self._pending = 0, None
            self._lose_session()
        elif isinstance(event, Leave):
            self.phase = Phase.LEAVING
            self._send(Kind.BYE)
            self._wait_anew()
        actions, self._actions = (
            self._actions,
            [],
        )  # what is in them may be large, and is not to be held longer
        return actions

    def _submit(self, event: Submit) -> None:
        """Send a contribution, at once or after joining, and keep it until it is acknowledged or void."""
        if self._pending is not None:
            raise CommClosed("a contribution is under way; wait for its result before the next one")
        self._pending, self._bound = Submission(event.payload, self.applied + 1, event.base), event.bound
        if self.phase is Phase.JOINED:
            self._send_pending()
            self._wait_anew()

    # ---- messages

    @cached_property
    def _handlers(self) -> dict[int, Callable[[Frame], None]]:
        return {
            Kind.WELCOME: self._join,
            Kind.RESULT: self._deliver,
            Kind.NACK: self._hear_refusal,
            Kind.WHO: lambda frame: self._lose_session(),
            Kind.PING: lambda frame: self._send(Kind.PONG),
            Kind.PONG: self._compare,
            Kind.BYE: lambda frame: self._end(Left()),
        }

    def _receive(self, event: Arrived) -> None:
        try:
            frame = decode(event.data, self._accept)
        except Rejected as rejected:
            self.counts[f"refused {rejected.reason.name}"] += 1
            return
        self._handlers[frame.kind](frame)

    def _accept(self, frame: Frame) -> None:
        kind = frame.kind
        if kind not in self._handlers:
            raise Rejected(Reason.KIND, frame)
        if kind in {Kind.WHO, Kind.NACK} or (kind == Kind.BYE and self.phase is Phase.LEAVING):
            return
        if self.run and frame.run != self.run:
            raise Rejected(Reason.RUN, frame)
        session = (frame.generation, frame.incarnation)
        mine = (self.generation, self._incarnation)
        if session <= mine if kind == Kind.WELCOME else session != mine:
            raise Rejected(Reason.STALE, frame)

    def _join(self, frame: Frame) -> None:
        if self.phase is Phase.LEAVING:
            return
        first, former = not self._incarnation, (self.uid, self.applied, self.version)
        self.phase, self.waiting_for = Phase.JOINED, ""
        self.run, self.generation, self._epoch = frame.run, frame.generation, frame.epoch
        self.uid, self._incarnation = frame.uid, frame.incarnation
        self.applied, self.version = frame.sequence, frame.base
        self.counts["sessions"] += 1
        self._wait_anew()
        pending = self._pending
        if first or not self._goes_on(former, pending):
            self._pending = None
            self._actions.append(Joined(frame.payload, self.uid, self.applied, self.version))
        elif pending is not None:
            self._send_pending()

    def _goes_on(self, former: tuple[int, int, int], pending: Submission | None) -> bool:
        """Return True if the table still fits what this worker has submitted, or is learning."""
        now = (self.uid, self.applied, self.version)
        fits = pending is None or (pending.base == self.version and not self._bound)
        return former == now and fits

    def _deliver(self, frame: Frame) -> None:
        pending = self._pending
        if pending is None or frame.sequence != pending.sequence:
            return
        self.applied, self.version, self._epoch = frame.sequence, frame.base, frame.epoch
        self._pending = None
        self._actions.append(Deliver(frame.payload, frame.base))

    def _compare(self, frame: Frame) -> None:
        """Send the contribution again if it has not come; an answer to what was asked before it says nothing of it."""
        pending = self._pending
        asked = pending is not None and frame.base == pending.sequence
        if pending is not None and asked and self.phase is Phase.JOINED and frame.sequence < pending.sequence:
            self.counts["sent again"] += 1
            self._send_pending()

    def _hear_refusal(self, frame: Frame) -> None:
        reason, text = unpack_reason(frame.payload)
        if reason in _FATAL:
            self._end(Failed(Reason(reason), text))
        elif reason == Reason.WAIT:
            self.waiting_for = text
        elif (frame.generation, frame.incarnation) == (self.generation, self._incarnation):
            self._lose_session()

    def _lose_session(self) -> None:
        if self.phase is Phase.LEAVING:
            self._end(Left())
        elif self.phase is Phase.JOINED:
            self.phase = Phase.JOINING
            self._wait_anew()
            self._send_hello()

    def _end(self, action: WorkerAction) -> None:
        self.phase = Phase.ENDED
        self._actions.append(action)

    # ---- what is sent again

    def _tick(self) -> None:
        if self._now < self._next_try:
            return
        if self.phase is Phase.JOINING:
            self._send_hello()
        elif self.phase is Phase.LEAVING:
            self._send(Kind.BYE)
        elif self._pending is not None:
            self._send(Kind.PING, self._pending.sequence)
        self._wait_longer()

    def _wait_anew(self) -> None:
        self._retry = self._first_retry
        self._wait_longer()

    def _wait_longer(self) -> None:
        self._next_try = self._now + self._retry * self._random.uniform(0.75, 1.25)
        self._retry = min(2.0 * self._retry, self._last_retry)

    # ---- out

    def _send_hello(self) -> None:
        self._send(Kind.HELLO, payload=self._hello)

    def _send_pending(self) -> None:
        if self._pending is not None:
            payload, sequence, base = self._pending
            self._send(Kind.CONTRIB, sequence, base, payload)

    def _send(self, kind: Kind, sequence: int = 0, base: int = 0, payload: Received = b"") -> None:
        session = (self.run, self.generation, self._epoch, self.uid, self._incarnation)
        self._actions.append(outgoing(Frame(kind, *session, sequence, base, payload)))
