"""Hashed tables: the part that the workers of a process share, and the agreement of all workers on rows."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.contracts import ObservationEncoder
from cdq.core.envs.cells import CellHashQ, CellKnownQ, Cells
from cdq.core.envs.encode import Encoding
from cdq.core.linear.linear import Features
from cdq.core.table.hash import HashedRows, HashIndex, HashQ, KnownQ
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Rows
from cdq.errors import ConfigError, TableError
from cdq.features import Inputs
from cdq.qfunctions.merged import MergedTable, allocate, mean_of_tables
from cdq.rules import Q_LEARNING, UpdateRule

Keys = npt.NDArray[np.uint64]

_LEAST = 1024


class HashedTable(MergedTable):
    """A hashed table that the workers of a process share: a `MergedTable` that gets more rows.

    Parameters
    ----------
    n_actions : int
        Number of actions.
    dtype : dtype
        float32 or float64.
    initial_value : float
        Values of a new row before learning.
    rule : UpdateRule
        Rule by which it is learnt.

    Attributes
    ----------
    values, clock, visits : (n, columns) arrays
        Values, clocks and visits as in `MergedTable`, of the rows that were merged.
    keys : (n,) array of uint64
        Key of each row, in the order in which the rows were added.
    capacity, load : int, float
        Rows that a worker has memory for, and the part of the slots for keys that is taken; as of the last merge.
    """

    names = (*MergedTable.names, "keys")
    grows = True

    def __init__(
        self, n_actions: int, dtype: npt.DTypeLike, initial_value: float, rule: UpdateRule = Q_LEARNING
    ) -> None:
        columns = n_actions * rule.tables
        self.rule, self._initial_value = rule, initial_value
        self._lock = threading.Lock()
        self._index = HashIndex(allocate)
        self.capacity, self.load = 0, 0.0
        self._initialised = 0
        self._memory: dict[str, npt.NDArray[Any]] = {
            "values": np.empty((0, columns), dtype),
            "clock": np.empty((0, columns), np.uint32),
            "visits": np.empty((0, columns), np.int64),
            "keys": np.empty(0, np.uint64),
        }
        self.keys = self._memory["keys"]
        self.prepare(self.keys)
        self.extend(0)

    def prepare(self, new_keys: Keys) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint32]]:
        """Make room for the rows of *new_keys*; return values and clocks of the rows that there are then, flat.

        All workers of the process call it, with the same keys, when all of them have ended their windows.
        """
        with self._lock:
            first, n = len(self.keys), len(self.keys) + len(new_keys)
            if n >= len(self._memory["keys"]):
                self._grow(max(_LEAST, 2 * n))
            self._memory["keys"][first:n] = new_keys
            if self._initial_value and n >= self._initialised:  # memory that nobody wrote to takes no space
                self._memory["values"][self._initialised : n + 1] = self._initial_value
                self._initialised = n + 1
            return self._memory["values"][:n].reshape(-1), self._memory["clock"][:n].reshape(-1)

    def _grow(self, capacity: int) -> None:
        """Move to larger memory, array by array."""
        for name, former in self._memory.items():
            shape = (capacity, *former.shape[1:])
            memory = allocate(int(np.prod(shape)) * former.itemsize).view(former.dtype).reshape(shape)
            memory[: len(former)] = former
            self._memory[name] = memory
        self.extend(len(self.keys))

    def extend(self, n: int) -> None:
        """Take note that the first *n* rows are merged."""
        for name in self.names:
            setattr(self, name, self._memory[name][:n])

    def copy(self) -> HashedTable:
        """Return another one that holds the same."""
        n_actions = self.values.shape[1] // self.rule.tables
        other = HashedTable(n_actions, self.values.dtype, self._initial_value, self.rule)
        other.fill({name: getattr(self, name) for name in self.names})
        return other

    def fill(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Hold what *tensors*, by name, do.

        Raises
        ------
        TableError
            If they are not of such a table, or a key occurs twice.
        """
        keys, n_actions = tensors["keys"], self.values.shape[1]
        for name in self.names:
            own, given = self._memory[name], tensors[name]
            if given.shape != (len(keys), *own.shape[1:]) or given.dtype != own.dtype:
                raise TableError(
                    f"the file's {name} are {given.dtype} of shape {given.shape}, not {own.dtype} of a row of "
                    f"{n_actions} for each of {len(keys)} keys"
                )
        if len(np.unique(keys)) != len(keys):
            raise TableError("a key of the file's hashed table occurs twice; use another file")
        self.extend(0)
        self.prepare(keys)
        self.extend(len(keys))
        for name in self.names:
            getattr(self, name)[:] = tensors[name]
        self._index = HashIndex(allocate)

    def index(self) -> HashIndex:
        """Return the rows of all keys that were merged."""
        if len(self._index) > len(self.keys):
            self._index = HashIndex(allocate)
        self._index.insert(self.keys[len(self._index) :])
        return self._index

    def known(self) -> Rows:
        """Return the values to read, and after them a row for all keys that are not there."""
        return Rows.of_values(mean_of_tables(self._memory["values"][: len(self.keys) + 1], self.rule.tables))

    def action_values(self, key: int) -> npt.NDArray[Any]:
        """Return the value of each action in the state of a key; the initial values if it was never met."""
        row = self.index().find(key % 2**64)
        at = row if row >= 0 else len(self.keys)
        values: npt.NDArray[Any] = mean_of_tables(self._memory["values"][at : at + 1], self.rule.tables)[0]
        return values

    # ---- a worker's table, through a round

    def new_rows(self, memory: npt.NDArray[np.uint8] | None = None) -> HashedRows:
        """Return a worker's table that starts from here, in memory of its own, which grows."""
        assert memory is None, "a hashed table grows out of any memory"
        rows = HashedRows(self.values, self.clock, self.keys, self._initial_value, allocate)
        rows.learn_by(self.rule.number, self.rule.tables, self.rule.beta or 0.0)
        return rows

    def align_rows(self, rows: Rows, comm: Communicator) -> None:
        """Give the keys that the workers met in this window the same rows on all of them; a collective.

        New rows follow in the order of first appearance, those of rank 0 first. What a worker learnt in rows of its
        own numbering moves there, so that tables can then be merged pair by pair.
        """
        assert isinstance(rows, HashedRows)
        if comm.size > 1:
            parts = comm.allgather(rows.new_keys.tobytes())  # a copy, which others may read while rows move
            rows.settle([np.frombuffer(part, np.uint64) for part in parts])
        rows.share(*self.prepare(rows.new_keys))

    def accept(self, rows: Rows) -> None:
        """Take note that the rows that the workers agreed on are merged now."""
        assert isinstance(rows, HashedRows)
        rows.accept(len(rows.index))
        self.extend(rows.agreed)
        self.capacity, self.load = rows.capacity, rows.index.load

    def undo(self, rows: Rows) -> None:
        """Undo a worker's window, once all workers of the process have ended; rows that one of them merged stay."""
        assert isinstance(rows, HashedRows)
        rows.accept(len(self.keys))
        rows.roll_back()


