"""Cuts connections that send without end: a message of ever more parts is not seen before its last one.

ZeroMQ keeps the parts and limits only the length of each (``MAXMSGSIZE``); at 800 MB/s sent from one connection, the
memory of a hub grew by 1 GB/s. So the hub looks now and then at how much the kernel received by each TCP connection
since a message last came out of it. Elsewhere than on Linux nothing is cut.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from typing import Any, NamedTuple

from cdq.comm.zmq.sockets import load

_log = logging.getLogger("cdq.hub")
_EVENT = struct.Struct("=HI")  # of the monitor: what happened, to which file descriptor
_RECEIVED = struct.Struct("=Q")
_RECEIVED_AT = 128  # tcpi_bytes_received in Linux's struct tcp_info, since 4.1
_RESET = struct.pack("ii", 1, 0)  # closing it is a reset: the peer is not to wait for anything
_SLACK = 1 << 20  # handshakes, and heartbeats of a day
_MARGIN = 100  # messages after which ZeroMQ looks for connections that have something to be read again


class _Connection(NamedTuple):
    """A connection; the socket object does not own its descriptor, which the inode tells from a later one."""

    socket: socket.socket
    inode: int


class Guard:
    """Watches the connections of a bound socket.

    Parameters
    ----------
    bound : zmq.Socket
        Before it is bound.
    limit : int
        The longest message in bytes; two of them may be on their way.
    """

    def __init__(self, bound: Any, limit: int) -> None:
        zmq = load()
        self._accepted: int = zmq.EVENT_ACCEPTED
        self._bound = bound
        self._zmq = zmq
        self._most = 2 * limit + _SLACK
        self._connections: dict[int, _Connection] = {}
        self._delivered: dict[int, int] = {}  # received, at the last look after a message
        self._heard: set[int] = set()  # whom a message came from since the last look
        self._messages = 0  # since then
        self._known: set[int] = (
            set()
        )  # connections that there were then: each later one may not have had its turn
        events = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
        self._monitor = bound.get_monitor_socket(events)

    def deliver(self, file: int) -> None:
        """Take in that a whole message came from a connection."""
        self._heard.add(file)  # the connection itself may not be known before the next look
        self._messages += 1

    def look(self, all_read: bool = True) -> None:
        """Cut the connections that sent too much since their last message.

        Where messages are still to be read (*all_read* is false), it waits for so many that each connection had its
        turn, as ZeroMQ takes from them in turn: one that sends all the time is no shelter for another.
        """
        self._follow()
        if not all_read and self._messages < 2 * len(self._connections) + _MARGIN:
            return
        for file, found in list(self._connections.items()):
            received = _received(found.socket)
            if file in self._heard:
                self._delivered[file] = received
            elif (all_read or file in self._known) and received - self._delivered[file] > self._most:
                _log.warning("a connection is cut: it sends without end")
                self._cut(file, found)
        self._heard.clear()
        self._known, self._messages = set(self._connections), 0

    def _follow(self) -> None:
        """Take in which connections came and went."""
        while self._monitor.poll(0):
            event, file = _EVENT.unpack_from(self._monitor.recv_multipart()[0])
            self._forget(file)
            if event == self._accepted:
                self._watch(file)

    def _watch(self, file: int) -> None:
        try:
            self._connections[file] = _Connection(socket.socket(fileno=file), os.fstat(file).st_ino)
        except OSError:  # it was closed meanwhile
            return
        self._delivered[file] = 0

    def _cut(self, file: int, found: _Connection) -> None:
        try:
            if os.fstat(file).st_ino == found.inode:
                found.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                found.socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # it ended by itself
            pass
        self._forget(file)

    def _forget(self, file: int) -> None:
        self._known.discard(file)
        found = self._connections.pop(file, None)
        if found is not None:
            found.socket.detach()

    def close(self) -> None:
        """Watch no more; before the socket is closed."""
        for file in list(self._connections):
            self._forget(file)
        self._bound.disable_monitor()
        self._monitor.close(0)


def _received(connection: socket.socket) -> int:
    """Return how many bytes a connection has received, 0 if that is not known."""
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + _RECEIVED.size)
        (received,) = _RECEIVED.unpack_from(told, _RECEIVED_AT)
    except (OSError, AttributeError, struct.error):
        return 0
    return int(received)
