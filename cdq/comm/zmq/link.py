"""A process's connection to a hub: one socket, which one thread at a time may use."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from cdq.comm.contribution import Received
from cdq.comm.kept import Kept
from cdq.comm.zmq import library, sockets
from cdq.comm.zmq.address import CURVE, Address
from cdq.comm.zmq.keys import Keys
from cdq.comm.zmq.pieces import Incoming, Outgoing
from cdq.comm.zmq.wire import Assembled, Message
from cdq.errors import CommTimeout, PeerLost

_SLICE = 0.05  # seconds of waiting before other threads' wishes are looked at
_PATIENCE = 3.0  # seconds that the hub may be unreachable while this process waits for it


class Link:
    """Carries messages to and from a hub.

    Parameters
    ----------
    address : Address
        Address of the hub.
    timeout : float
        Seconds to reach the hub within.
    keys : Keys, optional
        Keys for addresses that need them.
    hub : str
        Name of the hub in messages.

    Attributes
    ----------
    is_receiving : bool
        True if a part of a large message came while `receive` last waited, and the rest has still to come.

    Raises
    ------
    CommTimeout
        If it cannot be reached.
    """

    def __init__(
        self, address: Address, timeout: float, keys: Keys | None = None, hub: str = "the hub"
    ) -> None:
        self.address = address
        self.hub = hub
        self._zmq = library.load()
        self._socket = sockets.dealer(address, keys)
        self._incoming, self.is_receiving = Incoming(Kept()), False
        self._lock = threading.Lock()
        self._posted: deque[Received] = deque()
        self._last = False
        weakref.finalize(self, _close, self._socket, self._lock)  # as pyzmq warns of one that is not
        try:
            self._reach(timeout)
        except BaseException:
            self._socket.close(0)
            raise

    def _reach(self, timeout: float) -> None:
        if not self._socket.poll(1000.0 * timeout, self._zmq.POLLOUT):
            raise CommTimeout(f"{self.address}: no hub answers within {timeout:g} s; {self._advice()}")

    def _advice(self) -> str:
        if self.address.scheme == CURVE:
            return "is it running, is hub.public its key, and is this process's key allowed there?"
        return "is it running?"

    def send(self, data: Received | Message) -> None:
        """Send a message; only the thread that holds the link may. Raise `PeerLost` if the hub is lost."""
        if not self.offer(data):
            self._socket.poll(1000.0 * _PATIENCE, self._zmq.POLLOUT)
            if not self.offer(data):
                raise PeerLost(f"{self.address}: {self.hub} cannot be reached any more")

    def offer(self, data: Received | Message) -> bool:
        """Send a message if there is a connection; return whether there is.

        The memory of a large one must not change until the hub has answered, and nothing refers to it any more.
        """
        if not isinstance(data, Message):
            return self._put(data)
        outgoing = Outgoing(data)
        while not outgoing.send(self._put):
            patience = _PATIENCE if outgoing.is_begun else 0.0
            if not self._socket.poll(1000.0 * patience, self._zmq.POLLOUT):
                return False
        return True

    def _put(self, *parts: Received) -> bool:
        try:
            for part in parts[:-1]:
                self._socket.send(part, self._zmq.NOBLOCK | self._zmq.SNDMORE)
            self._socket.send(parts[-1], self._zmq.NOBLOCK, copy=len(parts) == 1)
        except self._zmq.Again:
            return False
        return True

    def receive(self, deadline: float) -> Received | Assembled | None:
        """Return the next message, None when the deadline, by the monotonic clock, has passed."""
        self.is_receiving = False
        until = min(deadline, time.monotonic() + _SLICE)
        while self._socket.poll(1000.0 * max(until - time.monotonic(), 0.0)):
            frames = self._socket.recv_multipart(copy=False)
            if len(frames) == 1:
                return sockets.content(frames[0])
            with contextlib.suppress(ValueError, MemoryError):  # the hub sends it again, or is asked to
                whole = self._incoming.take(
                    b"".join(frame.bytes for frame in frames[:-1]), frames[-1].buffer, None
                )
                self.is_receiving = whole is None
                if whole is not None:
                    return whole
        return None

    def is_cut(self) -> bool:
        """Return whether there is no connection at present."""
        return not self._socket.events & self._zmq.POLLOUT

    def wait(
        self, deadline: float, take: Callable[[Received | Assembled], Any], check: Callable[[], None]
    ) -> Any:
        """Give messages to `take` until it returns something but None; None when the deadline has passed.

        `check` is called now and then, and may raise.
        """
        cut_since = None
        while True:
            data = self.receive(deadline)
            if data is not None:
                answer = take(data)
                if answer is not None:
                    return answer
                continue
            check()
            now = time.monotonic()
            if now >= deadline:
                return None
            cut_since = (cut_since or now) if self.is_cut() else None
            if cut_since is not None and now - cut_since >= _PATIENCE:
                raise PeerLost(f"{self.address}: {self.hub} cannot be reached any more")

    def close(self) -> None:
        """Close the link in the thread that uses it; posted messages have half a second to be sent."""
        self._socket.close()

    def __enter__(self) -> Link:
        """Hold the link, in the thread that is about to call."""
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._lock.release()
        self._try_to_flush()

    def post(self, data: Received, last: bool = False) -> None:
        """Send a message from any thread, soon; after the last one the link is closed."""
        self._posted.append(data)
        self._last = self._last or last
        self._try_to_flush()

    def _try_to_flush(self) -> None:
        """Send posted messages, unless another thread holds the link: that one sends them when it lets go."""
        while (self._posted or self._last) and self._lock.acquire(blocking=False):
            try:
                if self._socket.closed:
                    return
                self._flush()
            finally:
                self._lock.release()

    def _flush(self) -> None:
        while self._posted:
            try:
                self._socket.send(self._posted.popleft(), self._zmq.NOBLOCK)
            except self._zmq.ZMQError:  # the hub is gone, or takes no more: it will see that this process is
                break
        if self._last:
            self._posted.clear()
            self._socket.close()  # lingers for what was sent


def _close(socket: Any, lock: threading.Lock) -> None:
    """Close the socket of a link that was deleted; unless a thread that outlives the interpreter still uses it."""
    if lock.acquire(blocking=False):
        socket.close()  # not in a fork, where pyzmq knows that it is another's
