"""One worker: its lanes, its copy of the table, its random streams; it learns for a window at a time."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.core.merge import commit, commit_alone
from cdq.core.overlap import hand_over, take_back
from cdq.core.rows import Law, Rows, row_size
from cdq.errors import ConfigError, EnvironmentFailure, TableError
from cdq.lanes import Lanes
from cdq.problem import Problem

# What a spawn key starts with, so that no two uses of one seed share a stream.
LEARNING, EVALUATION = 0, 1

_HUGE_PAGE = 2 << 20


class Episodes(NamedTuple):
    """What ended in a window: episodes, their steps, and the sum of their undiscounted returns."""

    episodes: int
    length_sum: int
    return_sum: float


class Merged:
    """What the workers of a process share: the table as of the last merge, and the visits of all workers.

    Parameters
    ----------
    n_states, n_actions : int
        The table's size.
    dtype : dtype
        float32 or float64.
    initial_value : float or (n_states, 1) array
        What the values are before learning.

    Attributes
    ----------
    values : (n_states, n_actions) array of dtype
        The merged values.
    clock : (n_states, n_actions) array of uint32
        What the step-size law reads: visits, or effective visits where several workers pool.
    visits : (n_states, n_actions) array of int64
        How often all workers together updated each pair.
    """

    names: tuple[str, ...] = ("values", "visits", "clock")
    grows = False  # whether rows are added as they are met (`cdq.hashing`)

    def __init__(self, n_states: int, n_actions: int, dtype: npt.DTypeLike, initial_value: Any) -> None:
        def table(kind: npt.DTypeLike) -> npt.NDArray[Any]:
            memory = allocate(n_states * n_actions * np.dtype(kind).itemsize)
            return memory.view(kind).reshape(n_states, n_actions)

        self.values = table(dtype)
        self.clock = table(np.uint32)
        self.visits = table(np.int64)
        if np.any(initial_value):
            self.values[:] = initial_value

    def copy(self) -> Merged:
        """Return another one that holds the same."""
        n_states, n_actions = self.values.shape
        other = Merged(n_states, n_actions, self.values.dtype, 0.0)
        if self.visits.any():  # memory that nobody wrote to takes no space
            other.clock[:], other.visits[:] = self.clock, self.visits
        if self.values.any():
            other.values[:] = self.values
        return other

    def digest(self) -> bytes:
        """Return the SHA-256 of all of it."""
        result = hashlib.sha256()
        for name in self.names:
            result.update(getattr(self, name).data)
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

    # ---- a worker's table, through a round

    def new_rows(self, memory: npt.NDArray[np.uint8] | None = None) -> Rows:
        """Return a worker's table that starts from here, in *memory* of `table_bytes` or in its own."""
        rows = rows_over(allocate(table_bytes(self)) if memory is None else memory, self)
        data, end = np.asarray(rows.data), self.values.shape[1] * self.values.itemsize
        if self.values.any() or self.clock.any():  # memory that nobody wrote to takes no space
            data[:, :end].view(self.values.dtype)[:] = self.values
            data[:, end : end + self.values.shape[1] * 4].view(np.uint32)[:] = self.clock
        return rows

    def agree(self, rows: Rows, comm: Communicator) -> None:
        """Make the rows of all workers the same ones before they are merged; a collective where rows are added."""

    def accept(self, rows: Rows) -> None:
        """Take note that what the workers agreed on is merged now."""

    def close_window(self, rows: Rows) -> None:
        """Make the table of a worker without peers the merged one."""
        commit_alone(rows, self.visits.reshape(-1))

    def undo(self, rows: Rows) -> None:
        """Undo a worker's window, once all workers of the process have ended."""
        rows.roll_back()


