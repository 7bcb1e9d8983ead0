"""Tallies: figures of the episodes that end in a window, in parts of the window one after another; records of rounds.

A run with automatic windows has few rounds, as windows grow with the steps. Tallies let its history have a hundred rows
all the same, without a message more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Numbers of a part: steps; episodes, sums of lengths and returns; least and greatest length; least and greatest return.
TALLY_WIDTH = 8
PART_BYTES = 8 * TALLY_WIDTH
# A part costs some 30 ns, and 64 bytes of the worker's contribution.
MOST_PARTS = 128
_SHORTEST = 128

Tallies = npt.NDArray[np.float64]

RECORD = np.dtype(
    [
        ("steps", "i8"),  # of all workers, after the round
        ("nanoseconds", "i8"),  # since the stretch began
        ("episodes", "i8"),
        ("return_sum", "f8"),
        ("bytes_sent", "i8"),  # before the round
        ("parts", "i8"),  # number of its tallies
        ("clock_sum", "i8"),  # of the merged table
        ("clocks", "i8"),  # those above 0; -1 where they were not counted
        ("visited", "i8"),  # known pairs that were visited; -1 where nobody looked
    ]
)
# Room for what a worker says of rounds without Python in between: 288 KiB of records, and 1 MiB of tallies. Between two
# stretches of them there is Python, which takes as long as some hundred short rounds.
MOST_ROUNDS, MOST_TALLIES = 4096, 16384
LOG_BYTES = MOST_ROUNDS * RECORD.itemsize + MOST_TALLIES * PART_BYTES


def log_over(memory: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[Any], Tallies]:
    """Return records of rounds, and tallies of their windows, over memory of `LOG_BYTES`."""
    records, tallies = np.split(memory[:LOG_BYTES], [MOST_ROUNDS * RECORD.itemsize])
    return records.view(RECORD), tallies.view(np.float64).reshape(-1, TALLY_WIDTH)


def parts_of(steps: int) -> int:
    """Return the number of parts of a window of *steps* steps of one worker.

    Examples
    --------
    >>> parts_of(100), parts_of(1000), parts_of(10**6)
    (1, 7, 128)
    """
    return min(max(steps // _SHORTEST, 1), MOST_PARTS)


def tallies_in(data: Any) -> Tallies:
    """Return the (n, 8) array of bytes that hold n tallies; a view."""
    return np.frombuffer(data, np.float64).reshape(-1, TALLY_WIDTH)


def require_tallies(data: Any, steps: int, episodes: int, length_sum: int, return_sum: float) -> None:
    """Raise `ValueError` unless a worker may have brought these tallies of a window with these figures in all."""
    parts = tallies_in(data)
    if len(parts) != parts_of(steps) or not np.isfinite(parts).all():
        raise ValueError(f"a window of {steps} steps has {len(parts)} tallies, or some are not finite")
    rounding = 1e-6 * episodes * np.abs(parts[:, 6:]).max()
    wrong = parts[:, :3].sum(axis=0).tolist() != [steps, episodes, length_sum]
    if wrong or abs(parts[:, 3].sum() - return_sum) > rounding or not are_possible(parts):
        raise ValueError("a contribution has tallies that cannot be, or are not those of its episodes")


def are_possible(parts: Tallies) -> bool:
    """Return whether each of these tallies is one of episodes that may have ended."""
    counts = parts[:, [0, 1, 2, 4, 5]]
    ended, low, high = parts[:, 1], parts[:, [4, 6]], parts[:, [5, 7]]
    return not (
        not np.isfinite(parts).all()
        or (counts < 0).any()
        or (counts != np.floor(counts)).any()
        or (low > high).any()
        or (ended * parts[:, 4] > parts[:, 2]).any()
        or (ended * parts[:, 5] < parts[:, 2]).any()
        or parts[ended == 0, 2:].any()
    )
