"""The record of a run: one row per round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError, unknown_name


class Row(NamedTuple):
    """One round.

    Attributes
    ----------
    steps : int
        Environment steps of all workers so far.
    seconds : float
        Seconds of learning so far.
    mean_return : float
        Mean undiscounted return of the episodes that ended in the round, while exploring; NaN if none did.
    episodes : int
        Episodes that ended so far.
    rounds : int
        Rounds so far.
    bytes : int
        Payload bytes that the workers exchanged so far.
    gap : float
        Certified bound on how far the greedy policy is from optimal, from the start; NaN where it was not computed.
    """

    steps: int
    seconds: float
    mean_return: float
    episodes: int
    rounds: int
    bytes: int
    gap: float


# Kept as arrays, which a checkpoint writes as they are: a run may have a million rounds.
_COLUMNS = np.dtype({"names": Row._fields, "formats": ["i8", "f8", "f8", "i8", "i8", "i8", "f8"]})
_FIRST = 64


class History:
    """Rows of a run, oldest first: iterate over them, take one by number, or a column by name.

    Examples
    --------
    >>> history = History()
    >>> history.append(Row(10, 0.1, 1.0, 2, 1, 0, float("nan")))
    >>> history["steps"].tolist(), history[-1].episodes
    ([10], 2)
    """

    def __init__(self) -> None:
        self._rows = np.empty(_FIRST, _COLUMNS)
        self._length = 0

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> History:
        """Return the history of columns as `to_arrays` gives them.

        Raises
        ------
        ConfigError
            If the names are not those of the columns, or the arrays are not of one length.
        """
        shapes = {array.shape for array in arrays.values()}
        if set(arrays) != set(Row._fields) or len(shapes) != 1 or len(shape := shapes.pop()) != 1:
            raise ConfigError(
                f"a history has the columns {', '.join(Row._fields)}, of one length; "
                f"got {', '.join(f'{name} {array.shape}' for name, array in arrays.items()) or 'none'}"
            )
        history = cls()
        history._length = shape[0]
        history._rows = np.empty(max(_FIRST, shape[0]), _COLUMNS)
        for name, array in arrays.items():
            history._rows[name][: shape[0]] = array
        return history

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return a copy of each column by its name: int64 or float64, a value per row."""
        return {name: self.column(name) for name in Row._fields}

    def append(self, row: Row) -> None:
        """Add the newest row."""
        if self._length == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._length] = row
        self._length += 1  # last: another thread may read meanwhile, to show the progress

    def recount(self, n_bytes: int) -> None:
        """Let the newest row say *n_bytes*, if there is one: it was written before those of its round were known."""
        self._rows["bytes"][max(self._length - 1, 0)] = n_bytes

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Row]:
        return (self[i] for i in range(self._length))

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            return self.column(key)
        return Row._make(self._rows[: self._length][key].item())

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return one field of all rows as an array.

        Raises
        ------
        ConfigError
            If there is no such field.
        """
        if name not in Row._fields:
            raise ConfigError(unknown_name("column", name, Row._fields))
        return self._rows[name][: self._length].copy()