class Worker:
    """A learner with its own lanes of environments and its own copy of the table.

    Parameters
    ----------
    problem : Problem
        What is learnt; several workers may share one.
    gamma : float
        Discount.
    merged : Merged
        What the workers of this process share; the worker starts from it.
    keeps : bool
        Whether this is the one worker of the process that writes to `merged`.
    seed : int
        Entropy of the run; the streams are those of `SeedSequence(seed)` spawned per (rank, lane).
    rank, session : int
        The worker's number, and how often the run was begun anew (a loaded table goes on with fresh streams).
    num_envs : int
        Lanes.
    stop : (1,) array of int32
        A flag that ends a window early; shared with the thread that may set it.
    lanes : bytes-like, optional
        What `lanes` of a former worker was: go on from there.
    memory : (n,) array of uint8, optional
        Zeroed memory of `table_bytes` for the table, which others may read; private memory by default.
    """

    def __init__(
        self,
        problem: Problem,
        merged: Merged,
        *,
        keeps: bool,
        gamma: float,
        seed: int,
        rank: int,
        session: int,
        num_envs: int,
        stop: npt.NDArray[np.int32],
        lanes: Any = None,
        memory: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        self.num_envs, self._rank = num_envs, rank
        self._merged, self._keeps = merged, keeps
        self._open = False
        self.rows = merged.new_rows(memory)
        self._lanes = Lanes(num_envs, problem.own_bytes)
        if lanes is None:
            self._lanes.words[:] = streams(seed, (LEARNING, session, rank), num_envs)
        else:
            self._lanes.memory[:] = np.frombuffer(lanes, np.uint8)
        self._lanes_before = self._lanes.memory.copy()
        self._loop = problem.loop(self.rows, self._lanes, gamma, stop)
        if lanes is None or not problem.resumable:
            self._loop.reset()

    @property
    def lanes(self) -> bytes:
        """What the lanes are at: states, streams, episodes; as they were after the last merge, once rolled back."""
        return self._lanes.memory.tobytes()

    def digest(self) -> bytes:
        """Return the SHA-256 of what was merged."""
        return self._merged.digest()

    def checksum(self) -> int:
        """Return the CRC-32 of the own table, values and then clocks; no window may be open."""
        values = self._merged.values
        data, end = np.asarray(self.rows.data)[: len(values)], values.shape[1] * values.itemsize
        return crc32(data[:, end : end + values.shape[1] * 4].tobytes(), crc32(data[:, :end].tobytes()))

    def run(self, law: Law, sweeps: int, explore_first: float, explore_last: float) -> Episodes | None:
        """Learn for *sweeps* steps of every lane; None if the stop flag ended it: roll back then."""
        self._lanes_before[:] = self._lanes.memory
        self._open = True
        try:
            completed, episodes, length_sum, return_sum = self._loop.run(
                law, sweeps, explore_first, explore_last
            )
        except EnvironmentFailure as error:
            error.worker = self._rank
            raise
        return Episodes(episodes, length_sum, return_sum) if completed else None

    def roll_back(self) -> None:
        """Undo a window that was not committed: table, lanes and streams are as after the last merge.

        No other worker of the process may be in `commit` meanwhile.
        """
        if self._open:
            self._merged.undo(self.rows)
            self._lanes.memory[:] = self._lanes_before
            self._open = False

    def agree(self, comm: Communicator) -> None:
        """Make the rows of all workers the same ones before they are merged; a collective where rows are added."""
        self._merged.agree(self.rows, comm)

    def commit(self, slices: list[Any]) -> float:
        """Make the merged slices of all ranks the table.

        Returns the round's pooled mass: the visit-weighted mean over the touched pairs.
        """
        self._merged.accept(self.rows)
        mass, total = commit(self.rows, slices, self._merged.visits.reshape(-1) if self._keeps else None)
        self._open = False
        return mass / 2**20 / total if total else 0.0

    def commit_alone(self) -> None:
        """Make the own table the merged one; a worker without peers."""
        self._merged.accept(self.rows)
        self._merged.close_window(self.rows)
        self._open = False

    # ---- windows that are merged while the next one is learnt (`cdq.overlap`)

    def second_table(self) -> Rows:
        """Return another table at the same base, for windows that are handed over."""
        return self._merged.new_rows()

    def hand_over(self, handed: Rows) -> npt.NDArray[np.uint8]:
        """Move the window that was learnt to *handed*, a table at the same base; the next one goes on from here.

        Returns the lanes as they were before it, for `take_back`.
        """
        hand_over(self.rows, handed)
        self._open = False
        return self._lanes_before.copy()

    def rebase(self, slices: list[Any], handed: Rows, law: Law) -> float:
        """Make the merged slices of the window that was handed over the base of the one learnt since under *law*.

        The worker must be the only one on its base. Returns the pooled mass of the round, as `commit`.
        """
        mass, total = commit(self.rows, slices, self._merged.visits.reshape(-1), handed, law)
        return mass / 2**20 / total if total else 0.0

    def take_back(self, handed: Rows, lanes: npt.NDArray[np.uint8]) -> None:
        """Undo the window that was handed over, and what was learnt since: all is as after the last merge."""
        self.roll_back()
        take_back(self.rows, handed)
        self._lanes.memory[:] = lanes


def check_tensor(name: str, tensor: npt.NDArray[Any], shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    """Raise `TableError` unless a tensor of a file has the size and type that it must have."""
    if tensor.shape != shape or tensor.dtype != dtype:
        raise TableError(
            f"the file's {name} are {tensor.dtype} of shape {tensor.shape}, not {dtype} of shape {shape}"
        )


def table_bytes(merged: Merged) -> int:
    """Return how much memory a worker's table takes: a row per state, and the log of touched pairs."""
    n_states, n_actions = merged.values.shape
    n_bytes: int = n_states * row_size(n_actions, merged.values.itemsize) + 4 * (n_states * n_actions + 1)
    return -(-n_bytes // 64) * 64


def rows_over(memory: npt.NDArray[np.uint8], merged: Merged) -> Rows:
    """Return a table over memory of `table_bytes`, which may be another worker's."""
    values = merged.values
    n_states, n_actions = values.shape
    row = row_size(n_actions, values.itemsize)
    data = memory[: n_states * row].reshape(n_states, row)
    log = memory[n_states * row :][: 4 * (values.size + 1)].view(np.uint32)
    return Rows(data, log, values.reshape(-1), merged.clock.reshape(-1), n_actions)


def streams(seed: int, key: tuple[int, ...], n: int) -> npt.NDArray[np.uint64]:
    """Return the first states of *n* streams, (4, n): those of `SeedSequence(seed)` spawned by *key* and lane."""
    sequences = (np.random.SeedSequence(seed, spawn_key=(*key, lane)) for lane in range(n))
    return np.stack([sequence.generate_state(4, np.uint64) for sequence in sequences], axis=1)


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
