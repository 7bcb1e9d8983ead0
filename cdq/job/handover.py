"""Parcels on their way to processes that were just started, through a socket that each inherited, and their answers."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import struct
import subprocess
from collections.abc import Sequence

from cdq.errors import ConfigError, UnsupportedEnvironment
from cdq.job.local import require_alive

_LENGTH = struct.Struct("<q")
_LONGEST_ERROR = 4000  # letters
_AT_ONCE = 1 << 16
_LOOK = 0.05  # seconds between two looks at processes that do nothing
_ENDING = 5.0  # seconds that a process has to end, once it has let go of its socket
_KINDS = {kind.__name__: kind for kind in (ConfigError, UnsupportedEnvironment)}


def receive(end: socket.socket) -> bytes:
    """Return what the process that started this one sends."""
    (length,) = _LENGTH.unpack(_exactly(end, _LENGTH.size))
    return _exactly(end, length)


def _exactly(end: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        n = end.recv_into(view)
        if not n:
            raise SystemExit(1)  # it has ended
        view = view[n:]
    return bytes(data)


def answer(end: socket.socket, error: BaseException | None) -> None:
    """Send the sender of a parcel the answer that it could be opened, or the error."""
    said = {}
    if error is not None:
        text = " ".join(str(error).split())[:_LONGEST_ERROR]
        name = type(error).__name__
        said = {"kind": name, "error": text if name in _KINDS else f"{name}: {text}".removesuffix(": ")}
    end.sendall(json.dumps(said).encode() + b"\n")


def hand_over(
    parcel: bytes, ends: Sequence[socket.socket], started: Sequence[subprocess.Popen[bytes]]
) -> None:
    """Give a parcel to all processes that were *started*, by their sockets, and wait until they have opened it.

    Raises
    ------
    ConfigError, UnsupportedEnvironment
        If one of them cannot; says why.
    PeerLost
        If one ends before it says so.
    """
    data = memoryview(_LENGTH.pack(len(parcel)) + parcel)
    with selectors.DefaultSelector() as selector:
        for number, end in enumerate(ends):
            end.setblocking(False)
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            selector.register(end, both, _Conversation(number, end, data))
        while selector.get_map():
            for key, events in selector.select(_LOOK):
                conversation = key.data
                if events & selectors.EVENT_WRITE and not conversation.send():
                    selector.modify(key.fileobj, selectors.EVENT_READ, conversation)
                if events & selectors.EVENT_READ and conversation.hear(started):
                    selector.unregister(key.fileobj)


class _Conversation:
    """Conversation with one process: what it was sent so far, and what it answered."""

    def __init__(self, number: int, end: socket.socket, data: memoryview) -> None:
        self._number, self._end, self._left = number, end, data
        self._said = b""

    def send(self) -> bool:
        """Send some more; return whether there is more to send."""
        try:
            self._left = self._left[self._end.send(self._left) :]
        except OSError:  # it has ended, which reading tells
            return False
        return bool(self._left)

    def hear(self, started: Sequence[subprocess.Popen[bytes]]) -> bool:
        """Read what the process says; return whether that is all, and good. Raises as `hand_over` does."""
        try:
            heard = self._end.recv(_AT_ONCE)
        except OSError:
            heard = b""
        self._said += heard
        if not heard:
            with contextlib.suppress(subprocess.TimeoutExpired):
                started[self._number].wait(_ENDING)
            require_alive(started)
            raise ConfigError(f"worker {self._number + 1} does not say whether it can begin")
        if not self._said.endswith(b"\n"):
            return False
        said = json.loads(self._said)
        if said:
            kind = _KINDS.get(said["kind"], ConfigError)
            raise kind(f"worker {self._number + 1}, a process, cannot begin: {said['error']}")
        return True
