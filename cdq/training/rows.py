"""Rows that a round adds to a history: one for itself, and more where its window was long."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cdq.training.history import MOST_ROWS, Row
from cdq.workers import Summary, Tallies, tallies_in

_SUMS = slice(0, 4)  # of a tally: steps, episodes, sums of lengths and returns


def rows_of(row: Row, before: Row, summaries: Sequence[Summary]) -> list[Row]:
    """Return the rows of a round, oldest first: the last is *row*, with the figures of its episodes.

    Parameters
    ----------
    row : Row
        Figures of the run after the round.
    before : Row
        The newest row of the history.
    summaries : sequence of Summary
        Summaries of the workers, in rank order. Where one has no tallies, there is one row without their figures.
    """
    row = row._replace(window=(row.steps - before.steps) / len(summaries))
    lengths = {len(summary.tallies) for summary in summaries}
    if len(lengths) > 1 or 0 in lengths:
        return [row]
    parts = _of_all(np.stack([tallies_in(summary.tallies) for summary in summaries]))
    start = row.steps - int(parts[:, 0].sum())
    kept = _ends_of_rows(start + parts[:, 0].cumsum().astype(np.int64))
    grouped = _grouped(parts, np.append(0, kept[:-1] + 1))
    rows = _earlier(row, before, grouped[:-1], start)
    return [*rows, _with_episodes(row, grouped[-1].tolist(), alone=not rows)]


def _of_all(tallies: Tallies) -> Tallies:
    """Return the tallies of all workers together, (n, 8), of theirs, (workers, n, 8); infinite where nothing ended."""
    ended = tallies[:, :, 1:2] > 0
    parts: Tallies = tallies.sum(axis=0)
    parts[:, 4::2] = np.where(ended, tallies[:, :, 4::2], np.inf).min(axis=0)
    parts[:, 5::2] = np.where(ended, tallies[:, :, 5::2], -np.inf).max(axis=0)
    return parts


def _ends_of_rows(
    steps: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the parts that end a row, by the steps at their ends: the last one of each cell of the history's grid."""
    width = 1 << (int(steps[-1]) // (MOST_ROWS // 2)).bit_length()
    cells = steps // width
    return np.flatnonzero(np.append(cells[1:] != cells[:-1], True))


def _grouped(parts: Tallies, first: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Tallies:
    """Return the tallies of groups of parts, which begin at *first*."""
    grouped: Tallies = np.add.reduceat(parts, first)
    grouped[:, 4::2] = np.minimum.reduceat(parts[:, 4::2], first)
    grouped[:, 5::2] = np.maximum.reduceat(parts[:, 5::2], first)
    return grouped


def _earlier(row: Row, before: Row, grouped: Tallies, start: int) -> list[Row]:
    """Return the rows of a round before its last; seconds go in proportion to the steps."""
    rows = []
    steps, episodes = start, before.episodes
    pace = (row.seconds - before.seconds) / max(row.steps - start, 1)
    for figures in grouped.tolist():
        steps, episodes = steps + int(figures[0]), episodes + int(figures[1])
        seconds = before.seconds + pace * (steps - start)
        moment = Row(
            steps, seconds, math.nan, episodes, before.rounds, row.bytes, math.nan, window=row.window
        )
        rows.append(_with_episodes(moment, figures))
    return rows


def _with_episodes(row: Row, figures: list[float], alone: bool = False) -> Row:
    """Return a row with the figures of its episodes; its mean return is there already where it is *alone*."""
    _, ended, length_sum, return_sum, *least_and_greatest = figures
    if not ended:
        return row if alone else row._replace(mean_return=math.nan)
    shortest, longest, least, greatest = least_and_greatest
    return row._replace(
        mean_return=row.mean_return if alone else return_sum / ended,
        mean_length=length_sum / ended,
        least_return=least,
        greatest_return=greatest,
        least_length=shortest,
        greatest_length=longest,
    )
