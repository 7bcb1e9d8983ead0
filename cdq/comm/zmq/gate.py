"""Admission by key: the handler that ZeroMQ asks (ZAP, rfc.zeromq.org/spec/27), in the hub's own loop.

It lives and dies with the loop, and where it is gone nobody is let in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from cdq.comm.zmq.keys import DOMAIN, Keys, printable
from cdq.comm.zmq.library import load
from cdq.errors import ConfigError

_log = logging.getLogger("cdq.hub")
_ENDPOINT = "inproc://zeromq.zap.01"
_REREAD = 1.0  # seconds between looks at the directory


class Gate:
    """Answers for each new connection whether its key is allowed, and under which name its messages come.

    Parameters
    ----------
    context : zmq.Context
        Context of the sockets that are guarded; make the gate before they are bound.
    keys : Keys
        Keys that are allowed.

    Raises
    ------
    ConfigError
        If that cannot be read.

    Attributes
    ----------
    socket : zmq.Socket
        Socket to be polled; call `answer` when there is something to read.
    """

    def __init__(self, context: Any, keys: Keys) -> None:
        self._zmq = load()
        self._keys = keys
        self._wrong: frozenset[str] = frozenset()  # files that are no keys, as they were last named
        self._refused = 0
        self._allowed: frozenset[str] = frozenset()
        self._names_of: dict[str, str] = {}
        self._allowed = self._names()
        self._next = 0.0
        self._changed = 0  # when the directory was, as it was last read for a key that was not known
        self.socket = context.socket(self._zmq.REP)
        self.socket.linger = 0
        self.socket.bind(_ENDPOINT)

    def answer(self) -> None:
        """Answer all that is asked."""
        from zmq.utils import z85

        while self.socket.poll(0):
            version, request, domain, _, _, mechanism, *credentials = self.socket.recv_multipart()
            name = z85.encode(credentials[0]) if mechanism == b"CURVE" else b""
            right = domain == DOMAIN.encode() and self._admits(name.decode())
            status = (b"200", b"OK", name) if right else (b"400", b"not allowed", b"")
            if not right:
                self._refused += 1
                if self._refused.bit_count() == 1:  # ever more seldom
                    _log.warning("a key that is not allowed: %s (%d in all)", name.decode(), self._refused)
            self.socket.send_multipart([version, request, *status, b""])

    def _admits(self, key: str) -> bool:
        """Return whether a key is allowed, even if only since a moment: a peer that is refused does not try again.

        Keys that are gone are left to `reread`, which tells of them.
        """
        if key not in self._allowed:
            changed = _changed(self._keys)
            if changed != self._changed:  # else a crowd of strangers would have it read all the time
                self._allowed |= self._names_now()
                self._changed = changed
        return key in self._allowed

    def allows(self, key: str) -> bool:
        """Return whether a key is allowed now: a connection may outlive its key's permission."""
        return key in self._allowed

    def name_of(self, key: str) -> str:
        """Return the name of a key that is allowed, else nothing."""
        return self._names_of.get(key, "")

    def reread(self, now: float) -> frozenset[str]:
        """Read the allowed keys again, once a second, and return those that are not allowed any more."""
        if now < self._next:
            return frozenset()
        self._next = now + _REREAD
        former = self._allowed
        self._allowed = self._names_now()
        return former - self._allowed

    def _names_now(self) -> frozenset[str]:
        """Return the keys that are allowed now: none, where they cannot be read."""
        try:
            return self._names()
        except ConfigError as error:
            self._name((str(error),))
            return frozenset()

    def _names(self) -> frozenset[str]:
        allowed = self._keys.allowed()
        folder = self._keys.directory / "allowed"
        gone = self._allowed and not allowed.keys and not folder.exists()
        told = f"{printable(folder)} is not there any more: nobody may join, and who was in is out"
        self._name((told,) if gone else allowed.wrong)
        self._names_of = {key.decode(): name for key, name in allowed.names.items()}
        return frozenset(self._names_of)

    def _name(self, wrong: Iterable[str]) -> None:
        """Tell of files that are wrong, once."""
        for sentence in sorted(set(wrong) - self._wrong):
            _log.warning("%s", sentence)
        self._wrong = frozenset(wrong)

    def close(self) -> None:
        """Refuse every new connection from now on."""
        self.socket.close(0)


def _changed(keys: Keys) -> int:
    """Return when a key was last added or taken away, 0 if there never was one."""
    try:
        return (keys.directory / "allowed").stat().st_mtime_ns
    except OSError:
        return 0
