"""The table that the workers of a process share, and the memory that each worker's copy takes."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.core.merge.merge import commit, commit_alone, commit_aside
from cdq.core.table.rows import Rows, row_size
from cdq.errors import ConfigError, TableError
from cdq.rules import Q_LEARNING, UpdateRule

_HUGE_PAGE = 2 << 20


class MergedTable:
    """The table that the workers of a process share, as of the last merge, and the visits of all workers.

    Parameters
    ----------
    n_states, n_actions : int
        The table's size.
    dtype : dtype
        float32 or float64.
    initial_value : float or (n_states, 1) array
        Values before learning.
    rule : UpdateRule
        Rule by which it is learnt. A rule that learns several tables has the columns of all of them side by side,
        and each column is merged by itself.

    Attributes
    ----------
    values : (n_states, columns) array of dtype
        The merged values.
    clock : (n_states, columns) array of uint32
        Counts that the step-size law reads: visits, or effective visits where several workers pool.
    visits : (n_states, columns) array of int64
        Number of updates of each pair by all workers together.
    """

    names: tuple[str, ...] = ("values", "visits", "clock")
    own_rows = 0  # the last ones, each of which one worker alone learns
    grows = False  # whether rows are added as they are met (`cdq.qfunctions.hashed`)

    def __init__(
        self,
        n_states: int,
        n_actions: int,
        dtype: npt.DTypeLike,
        initial_value: Any,
        rule: UpdateRule = Q_LEARNING,
    ) -> None:
        columns = n_actions * rule.tables

        def table(kind: npt.DTypeLike) -> npt.NDArray[Any]:
            memory = allocate(n_states * columns * np.dtype(kind).itemsize)
            return memory.view(kind).reshape(n_states, columns)

        self.rule = rule
        self.values = table(dtype)
        self.clock = table(np.uint32)
        self.visits = table(np.int64)
        if np.any(initial_value):
            self.values[:] = initial_value

    def copy(self) -> MergedTable:
        """Return another one that holds the same."""
        n_states, columns = self.values.shape
        other = MergedTable(n_states, columns // self.rule.tables, self.values.dtype, 0.0, self.rule)
        if self.visits.any():  # memory that nobody wrote to takes no space
            other.clock[:], other.visits[:] = self.clock, self.visits
        if self.values.any():
            other.values[:] = self.values
        other.own_rows = self.own_rows
        return other

    def mean_values(self) -> npt.NDArray[Any]:
        """Return the value of each action, (n_states, n_actions): the mean over the tables of the rule."""
        return mean_of_tables(self.values, self.rule.tables)

    def updates(self) -> npt.NDArray[np.int64]:
        """Return the visits of each pair of a state and an action, (n_states, n_actions), in all tables together."""
        return sum_of_tables(self.visits, self.rule.tables)

    def digest(self) -> bytes:
        """Return the SHA-256 of all that workers merge."""
        result, n_merged = hashlib.sha256(), len(self.values) - self.own_rows
        for name in self.names:
            result.update(getattr(self, name)[:n_merged].data)
        return result.digest()

    def fill(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Hold what *tensors*, by name, do.

        Raises
        ------
        TableError
            If one has another size or type.
        """
        for name in self.names:
            own = getattr(self, name)
            check_tensor(name, tensors[name], own.shape, own.dtype)
            own[:] = tensors[name]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors of files, by name; views."""
        return {name: getattr(self, name) for name in self.names}

    # ---- a worker's table, through a round

    def new_rows(self, memory: npt.NDArray[np.uint8] | None = None) -> Rows:
        """Return a worker's table that starts from here, in *memory* of `table_bytes` or in its own."""
        rows = rows_over(allocate(table_bytes(self)) if memory is None else memory, self)
        data, end = np.asarray(rows.data), self.values.shape[1] * self.values.itemsize
        if self.values.any() or self.clock.any():  # memory that nobody wrote to takes no space
            data[:, :end].view(self.values.dtype)[:] = self.values
            data[:, end : end + self.values.shape[1] * 4].view(np.uint32)[:] = self.clock
        return rows

    def align_rows(self, rows: Rows, comm: Communicator) -> None:
        """Make the rows of all workers the same ones before they are merged; a collective where rows are added."""
        if comm.size > 1:
            rows.set_aside()

    def commit_aside(self, rows: Rows, merged: int) -> None:
        """Keep what a worker learnt in rows of its own; *merged* is the number of pairs that it touched elsewhere."""
        if self.own_rows:
            commit_aside(rows, merged, self.visits.reshape(-1))

    def commit(self, rows: Rows, slices: list[Any], *, keep: bool) -> float:
        """Make the merged slices of all ranks a worker's table, and where it is to *keep* them, the merged one.

        Returns the round's pooled mass: the visit-weighted mean over the touched pairs.
        """
        touched = rows.touched
        mass, total = commit(rows, slices, self.visits.reshape(-1) if keep else None)
        self.commit_aside(rows, touched)
        return mass / 2**20 / total if total else 0.0

    def checksum(self, rows: Rows) -> int:
        """Return the CRC-32 of a worker's table, values and then clocks; no window may be open."""
        data, end = np.asarray(rows.data)[: len(self.values)], self.values.shape[1] * self.values.itemsize
        return crc32(data[:, end : end + self.values.shape[1] * 4].tobytes(), crc32(data[:, :end].tobytes()))

    def merged_checksum(self) -> int:
        """Return the checksum of a worker's table that is the merged one."""
        return crc32(self.clock.data, crc32(self.values.data))

    def accept(self, rows: Rows) -> None:
        """Take note that the rows that the workers agreed on are merged now."""

    @property
    def counters(self) -> npt.NDArray[np.int64]:
        """Memory in which commits count visits, an entry per pair."""
        return self.visits.reshape(-1)

    def close_window(self, rows: Rows) -> None:
        """Make the table of a worker without peers the merged one."""
        commit_alone(rows, self.visits.reshape(-1))

    def undo(self, rows: Rows) -> None:
        """Undo a worker's window, once all workers of the process have ended."""
        rows.roll_back()


