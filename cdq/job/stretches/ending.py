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
from cdq.job.messages import CLOCK_LIMIT, Shape, check_lanes
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


class Before(NamedTuple):
    """Beginning of a stretch, as the hub gives the order for it.

    Attributes
    ----------
    size : int
        Number of workers.
    steps, target : int
        Steps of all workers so far, and those at which they end.
    window : float
        Length of the first window.
    lengths : tuple
        Pooled mass that windows keep, 0 where they stay as they are, and their least and greatest length.
    """

    size: int
    steps: int
    target: int
    window: float
    lengths: tuple[float, float, float]


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


def check_ending(ending: Ending, shape: Shape, merged: MergedTable, before: Before) -> None:
    """Raise `ValueError` unless workers that began with a table *merged* may have come to this."""
    end, size = ending.end, before.size
    along = [before.steps, *ending.records["steps"].tolist()]
    most = before.target + (size + 1) * shape.num_envs
    if not all(one < other for one, other in pairwise([*along, most])) or end.steps != along[-1]:
        raise ValueError(f"a stretch from {before.steps} steps cannot end so: {end}")
    taken = np.diff(along)
    if (taken % size).any() or not _may_follow(taken // size, end, shape.num_envs, before):
        raise ValueError(f"a stretch from {before.steps} steps has windows that cannot be")
    if end.bytes_sent < 0:
        raise ValueError(f"a stretch cannot end so: {end}")
    _check_rounds(ending, taken // size, shape.n_pairs)
    check_lanes(ending.lanes, shape)
    if ending.table is not None:
        _check_table(ending.table, end, shape, merged, before.steps)


def _may_follow(windows: npt.NDArray[np.int64], end: End, lanes: int, before: Before) -> bool:
    """Return whether windows of so many steps per worker may have followed one another, and the next one those.

    They double and halve at most (`cdq.schedules.AutoWindow`), and the last one before the target is cut short.
    """
    mass, least, longest = before.lengths
    low, high = (np.clip(by * windows, least, longest) if mass else windows for by in (0.5, 2.0))
    lowest, highest = (np.concatenate([[before.window], lengths]) for lengths in (low, high))
    steps = before.steps + before.size * np.concatenate([[0], np.cumsum(windows)])
    needed = np.ceil((before.target - steps[:-1]) / (before.size * lanes))
    shortest, longest_possible = (
        lanes * np.minimum(needed, np.maximum(np.ceil(lengths[:-1] / lanes), 1.0))
        for lengths in (lowest, highest)
    )
    at = -1 if end.steps < before.target else -2  # the window that is cut short says nothing of the next
    fits = (shortest <= windows) & (windows <= longest_possible)
    return bool(fits.all() and lowest[at] <= end.window <= highest[at])


def _check_rounds(ending: Ending, windows: npt.NDArray[np.int64], n_pairs: int) -> None:
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
    total, pairs = looks[0], looks[1:]
    if (total > CLOCK_LIMIT * np.maximum(pairs[0], 0)).any() or (looks < -1).any() or (pairs > n_pairs).any():
        raise ValueError("a stretch has looks at a table that cannot be")
    if (since < 0).any() or (np.diff(since) < 0).any():
        raise ValueError("a stretch has times that cannot be")


def _check_table(
    table: dict[str, npt.NDArray[Any]], end: End, shape: Shape, merged: MergedTable, steps: int
) -> None:
    """Raise `ValueError` unless these are a table that so many steps may have made."""
    if not np.isfinite(table["values"]).all():
        raise ValueError("a stretch has values that are not finite")
    if (table["clock"] < merged.clock).any() or (table["clock"] > CLOCK_LIMIT).any():
        raise ValueError("a stretch has clocks that cannot be")
    if not _are_visits(table["visits"], merged.visits, end.steps - steps, shape):
        raise ValueError("a stretch has visits that are not those of its steps")
    if (
        crc32(np.ascontiguousarray(table["clock"]).data, crc32(np.ascontiguousarray(table["values"]).data))
        != end.checksum
    ):
        raise ValueError("a stretch has a table that is not the one of its checksum")


def _are_visits(
    after: npt.NDArray[np.int64], before: npt.NDArray[np.int64], steps: int, shape: Shape
) -> bool:
    """Return whether visits may have come to this in so many steps."""
    if (after < before).any():
        return False
    visits, updates = after - before, steps * (shape.updates or shape.n_pairs)
    if visits.sum(dtype=np.float64) > 2.0 * updates:  # whole numbers would begin again beyond 2^64
        return False
    return not shape.updates or int(visits.sum()) == updates
