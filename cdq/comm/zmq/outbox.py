"""Outbox of a hub, by connection: a peer gets no more while it has much to take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from cdq.comm.zmq.events import Send
from cdq.comm.zmq.guard import PeerConnection
from cdq.comm.zmq.library import load
from cdq.comm.zmq.wire import KIND_AT, Kind

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
    """

    def __init__(self, bound: Any, lose: Callable[[bytes], None]) -> None:
        self._zmq = load()
        self._bound, self._lose = bound, lose
        self._queues: dict[bytes, deque[Send]] = {}
        self._connections: dict[bytes, PeerConnection] = {}
        self._busy: set[bytes] = set()  # those by which something large is on its way

    def meet(self, route: bytes, connection: PeerConnection) -> None:
        """Take in which connection a route is."""
        self._connections[route] = connection

    def unread(self, route: bytes) -> int:
        """Return how many bytes of large messages, and what waits behind them, a peer has still to take."""
        if route not in self._busy:
            return 0
        connection = self._connections.get(route)
        on_the_way = 0 if connection is None else connection.unread(time.monotonic())
        waiting = sum(_size(send) for send in self._queues.get(route, ()))
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
        if send.data[KIND_AT] not in _PASSING:
            queue.append(send)
            if _size(send) >= _LARGE:
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
            if connection.unread(now) > _WINDOW:
                return False
            if _size(send) >= _LARGE:
                connection.begin(now)
        try:
            self._bound.send(route, self._zmq.SNDMORE | self._zmq.NOBLOCK)
            self._bound.send(send.message, self._zmq.NOBLOCK)  # copied: the memory is for the next one too
        except self._zmq.Again:
            return False
        except self._zmq.ZMQError as error:
            if error.errno != self._zmq.EHOSTUNREACH:
                raise
            self.forget(route)
            self._lose(route)
            return True
        if connection is not None:
            connection.is_welcome |= send.data[KIND_AT] == Kind.WELCOME
            if _size(send) >= _LARGE:
                connection.hand(_size(send))
                self._busy.add(route)
        return True

    def forget(self, route: bytes) -> None:
        """Keep nothing of a connection."""
        self._queues.pop(route, None)
        self._connections.pop(route, None)
        self._busy.discard(route)


def _size(send: Send) -> int:
    return len(send.data) + (0 if send.body is None else send.body.length)
