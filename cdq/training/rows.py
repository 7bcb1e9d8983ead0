"""Rows that rounds add to a history: one for each, and more where its window was long; of many rounds at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cdq.core.loops.parts import group
from cdq.training.played import COLUMNS, MOST_ROWS, Block, Played, Row, Rows
from cdq.workers import PART_BYTES, TALLY_WIDTH, Tallies, tallies_in

Places = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]


def together(rounds: Sequence[Played | Block]) -> Block:
    """Return rounds, oldest first, as one block."""
    blocks: list[Block] = []
    for workers, same in itertools.groupby(rounds, _workers_with_tallies):
        alike = list(same)
        blocks += alike if workers is None else [_as_block(alike, workers)]  # type: ignore[arg-type]
    if len(blocks) == 1:
        return blocks[0]
    first = np.cumsum([0, *(len(block.rows) for block in blocks)])
    moved = [block._replace(of=block.of + n) for block, n in zip(blocks, first[:-1], strict=True)]
    return Block(*map(np.concatenate, zip(*moved, strict=True)))


def _workers_with_tallies(played: Played | Block) -> int | None:
    """Return the number of workers, 0 where they have not all the same number of tallies; None of a block."""
    if isinstance(played, Block):
        return None
    lengths = {len(summary.tallies) for summary in played.summaries}
    return 0 if len(lengths) > 1 or 0 in lengths else len(played.summaries)


def _as_block(rounds: Sequence[Played], workers: int) -> Block:
    """Return rounds of so many workers that have tallies, all or none, as a block."""
    summaries = [played.summaries for played in rounds]
    parts, counts = [np.zeros((len(rounds), TALLY_WIDTH))], np.ones(len(rounds), np.int64)
    if workers:
        parts = [
            tallies_in(b"".join(brought[rank].tallies for brought in summaries)) for rank in range(workers)
        ]
        counts = np.array([len(brought[0].tallies) // PART_BYTES for brought in summaries])
    of_each = np.array([len(brought) for brought in summaries])
    pairs = np.array([played.pairs for played in rounds])
    return block_of(np.array([played.row for played in rounds], COLUMNS), parts, counts, of_each, pairs)


def block_of(rows: Rows, tallies: list[Tallies], counts: Counts, workers: Counts, pairs: Counts) -> Block:
    """Return rounds as a block: a row of the history for each cell of its grid in which parts of a window end.

    Parameters
    ----------
    rows : (n,) array of COLUMNS
        Figures of the run after each round.
    tallies : list of (m, 8) arrays of float64
        Tallies of each worker's windows, one round after another.
    counts, workers, pairs : (n,) array of int64
        Number of tallies of each round, of its workers, and of the pairs of a state and an action.
    """
    figures = np.empty_like(tallies[0])
    steps, of = np.empty((2, len(figures)), np.int64)
    starts, ends = np.empty(len(rows), np.int64), np.ascontiguousarray(rows["steps"])
    n = group(tallies, counts, ends, MOST_ROWS // 2, figures, steps, of, starts)
    return Block(rows, starts, workers, pairs, figures[:n].copy(), steps[:n].copy(), of[:n].copy())


def rows_of(before: Row, rounds: Block) -> Rows:
    """Return the rows of rounds, oldest first.

    The last row of a round is the one that it was played with. All are computed together, as each call of NumPy takes
    as long as a hundred steps.

    Parameters
    ----------
    before : Row
        The row before them.
    rounds : Block
        The rounds, oldest first.
    """
    moments = np.append(np.array([before], COLUMNS), rounds.rows)
    earlier, own, of = moments[:-1], moments[1:], rounds.of
    own["window"] = (own["steps"] - earlier["steps"]) / rounds.workers
    is_last = np.append(of[1:] != of[:-1], True)
    rows = own.take(of)  # of structures, a fortieth of the time of own[of]
    _fill_episodes(rows, rounds.figures, alone=is_last & np.append(True, is_last[:-1]))
    rows["bytes"][is_last] = np.append(own["bytes"][1:], own["bytes"][-1:])  # known with the round after it
    if len(rows) > len(own):
        rows["steps"], rows["episodes"] = (
            rounds.steps,
            _episodes_so_far(rounds.figures, is_last, earlier, own, of),
        )
        inner = np.flatnonzero(~is_last)
        whole = of[inner]
        _fill_inner(rows, inner, earlier.take(whole), own.take(whole), rounds.starts[whole])
    return rows


def bit_length(numbers: Counts) -> Counts:
    """Return the bits of whole numbers up to 2**53, as `int.bit_length` does."""
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64)


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
