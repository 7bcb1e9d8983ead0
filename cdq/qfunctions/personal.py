"""A common table with a table of its own for each worker behind it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts.blocks import Block, Blocks
from cdq.core.table.rows import Rows
from cdq.qfunctions.merged import MergedTable

FLEET = "fleet"
_LARGEST = sys.float_info.max  # stands for infinity, in whose place a ratio of it and a count is 1


def blocks_of_fleet(n_rows: int, n_actions: int, workers: int) -> Blocks:
    """Return the blocks of a fleet: the common one, and that of each worker, named by its number."""
    own = (Block(str(rank), n_rows, n_actions, "own") for rank in range(workers))
    return Blocks((Block(FLEET, n_rows, n_actions), *own))


class PersonalTable(MergedTable):
    """The table of a fleet: common rows, then as many of each worker's own, in rank order.

    Parameters
    ----------
    blocks : Blocks
        Blocks that `blocks_of_fleet` returned.
    prior, memory : float
        Visits that the common table counts for, and that count at most (`cdq.merges.Personal`).
    dtype, initial_value
        The same as for `MergedTable`.
    """

    def __init__(
        self, blocks: Blocks, prior: float, memory: float, dtype: npt.DTypeLike, initial_value: Any
    ) -> None:
        super().__init__(blocks.n_rows, blocks.n_actions, dtype, initial_value)
        self.blocks, self.own_rows = blocks, blocks.own_rows
        self._prior, self._memory = min(prior, _LARGEST), min(memory, _LARGEST)

    def keep_own(self, rows: Rows, rank: int) -> None:
        """Let a worker act by the common rows and by its own."""
        rows.keep_own(int(self.blocks.first[1 + rank]), self._prior, self._memory)

    def mean_values(self) -> npt.NDArray[Any]:
        """Return the values by which is acted: of the common rows as they are, of a worker's own blended with these."""
        values, n = self.values.copy(), self.blocks.blocks[0].rows
        common = values[:n]
        for first in self.blocks.first[1:-1].astype(int):
            own, visits = values[first : first + n], self.clock[first : first + n].astype(np.float64)
            visits = np.minimum(visits, self._memory)
            share = self._prior / (self._prior + visits) if self._prior > 0 else np.zeros_like(visits)
            weight = share.astype(values.dtype)
            values[first : first + n] = weight * common + (weight.dtype.type(1) - weight) * own
        return values
