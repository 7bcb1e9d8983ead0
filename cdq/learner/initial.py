"""Initial tables, which users give to learners."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError, TableError
from cdq.errors.checks import as_array, shown
from cdq.learner.results import Results
from cdq.mdp import Solution
from cdq.qfunctions import MergedNetwork, MergedTable, QTable
from cdq.training import EnvironmentTask


def fill(merged: MergedTable, given: Any, task: EnvironmentTask, initial_value: float) -> None:
    """Let the table of a learner, which has learnt nothing yet, begin with the values of *given*; visits are 0.

    Parameters
    ----------
    merged : MergedTable
        Table of the learner.
    given : QTable, (n_rows, n_actions) array, Solution, or a learner
        Values to begin with; -inf for an action that a state does not have.
    task : EnvironmentTask
        The environment, and what the Q-function is made of.
    initial_value : float
        The learner's argument *initial_value*; with an initial table, nonzero only where rows are
        hashed.

    Raises
    ------
    ConfigError
        If *given* is of another kind, size or environment than the table, or a value is not finite in its type.
    """
    if isinstance(merged, MergedNetwork):
        raise ConfigError("initial_table is for tables and features, and a network is learnt; leave it out")
    table = _table_of(given, task)
    if (table.keys is not None) != merged.grows:
        has, needs = (
            ("keys", "none")
            if table.keys is not None
            else ("no keys", "them: a hashed table, or its learner")
        )
        raise ConfigError(f"initial_table has {has}; {task.name} is learnt with a table that needs {needs}")
    if initial_value and not merged.grows:
        raise ConfigError(f"initial_table and initial_value={initial_value:g} exclude each other; choose one")
    shape = (table.n_states if merged.grows else task.n_rows, task.columns)
    if table.values.shape != shape:
        raise ConfigError(
            f"initial_table has shape {table.values.shape}; allowed: {shape} ({task.representation})"
        )
    _require_all(table, task)
    # Tables say -inf for pairs that a model does not have; learners hold any finite value there, which nobody reads.
    values = _in_type(np.where(np.isneginf(table.values), 0.0, table.values), merged.values.dtype)
    values = np.tile(values, (1, merged.rule.tables))
    if table.keys is None:
        merged.values[:] = values
        return
    counts: dict[str, npt.NDArray[Any]] = {
        "clock": np.zeros(values.shape, np.uint32),
        "visits": np.zeros(values.shape, np.int64),
    }
    merged.fill({**counts, "values": values, "keys": table.keys})


def _require_all(table: QTable, task: EnvironmentTask) -> None:
    """Raise `ConfigError` if a table lacks an action that its state has."""
    has = _actions_of(task, table.keys)
    lacking = np.isneginf(table.values) & (True if has is None else has)
    if lacking.any():
        state, action = np.argwhere(lacking)[0]
        raise ConfigError(
            f"the value of (state {state}, action {action}) of initial_table is -inf; allowed: -inf for an action that "
            f"its state does not have, and {task.name} has this one"
        )


def _table_of(given: Any, task: EnvironmentTask) -> QTable:
    if isinstance(given, Results):
        if task.step_scale != given._task.step_scale or _is_other_function(given._task, task):
            raise ConfigError(
                f"initial_table has {given.representation}; {task.name} is learnt with {task.representation}"
            )
        return given.table
    if isinstance(given, QTable):
        return given
    array = as_array("initial_table", given.values if isinstance(given, Solution) else given)
    allowed = f"a QTable, a learner, a Solution, or ({task.n_rows}, {task.columns}) numbers"
    if array.dtype.kind not in "biuf":
        raise ConfigError(f"initial_table is {shown(given)}, {type(given).__name__}; allowed: {allowed}")
    try:
        return QTable(
            _without_missing(array.astype(np.float64) if array.dtype.kind in "biu" else array, task)
        )
    except TableError as error:
        raise ConfigError(f"initial_table: {error}; allowed: {allowed}") from None


def _without_missing(values: npt.NDArray[Any], task: EnvironmentTask) -> npt.NDArray[Any]:
    """Return values with 0 in place of the -inf of pairs that there are not."""
    has = _actions_of(task, None)
    if has is None or has.shape != values.shape:
        return values
    return np.where(np.isneginf(values) & ~has, values.dtype.type(0), values)


def _actions_of(task: EnvironmentTask, keys: npt.NDArray[Any] | None) -> npt.NDArray[np.bool_] | None:
    """Return the actions that each row has, of the model or of its block; None where all rows have all."""
    if task.blocks is None or not task.blocks.uneven:
        return None if task.model is None else task.model.actions
    rows = np.arange(task.n_rows) if keys is None else keys
    return task.blocks.masks[task.blocks.of_rows(rows)].astype(np.bool_)


def _is_other_function(one: EnvironmentTask, other: EnvironmentTask) -> bool:
    """Return whether two subjects have features that are not the same."""
    linear = [task.representation.startswith("linear") for task in (one, other)]
    return any(linear) and one.representation != other.representation


def _in_type(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    beyond = np.abs(values) > np.finfo(dtype).max
    if beyond.any():
        state, action = np.argwhere(beyond)[0]
        raise ConfigError(
            f"the value of (state {state}, action {action}) of initial_table is {values[state, action]}; allowed: what "
            f"{dtype} holds"
        )
    return values.astype(dtype)
