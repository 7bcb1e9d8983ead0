"""Shell of the hub: a socket, the keys that may join, and the clock, around a machine that decides everything."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from cdq.comm.kept import Kept
from cdq.comm.zmq import library, sockets
from cdq.comm.zmq.address import CURVE, IPC, parse
from cdq.comm.zmq.events import (
    Done,
    Dropped,
    HubAction,
    HubEvent,
    Note,
    Received,
    Revoked,
    Send,
    Stop,
    Tick,
    Unreachable,
)
from cdq.comm.zmq.gate import Gate
from cdq.comm.zmq.guard import Guard
from cdq.comm.zmq.keys import Keys
from cdq.comm.zmq.outbox import Outbox
from cdq.comm.zmq.pieces import Incoming
from cdq.comm.zmq.sockets import content
from cdq.comm.zmq.wire import HEADER_BYTES, Assembled

if TYPE_CHECKING:
    from typing_extensions import Self

_log = logging.getLogger("cdq.hub")

_TICK, _GUARDED_TICK = 0.05, 0.02  # seconds
# Threads that encrypt: one had 1 % of 10^6 x 8 pairs take 17.2 ms where two took 15.1, and plain tcp 12.2.
_CIPHERS = 2
_UNFINISHED = (
    60.0  # seconds without a piece after which a message is forgotten: by then ZeroMQ has cut its connection
)
_SOURCE = 2  # ZMQ_SRCFD: the connection that a message came by


class Machine(Protocol):
    """A machine that a hub can drive."""

    def step(self, event: HubEvent, /) -> list[HubAction]:
        """Take in an event, and return the actions to take, in order."""


class Hub:
    """Binds an address and drives a machine with what comes there.

    Parameters
    ----------
    url : str
        ``zmq+ipc:///PATH`` in a directory that is this user's alone, ``zmq+curve://HOST:PORT`` with keys, or
        ``zmq+tcp://HOST:PORT`` on loopback. A port of 0: any that is free.
    machine : Machine, optional
        Machine that decides everything; it may be set after the hub is made, once the address is known to be free,
        and before `run`.
    keys : Keys, optional
        Keys for ``zmq+curve``; those of `Keys.find` by default.
    limit : int, optional
        The longest payload of a message in bytes; connections that send more are cut.
    insecure : bool
        Let ``zmq+tcp`` be on addresses that other machines reach; warns.

    Attributes
    ----------
    url : str
        Address of the hub, with the port that it is bound to.
    machine : Machine or None
        The machine that decides everything.

    Raises
    ------
    ConfigError
        If the address is none, is taken, or is not safe.
    BackendUnavailable
        If pyzmq is not there.
    """

    def __init__(
        self,
        url: str,
        machine: Machine | None = None,
        *,
        keys: Keys | None = None,
        limit: int | None = None,
        insecure: bool = False,
    ) -> None:
        address = parse(url, bound=True)
        self._zmq = library.load()
        self.machine = machine
        self._context = self._zmq.Context(_CIPHERS if address.scheme == CURVE else 1)
        self._gate: Gate | None = None
        self._guard: Guard | None = None
        self._done = False
        self._longest = None if limit is None else limit + HEADER_BYTES
        self._kept, self._incoming = Kept(), dict[bytes, Incoming]()
        try:
            if address.scheme == CURVE:
                keys = keys or Keys.find()
                self._gate = Gate(self._context, keys)
            self._socket = sockets.router(self._context, address, keys, limit, insecure)
            self._outbox = Outbox(self._socket, self._lose, guarded=address.scheme != IPC)
            if address.scheme != IPC:
                self._guard = Guard(self._socket, limit)
            sockets.bind(self._socket, address)
        except BaseException:
            self._context.destroy(0)
            raise
        bound = self._socket.last_endpoint.decode().partition("://")[2]
        self._path = Path(address.place) if address.scheme == IPC else None
        self.url = str(address._replace(place=bound))

    def name_of(self, key: str) -> str:
        """Return the name of a public key that may join; nothing where there are no keys."""
        return self._gate.name_of(key) if self._gate is not None else ""

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Work until the machine is done, or `stop`, which is asked 20 times a second, returns true."""
        poller = self._zmq.Poller()
        poller.register(self._socket, self._zmq.POLLIN)
        if self._gate is not None:
            poller.register(self._gate.socket, self._zmq.POLLIN)
        next_tick = time.monotonic()
        pause = _TICK if self._guard is None else _GUARDED_TICK
        while not self._done:
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + pause
                self._tick(now, stop)
            wait = math.ceil(1000.0 * (next_tick - now))  # a poll of less than a millisecond does not wait
            if poller.poll(max(wait, 0)):
                self._read(next_tick)

    def _tick(self, now: float, stop: Callable[[], bool]) -> None:
        if self._guard is not None:
            for why in self._guard.look(not self._socket.poll(0), now):
                self._step(Dropped(f"a connection is cut: {why}", now))
        if stop():
            self._step(Stop(now))
        if self._gate is not None:
            revoked = self._gate.reread(now)
            if revoked:
                self._step(Revoked(revoked, now))
        self._forget_unfinished(now)
        self._step(Tick(now, self._outbox.flush()))

    def _read(self, until: float) -> None:
        """Take in messages, at least one, until there is none or it is time for a tick."""
        if self._gate is not None:
            self._gate.answer()
        while True:
            try:
                frames = self._socket.recv_multipart(self._zmq.NOBLOCK, copy=False)
            except self._zmq.Again:
                return
            now = time.monotonic()
            self._take(frames, now)
            if now >= until:
                return

    def _take(self, frames: list[Any], now: float) -> None:
        route, last = frames[0].bytes, frames[-1]
        if self._guard is not None:
            connection = self._guard.deliver(_told(last, _SOURCE, -1), sum(map(len, frames[1:])), now)
            if connection is not None:
                self._outbox.meet(route, connection)
        key = None
        if self._gate is not None:
            key = _told(last, "User-Id", "")
            if not self._gate.allows(key):
                self._step(Dropped("a message of a key that is not allowed", now))
                return
        data = content(last) if len(frames) == 2 else self._assemble(route, frames, now)
        if data is not None:
            self._step(Received(route, data, key, now, self._outbox.unread(route)))

    def _assemble(self, route: bytes, frames: list[Any], now: float) -> Assembled | None:
        """Take in a piece of a large message; return the whole if it was the last one."""
        try:
            if len(frames) != 3 or not self._outbox.expects_large(route):
                raise ValueError("a message in parts")  # whatever else it is, no peer of ours sent it
            incoming = self._incoming.setdefault(route, Incoming(self._kept))
            incoming.heard = now
            whole = incoming.take(frames[1].bytes, frames[2].buffer, self._longest)
        except (ValueError, MemoryError) as error:
            self._step(Dropped(str(error) or "a message that there is no memory for", now))
            return None
        if whole is not None:
            del self._incoming[route]
        return whole

    def _forget_unfinished(self, now: float) -> None:
        """Forget messages whose pieces come no more."""
        for route, incoming in list(self._incoming.items()):
            if self._outbox.is_closed(route) or now - incoming.heard > _UNFINISHED:
                del self._incoming[route]

    # ---- actions

    def _step(self, event: HubEvent) -> None:
        assert self.machine is not None, "a hub needs its machine before it runs"
        for action in self.machine.step(event):
            if isinstance(action, Send):
                self._outbox.send(action)
            elif isinstance(action, Note):
                _log.log(
                    action.level, "%s %s", action.text, dict(action.fields), extra={"fields": action.fields}
                )
            elif isinstance(action, Done):
                self._done = True

    def _lose(self, route: bytes) -> None:
        self._step(Unreachable(route, time.monotonic()))

    # ---- the end

    def close(self) -> None:
        """Leave the last messages half a second to be sent, and leave nothing behind."""
        if not self._context.closed:
            if self._gate is not None:
                self._gate.close()
            if self._guard is not None:
                self._guard.close()
            self._socket.close(sockets.LINGER if self._done else 0)
            self._context.term()
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def _told(frame: Any, what: Any, otherwise: Any) -> Any:
    """Return what ZeroMQ knows of the connection that a frame came by: where the peer speaks ZMTP 1.0, nothing."""
    try:
        return frame.get(what)
    except library.load().ZMQError:
        return otherwise
