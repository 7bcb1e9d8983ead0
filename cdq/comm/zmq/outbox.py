"""Outbox of a hub, by connection: a peer gets no more while it has much to take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from cdq.comm.contribution import Received
from cdq.comm.zmq.events import Send
from cdq.comm.zmq.guard import PeerConnection
from cdq.comm.zmq.library import load
from cdq.comm.zmq.pieces import Outgoing
from cdq.comm.zmq.wire import Kind, Message

_QUEUED = 64  # messages for a connection that does not take them
_WINDOW = 1 << 20  # bytes on their way by a connection, beyond which the next message waits
_LARGE = 1 << 12  # bytes from which on it matters whether a message was taken
# Not kept for a peer that does not read, as one that learns for minutes: that it can be reached is known by then.
_PASSING = frozenset({Kind.PING, Kind.PONG})


class Outbox:
    """Sends messages by a bound socket, each connection's in order.

    Parameters
    ----------
    bound : zmq.Socket
        The hub's ROUTER socket.
    lose : callable
        Function that is told of a connection that is lost, or that takes nothing.
    guarded : bool
        True if connections are watched (`meet`).
    """

    def __init__(self, bound: Any, lose: Callable[[bytes], None], guarded: bool = False) -> None:
        self._zmq = load()
        self._is_guarded = guarded
        self._bound, self._lose = bound, lose
        self._queues: dict[bytes, deque[Send]] = {}
        self._begun: dict[bytes, Outgoing] = {}  # of the first message of a queue, of which some is under way
        self._connections: dict[bytes, PeerConnection] = {}
        self._busy: set[bytes] = set()  # those by which something large is on its way

    def meet(self, route: bytes, connection: PeerConnection) -> None:
        """Take in which connection a route is."""
        self._connections[route] = connection

    def expects_large(self, route: bytes) -> bool:
        """Return whether a peer may send what is large: it takes part, or is of this user, on this machine."""
        connection = self._connections.get(route)
        return not self._is_guarded or (connection is not None and connection.is_welcome)

    def is_closed(self, route: bytes) -> bool:
        """Return whether a connection is known to be closed."""
        connection = self._connections.get(route)
        return self._is_guarded and (connection is None or not connection.is_open)

    def unread(self, route: bytes) -> int:
        """Return how many bytes of large messages, and what waits behind them, a peer has still to take."""
        if route not in self._busy:
            return 0
        connection = self._connections.get(route)
        on_the_way = 0 if connection is None else connection.unread(time.monotonic())
        waiting = sum(len(send.data) for send in self._queues.get(route, ()))
        if not on_the_way + waiting:
            self._busy.discard(route)
        return on_the_way + waiting

    def send(self, send: Send) -> None:
        """Send a message, or keep it until it can be."""
        queue = self._queues.get(send.route)
        if queue is None:
            if self._sent(send):
                return
            queue = self._queues[send.route] = deque()
        if send.kind not in _PASSING:
            queue.append(send)
            if len(send.data) >= _LARGE:
                self._busy.add(send.route)
        if len(queue) > _QUEUED:
            self.forget(send.route)
            self._lose(send.route)

    def flush(self) -> int:
        """Send what can be sent now; return how many bytes of large messages all peers have still to take."""
        self._connections = {route: one for route, one in self._connections.items() if one.is_open}
        for route in list(self._queues):
            self._flush(route)
        return sum(self.unread(route) for route in list(self._busy))

    def _flush(self, route: bytes) -> None:
        queue = self._queues[route]
        while queue and self._sent(queue[0]):
            queue.popleft()
        if not queue:
            self._queues.pop(route, None)

    def _sent(self, send: Send) -> bool:
        """Return whether a message need not be tried again: it is under way, or nobody is there any more."""
        route, now = send.route, time.monotonic()
        connection = self._connections.get(route)
        if connection is not None:
            if route not in self._begun and connection.unread(now) > _WINDOW:
                return False
            if len(send.data) >= _LARGE:
                connection.begin(now)
        try:
            if not self._put_all(send):
                return False
        except self._zmq.ZMQError as error:
            if error.errno != self._zmq.EHOSTUNREACH:
                raise
            self.forget(route)
            self._lose(route)
            return True
        if connection is not None:
            connection.is_welcome |= send.kind == Kind.WELCOME
        return True

    def _put_all(self, send: Send) -> bool:
        """Hand a message to ZeroMQ, or the pieces of it that there is room for; return whether that was all."""
        if not isinstance(send.data, Message):
            return self._put(send.route, send.data)
        begun = self._begun.setdefault(send.route, Outgoing(send.data))
        if not begun.send(partial(self._put, send.route)):
            return False
        del self._begun[send.route]
        return True

    def _put(self, route: bytes, *parts: Received) -> bool:
        try:
            self._bound.send(route, self._zmq.SNDMORE | self._zmq.NOBLOCK)
        except self._zmq.Again:
            return False
        for part in parts[:-1]:
            self._bound.send(part, self._zmq.SNDMORE)
        self._bound.send(parts[-1], copy=len(parts) == 1)  # pieces are of memory that does not change
        size = sum(map(len, parts))
        connection = self._connections.get(route)
        if connection is not None and size >= _LARGE:
            connection.hand(size)
            self._busy.add(route)
        return True

    def forget(self, route: bytes) -> None:
        """Keep nothing of a connection."""
        self._queues.pop(route, None)
        self._begun.pop(route, None)
        self._connections.pop(route, None)
        self._busy.discard(route)
