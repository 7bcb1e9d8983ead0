"""Messages of ranks and their relay inside a frame: calls, parts, and the reason for which a call failed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

from cdq.comm.base import Call
from cdq.comm.contribution import Received
from cdq.comm.zmq.wire import Reason, Rejected

_CALL = struct.Struct("<B3xi40s")  # mode, root, operation
_LOSS = struct.Struct("<BxxxI")  # why, how many ranks
WANTED_RANK = struct.Struct("<i")  # in HELLO; -1 for any
SIZE = struct.Struct("<I")  # in WELCOME


class Mode(IntEnum):
    """Mode of a collective: the parts that each rank gives, and those that it gets."""

    GATHER = 1  # all get what each gave
    ALLTOALL = 2  # each gave a part for each
    BROADCAST = 3  # all get what the root gave


class Why(IntEnum):
    """Reasons for which a rank left, or a call failed."""

    CLOSED = 1  # in order
    FAILED = 2
    VICTIM = 3  # of another rank, which is to be named instead
    MISMATCH = 4
    TIMEOUT = 5


class Request(NamedTuple):
    """A rank's call, with what it gives.

    Parameters
    ----------
    call : Call
        The call, the same on every rank.
    mode : Mode
        Mode of the collective.
    body : bytes or memoryview
        Payload: one part; or the lengths of the parts for all ranks, and the parts.
    """

    call: Call
    mode: Mode
    body: Received


def pack_call(call: Call, mode: Mode) -> bytes:
    """Return what stands before the body."""
    return _CALL.pack(mode, call.root, call.operation.encode()[:40])


def unpack_call(payload: Received, sequence: int) -> Request:
    """Return a rank's request; raise `Rejected` if it is none."""
    if len(payload) < _CALL.size:
        raise Rejected(Reason.CONTENT)
    mode, root, operation = _CALL.unpack_from(payload)
    if not Mode.GATHER <= mode <= Mode.BROADCAST:
        raise Rejected(Reason.CONTENT)
    name = operation.rstrip(b"\0").decode(errors="replace")
    return Request(Call(name, sequence, root), Mode(mode), memoryview(payload)[_CALL.size :])


def pack_lengths(parts: Sequence[Received]) -> bytes:
    """Return what stands before parts."""
    return struct.pack(f"<{len(parts)}Q", *map(len, parts))


def unpack_parts(body: Received, size: int) -> list[memoryview]:
    """Return the parts, which are not copied; raise `Rejected` if they are not as their lengths say."""
    head = 8 * size
    if len(body) < head:
        raise Rejected(Reason.CONTENT)
    ends = list(accumulate(struct.unpack_from(f"<{size}Q", body), initial=head))
    if ends[-1] != len(body):
        raise Rejected(Reason.CONTENT)
    view = memoryview(body).toreadonly()
    return [view[start:end] for start, end in pairwise(ends)]


def pack_loss(why: Why, ranks: Sequence[int], text: str) -> bytes:
    """Return why a call failed, or a rank leaves."""
    return _LOSS.pack(why, len(ranks)) + struct.pack(f"<{len(ranks)}I", *ranks) + text.encode()[:2000]


def unpack_loss(payload: Received) -> tuple[Why, tuple[int, ...], str]:
    """Return what `pack_loss` was given; raise `Rejected` if it is not that."""
    try:
        why, n_ranks = _LOSS.unpack_from(payload)
        ranks = struct.unpack_from(f"<{n_ranks}I", payload, _LOSS.size)
        return Why(why), ranks, bytes(payload[_LOSS.size + 4 * n_ranks :]).decode(errors="replace")
    except (struct.error, ValueError):
        raise Rejected(Reason.CONTENT) from None


def pack_group(parent: int, members: Sequence[int]) -> bytes:
    """Return the members of a group: ranks of the whole, in the order of their ranks in the group."""
    return struct.pack(f"<Q{len(members)}I", parent, *members)


def unpack_group(payload: Received) -> tuple[int, tuple[int, ...]]:
    """Return the parent and the members of a group; raise `Rejected` if it is none."""
    n_members = (len(payload) - 8) // 4
    if n_members < 1 or len(payload) != 8 + 4 * n_members:
        raise Rejected(Reason.CONTENT)
    parent, *members = struct.unpack(f"<Q{n_members}I", payload)
    return parent, tuple(members)