class HashedStates:
    """A row for each state that was met: a `cdq.contracts.QFunctionKind`.

    Parameters
    ----------
    encoder : ObservationEncoder
        ObservationEncoder of the environment, whose observations have an index or a key.
    merged : HashedTable
        The learner's table, where the keys are found that all workers have met.
    """

    n_rows = 0
    threads = True
    step_scale = 1.0
    fingerprint = "hashed table"
    input_bounds: tuple[Inputs, Inputs] | None = None

    def __init__(self, encoder: ObservationEncoder, merged: HashedTable) -> None:
        self._encoder, self.own_table, self.first_action = encoder, merged, encoder.first_action

    def __str__(self) -> str:
        merged = self.own_table
        room = f"room for {merged.capacity:,}, slots {merged.load:.0%} full"
        return f"hashed table of {len(merged.keys):,} states, {room}"

    def encoding(self) -> Encoding:
        """Return the encoding of observations as keys."""
        return self._encoder.encoding(vectors=False)

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a worker's table, for *n* lanes."""
        assert isinstance(rows, HashedRows)
        return HashQ(rows, n)

    def reader(self, values: npt.NDArray[Any], n: int) -> QFunction:
        """Return the Q-function of all that was merged, to be read, for *n* lanes."""
        return KnownQ(self.own_table.known(), n, self.own_table.index())

    def initial(self, value: float) -> float:
        """Return *value*."""
        return value

    def action_values(self, values: npt.NDArray[Any], observation: Any) -> npt.NDArray[Any]:
        """Return the row of the observed state, or the initial values if it was never met."""
        return self.own_table.action_values(self._encoder.state_of(observation))

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        return self._encoder.split(observations)

    def values_now(self, values: npt.NDArray[Any]) -> Callable[[Any], npt.NDArray[Any]]:
        """Return the action values of an observation as a function, which later learning does not change."""
        twin = copy.copy(self)
        twin.own_table = self.own_table.copy()
        return partial(twin.action_values, values)


class HashedCells(HashedStates):
    """A row for each cell that was met, where the numbers of observations are cut into bins.

    Parameters
    ----------
    encoder : ObservationEncoder
        ObservationEncoder of the environment, whose observations have a vector.
    merged : HashedTable
        The learner's table, where the keys are found that all workers have met.
    bins : int or sequence of int
        Number of parts into which each number is cut.
    features : Features
        Features of a single tiling with as many tiles.
    input_bounds : (lowest, highest)
        Inputs to which those beyond are clipped, (width,) arrays.
    """

    def __init__(
        self,
        encoder: ObservationEncoder,
        merged: HashedTable,
        bins: int | Sequence[int],
        features: Features,
        input_bounds: tuple[Inputs, Inputs],
    ) -> None:
        super().__init__(encoder, merged)
        self.input_bounds = input_bounds
        sizes = [bins] * encoder.width if isinstance(bins, int) else bins
        self._features, self._hashed = features, math.prod(sizes) >= 2**63
        self._cells = Cells(features, 1, self._hashed)
        self._bins = bins
        self.fingerprint = f"hashed table of {features.fingerprint}"

    def __str__(self) -> str:
        return f"{super().__str__()}, bins {self._bins}"

    def encoding(self) -> Encoding:
        """Return the encoding of observations as vectors."""
        return self._encoder.encoding(vectors=True)

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a worker's table, for *n* lanes."""
        assert isinstance(rows, HashedRows)
        return CellHashQ(rows, n, self._features, self._hashed)

    def reader(self, values: npt.NDArray[Any], n: int) -> QFunction:
        """Return the Q-function of all that was merged, to be read, for *n* lanes."""
        merged = self.own_table
        return CellKnownQ(merged.known(), n, merged.index(), self._features, self._hashed)

    def action_values(self, values: npt.NDArray[Any], observation: Any) -> npt.NDArray[Any]:
        """Return the row of the observation's cell, or the initial values if it was never met."""
        key = self._cells.key_of(self._encoder.vector_of(observation))
        if key is None:
            raise ConfigError(f"the observation {observation!r} is not finite")
        return self.own_table.action_values(key)
