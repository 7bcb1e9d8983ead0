"""Rows that rounds add to a history: one for each, and more where its window was long; of many rounds at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cdq.core.loops.parts import fill_rows, group
from cdq.training.played import COLUMNS, MOST_ROWS, Block, Played, Row, Rows, empty_rows, joined, numbers_of
from cdq.workers import PART_BYTES, TALLY_WIDTH, Tallies, tallies_in

Counts = npt.NDArray[np.int64]
# Steps between two looks at the whole table, for each of its pairs: a look takes as long as a tenth of a step.
STEPS_PER_PAIR = 16


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
    rows, *others = zip(*moved, strict=True)
    return Block(joined(rows), *map(np.concatenate, others))


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
    n = group(tallies, counts, ends, figures, steps, of, starts)
    return Block(rows, starts, workers, pairs, figures[:n].copy(), steps[:n].copy(), of[:n].copy())


def rows_of(before: Row, rounds: Block) -> Rows:
    """Return the rows of rounds, oldest first, with figures of the table from the newest look that was due.

    The last row of a round is the one that it was played with.

    Parameters
    ----------
    before : Row
        The row before them.
    rounds : Block
        The rounds, oldest first.
    """
    rows = empty_rows(len(rounds.of))
    fill_rows(
        numbers_of(rows),
        numbers_of(np.array([before], COLUMNS)),
        numbers_of(rounds.rows),
        *rounds[1:],
        steps_per_pair=STEPS_PER_PAIR,
        most_rows=MOST_ROWS,
    )
    return rows
