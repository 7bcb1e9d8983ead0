"""Guard of a hub's connections: watches how much each sends and takes, and their number; cuts those beyond limits.

ZeroMQ keeps the parts of a message until the last one has come and limits only the length of each (``MAXMSGSIZE``); it
keeps whatever a peer does not take, and accepts connections until there are no more descriptors. So the hub looks now
and then at what the kernel knows of each TCP connection. Elsewhere than on Linux nothing is cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import struct
import time
from typing import Any

from cdq.comm.zmq.events import HELLO_LIMIT
from cdq.comm.zmq.library import load

_EVENT = struct.Struct("=HI")  # of the monitor: what happened, to which file descriptor
_COUNTS = struct.Struct("=QQ")  # bytes that the peer has acknowledged, bytes received
_COUNTS_AT = 120  # tcpi_bytes_acked in Linux's struct tcp_info, since 4.1
_RESET = struct.pack("ii", 1, 0)  # closing it is a reset: the peer is not to wait for anything
_SLACK = 1 << 18  # bytes of handshakes, and of small messages that come faster than they are read
_HEARTBEATS = 64  # bytes per second
_FRAMING = 2  # bytes before the shortest message
_SHARE = 4  # connections may be a quarter of the descriptors: they take two each, and files are to be opened
_CROWD = 1 << 13  # connections at most, however many descriptors there may be: each takes some memory
_PATIENCE = 5.0  # seconds in which a peer has to take some of what is on its way to it
_REST = 10.0  # times as long as the processor had to look, nobody looks again
ENDLESS, UNREAD, CROWD = (
    "it sends without end",
    "it does not take what it asked for",
    "there are as many as descriptors allow (ulimit -n)",
)


class PeerConnection:
    """A connection, by a descriptor of its own: ZeroMQ may soon use its number for another connection.

    Parameters
    ----------
    file : int
        ZeroMQ's descriptor of the connection.

    Attributes
    ----------
    port : int
        Port of this end, 0 where it has none.
    inode : int
        Inode of the socket, which tells the connection from others.
    heard : float or None
        Time at which a message last arrived.
    is_open : bool
        True while the connection is watched.
    is_welcome : bool
        True once the hub has told its peer that it takes part.
    """

    def __init__(self, file: int) -> None:
        own = os.dup(file)
        try:
            self.inode = os.fstat(own).st_ino
            self._socket = socket.socket(fileno=own)
        except OSError:
            os.close(own)
            raise
        self.port = _port(self._socket)
        self.heard: float | None = None
        self.is_open, self.is_welcome = True, False
        self._began = self._read = (
            0  # bytes received when all messages were read, and bytes of messages since
        )
        self._acked = self._taken = self._handed = 0
        self._progress = 0.0

    def counts(self) -> tuple[int, int]:
        """Return how many bytes the peer has acknowledged, and how many were received; zeros if that is not known."""
        try:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _COUNTS_AT + _COUNTS.size)
            acked, received = _COUNTS.unpack_from(told, _COUNTS_AT)
        except (OSError, AttributeError, struct.error):
            return 0, 0
        return int(acked), int(received)

    def take(self, size: int, now: float) -> None:
        """Take in that a message of that many bytes came."""
        self.heard = now
        self._read += size + _FRAMING

    def backlog(self, received: int, all_read: bool, now: float) -> int:
        """Return the number of bytes received since the last message, beyond those of messages and heartbeats."""
        if (all_read and self._read) or received - self._began < self._read:
            self._began, self._read = received, 0
        silent = now - self.heard if self.heard is not None else 0.0
        return received - self._began - self._read - int(_HEARTBEATS * silent)

    def begin(self, now: float) -> None:
        """Take in what the peer has acknowledged so far; before something is sent."""
        if not self._handed:
            self._taken = self._acked = self.counts()[0]
            self._progress = now

    def hand(self, size: int) -> None:
        """Take in that ZeroMQ was given that many bytes to send."""
        self._handed += size

    def unread(self, now: float) -> int:
        """Return how many of the bytes that were given to ZeroMQ the peer's machine has not acknowledged."""
        if self._handed > 0:
            acked, received = self.counts()
            if acked > self._acked:
                self._acked, self._progress = acked, now
            if acked - self._taken >= self._handed or not (acked or received):
                self._handed, self._taken = 0, self._acked
        return self._handed - (self._acked - self._taken)

    def is_stuck(self, now: float) -> bool:
        """Return whether the peer, for too long, has taken none of the bytes that are on their way."""
        return self.unread(now) > 0 and now - self._progress > _PATIENCE

    def cut(self) -> None:
        """End it, for ZeroMQ and the peer."""
        with contextlib.suppress(OSError):  # it ended by itself
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back; ZeroMQ has another one."""
        self.is_open = False
        self._socket.close()


class Guard:
    """Watches the connections of a bound socket.

    Parameters
    ----------
    bound : zmq.Socket
        Socket of the hub, before it is bound.
    limit : int or None
        The longest message in bytes; two of them may be on their way. None: any length, of those that take part.
    """

    def __init__(self, bound: Any, limit: int | None) -> None:
        zmq = load()
        self._accepted: int = zmq.EVENT_ACCEPTED
        self._bound = bound
        self._most = _SLACK + 2 * (HELLO_LIMIT if limit is None else limit)
        self._endless = limit is None  # messages of those that take part may be
        self._room = min(_descriptors() // _SHARE, _CROWD)
        self._connections: dict[int, PeerConnection] = {}  # in the order in which they came
        self._missed: dict[int, None] = {}  # not watched yet, for want of a descriptor
        self._reasons: list[str] = []
        self._next = 0.0
        events = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
        self._monitor = bound.get_monitor_socket(events)

    def deliver(self, file: int, size: int, now: float) -> PeerConnection | None:
        """Take in that a whole message came from a connection, and return that, if it still is there."""
        found = self._connections.get(file)
        if found is None or found.inode != _inode(file):
            self.follow()
            found = self._connections.get(file)
        if found is not None:
            found.take(size, now)
        return found

    def look(self, all_read: bool, now: float) -> list[str]:
        """Cut the connections that sent too much, or take nothing, and return why; *all_read*: no message waits."""
        self.follow()
        if now >= self._next:
            # By the clock, a hub that was stopped in a look would not look again for ten times as long.
            began = time.thread_time()
            for file, found in list(self._connections.items()):
                why = self._wrong(found, all_read, now)
                if why is not None:
                    self._cut(file, why)
                elif _inode(file) != found.inode:  # ZeroMQ has closed it without a word
                    self._forget(file)
            self._next = now + _REST * (time.thread_time() - began)
        reasons, self._reasons = self._reasons, []
        return reasons

    def _wrong(self, found: PeerConnection, all_read: bool, now: float) -> str | None:
        backlog = found.backlog(found.counts()[1], all_read, now)
        if backlog > self._most and not (self._endless and found.is_welcome):
            return ENDLESS
        return UNREAD if found.is_stuck(now) else None

    def follow(self) -> None:
        """Take in which connections came and went."""
        came, self._missed = self._missed, {}
        while self._monitor.poll(0):
            event, file = _EVENT.unpack_from(self._monitor.recv_multipart()[0])
            self._forget(file)
            came.pop(file, None)
            if event == self._accepted:
                came[file] = None
        for file in came:
            self._watch(file)

    def _watch(self, file: int) -> None:
        try:
            found = PeerConnection(file)
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._missed[file] = None
            return  # otherwise it was closed meanwhile
        if found.port != self._port():
            found.close()  # the number is that of something else by now
            return
        self._connections[file] = found
        if len(self._connections) > self._room:
            strangers = (file for file, found in self._connections.items() if found.heard is None)
            self._cut(next(strangers, file), CROWD)

    def _port(self) -> int:
        return int(self._bound.last_endpoint.rpartition(b":")[2].rstrip(b"\0"))

    def _cut(self, file: int, why: str) -> None:
        self._reasons.append(why)
        self._connections[file].cut()
        self._forget(file)

    def _forget(self, file: int) -> None:
        found = self._connections.pop(file, None)
        if found is not None:
            found.close()

    def close(self) -> None:
        """Watch no more; before the socket is closed."""
        self.follow()
        for file in list(self._connections):
            self._forget(file)
        self._bound.disable_monitor()
        self._monitor.close(0)


def _descriptors() -> int:
    """Return how many descriptors this process may have, after asking for as many as a crowd takes.

    They run out between two looks otherwise, and then the hub cannot open its files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _SHARE * _CROWD
    wanted = _SHARE * _CROWD if hard == resource.RLIM_INFINITY else min(hard, _SHARE * _CROWD)
    if wanted > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft


def _port(found: socket.socket) -> int:
    """Return the port of this end, 0 if there is none."""
    try:
        place = found.getsockname()
    except OSError:
        return 0
    return int(place[1]) if isinstance(place, tuple) else 0


def _inode(file: int) -> int:
    """Return what tells an open file from others, 0 if it is closed."""
    try:
        return os.fstat(file).st_ino
    except OSError:
        return 0
