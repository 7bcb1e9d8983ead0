"""Events for the machines of hub and worker, and the actions that the machines ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cdq.comm.contribution import Received as Payload
from cdq.comm.zmq.wire import Body

TOKEN_BYTES = 16
HELLO_LIMIT = 1 << 16


class Received(NamedTuple):
    """A message came to the hub by a connection.

    Parameters
    ----------
    route : bytes
        Routing identity of the connection.
    data : bytes or memoryview
        The message as bytes.
    key : str or None
        The public key that CURVE found there, if any.
    now : float
        Time of the message, by a clock that does not go back.
    unread : int
        Bytes of large messages that were sent by this connection, and that its peer has still to take.
    """

    route: bytes
    data: Payload
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
    """Send a message by a connection: *data*, which is only the header where there is a *body*."""

    route: bytes
    data: Payload
    body: Body | None = None

    @property
    def message(self) -> Payload:
        """The whole message; a large one is valid until the next message with the same body is asked for."""
        return self.data if self.body is None else self.body.after(bytes(self.data))


class Note(NamedTuple):
    """Entry for the log: a level of `logging`, a sentence, and its facts."""

    level: int
    text: str
    fields: Mapping[str, Any]


class Done(NamedTuple):
    """The hub may end."""


HubAction = Send | Note | Done
