"""The record of a run: one row per round."""

from __future__ import annotations

from collections.abc import Iterator
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
        self._rows: list[Row] = []

    def append(self, row: Row) -> None:
        """Add the newest row."""
        self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            return self.column(key)
        return self._rows[key]

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return one field of all rows as an array.

        Raises
        ------
        ConfigError
            If there is no such field.
        """
        if name not in Row._fields:
            raise ConfigError(unknown_name("column", name, Row._fields))
        return np.array([getattr(row, name) for row in self._rows])
