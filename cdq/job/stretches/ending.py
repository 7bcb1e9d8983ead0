"""Message of a worker at the end of a stretch of rounds, and the checks before it is believed.

It is all that the hub believes of the stretch: it reads nothing in the memory that workers share. The worker of the
lowest number says what the table is; the others say its checksum.
"""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cdq.comm.contribution import Received
from cdq.job.messages import Shape, check_lanes
from cdq.qfunctions import MergedTable
from cdq.workers import (
    MOST_ROUNDS,
    MOST_TALLIES,
    PART_BYTES,
    RECORD,
    TALLY_WIDTH,
    Tallies,
    are_possible,
    parts_of,
)

_HEAD = struct.Struct("<qqqqdqI4x")
_LOOKS = ("clock_sum", "clocks", "visited")
_CLOCK_LIMIT = 0x40000000  # of rows.h


class End(NamedTuple):
    """End of a stretch: where it came to.

    Attributes
    ----------
    rounds, steps : int
        Rounds of the stretch; steps of all workers at its end.
    asked : int
        1 if a worker asked all to end, else 0.
    parts : int
        Number of tallies.
    window : float
        Length of the next window.
    bytes_sent : int
        Bytes that this worker has exchanged since it joined.
    checksum : int
        CRC-32 of the worker's table, values and then clocks.
    """

    rounds: int
    steps: int
    asked: int
    parts: int
    window: float
    bytes_sent: int
    checksum: int


class Ending(NamedTuple):
    """Message of a worker, taken apart; views of it.

    Attributes
    ----------
    payload : bytes or memoryview
        The message, whole.
    end : End
        End of the stretch.
    lanes : memoryview
        State of the worker's lanes.
    records, tallies : arrays
        Record of each round, and the tallies of its parts.
    table : dict of str to array, optional
        Values, clocks and visits.
    """

    payload: Received
    end: End
    lanes: memoryview
    records: npt.NDArray[Any]
    tallies: Tallies
    table: dict[str, npt.NDArray[Any]] | None

    def is_as(self, other: Ending) -> bool:
        """Return whether another worker came to the same, round by round."""
        own, its = self.end._replace(bytes_sent=0), other.end._replace(bytes_sent=0)
        return own == its and all(
            np.array_equal(self.records[name], other.records[name]) for name in ("steps", "parts")
        )


def pack_ending(
    end: End, lanes: bytes, records: npt.NDArray[Any], tallies: Tallies, table: MergedTable | None
) -> bytes:
    """Return the message; *table* is that of the worker of the lowest number."""
    arrays = [] if table is None else [table.values, table.clock, table.visits]
    return b"".join(
        (
            _HEAD.pack(*end),
            lanes,
            *(part.tobytes() for part in (records[: end.rounds], tallies[: end.parts], *arrays)),
        )
    )


def most_of(shape: Shape) -> int:
    """Return the bytes of the longest message."""
    table = shape.n_pairs * (shape.real.itemsize + 12)
    return _HEAD.size + shape.lanes + MOST_ROUNDS * RECORD.itemsize + MOST_TALLIES * PART_BYTES + table


def open_ending(payload: Any, shape: Shape, *, first: bool) -> Ending:
    """Take a message apart, the *first* one with the table; `ValueError` if its size, or a number in it, is wrong."""
    data = memoryview(payload)
    if len(data) < _HEAD.size:
        raise ValueError(f"{len(data)} bytes are no end of a stretch")
    end = End(*_HEAD.unpack_from(data))
    if not (0 < end.rounds <= MOST_ROUNDS and 0 <= end.parts <= MOST_TALLIES and end.asked in {0, 1}):
        raise ValueError(f"a stretch cannot end so: {end}")
    kinds = [(RECORD, (end.rounds,)), (np.dtype("f8"), (end.parts, TALLY_WIDTH))]
    if first:
        pairs = shape.n_states, shape.columns
        kinds += [(shape.real, pairs), (np.dtype("u4"), pairs), (np.dtype("i8"), pairs)]
    at = _HEAD.size + shape.lanes
    arrays = []
    if len(data) != at + sum(kind.itemsize * math.prod(sizes) for kind, sizes in kinds):
        raise ValueError(f"the end of a stretch of {len(data)} bytes does not have the size that it says")
    for kind, sizes in kinds:
        n_bytes = kind.itemsize * math.prod(sizes)
        arrays.append(np.frombuffer(data[at : at + n_bytes], kind).reshape(sizes))
        at += n_bytes
    table = dict(zip(("values", "clock", "visits"), arrays[2:], strict=True)) if first else None
    return Ending(payload, end, data[_HEAD.size : _HEAD.size + shape.lanes], arrays[0], arrays[1], table)


