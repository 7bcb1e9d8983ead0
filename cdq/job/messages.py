"""Messages between hub and workers in each round: layouts, and the checks before anything is believed.

Everything is little-endian and of a size that follows from the table and the lanes. A *contribution* is the summary of
the window's episodes, the slice that `core.merge.merge.pack` made of all pairs, what the worker learnt in rows of its
own where it has such, the checksum of the table that it was learnt from, and the worker's lanes after the window. A
*result* is the next window and, after a round, what was merged (`result_parts`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cdq.comm.contribution import Received, SlicedContribution
from cdq.comm.kept import Kept
from cdq.comm.zmq.wire import joined
from cdq.core.lanes import bytes_of_lanes
from cdq.workers import GO_ON, LARGEST_SUMMARY, Summary, require_tallies

_TASK = struct.Struct("<qqddq")
CHECKSUM = struct.Struct("<q")
_COUNT = struct.Struct("<q")  # of the pairs of a worker's own
_HEADER = struct.Struct("<qqqq")  # of a slice: first pair or -1, pairs; of a merged one also mass and visits
# Clocks stay below this (rows.h): beyond it the laws are constant.
CLOCK_LIMIT = 0x40000000
# An episode's return that is beyond this is a mistake, whatever the rewards.
_LARGEST = 1e300
_BLOCK = 1 << 16  # pairs that are checked at once


class OpenWindow(NamedTuple):
    """A window to learn.

    Attributes
    ----------
    sweeps : int
        Steps of each lane; 0: the job is done.
    before : int
        Steps of all workers before it: what the step-size law depends on.
    first, last : float
        Exploration rates at its start and end.
    compare : int
        COMPARE where the worker is to tell the checksum of its table; OFFER and TOGETHER, else 0.
    """

    sweeps: int
    before: int
    first: float
    last: float
    compare: int


DONE = OpenWindow(0, 0, 0.0, 0.0, 0)
# Bits of `OpenWindow.compare`: the worker is to tell its checksum; an offer of memory ends the result; in place of a
# window, a stretch of rounds comes next, which workers play together (`cdq.job.stretches`).
COMPARE, OFFER, TOGETHER = 1, 2, 4


class Shape(NamedTuple):
    """Sizes from which those of messages follow.

    Attributes
    ----------
    n_states, columns : int
        Rows that are merged, and columns.
    real : dtype
        Type of the values.
    num_envs : int
        Lanes of a worker.
    own_bytes : int
        Bytes of each lane's environment.
    keeps_own : bool
        True if a worker has as many rows of its own behind the merged ones.
    updates : int
        Pairs that each step of a lane updates; 0 where their number varies.
    """

    n_states: int
    columns: int
    real: np.dtype[Any]
    num_envs: int
    own_bytes: int = 0
    keeps_own: bool = False
    updates: int = 1

    @property
    def n_pairs(self) -> int:
        """Number of pairs of the table that are merged."""
        return self.n_states * self.columns

    @property
    def lanes(self) -> int:
        """Bytes of a worker's lanes."""
        return bytes_of_lanes(self.num_envs, self.own_bytes)

    @property
    def largest(self) -> int:
        """Bytes of the largest contribution: of all pairs, or of so few that listing them takes no more."""
        real = self.real.itemsize
        own = _COUNT.size + self.n_pairs * (real + 8) if self.keeps_own else 0
        ends = LARGEST_SUMMARY + CHECKSUM.size + self.lanes
        return ends + _slice_bytes(self.n_pairs, False, real) + own


class Own(NamedTuple):
    """Part of a contribution that is not merged: what a worker learnt in rows of its own.

    Attributes
    ----------
    values, counts, pairs : arrays
        Entries of the touched pairs, ascending: values, clocks with the window's visits, and numbers among the own.
    """

    values: npt.NDArray[Any]
    counts: npt.NDArray[np.uint32]
    pairs: npt.NDArray[np.uint32]

    def pack(self) -> bytes:
        """Return the part as bytes."""
        return b"".join((_COUNT.pack(len(self.pairs)), *(part.tobytes() for part in self)))


