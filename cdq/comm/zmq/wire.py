r"""The message between hub and peers: one frame, a fixed little-endian header and the payload, each with its CRC.

Version 1, 64 bytes::

    magic "CDQ\x01" | version u8 | kind u8 | flags u16 | run u64 | epoch u32 | uid u32 | incarnation u32
    | sequence u64 | base u64 | generation u32 | payload length u64 | payload crc u32 | header crc u32

The CRCs are for faults, not for enemies: those are CURVE's matter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple
from zlib import crc32

import numpy as np

from cdq.comm.contribution import Received

VERSION = 1
MAGIC = b"CDQ\x01"

_HEADER = struct.Struct("<4sBBHQIIIQQIQII")
_CRC = struct.Struct("<I")
_LENGTHS = struct.Struct("<QI")  # of the payload: length, crc
HEADER_BYTES = _HEADER.size
KIND_AT = 5
_LENGTHS_AT = 48
_COVERED = HEADER_BYTES - _CRC.size  # what the header's crc covers
_LARGE = 1 << 22  # bytes, from which on NumPy's memory is in huge pages
LARGEST_WHOLE = 1 << 21  # bytes of a message beyond which it is sent in pieces


class Kind(IntEnum):
    """Kind of a frame."""

    HELLO = 1  # a peer asks to take part
    WELCOME = 2  # it does, from here on
    CONTRIB = 3
    RESULT = 4  # what came of the contribution, which is thereby acknowledged
    NACK = 5  # refused, with the reason
    WHO = 6  # the hub does not know this connection: say HELLO
    PING = 7
    PONG = 8
    BYE = 9  # a peer leaves; the hub says it back
    LOST = 10  # another peer is gone, or could be asked for
    STATUS = 11
    STATUS_REPLY = 12


class Reason(IntEnum):
    """Reasons for which a frame is refused."""

    SHORT = 1  # than a header
    LENGTH = 2  # is not what the header says
    HEADER_CRC = 3
    MAGIC = 4
    VERSION = 5
    KIND = 6  # unknown, or not for this side
    SESSION = 7  # of no session that is known
    RUN = 8  # of another job
    FOREIGN = 9  # in another peer's name
    STALE = 10  # of a former incarnation, epoch or table
    TOO_LONG = 11
    PAYLOAD_CRC = 12
    GAP = 13  # in the sequence
    CONTENT = 14  # a payload that its receiver refuses
    REFUSED = 15  # may not take part
    REPLACED = 16  # by another process with the same key
    WAIT = 17  # for the end of the round, or for others


class Rejected(Exception):
    """A frame is refused.

    Attributes
    ----------
    reason : Reason
        Reason of the refusal.
    frame : Frame or None
        Header of the frame, where that was found right; the payload is not checked.
    """

    def __init__(self, reason: Reason, frame: Frame | None = None, text: str = "") -> None:
        super().__init__(text or reason.name)
        self.reason = reason
        self.frame = frame


class Body:
    """A payload in parts, which need not be joined; its CRC is computed once for all messages.

    Parameters
    ----------
    *parts : bytes or memoryview
        Parts of the payload, which must not change.
    """

    def __init__(self, *parts: Received) -> None:
        self.parts = parts
        self.length = sum(map(len, parts))

    @cached_property
    def crc(self) -> int:
        """The CRC-32 of the whole."""
        crc = 0
        for part in self.parts:
            crc = crc32(part, crc)
        return crc


class Frame(NamedTuple):
    """A message.

    Parameters
    ----------
    kind : int
        Kind of the frame, a `Kind`.
    run : int
        The job, a random number of 64 bits; 0 before it is known.
    generation : int
        Number of starts of the hub.
    epoch : int
        Number of changes of the membership.
    uid, incarnation : int
        The worker, and its session: numbers that the hub gave.
    sequence : int
        Number of the contribution that this frame is about.
    base : int
        Version of the table that this is about.
    payload : bytes or memoryview
        Bytes that the frame carries.
    """

    kind: int
    run: int = 0
    generation: int = 0
    epoch: int = 0
    uid: int = 0
    incarnation: int = 0
    sequence: int = 0
    base: int = 0
    payload: Received = b""


class Message:
    """A message that is still to be put together, or to be sent in pieces (`cdq.comm.zmq.pieces`).

    Parameters
    ----------
    frame : Frame
        Its header.
    body : Body
        Its payload.
    """

    def __init__(self, frame: Frame, body: Body) -> None:
        self.frame, self.body = frame, body

    def __len__(self) -> int:
        """Return the bytes of the whole."""
        return HEADER_BYTES + self.body.length

    def whole(self) -> Received:
        """Return the message in memory of its own."""
        return joined(pack_header(self.frame, self.body), *self.body.parts)


class Assembled(NamedTuple):
    """A message that came in pieces.

    Parameters
    ----------
    data : memoryview
        The message.
    crc : int
        The CRC-32 of its payload, as it came.
    """

    data: memoryview
    crc: int


def joined(*parts: Received) -> Received:
    """Return the parts as one, in memory of its own."""
    if sum(map(len, parts)) < _LARGE:
        return b"".join(parts)
    # NumPy asks for huge pages: in small ones, 64 MB take 28 ms where this takes 5.
    whole, end = np.empty(sum(map(len, parts)), np.uint8).data, 0
    for part in parts:
        whole[end : end + len(part)] = part
        end += len(part)
    return whole.toreadonly()


def encode(frame: Frame, body: Body | None = None) -> Received:
    """Return the message; *body* is the payload where the frame has none.

    Examples
    --------
    >>> len(encode(Frame(Kind.PING, run=7, uid=3)))
    64
    """
    return Message(frame, Body(frame.payload) if body is None else body).whole()


def outgoing(frame: Frame, body: Body | None = None) -> Received | Message:
    """Return a message to send, as `encode`, but for large ones, which are sent in pieces."""
    message = Message(frame, Body(frame.payload) if body is None else body)
    return message if len(message) > LARGEST_WHOLE else message.whole()


def pack_header(frame: Frame, body: Body) -> bytes:
    """Return what stands before a payload in its message."""
    kind, run, generation, epoch, uid, incarnation, sequence, base, _ = frame
    fields = (run, epoch, uid, incarnation, sequence, base, generation)
    header = _HEADER.pack(MAGIC, VERSION, kind, 0, *fields, body.length, body.crc, 0)[:_COVERED]
    return header + _CRC.pack(crc32(header))


def decode(data: Received | Assembled, accept: Callable[[Frame], None] | None = None) -> Frame:
    """Return the frame that a message holds; each check costs less than what it protects.

    Parameters
    ----------
    data : bytes, memoryview or Assembled
        The message; the payload is a view of it.
    accept : callable, optional
        Called with the frame when its header is right, before the payload is looked at; raises `Rejected` for
        what is not expected here, or too long.

    Raises
    ------
    Rejected
        If anything is wrong with the message.

    Examples
    --------
    >>> bytes(decode(encode(Frame(Kind.RESULT, sequence=5, payload=b"table"))).payload)
    b'table'
    """
    data, crc = data if isinstance(data, Assembled) else (data, None)
    view = memoryview(data)
    if len(view) < HEADER_BYTES:
        raise Rejected(Reason.SHORT)
    length, payload_crc = _LENGTHS.unpack_from(view, _LENGTHS_AT)
    if len(view) != HEADER_BYTES + length:
        raise Rejected(Reason.LENGTH)
    frame = _header(view)
    if accept is not None:
        accept(frame)
    if (crc32(frame.payload) if crc is None else crc) != payload_crc:
        raise Rejected(Reason.PAYLOAD_CRC, frame)
    return frame


def _header(view: memoryview) -> Frame:
    """Return a frame whose payload is not checked."""
    magic, version, kind, _, run, epoch, uid, incarnation, sequence, base, generation, _, _, crc = (
        _HEADER.unpack_from(view)
    )
    if crc32(view[:_COVERED]) != crc:
        raise Rejected(Reason.HEADER_CRC)
    if magic != MAGIC:
        raise Rejected(Reason.MAGIC)
    frame = Frame(kind, run, generation, epoch, uid, incarnation, sequence, base, view[HEADER_BYTES:])
    if version != VERSION:
        raise Rejected(Reason.VERSION, frame)
    if not Kind.HELLO <= kind <= Kind.STATUS_REPLY:
        raise Rejected(Reason.KIND, frame)
    return frame


def pack_reason(reason: Reason, text: str = "") -> bytes:
    """Return the payload of a NACK: the reason, and a text for the user."""
    return bytes([reason]) + text.encode()[:1000]


def unpack_reason(payload: Received) -> tuple[int, str]:
    """Return the reason and the text of a NACK."""
    return (payload[0] if len(payload) else 0), bytes(payload[1:]).decode(errors="replace")
