"""Events for the machines of hub and worker, and the actions that the machines ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cdq.comm.contribution import Received as Payload
from cdq.comm.zmq.wire import KIND_AT, Assembled, Message

TOKEN_BYTES = 16
HELLO_LIMIT = 1 << 16


class Received(NamedTuple):
    """A message came to the hub by a connection.

    Parameters
    ----------
    route : bytes
        Routing identity of the connection.
    data : bytes, memoryview or Assembled
        The message.
    key : str or None
        The public key that CURVE found there, if any.
    now : float
        Time of the message, by a clock that does not go back.
    unread : int
        Bytes of large messages that were sent by this connection, and that its peer has still to take.
    """

    route: bytes
    data: Payload | Assembled
    key: str | None
    now: float
    unread: int = 0


class Dropped(NamedTuple):
    """Notice that the hub received what is no message, or cut a connection; a few fixed words say why."""

    why: str
    now: float


class Tick(NamedTuple):
    """Time went by; give one at least every tenth of the shortest setting. *unread*: of all connections."""

    now: float
    unread: int = 0


class Unreachable(NamedTuple):
    """A connection is lost."""

    route: bytes
    now: float


class Revoked(NamedTuple):
    """Keys that are not allowed any more: their sessions end."""

    keys: frozenset[str]
    now: float


class Stop(NamedTuple):
    """The hub is asked to end."""

    now: float


HubEvent = Received | Dropped | Tick | Unreachable | Revoked | Stop


class Send(NamedTuple):
    """Send a message by a connection."""

    route: bytes
    data: Payload | Message

    @property
    def kind(self) -> int:
        """The kind of the message, as its header says."""
        return self.data.frame.kind if isinstance(self.data, Message) else self.data[KIND_AT]

    @property
    def message(self) -> Payload:
        """The message as bytes."""
        return self.data.whole() if isinstance(self.data, Message) else self.data


class Note(NamedTuple):
    """Entry for the log: a level of `logging`, a sentence, and its facts."""

    level: int
    text: str
    fields: Mapping[str, Any]


class Done(NamedTuple):
    """The hub may end."""


HubAction = Send | Note | Done
