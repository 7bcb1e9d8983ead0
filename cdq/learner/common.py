"""Environments with state and action sets of their own: one table, of the states and actions of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError
from cdq.errors.checks import described, shown
from cdq.mdp import MDP
from cdq.settings import Settings, keys_of
from cdq.training import EnvironmentTask, ModelTask, Reading

Made = Sequence[tuple[EnvironmentTask, Settings]]


def in_common(made: Made, settings: Settings) -> tuple[list[ModelTask], list[Reading], Settings]:
    """Return the tasks of environments on one table, how observations of each lead to it, and the settings.

    Parameters
    ----------
    made : sequence
        Task of each environment by itself, and the settings that follow from it.
    settings : Settings
        Settings of the learner, with `key` or `actions`.

    Raises
    ------
    ConfigError
        If one has no model, or the keys or names are not those of its states and actions.
    """
    tasks = [_with_model(number, task) for number, (task, _) in enumerate(made)]
    rows, columns = _rows(tasks, settings), _columns(tasks, settings)
    n_rows = 1 + max(int(own.max()) for own in rows)
    n_columns = 1 + max(int(own.max()) for own in columns)
    known = [
        ModelTask(_moved(task.model, *at, n_rows, n_columns), settings.dtype, None, task.why, task.changed)
        for task, at in zip(tasks, zip(rows, columns, strict=True), strict=True)
    ]
    readings = [Reading(*one) for one in zip(tasks, known, rows, columns, strict=True)]
    return known, readings, replace(settings, key=tuple(tuple(own.tolist()) for own in rows), table="dense")


def _with_model(number: int, task: EnvironmentTask) -> ModelTask:
    if not isinstance(task, ModelTask):
        raise ConfigError(
            f"key and actions are for environments with a model, whose states can be listed; environment {number} "
            f"({task.name}) has none ({task.why}). Give its model (cdq.MDP), or let it observe the key itself, and "
            "mask actions that it lacks, with table='hash'"
        )
    return task


# ---- states


def _rows(tasks: Sequence[ModelTask], settings: Settings) -> list[npt.NDArray[np.int64]]:
    """Return the row of each state of each environment: the same for equal keys, in the order in which they come."""
    sizes = [task.n_rows for task in tasks]
    key: Any = settings.key
    if key is None:
        if len(set(sizes)) > 1:
            raise ConfigError(
                f"the environments have {_listed(sizes)} states, and nothing says which are the same; give "
                "key=, a function of an observation"
            )
        return [np.arange(size) for size in sizes]
    functions = keys_of(key, len(tasks))
    if functions is None:
        if [len(own) for own in key] != sizes:
            raise ConfigError(f"a file has rows of other environments than these of {_listed(sizes)} states")
        rows = [np.array(own, np.int64) for own in key]
    else:
        numbers: dict[Any, int] = {}
        rows = [
            _keyed(number, *one, numbers) for number, one in enumerate(zip(tasks, functions, strict=True))
        ]
    for number, own in enumerate(rows):
        _require_apart(number, tasks[number], own)
    return rows


def _keyed(
    number: int, task: ModelTask, key: Callable[[Any], Any], numbers: dict[Any, int]
) -> npt.NDArray[np.int64]:
    rows = np.empty(task.n_rows, np.int64)
    for state in range(task.n_rows):
        observation = task.observation_of(state)
        try:
            rows[state] = numbers.setdefault(key(observation), len(numbers))
        except Exception as error:
            raise ConfigError(
                f"the key of observation {shown(observation)} of environment {number} ({task.name}) cannot be told: "
                f"{described(error)}; key is a function of an observation that returns text, numbers, or tuples of them"
            ) from error
    return rows


def _require_apart(number: int, task: ModelTask, rows: npt.NDArray[np.int64]) -> None:
    """Raise `ConfigError` if two states of one environment have one key: its model has them apart."""
    found, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        row = int(found[counts.argmax()])
        one, other = (shown(task.observation_of(int(state))) for state in np.flatnonzero(rows == row)[:2])
        raise ConfigError(
            f"observations {one} and {other} of environment {number} ({task.name}) have the same key; give each state "
            "of an environment a key of its own"
        )


# ---- actions


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))


def _columns(tasks: Sequence[ModelTask], settings: Settings) -> list[npt.NDArray[np.int64]]:
    """Return the column of each action of each environment: the same for equal names, in the order of the first."""
    sizes = [task.n_actions for task in tasks]
    if settings.actions is None:
        if len(set(sizes)) > 1:
            raise ConfigError(
                f"the environments have {_listed(sizes)} actions, and nothing says which are the same; give "
                "actions=, the names of each"
            )
        return [np.arange(size) for size in sizes]
    given = [len(own) for own in settings.actions]
    if given != sizes:
        raise ConfigError(
            f"actions names {_listed(given)} actions, and the environments have "
            f"{_listed(sizes)}; name all actions of each environment, in its order"
        )
    numbers: dict[str, int] = {}
    return [np.array([numbers.setdefault(name, len(numbers)) for name in own]) for own in settings.actions]


# ---- models


def _moved(
    model: MDP, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], n_rows: int, n_columns: int
) -> MDP:
    """Return a model with its states and actions at these rows and columns; it has no others.

    A row of states that it lacks, to which nothing leads, has one action, which ends the episode.
    """
    counts = np.zeros((n_rows, n_columns), np.int64)
    own = np.diff(model.offsets).reshape(model.n_states, model.n_actions)
    counts[np.ix_(rows, columns)] = own
    lacking = np.setdiff1d(np.arange(n_rows), rows)
    counts[lacking, 0] = 1
    # Where the outcomes of each pair come from: places in the model's arrays, one further for a row that it lacks.
    first = np.full((n_rows, n_columns), model.n_outcomes, np.int64)
    first[np.ix_(rows, columns)] = model.offsets[:-1].reshape(own.shape)
    offsets = np.concatenate(([0], np.cumsum(counts.reshape(-1))))
    source = np.repeat(first.reshape(-1) - offsets[:-1], counts.reshape(-1)) + np.arange(offsets[-1])
    start = np.zeros(n_rows)
    start[rows] = model.start
    ends = int(lacking[0]) if len(lacking) else 0
    return MDP(
        n_rows,
        n_columns,
        offsets=offsets,
        next_state=np.append(rows[model.next_state], ends)[source].astype(np.int32),
        probability=np.append(model.probability, 1.0)[source],
        reward=np.append(model.reward, 0.0)[source],
        terminated=np.append(model.terminated, np.True_)[source],
        start=start,
        time_limit=model.time_limit,
        name=model.name,
        actions=counts > 0,
    )
