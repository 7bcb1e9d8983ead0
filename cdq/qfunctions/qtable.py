"""QTable: values and visits of every pair, and the policy and state values that follow."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats, Model
from cdq.contracts.blocks import Blocks, blocks_in
from cdq.errors import ConfigError, FileError, TableError
from cdq.errors.checks import path_of, read_only
from cdq.qfunctions.merged import mean_of_tables, sum_of_tables
from cdq.qfunctions.showing import as_html, as_text
from cdq.rules import RULES
from cdq.storage import read_tensors, require_kind, to_pandas, write_csv, write_tensors


class QTable:
    """Action values and visit counts of a finite environment; its arrays are read-only.

    A learner begins with other values where one is given as its `initial_table`.

    Parameters
    ----------
    values : (n_states, n_actions) array of float32 or float64
        Values of the pairs; finite.
    visits : (n_states, n_actions) array of int64, optional
        Number of updates of each pair; zeros by default.
    environment : str
        The name of the environment that the table belongs to; "" if none.
    keys : (n_states,) array of uint64, optional
        Key of each row of a hashed table; such a table may have no rows.
    actions : (n_states, n_actions) array of bool, optional
        The actions that each state has, at least one. The value of any other pair is -inf, whatever was given.
    model : MDP, optional
        Model of the environment, for pictures; files do not hold it.

    Raises
    ------
    TableError
        If shapes differ, the dtype is another one, or the value of a pair that there is is not finite.

    Examples
    --------
    >>> table = QTable(np.array([[0.0, 1.0], [2.0, 2.0]]))
    >>> table.policy().tolist()
    [1, 0]
    >>> table.state_values().tolist()
    [1.0, 2.0]
    """

    _complete = False

    def __init__(
        self,
        values: npt.ArrayLike,
        visits: npt.ArrayLike | None = None,
        environment: str = "",
        keys: npt.ArrayLike | None = None,
        actions: npt.ArrayLike | None = None,
        *,
        model: Model | None = None,
    ) -> None:
        self.values: Floats = np.asarray(values)
        n_rows, n_actions = self.values.shape if self.values.ndim == 2 else (0, 0)
        empty = n_actions == 0 or (n_rows == 0 and keys is None)
        if empty or self.values.dtype not in ("float32", "float64"):
            raise TableError(
                f"values are {self.values.dtype} of shape {self.values.shape}; "
                "a table is float32 or float64 of shape (n_states, n_actions)"
            )
        self.actions = None if actions is None else _checked_mask(np.asarray(actions), self.values.shape)
        bad = ~np.isfinite(self.values) & (True if self.actions is None else self.actions)
        if bad.any():
            state, action = np.argwhere(bad)[0]
            raise TableError(
                f"the value of (state {state}, action {action}) is {self.values[state, action]}; all must be finite"
            )
        if self.actions is not None:
            self.values = np.where(self.actions, self.values, self.values.dtype.type(-np.inf))
        counts = np.zeros(self.values.shape, np.int64) if visits is None else np.asarray(visits)
        if counts.shape != self.values.shape or counts.dtype.kind not in "iu":
            raise TableError(
                f"visits are {counts.dtype} of shape {counts.shape}; allowed: integers of shape {self.values.shape}"
            )
        if counts.size and counts.min() < 0:
            raise TableError(f"visits go down to {counts.min()}; they are counts, 0 or more")
        self.visits: npt.NDArray[np.int64] = counts.astype(np.int64, copy=False)
        self.environment, self.model = environment, _fitting(model, self.values.shape)
        self.keys = None if keys is None else np.asarray(keys)
        if self.keys is not None and (self.keys.shape != (self.n_states,) or self.keys.dtype != np.uint64):
            raise TableError(
                f"keys are {self.keys.dtype} of shape {self.keys.shape}; allowed: uint64 of shape ({self.n_states},)"
            )
        self.__setstate__(dict(self.__dict__))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Hold attributes whose arrays are read-only, also in copies: a table does not change once it is made."""
        arrays = {name: read_only(value) for name, value in state.items() if isinstance(value, np.ndarray)}
        self.__dict__.update({**state, **arrays, "_complete": True})

    def __setattr__(self, name: str, value: object) -> None:
        if self._complete:
            raise TableError(
                f"{name} of a QTable cannot be set: a table does not change. Make another one of a copy of its values, "
                "and give it to a learner as initial_table"
            )
        super().__setattr__(name, value)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the values, for NumPy: ``np.asarray(table)`` is read-only, ``np.array(table)`` a copy."""
        if copy:
            return np.array(self.values, dtype)
        if copy is False and dtype not in (None, self.values.dtype):
            raise ValueError(f"values of {self.values.dtype} cannot be {np.dtype(dtype)} without a copy")
        return np.asarray(self.values, dtype)

    def __getitem__(self, key: Any) -> Any:
        """Return values: ``table[state]`` is a row, ``table[state, action]`` a number, as of an array."""
        return self.values[key]

    def __len__(self) -> int:
        return self.n_states

    def __iter__(self) -> Iterator[Floats]:
        return iter(self.values)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of states and actions."""
        return self.n_states, self.n_actions

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
        """Return the best action in *state*, the lowest among equals; actions are numbered from 0, as columns.

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

    def state_values(self) -> Floats:
        """Return the largest action value of each state, (n_states,)."""
        best: Floats = self.values.max(axis=1)
        return best

    def render(self, model: Model | None = None) -> str:
        """Return the greedy policy as text: arrows on the grid of the environment, else the first rows of the table.

        Parameters
        ----------
        model : MDP, optional
            Model of the environment; needed for arrows where the table is of a file.

        Raises
        ------
        TableError
            If the model has other states or actions than the table.

        Examples
        --------
        >>> from cdq import MDP, solve
        >>> lake = MDP.from_gymnasium("FrozenLake-v1", is_slippery=False)
        >>> print(QTable(solve(lake, gamma=0.9).values).render(lake))
        ↓ → ↓ ←
        ↓ H ↓ H
        → ↓ ↓ H
        H → → G
        <BLANKLINE>
        G: ends with the best reward, H: ends with less, .: no episode acts here
        """
        return as_text(self.values, _fitting(model, self.values.shape) or self.model, self.keys)

    def _repr_html_(self) -> str:
        return as_html(repr(self), self.values, self.model, self.keys)

    def digest(self) -> str:
        """Return the SHA-256 of the values', the visits' and any keys' bytes, little-endian, as hexadecimal digits."""
        result = hashlib.sha256()
        result.update(self.values.astype(self.values.dtype.newbyteorder("<"), copy=False).tobytes())
        result.update(self.visits.astype("<i8", copy=False).tobytes())
        if self.keys is not None:
            result.update(self.keys.astype("<u8", copy=False).tobytes())
        return result.hexdigest()

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with a row per state.

        Its columns are ``value_0``, ``value_1``, ... of each action, ``visits_0``, ... and the greedy ``action``; for a
        hashed table also ``key``. The value of an action that a state does not have is -inf.

        Raises
        ------
        PackageMissing
            If pandas is not installed.
        """
        return to_pandas(self._columns())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the columns of `to_pandas` to a CSV file, atomically, the number of the state before them.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        columns = {"state": np.arange(self.n_states), **self._columns()}
        write_csv(path_of("the file", path), columns)

    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        keys = {} if self.keys is None else {"key": self.keys}
        values = {f"value_{action}": self.values[:, action] for action in range(self.n_actions)}
        visits = {f"visits_{action}": self.visits[:, action] for action in range(self.n_actions)}
        return {**keys, **values, **visits, "action": self.policy()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a safetensors file, atomically.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        header = {"kind": "table", "environment": self.environment}
        tensors: dict[str, npt.NDArray[Any]] = {"values": self.values, "visits": self.visits}
        if self.keys is not None:
            tensors["keys"] = self.keys
        if self.actions is not None:  # the values in files are finite
            tensors |= {"values": np.where(self.actions, self.values, 0), "actions": self.actions}
        write_tensors(path_of("the file", path), tensors, header)

    @classmethod
    def load(cls, path: str | os.PathLike[str], name: str | None = None) -> QTable:
        """Return the table of a file that `QTable.save` or `QLearner.save` wrote.

        Parameters
        ----------
        path : path
            Path of the file.
        name : str, optional
            Name of one of the tables that the file holds (`QLearner.tables`); by default all of them as one.

        Raises
        ------
        FileError
            If it is missing, truncated, altered or no such file.
        ConfigError
            If it holds no table of that name.
        """
        tensors, header = read_tensors(path_of("the file", path))
        environment = header.get("environment", "")
        if not {"values", "visits"} <= set(tensors) or not isinstance(environment, str):
            if "kind" in header:  # of something else, whose reader is named
                require_kind(path, header, "table")
            held = ", ".join(sorted(tensors)[:3]) + (" and more" if len(tensors) > 3 else "")
            raise FileError(f"{path} holds no table: {held or 'no tensors'}; use another file")
        values, visits = tensors["values"], tensors["visits"]
        n = tables_in(header)
        if values.ndim == 2 and values.shape == visits.shape and values.shape[1] % n == 0:
            values, visits = mean_of_tables(values, n), sum_of_tables(visits, n)
        table = cls(values, visits, environment, tensors.get("keys"), tensors.get("actions"))
        return table if name is None else _named(path, header, table, name)


def part_of(table: QTable, blocks: Blocks, number: int) -> QTable:
    """Return the rows and the actions of a block; the keys of a hashed table become those of its own observations."""
    rows = np.arange(len(table)) if table.keys is None else table.keys
    inside, block = np.flatnonzero(blocks.of_rows(rows) == number), blocks.blocks[number]
    keys = None if table.keys is None else table.keys[inside] - blocks.first[number]
    name = f"{block.name} of {table.environment}" if table.environment else block.name
    allowed = None if table.actions is None else table.actions[inside, : block.actions]
    if allowed is not None and allowed.all():
        allowed = None
    return QTable(
        table.values[inside, : block.actions], table.visits[inside, : block.actions], name, keys, allowed
    )


def _named(path: object, header: Mapping[str, Any], table: QTable, name: str) -> QTable:
    """Return the part of a file's table that has a name, as the header of the file says.

    Raises
    ------
    FileError
        If the header describes other blocks than the table has.
    ConfigError
        If there is none of that name.
    """
    try:
        blocks = blocks_in(header)
    except (ConfigError, TypeError, ValueError) as error:
        raise FileError(f"the header of {path} describes no blocks: {error}; use another file") from None
    if blocks is None:
        raise ConfigError(f"{path} holds one table, which has no name; leave {name!r} out")
    if (table.keys is None and blocks.n_rows != len(table)) or blocks.n_actions != table.n_actions:
        raise FileError(f"the header of {path} describes blocks of another table; use another file")
    return part_of(table, blocks, blocks.number_of(name))


def tables_in(header: Mapping[str, Any]) -> int:
    """Return how many tables a learner's file holds side by side."""
    settings = header.get("settings")
    name = settings.get("rule") if isinstance(settings, dict) else None
    return RULES[name].tables if isinstance(name, str) and name in RULES else 1


def _fitting(model: Model | None, shape: tuple[int, ...]) -> Model | None:
    """Return a model if it has the states and actions of a table of this shape."""
    if model is not None and (model.n_states, model.n_actions) != shape:
        raise TableError(
            f"the table has shape {shape}, and {model.name} needs {(model.n_states, model.n_actions)}; give the model "
            "that it was learnt on"
        )
    return model


def _checked_mask(actions: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    if actions.shape != shape or actions.dtype != np.bool_ or not actions.any(axis=1).all():
        raise TableError(
            f"actions are {actions.dtype} of shape {actions.shape}; allowed: bool of shape {shape}, with a True in "
            "every row"
        )
    return actions
