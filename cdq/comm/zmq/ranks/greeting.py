"""Greeting of a rank and its hub: the rank asks for its number, and is welcomed when all have come."""

from __future__ import annotations

import secrets
import time
from typing import NamedTuple

from cdq.comm.contribution import Received
from cdq.comm.zmq.events import TOKEN_BYTES
from cdq.comm.zmq.link import Link
from cdq.comm.zmq.ranks.collectives import SIZE, WANTED_RANK, Why, pack_loss
from cdq.comm.zmq.wire import Assembled, Frame, Kind, Rejected, decode, encode, unpack_reason
from cdq.errors import CommError, CommTimeout, ConfigError

ANY = -1  # rank
_AGAIN = 1.0  # seconds after which it is said again: another hub may have taken the place of one that ended


class Whole(NamedTuple):
    """All ranks of a hub, and the one of them that this process is."""

    run: int
    rank: int


def join(link: Link, rank: int, size: int, deadline: float, timeout: float) -> Whole:
    """Ask for a rank of *size*, and return what this process is when all have come.

    Raises
    ------
    ConfigError
        If the hub refuses: it has another number of ranks, or this one has come already.
    CommTimeout
        If not all ranks come before the deadline, by the monotonic clock, which is *timeout* seconds after the start.
    """
    try:
        with link:
            return _join(link, rank, size, deadline, timeout)
    except BaseException:
        link.post(encode(Frame(Kind.BYE, payload=pack_loss(Why.FAILED, (), "could not join"))), last=True)
        raise


def _join(link: Link, rank: int, size: int, deadline: float, timeout: float) -> Whole:
    payload = secrets.token_bytes(TOKEN_BYTES) + WANTED_RANK.pack(rank) + SIZE.pack(size)
    link.send(encode(Frame(Kind.HELLO, payload=payload)))
    while True:
        until = min(deadline, time.monotonic() + _AGAIN)
        welcome: Frame | None = link.wait(until, _welcome, lambda: None)
        if welcome is not None:
            return Whole(welcome.run, welcome.uid)
        if time.monotonic() >= deadline:
            raise CommTimeout(f"{link.address}: not all ranks connected within {timeout:g} s")
        link.offer(encode(Frame(Kind.HELLO, payload=payload)))


def _welcome(data: Received | Assembled) -> Frame | None:
    try:
        frame = decode(data)
    except Rejected as rejected:
        raise CommError(f"what answers is no hub of cdq: {rejected}") from None
    if frame.kind == Kind.NACK:
        raise ConfigError(unpack_reason(frame.payload)[1])
    return frame if frame.kind == Kind.WELCOME else None
