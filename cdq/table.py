"""QTable: values and visits of every pair, and what can be read off them."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import TableError
from cdq.files import read_tensors, write_tensors

FloatArray = npt.NDArray[np.floating[Any]]


class QTable:
    """Action values and visit counts of a finite environment.

    Parameters
    ----------
    values : (n_states, n_actions) array of float32 or float64
        Finite.
    visits : (n_states, n_actions) array of int64, optional
        How often each pair was updated; zeros by default.
    environment : str
        The name of the environment that the table belongs to; "" if none.
    keys : (n_states,) array of uint64, optional
        Of a hashed table: what each row is found by. It may have no rows.

    Raises
    ------
    TableError
        If shapes differ, the dtype is another one, or a value is not finite.

    Examples
    --------
    >>> table = QTable(np.array([[0.0, 1.0], [2.0, 2.0]]))
    >>> table.policy().tolist()
    [1, 0]
    >>> table.state_values().tolist()
    [1.0, 2.0]
    """

    def __init__(
        self,
        values: npt.ArrayLike,
        visits: npt.ArrayLike | None = None,
        environment: str = "",
        keys: npt.ArrayLike | None = None,
    ) -> None:
        self.values: FloatArray = np.asarray(values)
        n_rows, n_actions = self.values.shape if self.values.ndim == 2 else (0, 0)
        empty = n_actions == 0 or (n_rows == 0 and keys is None)
        if empty or self.values.dtype not in ("float32", "float64"):
            raise TableError(
                f"values are {self.values.dtype} of shape {self.values.shape}; "
                "a table is float32 or float64 of shape (n_states, n_actions)"
            )
        if not np.isfinite(self.values).all():
            state, action = np.argwhere(~np.isfinite(self.values))[0]
            raise TableError(
                f"the value of (state {state}, action {action}) is {self.values[state, action]}; all must be finite"
            )
        counts = np.zeros(self.values.shape, np.int64) if visits is None else np.asarray(visits)
        if counts.shape != self.values.shape or counts.dtype.kind not in "iu":
            raise TableError(
                f"visits are {counts.dtype} of shape {counts.shape}; allowed: integers of shape {self.values.shape}"
            )
        if counts.size and counts.min() < 0:
            raise TableError(f"visits go down to {counts.min()}; they are counts, 0 or more")
        self.visits: npt.NDArray[np.int64] = counts.astype(np.int64, copy=False)
        self.environment = environment
        self.keys = None if keys is None else np.asarray(keys)
        if self.keys is not None and (self.keys.shape != (self.n_states,) or self.keys.dtype != np.uint64):
            raise TableError(
                f"keys are {self.keys.dtype} of shape {self.keys.shape}; allowed: uint64 of shape ({self.n_states},)"
            )

    @property
    def n_states(self) -> int:
        """The number of states."""
        return int(self.values.shape[0])

    @property
    def n_actions(self) -> int:
        """The number of actions."""
        return int(self.values.shape[1])

    def __repr__(self) -> str:
        name = f" of {self.environment}" if self.environment else ""
        return f"QTable{name}: {self.n_states} states, {self.n_actions} actions, {self.values.dtype}"

    def greedy(self, state: int) -> int:
        """Return the best action in *state*, the lowest among equals.

        Raises
        ------
        TableError
            If there is no such state.
        """
        if not 0 <= state < self.n_states:
            raise TableError(f"state {state} does not exist; allowed: 0 to {self.n_states - 1}")
        return int(self.values[state].argmax())

    def policy(self) -> npt.NDArray[np.int64]:
        """Return the greedy policy: (n_states,) actions, the lowest among equals."""
        best: npt.NDArray[np.int64] = self.values.argmax(axis=1)
        return best

    def state_values(self) -> FloatArray:
        """Return the largest action value of each state, (n_states,)."""
        best: FloatArray = self.values.max(axis=1)
        return best

    def digest(self) -> str:
        """Return the SHA-256 of the values', the visits' and any keys' bytes, little-endian, as hexadecimal digits."""
        result = hashlib.sha256()
        result.update(self.values.astype(self.values.dtype.newbyteorder("<"), copy=False).tobytes())
        result.update(self.visits.astype("<i8", copy=False).tobytes())
        if self.keys is not None:
            result.update(self.keys.astype("<u8", copy=False).tobytes())
        return result.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a safetensors file, atomically.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        header = {"kind": "table", "environment": self.environment}
        keys = {} if self.keys is None else {"keys": self.keys}
        write_tensors(path, {"values": self.values, "visits": self.visits, **keys}, header)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> QTable:
        """Return the table of a file that `QTable.save` or `QLearner.save` wrote.

        Raises
        ------
        FileError
            If it is missing, truncated, altered or no such file.
        """
        tensors, header = read_tensors(path)
        name = str(header.get("environment", ""))
        return cls(tensors["values"], tensors["visits"], name, tensors.get("keys"))
