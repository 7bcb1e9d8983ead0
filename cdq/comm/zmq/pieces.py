r"""Large messages, in pieces: each is sent from where it is, and received into memory that is kept.

ZeroMQ takes fresh memory for each message that comes, and what is fresh costs more than to copy: 64 MB to and fro take
118 ms as one message and 43 ms in pieces. A piece is a message of two parts: this head, and bytes of the whole::

    magic "CDQP" | number of the message u32 | offset u64 | bytes of the whole u64

The payload comes first, in order; the header of the frame is the last piece, as its CRC is known then. What is not the
piece that comes next is forgotten, together with what came before: the sender of the whole sees to that it arrives.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from zlib import crc32

from cdq.comm.contribution import Received
from cdq.comm.kept import Kept
from cdq.comm.zmq.wire import HEADER_BYTES, Assembled, Body, Message, pack_header

_HEAD = struct.Struct("<4sIQQ")
_MAGIC = b"CDQP"
_PIECE = 1 << 20  # bytes; shorter ones cost more calls, longer ones fresh memory
_MOST = 128  # pieces of a message whose parts are few: as many fit into the queue of a connection, twice
_SMALL = 1 << 16  # bytes: shorter parts are joined
_numbers = itertools.count()


class Outgoing:
    """A message on its way out, in pieces.

    Parameters
    ----------
    message : Message
        The message.

    Attributes
    ----------
    is_begun : bool
        True once a piece was sent.
    """

    def __init__(self, message: Message) -> None:
        self.is_begun = False
        self._pieces = _pieces(message)
        self._next: tuple[bytes, Received] | None = None

    def send(self, put: Callable[[bytes, Received], bool]) -> bool:
        """Give the pieces that were not sent yet to *put*, until it returns False; return whether all are sent."""
        while True:
            if self._next is None:
                self._next = next(self._pieces, None)
            if self._next is None:
                return True
            if not put(*self._next):
                return False
            self._next, self.is_begun = None, True


def _pieces(message: Message) -> Iterator[tuple[bytes, Received]]:
    """Yield the pieces of a message: heads, and bytes."""
    number, total = next(_numbers) & 0xFFFFFFFF, len(message)
    at, crc = HEADER_BYTES, 0
    known = "crc" in message.body.__dict__
    for chunk in _chunks(message.body, max(_PIECE, total // _MOST)):
        crc = 0 if known else crc32(chunk, crc)
        yield _HEAD.pack(_MAGIC, number, at, total), chunk
        at += len(chunk)
    if not known:
        message.body.crc = crc
    yield _HEAD.pack(_MAGIC, number, 0, total), pack_header(message.frame, message.body)


def _chunks(body: Body, most: int) -> Iterator[Received]:
    """Yield a payload in chunks of at most so many bytes: views of its parts, but for small ones, which are joined."""
    small: list[Received] = []
    for part in (*body.parts, b""):
        if 0 < len(part) < _SMALL and sum(map(len, small)) < most - _SMALL:
            small.append(part)
            continue
        if small:
            yield b"".join(small)
            small = []
        view = memoryview(part)
        yield from (view[at : at + most] for at in range(0, len(view), most))


class Incoming:
    """A message on its way in, by one connection.

    Parameters
    ----------
    kept : Kept
        Memory for messages.

    Attributes
    ----------
    heard : float
        Time at which the last piece came.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.heard = 0.0
        self._forget()

    def _forget(self) -> None:
        self._number = self._total = self._crc = 0
        self._at, self._whole = HEADER_BYTES, memoryview(b"")

    def take(self, head: Received, piece: Received, limit: int | None) -> Assembled | None:
        """Take in a piece; return the message if it was the last one.

        Raises
        ------
        ValueError
            If it is no piece, or one of a message of more than *limit* bytes.
        MemoryError
            If there is no memory for the message.
        """
        if len(head) != _HEAD.size:
            raise ValueError("a message in parts")
        magic, number, offset, total = _HEAD.unpack(head)
        if magic != _MAGIC or not HEADER_BYTES <= total <= (limit or total) or len(piece) > total - offset:
            self._forget()
            raise ValueError("a piece of no message")
        if offset == HEADER_BYTES and piece:
            self._forget()
            self._number, self._total, self._whole = number, total, self._kept.take(total)
        if (number, total) != (self._number, self._total):
            raise ValueError("a piece of another message")
        if offset == 0 and len(piece) == HEADER_BYTES and self._at == total:
            return self._end(piece)
        if offset != self._at:
            self._forget()
            raise ValueError("a piece out of order")
        self._whole[offset : offset + len(piece)] = piece
        self._crc = crc32(self._whole[offset : offset + len(piece)], self._crc)
        self._at += len(piece)
        return None

    def _end(self, header: Received) -> Assembled:
        self._whole[:HEADER_BYTES] = header
        made = Assembled(self._whole.toreadonly(), self._crc)
        self._forget()
        return made
