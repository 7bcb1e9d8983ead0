"""Long parts over MPI: moved in pieces, as MPI counts in 32 bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from cdq.comm.contribution import as_bytes_view

CHUNK = 1 << 30  # the most bytes that a rank sends or receives in one step

Run: TypeAlias = Callable[..., None]  # starts a nonblocking operation with the buffers, and waits for it

_ALIGNED = 64  # where each part begins in what was received, for those who read numbers from it


def gather(run: Run, channel: Any, part: memoryview, lengths: Sequence[int]) -> list[memoryview | bytes]:
    """Return the parts of all ranks, whose lengths all know."""

    def step(begin: int, piece: int, incoming: list[Any]) -> None:
        run(channel.Iallgatherv, part[begin : begin + piece], incoming)

    return _in_steps(step, lengths, max(lengths))


def exchange(run: Run, channel: Any, parts: Sequence[memoryview], longest: int) -> list[memoryview | bytes]:
    """Return what each rank sent here, where `longest` is the longest part of any rank."""
    counts = np.array([part.nbytes for part in parts], np.int64)
    lengths = np.empty_like(counts)
    run(channel.Ialltoall, counts, lengths)

    def step(begin: int, piece: int, incoming: list[Any]) -> None:
        pieces = [part[begin : begin + piece] for part in parts]
        counts = [one.nbytes for one in pieces]
        outgoing = b"".join(pieces)
        run(channel.Ialltoallv, [outgoing, counts, [0, *accumulate(counts[:-1])], "B"], incoming)

    return _in_steps(step, lengths.tolist(), longest)


def broadcast(run: Run, channel: Any, part: memoryview, length: int, root: int) -> memoryview:
    """Return the part of the root."""
    whole = part if channel.Get_rank() == root else as_bytes_view(np.empty(length, np.uint8))
    for begin in range(0, length, CHUNK):
        run(channel.Ibcast, [whole[begin : begin + CHUNK], "B"], root)
    return memoryview(bytes(whole)) if whole is part else whole.toreadonly()


def _in_steps(
    step: Callable[[int, int, list[Any]], None], lengths: Sequence[int], longest: int
) -> list[memoryview | bytes]:
    """Receive parts of the given lengths, in as many steps as the longest part of any rank needs."""
    piece = max(1, CHUNK // len(lengths))
    steps: list[list[memoryview]] = []
    for begin in range(0, longest, piece):
        counts = [min(max(length - begin, 0), piece) for length in lengths]
        ends = list(accumulate(-(-count // _ALIGNED) * _ALIGNED for count in counts))
        starts = [0, *ends[:-1]]
        received = np.empty(ends[-1], np.uint8)
        step(begin, piece, [received, counts, starts, "B"])
        view = as_bytes_view(received).toreadonly()
        steps.append([view[start : start + count] for start, count in zip(starts, counts, strict=True)])
    return list(steps[0]) if len(steps) == 1 else [b"".join(pieces) for pieces in zip(*steps, strict=True)]
