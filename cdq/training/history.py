"""The record of a run: rows that are evenly spaced in steps, some 1,000 at most."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.loops.parts import thin
from cdq.errors import ConfigError, unknown_name
from cdq.errors.checks import MOST_STEPS, path_of, read_only
from cdq.storage import html, in_digits, to_pandas, write_csv
from cdq.training.played import (
    COLUMNS,
    FIRST_COLUMNS,
    FIRST_ROW,
    MOST_ROWS,
    Block,
    Played,
    Row,
    Rows,
    empty_rows,
    numbers_of,
)

# Rounds wait for their rows until so many bytes of summaries do: the more at once, the less each takes.
_MOST_WAITING = 1 << 18
MakeRows = Callable[[Row, Sequence[Played | Block]], Rows]


class History:
    """Rows of a run, oldest first: iterate over them, take one by number, or a column by name.

    A round has a row at least, and a long window several. A history of 1,024 rows is thinned to a quarter or half of
    them, evenly spaced in steps, which follows from the rows alone; rows with a gap or a greedy return come first. The
    episodes of a row that is left out count in the one after it. `to_pandas` and `to_csv` hand it on.

    Examples
    --------
    >>> history = History()
    >>> history.append(Row(10, 0.1, 1.0, 2, 1, 0, float("nan")))
    >>> history["steps"].tolist(), history[-1].episodes
    ([10], 2)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # another thread may read meanwhile, to show the progress
        # Memory, the number of rows in it, and rounds without rows yet; one value, which no signal handler can halve.
        self._now: tuple[Rows, int, list[Played | Block]] = np.empty(MOST_ROWS, COLUMNS), 0, []
        self._make: MakeRows | None = None
        self._bytes_waiting = 0

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> History:
        """Return the history of columns as `to_arrays` gives them.

        Raises
        ------
        ConfigError
            If the names are not those of the columns, or the arrays are not of one length and their types. The columns
            after `gap` may be missing.
        """
        shapes = {array.shape for array in arrays.values()}
        known = set(FIRST_COLUMNS) <= set(arrays) <= set(Row._fields)
        if not known or len(shapes) != 1 or len(shape := shapes.pop()) != 1:
            raise ConfigError(
                f"a history has the columns {', '.join(Row._fields)}, of one length; "
                f"got {', '.join(f'{name} {array.shape}' for name, array in arrays.items()) or 'none'}"
            )
        rows = np.empty(shape[0], COLUMNS)
        for name in set(Row._fields) - set(arrays):
            rows[name] = np.nan
        for name, array in arrays.items():
            if array.dtype.kind != rows[name].dtype.kind:
                raise ConfigError(f"{name} of a history are {array.dtype}; allowed: {rows[name].dtype}")
            rows[name] = array
        _check(rows)
        history = cls()
        memory, _, waiting = history._now
        kept = rows if len(rows) < MOST_ROWS else _thinned(rows)
        history._now = *_appended(memory, 0, kept), waiting
        return history

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return a copy of each column by its name: int64 or float64, a value per row."""
        return {name: self.column(name) for name in Row._fields}

    def to_pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`, a column per field.

        Raises
        ------
        PackageMissing
            If pandas is not installed.
        """
        return to_pandas(self.to_arrays())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows to a CSV file, atomically: a line with the names of the fields, then one per row.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        write_csv(path_of("the file", path), self.to_arrays())

    def __repr__(self) -> str:
        if not len(self):
            return "History without rows"
        figures = [(name, self.newest(name)) for name in ("mean_return", "greedy_return", "gap")]
        said = [f"{name} {in_digits(value)}" for name, value in figures if not math.isnan(value)]
        rows = "1 row" if len(self) == 1 else f"{len(self):,} rows"
        return ", ".join([f"History of {rows} up to {self[-1].steps:,} steps", *said])

    def _repr_html_(self) -> str:
        if not len(self):
            return html.table((), [], "History without rows")
        last = {name: column[-1:].tolist()[0] for name, column in self.to_arrays().items()}
        rows = [
            [name, f"{value:,}" if isinstance(value, int) else in_digits(value)]
            for name, value in last.items()
        ]
        curves = (html.curve(self["steps"], self[name], name) for name in ("mean_return", "gap"))
        return "".join([*curves, html.table((), rows, f"History of {len(self):,} rows, the newest")])

    def to_json(self) -> dict[str, list[Any]]:
        """Return a list per column, as JSON holds them: None in place of NaN.

        Examples
        --------
        >>> history = History()
        >>> history.append(Row(10, 0.1, 1.0, 2, 1, 0, float("nan")))
        >>> history.to_json()["gap"]
        [None]
        """
        columns = {name: column.tolist() for name, column in self.to_arrays().items()}
        return {name: [None if math.isnan(x) else x for x in column] for name, column in columns.items()}

    def append(self, row: Row) -> None:
        """Add the newest row."""
        with self._lock:
            length = len(self._known())
            self._now = *_appended(self._now[0], length, np.array([row], COLUMNS)), []

    def add_round(self, played: Played | Block, make: MakeRows) -> None:
        """Add the rows of a round, or of a block of them; *make* computes them when somebody looks, or many wait.

        The rows of the round before get the bytes that were exchanged up to it, which are known by now.
        """
        with self._lock:
            if make != self._make:
                self._known()
                self._make = make
            rows, length, waiting = self._now
            if length and not waiting:
                rows["bytes"][length - 1] = played.bytes_before
            waiting.append(played)
            self._bytes_waiting += played.nbytes
            if self._bytes_waiting > _MOST_WAITING:
                self._known()

    def _known(self) -> Rows:
        """Return all rows, a view, computed where they were not; the lock must be held."""
        rows, length, waiting = self._now
        if waiting:
            assert self._make is not None
            before = Row._make(rows[length - 1].item()) if length else FIRST_ROW
            self._now = *_appended(rows, length, self._make(before, waiting)), []
            self._bytes_waiting = 0
            rows, length, _ = self._now
        return rows[:length]

    @property
    def _rows(self) -> Rows:
        with self._lock:
            return self._known()

    @property
    def measured(self) -> bool:
        """True if the gap or the greedy return was measured at the newest row."""
        _, length, waiting = self._now
        if not (waiting or length):
            return False
        return waiting[-1].measured if waiting else Played(self[-1], ()).measured

    def recount(self, n_bytes: int) -> None:
        """Set the bytes of the newest row, if there is one: it was written before those of its round were known."""
        self._rows["bytes"][-1:] = n_bytes

    def after(self, steps: int) -> list[Row]:
        """Return the rows of more than so many steps, oldest first."""
        rows = self._rows
        return list(map(Row._make, rows[rows["steps"].searchsorted(steps, "right") :].tolist()))

    def newest(self, name: str) -> float:
        """Return the newest figure of a column that is not NaN; NaN if there is none."""
        column = self._rows[name]
        there = np.flatnonzero(~np.isnan(column))
        return float(column[there[-1]]) if len(there) else math.nan

    def set_greedy_return(self, greedy_return: float) -> None:
        """Let the newest row, if there is one, have the greedy return that was measured after it was written."""
        self._rows["greedy_return"][-1:] = greedy_return

    def add_seconds(self, seconds: float) -> None:
        """Let the newest row, if there is one, say that learning took so many more seconds."""
        self._rows["seconds"][-1:] += seconds

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how copies are made, which have nothing in common with what they were made of."""
        return History.from_arrays, (self.to_arrays(),)

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same rows; NaN is equal to NaN."""
        if not isinstance(other, History):
            return NotImplemented
        return len(self) == len(other) and all(
            np.array_equal(self.column(name), other.column(name), equal_nan=True) for name in Row._fields
        )

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return map(Row._make, self._rows.tolist())

    def __reversed__(self) -> Iterator[Row]:
        return map(Row._make, self._rows[::-1].tolist())

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            return self.column(key)
        if isinstance(key, slice):
            return list(map(Row._make, self._rows[key].tolist()))
        return Row._make(self._rows[key].item())

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return one field of all rows as an array, a read-only copy.

        Raises
        ------
        ConfigError
            If there is no such field.
        """
        if name not in Row._fields:
            raise ConfigError(unknown_name("column", name, Row._fields))
        return read_only(self._rows[name].copy())


def _appended(memory: Rows, length: int, more: Rows) -> tuple[Rows, int]:
    """Return memory and number of its rows once *more* are there, which are thinned as often as they fill it."""
    while len(more):
        new, more = more[: len(memory) - length], more[len(memory) - length :]
        numbers_of(memory)[length : length + len(new)] = numbers_of(new)
        length += len(new)
        if length == len(memory):
            kept = _thinned(memory)
            memory = np.empty(MOST_ROWS, COLUMNS)  # a thread may be reading the former one
            numbers_of(memory)[: len(kept)], length = numbers_of(kept), len(kept)
    return memory, length


def _check(rows: npt.NDArray[Any]) -> None:
    """Raise unless rows, of a file, count upwards from 0 or more."""
    for name in ("steps", "seconds", "episodes", "rounds", "bytes"):
        column = rows[name]
        if len(rows) and not (
            column[0] >= 0 and np.all(column[1:] >= column[:-1]) and column[-1] <= MOST_STEPS
        ):
            raise ConfigError(f"the {name} of a history do not count upwards from 0 to at most 2**62")


def _thinned(rows: Rows) -> Rows:
    """Return fewer rows: the last one of each part of the steps, or its last with a gap, and the newest two."""
    kept = empty_rows(len(rows))
    return kept[: thin(numbers_of(rows), numbers_of(kept))]
