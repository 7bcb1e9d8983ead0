"""The table of a worker without peers: it needs no second copy, so that a large one takes a third of the memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.table.rows import Rows, row_size
from cdq.qfunctions.merged import MergedTable, allocate, check_tensor
from cdq.rules import Q_LEARNING, UpdateRule

# From how many pairs on the worker's log costs less than fetching rows again: 47 against 35 million steps/s with 2^20
# pairs, 62 against 66 with 2^18 (GridWorld, 64 lanes, float64).
LARGE = 2**19

# Rows that are hashed at a time: as they are, they are not contiguous.
_CHUNK = 2**20


class SoleTable(MergedTable):
    """The table of the only worker of a run, which is the merged one whenever no window is open.

    Values and clocks are views of the worker's rows. A pair's visits are its clock, as nothing is ever pooled, and what
    there is beyond it: of a table that was loaded, and once the clock stands at its limit.

    Parameters
    ----------
    n_states, n_actions : int
        The table's size.
    dtype : dtype
        float32 or float64.
    initial_value : float or (n_states, 1) array
        Values before learning.
    rule : UpdateRule
        Rule by which it is learnt.

    Examples
    --------
    >>> table = SoleTable(2, 1, "float32", 0.5)
    >>> table.values.ravel().tolist(), table.visits.ravel().tolist()
    ([0.5, 0.5], [0, 0])
    """

    def __init__(
        self,
        n_states: int,
        n_actions: int,
        dtype: npt.DTypeLike,
        initial_value: Any,
        rule: UpdateRule = Q_LEARNING,
    ) -> None:
        real, columns = np.dtype(dtype), n_actions * rule.tables
        row, end = row_size(columns, real.itemsize), columns * real.itemsize
        self.rule = rule
        data = allocate(n_states * row).reshape(n_states, row)
        self.values = data[:, :end].view(real)
        self.clock = data[:, end : end + 4 * columns].view(np.uint32)
        self._beyond = allocate(8 * n_states * columns).view(np.int64)  # seldom written to: it takes no space
        self._rows = Rows.alone(data, columns, real.itemsize)
        self._rows.learn_by(rule.number, rule.tables, rule.beta or 0.0)
        if np.any(initial_value):
            self.values[:] = initial_value

    @property
    def visits(self) -> npt.NDArray[np.int64]:  # type: ignore[override]  # computed here
        """Number of updates of each pair, (n_states, n_actions); a copy."""
        return self._visits(slice(None))

    def _visits(self, states: slice) -> npt.NDArray[np.int64]:
        visits = self.clock[states].astype(np.int64)
        visits += self._beyond.reshape(self.clock.shape)[states]
        return visits

    def fill(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Hold what *tensors*, by name, do; as `MergedTable.fill`."""
        for name, kind in (("values", self.values.dtype), ("clock", np.uint32), ("visits", np.int64)):
            check_tensor(name, tensors[name], self.values.shape, np.dtype(kind))
        self.values[:], self.clock[:] = tensors["values"], tensors["clock"]
        beyond = tensors["visits"] - tensors["clock"].astype(np.int64)
        if beyond.any():  # memory that nobody wrote to takes no space
            self._beyond[:] = beyond.reshape(-1)

    def new_rows(self, memory: npt.NDArray[np.uint8] | None = None) -> Rows:
        """Return the worker's table, which is this one."""
        return self._rows

    @property
    def counters(self) -> npt.NDArray[np.int64]:
        """Memory in which visits beyond the clocks are counted, an entry per pair."""
        return self._beyond

    def close_window(self, rows: Rows) -> None:
        """Begin the worker's next window."""
        rows.close_window(self._beyond)

    def digest(self) -> bytes:
        """Return the SHA-256 of all of it."""
        result = hashlib.sha256()
        for name in self.names:
            for first in range(0, len(self.values), _CHUNK):
                states = slice(first, first + _CHUNK)
                part = self._visits(states) if name == "visits" else getattr(self, name)[states]
                result.update(np.ascontiguousarray(part).data)
        return result.digest()
