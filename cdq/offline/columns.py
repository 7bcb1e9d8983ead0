"""Columns of logs as numbers: whole numbers may be floats or objects, and entries that are not read may be missing."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError
from cdq.errors.checks import flags, shown

Column = npt.NDArray[Any]
Flags = npt.NDArray[np.uint8]


def numbers(what: str, column: Column, *, whole: bool, skipped: Flags) -> Column:
    """Return an array with an entry or a row for each transition as numbers, *whole* ones as integers.

    Entries of transitions that are *skipped* may be anything: what is no number there becomes 0 or NaN.

    Raises
    ------
    ConfigError
        If another entry is no such number; names the transition.

    Examples
    --------
    >>> column = np.array([1.0, np.nan, 2.0])
    >>> numbers("observation", column, whole=True, skipped=np.array([0, 1, 0], np.uint8)).tolist()
    [1, 0, 2]
    """
    if column.ndim == 0 or len(column) != len(skipped):
        return column  # whoever reads it says what is wrong with it
    if column.dtype.kind == "O":
        column = _of_objects(what, column, whole, skipped)
    if column.dtype.kind in ("bi" if whole else "biuf"):
        return column
    if column.dtype.kind not in "uf":
        raise ConfigError(f"{what}s are {column.dtype}; allowed: {_allowed(whole)}")
    if column.dtype == np.float16:  # whose range does not reach to the largest integer
        column = column.astype(np.float32)
    wrong = ~(np.isfinite(column) & (column == np.floor(column)) & (np.abs(column) < 2.0**63))
    _refuse(what, column, wrong, skipped, whole)
    return np.where(wrong, 0, column).astype(np.int64)


def _allowed(whole: bool) -> str:
    return "integers" if whole else "numbers"


def _refuse(what: str, column: Column, wrong: npt.NDArray[np.bool_], skipped: Flags, whole: bool) -> None:
    rows = wrong.reshape(len(column), -1).any(axis=1) & (skipped == 0)
    if rows.any():
        first = int(rows.argmax())
        value = (
            column[first].tolist() if isinstance(column[first], (np.ndarray, np.generic)) else column[first]
        )
        raise ConfigError(f"the {what} of transition {first} is {shown(value)}; allowed: {_allowed(whole)}")


def _of_objects(what: str, column: Column, whole: bool, skipped: Flags) -> Column:
    """Return Python's numbers, as pandas hands out columns that may have missing entries, as an array."""
    values = column.ravel().tolist()
    wrong = np.array([not isinstance(value, (Real, np.bool_)) for value in values], np.bool_).reshape(
        column.shape
    )
    _refuse(what, column, wrong, skipped, whole)
    exact = all(
        bad or isinstance(value, (Integral, np.bool_)) for value, bad in zip(values, wrong.flat, strict=True)
    )
    kind, missing = (np.int64, 0) if exact else (np.float64, np.nan)
    try:
        plain = [missing if bad else value for value, bad in zip(values, wrong.flat, strict=True)]
        return np.array(plain, kind).reshape(column.shape)
    except OverflowError:
        raise ConfigError(
            f"{what}s have numbers beyond 64 bits; allowed: {_allowed(whole)} of 64 bits"
        ) from None


def single(value: Any) -> Any:
    """Return an observation in which floats that are whole numbers are integers.

    Examples
    --------
    >>> single((13.0, 10, {"ace": np.float32(1.0), "speed": 0.5}))
    (13, 10, {'ace': 1, 'speed': 0.5})
    """
    if isinstance(value, dict):
        return {name: single(inner) for name, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(single, value)) if type(value) in {tuple, list} else tuple(map(single, value))
    if isinstance(value, np.ndarray) and value.dtype.kind in "fO":
        try:
            return numbers("number", value.reshape(1, -1), whole=True, skipped=np.zeros(1, np.uint8)).reshape(
                value.shape
            )
        except ConfigError:
            return value
    return int(value) if isinstance(value, (float, np.floating)) and value.is_integer() else value


def masks(given: Any, n_actions: int, ended: Flags) -> Flags:
    """Return which actions the next state of each transition allows, a row each; after an *ended* episode all.

    Raises
    ------
    ConfigError
        If there is no row for each, an entry is no Boolean, or nothing is allowed; names the transition.

    Examples
    --------
    >>> masks([[1, 0], None], 2, np.array([0, 1], np.uint8)).tolist()
    [[1, 0], [1, 1]]
    """
    table = given.to_numpy() if hasattr(given, "to_numpy") else given
    listed = isinstance(table, (list, tuple)) or (isinstance(table, np.ndarray) and table.dtype == object)
    if listed and len(table) == len(ended):  # rows that are never read may be missing
        table = [
            [1] * n_actions if over else np.asarray(row).tolist()
            for row, over in zip(table, ended, strict=True)
        ]
    told = flags("next_masks, entry", table).astype(np.uint8, order="C")
    if told.shape != (len(ended), n_actions):
        raise ConfigError(
            f"next_masks have shape {told.shape}; allowed: {(len(ended), n_actions)}, an entry for each action of each "
            "transition"
        )
    told[ended == 1] = 1
    none = ~told.any(axis=1)
    if none.any():
        raise ConfigError(
            f"next_masks of transition {int(none.argmax())} allow no action; allowed: one or more, unless the "
            "transition ended its episode"
        )
    return told