def check_ending(
    ending: Ending, shape: Shape, merged: MergedTable, *, size: int, steps: int, most: int
) -> None:
    """Raise `ValueError` unless *size* workers that were at *steps* steps may have come to this, below *most* steps."""
    end = ending.end
    along = [steps, *ending.records["steps"].tolist(), most]
    if not all(before < after for before, after in pairwise(along)) or end.steps != along[-2]:
        raise ValueError(f"a stretch from {steps} steps cannot end so: {end}")
    if not (0 < end.window < math.inf and end.bytes_sent >= 0):
        raise ValueError(f"a stretch cannot end so: {end}")
    _check_rounds(ending, np.diff(along[:-1]) // size)
    check_lanes(ending.lanes, shape)
    if ending.table is not None:
        _check_table(ending.table, end, shape, merged, steps)


def _check_rounds(ending: Ending, windows: npt.NDArray[np.int64]) -> None:
    """Raise `ValueError` unless a worker may have had these rounds, of windows of so many steps."""
    records, tallies = ending.records, ending.tallies
    parts, most = records["parts"].tolist(), map(parts_of, windows.tolist())
    fit = all(0 < own <= limit for own, limit in zip(parts, most, strict=True))  # a coarse grid has fewer
    if not fit or len(tallies) != sum(parts) or not are_possible(tallies):
        raise ValueError("a stretch has rounds with tallies that cannot be")
    first = np.cumsum([0, *parts[:-1]])
    steps, episodes, _, returns = np.add.reduceat(tallies[:, :4], first, axis=0).T
    rounding = 1e-6 * episodes * np.maximum.reduceat(np.abs(tallies[:, 6:]).max(axis=1), first)
    if (steps != windows).any() or (episodes != records["episodes"]).any():
        raise ValueError("a stretch has tallies that are not those of its rounds")
    if not (np.abs(returns - records["return_sum"]) <= rounding).all() or (records["bytes_sent"] < 0).any():
        raise ValueError("a stretch has rounds with returns or bytes that cannot be")
    since, looks = records["nanoseconds"], np.stack([records[name] for name in _LOOKS])
    if (since < 0).any() or (np.diff(since) < 0).any() or (looks < -1).any():
        raise ValueError("a stretch has times or counts that cannot be")


def _check_table(
    table: dict[str, npt.NDArray[Any]], end: End, shape: Shape, merged: MergedTable, steps: int
) -> None:
    """Raise `ValueError` unless these are a table that so many steps may have made."""
    if not np.isfinite(table["values"]).all():
        raise ValueError("a stretch has values that are not finite")
    if (table["clock"] < merged.clock).any() or (table["clock"] > _CLOCK_LIMIT).any():
        raise ValueError("a stretch has clocks that cannot be")
    visits = table["visits"] - merged.visits
    if (visits < 0).any() or (shape.updates and int(visits.sum()) != (end.steps - steps) * shape.updates):
        raise ValueError("a stretch has visits that are not those of its steps")
    if (
        crc32(np.ascontiguousarray(table["clock"]).data, crc32(np.ascontiguousarray(table["values"]).data))
        != end.checksum
    ):
        raise ValueError("a stretch has a table that is not the one of its checksum")
