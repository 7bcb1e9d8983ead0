"""Offer of memory to workers, at the end of a result: where it is, what to write there, and who is to play."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from cdq.comm.contribution import Received

TOKEN_BYTES = 16
# Workers that play together at most: in rounds of many more, each waits for processes that have no core.
MOST_MEMBERS = 64
_MOST_BYTES = 4096  # of an offer; more is none
_LENGTH = struct.Struct("<I")


class Offer(NamedTuple):
    """Memory that a hub offers.

    Attributes
    ----------
    address : str
        Address of the memory (`cdq.comm.memory`).
    token : bytes
        Bytes to write there, which show that it is the same memory.
    uids : list of int
        Numbers of the workers that are to play, in order.
    """

    address: str
    token: bytes
    uids: Sequence[int]

    def pack(self) -> bytes:
        """Return the offer as bytes."""
        return json.dumps([self.address, self.token.hex(), list(self.uids)]).encode()

    @classmethod
    def unpack(cls, data: Any) -> Offer | None:
        """Return the offer in bytes; None if there is none."""
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            address, token, uids = json.loads(bytes(data)) if len(data) <= _MOST_BYTES else ("", "", [])
            known = isinstance(address, str) and isinstance(uids, list) and _are_members(uids)
            if known and len(bytes.fromhex(token)) == TOKEN_BYTES:
                return cls(address, bytes.fromhex(token), uids)
        return None


def _are_members(uids: list[object]) -> bool:
    """Return whether these are numbers of workers that may play together, each once."""
    return len(uids) <= MOST_MEMBERS and all(type(uid) is int for uid in uids) and len({*uids}) == len(uids)


def with_offer(parts: Sequence[Received], offer: bytes) -> tuple[Received, ...]:
    """Return the parts of a result with an offer at its end."""
    return *parts, offer, _LENGTH.pack(len(offer))


def without_offer(payload: Any) -> tuple[memoryview, memoryview]:
    """Return a result, and the offer that was at its end; `ValueError` if there can be none."""
    data = memoryview(payload)
    end = len(data) - _LENGTH.size
    start = end - _LENGTH.unpack_from(data, end)[0] if end >= 0 else -1
    if start < 0:
        raise ValueError("a result has an offer that is none")
    return data[:start], data[start:end]