class ReceivedContribution(NamedTuple):
    """ReceivedContribution of a worker, taken apart; views of the message.

    Attributes
    ----------
    payload : bytes or memoryview
        The message, whole.
    lanes : memoryview
        State of the lanes after the window, as bytes.
    checksum : int
        CRC-32 of the worker's table before the window, where that was asked for; else -1.
    summary : Summary
        Summary of the episodes that ended in the window.
    part : memoryview
        The slice, as `cdq.core.merge.merge.merge_slices` takes it.
    first : int
        The first of consecutive pairs; -1 where they are listed.
    values, counts, pairs : arrays
        Entries of the touched pairs: values, clocks with the window's visits, and, where they are listed, numbers.
    own : Own, optional
        Rows of the worker's own, where it has such.
    """

    payload: Any
    lanes: memoryview
    checksum: int
    summary: Summary
    part: memoryview
    first: int
    values: npt.NDArray[Any]
    counts: npt.NDArray[np.uint32]
    pairs: npt.NDArray[np.uint32]
    own: Own | None

    @property
    def where(self) -> Any:
        """Index that picks the touched pairs out of an array of all pairs."""
        return self.pairs if self.first < 0 else slice(self.first, self.first + len(self.values))


def pack_contribution(
    brought: SlicedContribution, kept: Kept, checksum: int, lanes: bytes, own: bytes = b""
) -> memoryview:
    """Return a contribution in memory that is kept: the summary and the slice of all pairs, and what follows them."""
    tail = own + CHECKSUM.pack(checksum) + lanes
    largest, _ = brought.begin(1)
    room = kept.take(largest + len(tail))
    begin = len(brought.pack(0, 1, room))
    end = begin + len(tail)
    room[begin:end] = tail
    return room[:end].toreadonly()


def pack_result(window: OpenWindow, merged: Received = b"") -> Received:
    """Return a result: the next window, and the merged slice."""
    return joined(*result_parts(window, merged))


def result_parts(window: OpenWindow, merged: Received) -> tuple[Received, ...]:
    """Return the parts of a result.

    Where pairs are listed, each was visited, and how often is the hub's to know: a quarter less to send.
    """
    head, n_listed = _TASK.pack(*window), _listed(merged)
    if not n_listed:
        return head, merged
    whole = memoryview(merged)
    return head, whole[: -12 * n_listed], whole[-8 * n_listed :]


def window_parts(window: OpenWindow, merged: Received) -> tuple[Received, ...]:
    """Return the parts of a result whose merged part goes as it is."""
    return _TASK.pack(*window), merged


def _listed(merged: Received) -> int:
    """Return how many pairs a merged slice lists; 0 if it is of consecutive ones."""
    first, count = _HEADER.unpack_from(merged)[:2] if len(merged) >= _HEADER.size else (0, 0)
    return int(count) if first < 0 else 0


def _with_visits(merged: memoryview) -> Received:
    """Return a merged slice that came without the visits of its pairs, with one of each."""
    n_listed = _listed(merged)
    if not 0 < 8 * n_listed <= len(merged) - _HEADER.size:
        return merged  # whole, or nothing that can be
    return joined(
        merged[: -8 * n_listed], np.ones(n_listed, np.uint32).data.cast("B"), merged[-8 * n_listed :]
    )


def open_result(payload: Any) -> tuple[OpenWindow, Received]:
    """Return the next window and the merged slice of a result; `ValueError` if it is none."""
    window, rest = open_window(payload)
    return window, _with_visits(rest)


def open_window(payload: Any) -> tuple[OpenWindow, memoryview]:
    """Return the window at the head of a result, and what follows it; `ValueError` if it is none."""
    if len(payload) < _TASK.size:
        raise ValueError(f"a result of {len(payload)} bytes is too short")
    window = OpenWindow(*_TASK.unpack_from(payload))
    if not (
        0 <= window.sweeps < 2**31 and window.before >= 0 and 0 <= window.first <= 1 and 0 <= window.last <= 1
    ):
        raise ValueError(f"a result asks for the impossible: {window}")
    return window, memoryview(payload)[_TASK.size :]