def sum_of_tables(arrays: npt.NDArray[Any], tables: int) -> npt.NDArray[Any]:
    """Return the sum of tables whose columns stand side by side; a single one as it is."""
    if tables == 1:
        return arrays
    total: npt.NDArray[Any] = arrays.reshape(len(arrays), tables, arrays.shape[1] // tables).sum(axis=1)
    return total


def mean_of_tables(values: npt.NDArray[Any], tables: int) -> npt.NDArray[Any]:
    """Return the mean of tables whose columns stand side by side; a single one as it is.

    Examples
    --------
    >>> mean_of_tables(np.array([[1.0, 2.0, 3.0, 6.0]]), 2).tolist()
    [[2.0, 4.0]]
    """
    if tables == 1:
        return values
    return sum_of_tables(values / values.dtype.type(tables), tables)  # sums of large values are not finite


def check_tensor(name: str, tensor: npt.NDArray[Any], shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    """Raise `TableError` unless a tensor of a file has the size and type that it must have."""
    if tensor.shape != shape or tensor.dtype != dtype:
        raise TableError(
            f"the file's {name} are {tensor.dtype} of shape {tensor.shape}, not {dtype} of shape {shape}"
        )


def table_bytes(merged: MergedTable) -> int:
    """Return how much memory a worker's table takes: a row per state, and the log of touched pairs."""
    n_states, n_actions = merged.values.shape
    n_bytes: int = n_states * row_size(n_actions, merged.values.itemsize) + 4 * (n_states * n_actions + 1)
    return -(-n_bytes // 64) * 64


def rows_over(memory: npt.NDArray[np.uint8], merged: MergedTable) -> Rows:
    """Return a table over memory of `table_bytes`, which may be another worker's."""
    values = merged.values
    n_states, n_actions = values.shape
    row = row_size(n_actions, values.itemsize)
    data = memory[: n_states * row].reshape(n_states, row)
    log = memory[n_states * row :][: 4 * (values.size + 1)].view(np.uint32)
    rows = Rows(data, log, values.reshape(-1), merged.clock.reshape(-1), n_actions)
    rows.learn_by(merged.rule.number, merged.rule.tables, merged.rule.beta or 0.0)
    rows.keep_last(merged.own_rows)
    return rows


def allocate(n_bytes: int) -> npt.NDArray[np.uint8]:
    """Return zeroed memory that begins on a page, on huge pages where it is large and the system has them.

    Raises
    ------
    ConfigError
        If there is not so much.
    """
    # Private: shared memory, which Python maps by default, gets no huge pages.
    huge = hasattr(mmap, "MADV_HUGEPAGE")
    try:
        memory = (
            mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if huge
            else mmap.mmap(-1, n_bytes)
        )
    except (OSError, OverflowError, MemoryError) as error:
        raise ConfigError(
            f"the system has no {n_bytes:,} bytes of memory for a table ({error}); use fewer workers, dtype='float32', "
            "table='hash', or features"
        ) from None
    if huge and n_bytes >= _HUGE_PAGE:
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)
