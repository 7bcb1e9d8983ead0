"""Parts of a learner's table by name: what acts for an agent, a group of them, or a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats
from cdq.contracts.blocks import Placed
from cdq.errors import ConfigError
from cdq.errors.checks import as_array, shown
from cdq.qfunctions import HashedTable, MergedTable, QTable
from cdq.settings import Weights
from cdq.training import EnvironmentTask, FleetTask, WideTask


class Part(Protocol):
    """A table, or a part of one, with the observations that lead to its rows."""

    @property
    def n_actions(self) -> int:
        """Number of actions."""

    @property
    def first_action(self) -> int:
        """The number that the environment has for action 0."""

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the table's value of each action; raises `ConfigError` if the observation is not one."""

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of an observation as a function, which later learning does not change."""

    def mask_of(self, observation: Any) -> Any:
        """Return the allowed actions, where the observation itself holds a mask that is heeded; else None."""


def part_of(task: EnvironmentTask, name: object, weights: object = None) -> Part:
    """Return the part of a task's table that a name means; all of it where the table has no names.

    *weights* of features stand for a task that was not learnt.

    Raises
    ------
    ConfigError
        If there is no such name, or none is given where there are several; or if the weights are none.
    """
    if isinstance(task, FleetTask):
        return task if name is None else _OfRobot(task, task.number_of(name))
    if isinstance(task, WideTask):
        if weights is None:
            number = task.number_of(name)
            return _OfTask(task, lambda row: task.values_to(row, number))
        if name is not None:
            raise ConfigError(
                f"the task {shown(name)} has weights of its own; leave out one of name and weights"
            )
        given = _checked_weights(task, weights)
        return _OfTask(task, lambda row: task.values_by(row, given))
    if weights is not None:
        raise ConfigError(f"{task.name} was not learnt by features; weights are for tasks=cdq.Weights(...)")
    if task.blocks is not None and (task.agents or name is not None):
        encoder = getattr(task, "encoder")  # noqa: B009 - of `cdq.envs.blocks`, which takes Gymnasium with it
        return _OfBlock(task, encoder, encoder.number_of(name))
    if name is not None:
        raise ConfigError(
            f"{task.name} is learnt with one table, which has no name: leave {shown(name)} out; the action mask is "
            "an array"
        )
    return task


class _OfBlock:
    """The block of a name."""

    def __init__(self, task: EnvironmentTask, encoder: Any, number: int) -> None:
        self._task, self._encoder, self._number = task, encoder, number
        self.n_actions: int = encoder.blocks.blocks[number].actions
        self.first_action: int = encoder.encoders[number].first_action

    def action_values(self, values: Floats, observation: Any) -> Floats:
        return self._own(self._task.action_values(values, Placed(self._number, observation)))

    def split(self, observations: Any) -> list[Any] | None:
        found: list[Any] | None = self._encoder.encoders[self._number].split(observations)
        return found

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        now = self._task.values_now(values)
        return lambda observation: self._own(now(Placed(self._number, observation)))

    def mask_of(self, observation: Any) -> Any:
        return self._task.mask_of(Placed(self._number, observation))

    def _own(self, values: Floats) -> Floats:
        """Return the values of the block's own actions."""
        return np.asarray(values)[: self.n_actions]


def _checked_weights(task: WideTask, weights: object) -> npt.NDArray[np.float64]:
    if not isinstance(task.tasks, Weights):
        raise ConfigError(f"{task.name} was not learnt by features; weights are for tasks=cdq.Weights(...)")
    given, expected = as_array("weights", weights), task.tasks.array.shape[1:]
    if given.shape != expected or given.dtype.kind not in "biuf" or not np.isfinite(given).all():
        raise ConfigError(
            f"weights is {shown(weights)}; allowed: {expected[0]} finite numbers, one for each feature"
        )
    return given.astype(np.float64)


class _OfTask:
    """The values of the rows to a task, or to weights."""

    def __init__(self, task: WideTask, values_of: Callable[[Floats], Floats]) -> None:
        self._task, self._values_of = task, values_of
        self.n_actions, self.first_action = task.n_actions, task.first_action
        self.split, self.mask_of = task.split, task.mask_of

    def action_values(self, values: Floats, observation: Any) -> Floats:
        return self._task.allowed_in(self._values_of(self._task.row_of(values, observation)), observation)

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        now = self._task.values_now(values)
        return lambda observation: self._task.allowed_in(self._values_of(now(observation)), observation)


class _OfRobot:
    """A worker of a fleet, which acts in an environment of its own."""

    def __init__(self, fleet: FleetTask, number: int) -> None:
        self._fleet, self._number, self._task = fleet, number, fleet.reader_of(number)
        self.n_actions, self.first_action = self._task.n_actions, self._task.first_action
        self.split, self.mask_of = self._task.split, self._task.mask_of

    def action_values(self, values: Floats, observation: Any) -> Floats:
        found: Floats = self._task.action_values(self._fleet.values_of(values, self._number), observation)
        return found

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        now: Callable[[Any], Floats] = self._task.values_now(self._fleet.values_of(values, self._number))
        return now


def tables_of_tasks(task: WideTask, merged: MergedTable) -> Mapping[Any, QTable]:
    """Return the table of each task, by its name."""
    tables = {}
    columns = task.columns // task.n_actions
    visits = merged.visits[:, ::columns]  # every task learns at every visit
    keys = merged.keys.copy() if isinstance(merged, HashedTable) else None
    actions = getattr(task.inner.model, "actions", None)
    for number, name in enumerate(task.names):
        values = np.array(task.values_to(merged.values, number))
        model = task.model_of(number)
        tables[name] = QTable(values, visits, f"{task.name}, {name}", keys, actions, model=model)
    return MappingProxyType(tables)