def as_window(told: Any) -> OpenWindow:
    """Return the window of which a message names the numbers; `ValueError` if it is none."""
    try:
        return open_window(_TASK.pack(*told))[0]
    except (struct.error, TypeError) as error:
        raise ValueError(f"what is named is no window: {error}") from None


def open_contribution(payload: Any, shape: Shape) -> ReceivedContribution:
    """Take a contribution apart; `ValueError` if its sizes, or the order of its pairs, are wrong."""
    data, summary = memoryview(payload), Summary.unpack(payload)
    head = summary.nbytes
    end = len(data) - shape.lanes - CHECKSUM.size
    if end < head + _HEADER.size:
        raise ValueError(f"a contribution of {len(data)} bytes is too short")
    first, count, *zeros = _HEADER.unpack_from(data, head)
    listed, real = first < 0, shape.real.itemsize
    whole = first == 0 and count == shape.n_pairs
    if any(zeros) or not (whole or (first == -1 and 0 <= count <= shape.n_pairs)):
        raise ValueError(f"a contribution of {count} pairs from {first} is none of {shape.n_pairs} pairs")
    last = head + _slice_bytes(count, listed, real)
    if last > end if shape.keeps_own else last != end:
        raise ValueError("a contribution does not have the size that its header says")
    at = head + _HEADER.size
    values = np.frombuffer(data, shape.real, count, at)
    at += -(-count * real // 8) * 8
    counts = np.frombuffer(data, np.uint32, count, at)
    pairs = np.frombuffer(data, np.uint32, count if listed else 0, at + 4 * count)
    if listed and not _in_order(pairs, shape):
        raise ValueError("a contribution names pairs that there are not, or out of order")
    own = _open_own(data[last:end], shape) if shape.keeps_own else None
    (checksum,) = CHECKSUM.unpack_from(data, end)
    lanes = data[end + CHECKSUM.size :]
    return ReceivedContribution(
        payload, lanes, checksum, summary, data[head:last], first, values, counts, pairs, own
    )


def _in_order(pairs: npt.NDArray[np.uint32], shape: Shape) -> bool:
    """Return whether these are numbers of pairs, ascending."""
    return not len(pairs) or bool(pairs[-1] < shape.n_pairs and (pairs[1:] > pairs[:-1]).all())


def _open_own(data: memoryview, shape: Shape) -> Own:
    """Take apart what a worker learnt in rows of its own; `ValueError` if it is none."""
    if len(data) < _COUNT.size:
        raise ValueError("a contribution lacks the rows of the worker's own")
    (count,) = _COUNT.unpack_from(data)
    real = shape.real.itemsize
    if not 0 <= count <= shape.n_pairs or len(data) != _COUNT.size + count * (real + 8):
        raise ValueError(f"{count} pairs of a worker's own do not have {len(data)} bytes")
    own = Own(
        np.frombuffer(data, shape.real, count, _COUNT.size),
        np.frombuffer(data, np.uint32, count, _COUNT.size + count * real),
        np.frombuffer(data, np.uint32, count, _COUNT.size + count * (real + 4)),
    )
    if not _in_order(own.pairs, shape):
        raise ValueError("a contribution names pairs of its own that there are not, or out of order")
    return own


def check_contribution(
    brought: ReceivedContribution,
    shape: Shape,
    clock: npt.NDArray[np.uint32],
    sweeps: int,
    own_clock: npt.NDArray[np.uint32] | None = None,
) -> None:
    """Raise `ValueError` unless a worker that learnt *sweeps* steps of each lane from *clock* may have brought this.

    Where each step updates as many pairs, the visits of the window are known in all. *own_clock* is that of the rows
    that the worker has to itself.
    """
    _check_pairs(brought, brought.where, clock, shape, sweeps)
    if brought.own is not None and own_clock is not None:
        _check_pairs(brought.own, brought.own.pairs, own_clock, shape, sweeps)
    check_summary(brought.summary, sweeps * shape.num_envs)
    check_lanes(brought.lanes, shape)


def _check_pairs(
    brought: ReceivedContribution | Own,
    where: Any,
    clock: npt.NDArray[np.uint32],
    shape: Shape,
    sweeps: int,
) -> None:
    """Raise `ValueError` unless pairs were visited as often as steps of a window do, and have finite values.

    Pairs that are listed were visited. Large parts are looked at in blocks that stay in the processor's caches.
    """
    before, steps, visits, wrong, finite = clock.reshape(-1), sweeps * shape.num_envs, 0, False, True
    listed = not isinstance(where, slice)
    if not listed:
        before = before[where]
    for at in range(0, len(brought.counts), _BLOCK):
        block = slice(at, at + _BLOCK)
        counts, clocks = brought.counts[block], before[where[block] if listed else block]
        wrong |= bool((counts <= clocks).any() if listed else (counts < clocks).any())
        finite &= bool(np.isfinite(brought.values[block]).all())
        visits += int((counts - clocks).sum(dtype=np.int64))
    fits = visits == steps * shape.updates if shape.updates else 0 <= visits <= steps * shape.n_pairs
    if wrong or not fits:
        raise ValueError(
            f"a contribution has {visits} visits, not the {steps} of its window, or none of a pair"
        )
    if not finite:
        raise ValueError("a contribution has values that are not finite")


def check_summary(summary: Summary, steps: int) -> None:
    """Raise `ValueError` unless a window of *steps* steps may have had these episodes."""
    possible = 0 <= summary.episodes <= steps and summary.length_sum >= summary.episodes
    # The contents of messages, and when to stop, are the hub's to say.
    if not possible or not abs(summary.return_sum) < _LARGEST or summary[3:5] != (0, GO_ON):
        raise ValueError(f"a contribution has episodes that cannot be: {summary[:5]}")
    require_tallies(summary.tallies, steps, *summary[:3])


def check_lanes(lanes: Any, shape: Any) -> None:
    """Raise `ValueError` unless these bytes are lanes that a loop may go on from, as far as all lanes are alike."""
    if len(lanes) != shape.lanes:
        raise ValueError(f"lanes of {len(lanes)} bytes are not those of {shape.num_envs} environments")
    n = shape.num_envs
    words = np.frombuffer(lanes, np.uint64, 4 * n).reshape(4, n)
    elapsed = np.frombuffer(lanes, np.int64, n, 32 * n)
    returns = np.frombuffer(lanes, np.float64, n, 40 * n)
    state = np.frombuffer(lanes, np.uint32, n, 48 * n)
    if not words.any(axis=0).all() or (elapsed < 0).any() or not np.isfinite(returns).all():
        raise ValueError("lanes have dead streams, or episodes that cannot be")
    if (state >= shape.n_states).any():
        raise ValueError("lanes are in states that there are not")


def is_of(payload: Received, checksum: int) -> bool:
    """Return whether a contribution is the one of a CRC-32: as it is, or as it was before there were tallies."""
    bare = Summary.unpack(payload)
    rest = memoryview(payload)[bare.nbytes :]
    return checksum in {crc32(payload), crc32(rest, crc32(bare._replace(tallies=b"").pack()))}


def merged_alone(brought: ReceivedContribution, clock: npt.NDArray[np.uint32], limit: int) -> bytes:
    """Return the merged slice of a round to which one worker came: its table, as `Worker.commit_alone` takes it."""
    visits = brought.counts - clock.reshape(-1)[brought.where]
    after = np.minimum(brought.counts, np.uint32(limit))
    count = len(brought.values)
    header = _HEADER.pack(brought.first, count, 0, int(visits.sum(dtype=np.int64)))
    padding = bytes(-brought.values.nbytes % 8)
    return b"".join((header, brought.values.data, padding, visits.data, after.data, brought.pairs.data))


def most_merged(brought: Sequence[ReceivedContribution], shape: Shape) -> int:
    """Return the most bytes that the merged slice of a round can have: values, visits, clocks, and which pairs."""
    listed, real = all(one.first < 0 for one in brought), shape.real.itemsize
    count = sum(len(one.values) for one in brought) if listed else shape.n_pairs
    return _slice_bytes(count, listed, real) + 4 * count


def _slice_bytes(count: int, listed: bool, real: int) -> int:
    return _HEADER.size + -(-count * real // 8) * 8 + 4 * count * (1 + listed)
