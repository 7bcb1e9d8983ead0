"""Rounds that were played, and the rows of a history that they become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.core.loops.parts import CELLS
from cdq.workers import Summary


class Row(NamedTuple):
    """Figures of a moment of a run: of the steps since the row before, or so far.

    Episodes of a row are those that ended since the row before, while exploring. Figures of episodes are NaN where none
    ended, `gap` and `greedy_return` where they were not measured. Files of earlier versions have the first seven fields
    alone; the others are NaN there.

    Attributes
    ----------
    steps : int
        Environment steps of all workers so far.
    seconds : float
        Seconds of learning so far; within a window in proportion to its steps.
    mean_return : float
        Mean undiscounted return of the episodes that ended since the row before, while exploring; NaN if none did.
    episodes : int
        Episodes that ended so far.
    rounds : int
        Rounds so far.
    bytes : int
        Payload bytes that the workers exchanged so far.
    gap : float
        Certified bound on how far the greedy policy is from optimal, from the start; NaN where it was not computed.
    mean_length : float
        Mean steps of the episodes.
    least_return, greatest_return : float
        Least and greatest undiscounted return of the episodes.
    least_length, greatest_length : float
        Steps of the shortest and of the longest episode.
    epsilon : float
        Exploration rate.
    step_size : float
        Step size at the mean clock of the visited pairs, where the rule reads clocks; NaN before the first visit.
    window : float
        Steps of each worker in the window that the row is of.
    greedy_return : float
        Mean undiscounted return of the greedy policy, where a condition or an evaluation measured it.
    visited : float
        Part of the pairs that were visited: of those that episodes can reach, where the model is known.
    """

    steps: int
    seconds: float
    mean_return: float
    episodes: int
    rounds: int
    bytes: int
    gap: float
    mean_length: float = math.nan
    least_return: float = math.nan
    greatest_return: float = math.nan
    least_length: float = math.nan
    greatest_length: float = math.nan
    epsilon: float = math.nan
    step_size: float = math.nan
    window: float = math.nan
    greedy_return: float = math.nan
    visited: float = math.nan


# Kept as arrays, which a file holds as they are.
_COUNTS = ("steps", "episodes", "rounds", "bytes")
COLUMNS = np.dtype([(name, "i8" if name in _COUNTS else "f8") for name in Row._fields])
Rows = npt.NDArray[Any]  # of COLUMNS
# Those that every file has.
FIRST_COLUMNS = Row._fields[: Row._fields.index("gap") + 1]
# A run may have a million rounds. So many rows are kept at most, and a quarter to a half of them where more come.
MOST_ROWS = 2 * CELLS
_BYTES_OF_SUMMARY = 256
FIRST_ROW = Row(0, 0.0, math.nan, 0, 0, 0, math.nan)


def numbers_of(rows: Rows) -> npt.NDArray[np.int64]:
    """Return rows as a matrix of 64-bit numbers, a view: NumPy copies structures one field after another."""
    return rows.view(np.int64).reshape(len(rows), len(Row._fields))


def empty_rows(n: int) -> Rows:
    """Return memory for so many rows."""
    return np.empty((n, len(Row._fields)), np.int64).view(COLUMNS).reshape(n)


def joined(parts: Sequence[Rows]) -> Rows:
    """Return rows one after another, a copy."""
    return np.concatenate([numbers_of(part) for part in parts]).view(COLUMNS).reshape(-1)


class Played(NamedTuple):
    """A round that was played, of which rows are made.

    Attributes
    ----------
    row : Row
        Figures of the run after the round, with the mean return of its episodes: the rest of theirs is added. Bytes are
        those up to the round before; step size and visited part are NaN where the table was not looked at.
    summaries : sequence of Summary
        Summaries of the workers, in rank order. Where one has no tallies, there is one row without their figures.
    pairs : int
        Number of pairs of a state and an action of the table.
    """

    row: Row
    summaries: Sequence[Summary]
    pairs: int = 1

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory, roughly."""
        return len(self.summaries) * (len(self.summaries[0].tallies) + _BYTES_OF_SUMMARY)

    @property
    def bytes_before(self) -> int:
        """Bytes up to the round before."""
        return self.row.bytes

    @property
    def measured(self) -> bool:
        """True if the gap or the greedy return was measured at the newest round."""
        return not (math.isnan(self.row.gap) and math.isnan(self.row.greedy_return))


class Block(NamedTuple):
    """Rounds that were played one after another, as arrays.

    Attributes
    ----------
    rows : (n,) array of COLUMNS
        Figures of the run after each round, as `Played.row` has them.
    starts, workers, pairs : (n,) array of int64
        Steps before each round, number of its workers, and of the pairs of a state and an action.
    figures : (m, 8) array of float64
        Tallies of all workers together, as many as the rounds have rows.
    steps, of : (m,) array of int64
        Steps at the end of each row, and the number of its round.
    """

    rows: Rows
    starts: npt.NDArray[np.int64]
    workers: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]
    figures: npt.NDArray[np.float64]
    steps: npt.NDArray[np.int64]
    of: npt.NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory, roughly."""
        return self.rows.nbytes + self.figures.nbytes

    @property
    def bytes_before(self) -> int:
        """Bytes up to the round before the first one."""
        return int(self.rows["bytes"][0])

    @property
    def measured(self) -> bool:
        """True if the gap or the greedy return was measured at the newest round."""
        return not np.isnan(self.rows[-1:][["gap", "greedy_return"]].tolist()).all()
