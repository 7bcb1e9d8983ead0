"""Rows that rounds add to a history: one for each, and more where its window was long; of many rounds at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from cdq.training.history import COLUMNS, MOST_ROWS, Played, Row, Rows
from cdq.workers import PART_BYTES, TALLY_WIDTH, Tallies, tallies_in

Places = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]


def rows_of(before: Row, rounds: Sequence[Played]) -> tuple[Rows, Places]:
    """Return the rows of rounds, oldest first, and the number of the round that each is of.

    The last row of a round is the one that it was played with. All are computed together, as each call of NumPy takes
    as long as a hundred steps.

    Parameters
    ----------
    before : Row
        The row before them.
    rounds : sequence of Played
        The rounds, oldest first.
    """
    moments = np.array([before, *(played.row for played in rounds)], COLUMNS)
    earlier, own = moments[:-1], moments[1:]
    own["window"] = (own["steps"] - earlier["steps"]) / [len(played.summaries) for played in rounds]
    parts, counts = _parts_of(rounds)
    lasts = counts.cumsum() - 1
    of_parts = np.arange(len(rounds)).repeat(counts)
    starts, steps = _steps_at_ends(parts, lasts, own["steps"], of_parts)
    ends = _ends_of_rows(steps, own["steps"], of_parts)
    of, figures = of_parts[ends], _grouped(parts, ends)
    is_last = ends == lasts[of]
    rows = own.take(of)  # of structures, a fortieth of the time of own[of]
    _fill_episodes(rows, figures, alone=is_last & np.append(True, is_last[:-1]))
    rows["bytes"][is_last] = np.append(own["bytes"][1:], own["bytes"][-1:])  # known with the round after it
    if len(rows) > len(rounds):
        rows["steps"], rows["episodes"] = steps[ends], _episodes_so_far(figures, is_last, earlier, own, of)
        inner = np.flatnonzero(~is_last)
        whole = of[inner]
        _fill_inner(rows, inner, earlier.take(whole), own.take(whole), starts[whole])
    return rows, of


def _parts_of(rounds: Iterable[Played]) -> tuple[Tallies, Counts]:
    """Return the tallies of all workers together, of one round after another, and how many each round has."""
    parts, counts = [], list[int]()
    for workers, group in itertools.groupby(rounds, _workers_with_tallies):
        alike = [played.summaries for played in group]
        if workers:
            joined = b"".join(summaries[rank].tallies for rank in range(workers) for summaries in alike)
            parts.append(_of_all(tallies_in(joined).reshape(workers, -1, TALLY_WIDTH)))
            counts += [len(summaries[0].tallies) // PART_BYTES for summaries in alike]
        else:
            parts.append(np.zeros((len(alike), TALLY_WIDTH)))
            counts += [1] * len(alike)
    return parts[0] if len(parts) == 1 else np.concatenate(parts), np.array(counts)


def _workers_with_tallies(played: Played) -> int:
    """Return the number of workers, or 0 where they have not all the same number of tallies."""
    lengths = {len(summary.tallies) for summary in played.summaries}
    return 0 if len(lengths) > 1 or 0 in lengths else len(played.summaries)


def _of_all(tallies: Tallies) -> Tallies:
    """Return the tallies of all workers together, (n, 8), of theirs, (workers, n, 8); infinite where nothing ended."""
    ended = tallies[:, :, 1:2] > 0
    parts: Tallies = tallies.sum(axis=0)
    parts[:, 4::2] = np.where(ended, tallies[:, :, 4::2], np.inf).min(axis=0)
    parts[:, 5::2] = np.where(ended, tallies[:, :, 5::2], -np.inf).max(axis=0)
    return parts


def _steps_at_ends(parts: Tallies, lasts: Counts, ends: Counts, of: Places) -> tuple[Counts, Counts]:
    """Return the steps at the start of each round, which *ends* after so many, and at the end of each part."""
    within = parts[:, 0].astype(np.int64).cumsum()
    starts = ends - np.diff(within[lasts], prepend=0)
    return starts, within + (ends - within[lasts])[of]


def _ends_of_rows(steps: Counts, ends: Counts, of: Places) -> Places:
    """Return the parts that end a row: the last one of each round, and of each cell of the history's grid."""
    cells = steps >> bit_length(ends // (MOST_ROWS // 2))[of]
    return np.flatnonzero(np.append((cells[1:] != cells[:-1]) | (of[1:] != of[:-1]), True))


def bit_length(numbers: Counts) -> Counts:
    """Return the bits of whole numbers up to 2**53, as `int.bit_length` does."""
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64)


def _grouped(parts: Tallies, ends: Places) -> Tallies:
    """Return the tallies of groups of parts, which end at *ends*."""
    first = np.append(0, ends[:-1] + 1)
    grouped: Tallies = np.add.reduceat(parts, first)
    grouped[:, 4::2] = np.minimum.reduceat(parts[:, 4::2], first)
    grouped[:, 5::2] = np.maximum.reduceat(parts[:, 5::2], first)
    return grouped


def _fill_episodes(rows: Rows, figures: Tallies, alone: npt.NDArray[np.bool_]) -> None:
    """Fill in the figures of the episodes; the mean return is there already where a row is *alone* in its round."""
    ended = np.where(figures[:, 1] > 0, figures[:, 1], np.nan)
    rows["mean_return"] = np.where(alone, rows["mean_return"], figures[:, 3] / ended)
    rows["mean_length"] = figures[:, 2] / ended
    names = "least_length", "greatest_length", "least_return", "greatest_return"
    for name, column in zip(names, figures[:, 4:].T, strict=True):
        rows[name] = np.where(figures[:, 1] > 0, column, np.nan)


def _episodes_so_far(
    figures: Tallies, is_last: npt.NDArray[np.bool_], earlier: Rows, own: Rows, of: Places
) -> Counts:
    """Return the episodes so far of each row: at the end of a round those that it says."""
    ended = figures[:, 1].astype(np.int64)
    total = ended.cumsum()
    at_start = (total - ended)[np.append(True, is_last[:-1])]
    within: Counts = total + (earlier["episodes"] - at_start)[of]
    return np.where(is_last, own["episodes"][of], within)


def _fill_inner(rows: Rows, inner: Places, before: Rows, after: Rows, starts: Counts) -> None:
    """Fill in the rows within windows: seconds go in proportion to the steps, and nothing was measured."""
    pace = (after["seconds"] - before["seconds"]) / np.maximum(after["steps"] - starts, 1)
    rows["seconds"][inner] = before["seconds"] + pace * (rows["steps"][inner] - starts)
    rows["rounds"][inner] = before["rounds"]
    rows["gap"][inner] = rows["greedy_return"][inner] = np.nan
