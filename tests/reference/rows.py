"""Rows that a round adds to a history, one after another, and fewer of them: the definition of `cdq.training.rows`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.training.played import MOST_ROWS, Row
from cdq.workers.contribution import Summary
from cdq.workers.tallies import tallies_in

STEPS_PER_PAIR = 16


def rows_of(row: Row, before: Row, summaries: Sequence[Summary]) -> list[Row]:
    """Return the rows of a round, oldest first: the last is *row*, with the figures of its episodes."""
    row = row._replace(window=(row.steps - before.steps) / len(summaries))
    lengths = {len(summary.tallies) for summary in summaries}
    if len(lengths) > 1 or 0 in lengths:
        return [row]
    parts = parts_of([tallies_in(summary.tallies).tolist() for summary in summaries])
    start = row.steps - sum(int(part[0]) for part in parts)
    rows, steps, episodes = [], start, before.episodes
    for group in groups_of(parts, start, row.steps):
        figures = together(group)
        steps, episodes = steps + int(figures[0]), episodes + int(figures[1])
        pace = (row.seconds - before.seconds) / max(row.steps - start, 1)
        moment = Row(
            steps,
            before.seconds + pace * (steps - start),
            math.nan,
            episodes,
            before.rounds,
            row.bytes,
            math.nan,
            window=row.window,
        )
        rows.append(with_episodes(moment, figures))
    return [*rows[:-1], with_episodes(row, figures, alone=len(rows) == 1)]


def parts_of(workers: list[list[list[float]]]) -> list[list[float]]:
    """Return the parts of a window with the episodes of all workers."""
    return [together(list(same_part)) for same_part in zip(*workers, strict=True)]


def groups_of(parts: list[list[float]], steps: int, end: int) -> list[list[list[float]]]:
    """Return the parts that make a row each: those that end in one cell of the history's grid."""
    width = 1 << (end // (MOST_ROWS // 2)).bit_length()
    groups: dict[int, list[list[float]]] = {}
    for part in parts:
        steps += int(part[0])
        groups.setdefault(steps // width, []).append(part)
    return list(groups.values())


def together(parts: list[list[float]]) -> list[float]:
    """Return the tally of several: steps, episodes, sums of lengths and returns; least and greatest of both."""
    sums = [sum(part[i] for part in parts) for i in range(4)]
    ended = [part for part in parts if part[1]]
    return [
        *sums,
        *(chosen((part[i] for part in ended), default=0.0) for i, chosen in enumerate((min, max) * 2, 4)),
    ]


def with_episodes(row: Row, figures: list[float], alone: bool = False) -> Row:
    """Return a row with the figures of its episodes; its mean return is there already where it is *alone*."""
    _, ended, length_sum, return_sum, shortest, longest, least, greatest = figures
    if not ended:
        return row if alone else row._replace(mean_return=math.nan)
    return row._replace(
        mean_return=row.mean_return if alone else return_sum / ended,
        mean_length=length_sum / ended,
        least_return=least,
        greatest_return=greatest,
        least_length=shortest,
        greatest_length=longest,
    )


def complete(
    row: Row, before: Row, pairs: int, look: tuple[float, float], exploration: Any, step_size: Any
) -> Row:
    """Return a row with what schedules are there, and with a *look* at the table, where one is due."""
    width = 1 << max(STEPS_PER_PAIR * pairs, row.steps // MOST_ROWS).bit_length()
    due = math.isnan(before.visited) or row.steps // width != before.steps // width
    of_clocks, visited = look if due else (before.step_size, before.visited)
    size = step_size.at(row.steps) if hasattr(step_size, "at") else of_clocks
    return row._replace(epsilon=exploration.at(row.steps), step_size=size, visited=visited)


def thinned(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return fewer rows: the last one of each part of the steps, or its last with a gap, and the newest two."""
    steps = rows["steps"]
    # A power of two, counted from 0: what was thinned before falls on the same grid, or on one half as fine.
    width = 1 << (int(steps[-1] - steps[0]) // (MOST_ROWS // 2)).bit_length()
    parts = steps // width
    keep = np.zeros(len(rows), np.bool_)
    keep[last_of_each(parts)] = True
    measured = np.flatnonzero(~np.isnan(rows["gap"]) | ~np.isnan(rows["greedy_return"]))
    measured = measured[last_of_each(parts[measured])]
    keep[np.isin(parts, parts[measured])] = False
    keep[measured] = keep[-2:] = True  # the newest row, and what its returns begin after
    return merged(rows, np.flatnonzero(keep))


def last_of_each(parts: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Return where runs of equal numbers end."""
    return np.flatnonzero(np.append(parts[1:] != parts[:-1], True)[: len(parts)])


def merged(rows: npt.NDArray[Any], kept: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Return the rows at *kept*, the last among them, whose episodes are those of all rows since the one before."""
    ended = np.diff(rows["episodes"], prepend=0)
    first = np.append(0, kept[:-1] + 1)
    result = rows.take(kept)
    counts = np.add.reduceat(ended, first)
    alone = np.diff(kept, prepend=-1) == 1  # these stay as they are, to the bit
    for name in ("mean_return", "mean_length"):
        sums = np.add.reduceat(np.where(ended > 0, ended * rows[name], 0.0), first)
        mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        result[name] = np.where(alone, result[name], mean)
    for name in ("return", "length"):
        result[f"least_{name}"] = np.fmin.reduceat(rows[f"least_{name}"], first)
        result[f"greatest_{name}"] = np.fmax.reduceat(rows[f"greatest_{name}"], first)
    return result
