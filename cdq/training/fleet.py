"""Fleets: an environment for each worker, and one Q-function that all of them learn."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Episodes, Floats, Loop, WorkerTask
from cdq.contracts.blocks import Blocks
from cdq.core.envs.encode import Encoding
from cdq.core.lanes import Lanes
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Rows
from cdq.errors import ConfigError
from cdq.mdp import MDP
from cdq.qfunctions import PersonalTable, QTable
from cdq.schedules import StepSize
from cdq.training.kinds import EnvironmentTask
from cdq.training.task import ModelTask

_MOST_NAMED = 3


@dataclass(frozen=True)
class OwnTask:
    """Task of one worker; its lanes are as large as everybody's, as checkpoints hold them side by side."""

    own_bytes: int
    resumable: bool
    loop: Callable[[Rows, Lanes, float, npt.NDArray[np.int32]], Loop]


@dataclass(frozen=True)
class Reading:
    """Way from the observations of an environment to rows and columns of a table that others use, too.

    Attributes
    ----------
    own, moved : ModelTask
        Task of the environment by itself, and on the table.
    rows, columns : arrays of int64
        Row of each of its states, and column of each of its actions.
    """

    own: ModelTask
    moved: ModelTask
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]

    @property
    def n_actions(self) -> int:
        """Number of its actions."""
        return self.own.n_actions

    @property
    def first_action(self) -> int:
        """The number that it has for its action 0."""
        return self.own.first_action

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the value of each of its actions; raises `ConfigError` if the observation is not one."""
        row = int(self.rows[self.own.state_of(observation)])
        own: Floats = self.moved.action_values(values, row)[self.columns]
        return own

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        return self.own.split(observations)

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of an observation as a function, which later learning does not change."""
        return partial(self.action_values, values.copy())

    def mask_of(self, observation: Any) -> Any:
        """Return None: states hold no masks."""
        return None


class FleetTask:
    """Tasks of one Q-function, of which each worker learns one: that of its rank.

    Parameters
    ----------
    members : sequence of EnvironmentTask
        A task per worker, in rank order; their observations and actions mean the same rows and columns.
    recipe : callable
        Returns what other processes make the environments of, a list; raises `ConfigError` if they cannot.
    personal : PersonalTable, optional
        Table in which every worker has rows of its own behind the common ones.
    readings : sequence of Reading, optional
        Ways of the environments to the table, where their states or actions differ.
    """

    model = None
    lanes_each = 1
    default_num_envs = 1

    def __init__(
        self,
        members: Sequence[EnvironmentTask],
        recipe: Callable[[], Any],
        personal: PersonalTable | None = None,
        readings: Sequence[Reading] = (),
    ) -> None:
        self.members, self.recipe, self._personal = tuple(members), recipe, personal
        self.readings = tuple(readings)
        first = self.members[0]
        self.agents: tuple[Any, ...] = tuple(range(len(members)))
        self.name = _named([task.name for task in members])
        self.stepping = _same([task.stepping for task in members], "environments stepped in several ways")
        self.why = _same([task.why for task in members], "each environment for reasons of its own")
        self.threads = all(task.threads for task in members)
        self.in_python = any(task.in_python for task in members)
        self.resumable = all(task.resumable for task in members)
        self.own_bytes = max(task.own_bytes for task in members)
        self.columns = first.columns
        self.n_rows, self.n_actions, self.blocks = first.n_rows, first.n_actions, first.blocks
        self.step_scale, self.own_table = first.step_scale, first.own_table
        if personal is not None:
            self.n_rows, self.own_table, self.blocks = len(personal.values), personal, personal.blocks
        self.input_bounds, self.first_action = first.input_bounds, first.first_action
        limits = [task.time_limit for task in members if task.time_limit is not None]
        self.time_limit = max(limits) if len(limits) == len(members) else None

    @property
    def representation(self) -> str:
        """The Q-function in words: its kind and its size."""
        return self.members[0].representation

    def of_worker(self, rank: int) -> WorkerTask:
        """Return the task that the worker of this rank learns."""
        own = self.members[rank]
        return OwnTask(self.own_bytes, own.resumable, partial(self._loop, rank))

    def _loop(self, rank: int, rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        if self._personal is not None:
            self._personal.keep_own(rows, rank)
        return self.members[rank].of_worker(rank).loop(rows, lanes, gamma, stop)

    def number_of(self, name: object) -> int:
        """Return the number of the worker that a name means.

        Raises
        ------
        ConfigError
            If it means none.
        """
        if name in self.agents and not isinstance(name, bool):
            return int(name)  # type: ignore[call-overload,no-any-return]
        raise ConfigError(f"there is no environment {name!r}; allowed: 0 to {len(self.members) - 1}")

    def by_number(self, tables: Mapping[str, QTable]) -> Mapping[Any, QTable]:
        """Return tables of blocks with the numbers of workers in place of their names."""
        return {int(name) if name.isdecimal() else name: table for name, table in tables.items()}

    def values_of(self, values: Floats, number: int | None) -> Floats:
        """Return the rows of a table by which a worker acts, or without a *number* the common ones."""
        if self.blocks is None or self._personal is None:
            return values
        first, last = self.blocks.first[[0, 1] if number is None else [1 + number, 2 + number]].astype(int)
        return values[first:last]

    def fingerprint(self) -> str:
        """Return the fingerprint of all tasks, in rank order."""
        parts = " ".join(task.fingerprint() for task in self.members)
        return hashlib.sha256(parts.encode()).hexdigest()

    def changed(self) -> bool:
        """Return whether an environment has changed since it was read."""
        return any(task.changed() for task in self.members)

    def kinds(self) -> list[str]:
        """Return the names of the classes that step the environments, where they are of Python."""
        return [kind for task in self.members for kind in task.kinds()]

    def trial(self) -> list[Any]:
        """Return how each environment plays, in rank order; empty where none is stepped in Python."""
        played = [task.trial() for task in self.members]
        return played if any(played) else []

    def run_episodes(
        self,
        values: Floats,
        words: npt.NDArray[np.uint64],
        n: int,
        longest: int,
        stop: npt.NDArray[np.int32],
    ) -> Episodes:
        """Run *n* episodes in each environment; return their returns and lengths, a column for each."""
        played = [
            task.run_episodes(self.values_of(values, number), words, n, longest, stop)
            for number, task in enumerate(self.members)
        ]
        returns, lengths = zip(*played, strict=True)
        return np.stack(returns, axis=1), np.stack(lengths, axis=1)

    def close(self) -> None:
        """Close the environments that were made here."""
        for task in self.members:
            task.close()

    def reader_of(self, number: int) -> Any:
        """Return what reads the observations of a worker's environment."""
        return self.readings[number] if self.readings else self.members[number]

    def _reader(self) -> EnvironmentTask:
        """Return the task that reads for all; raises `ConfigError` if each environment has states of its own."""
        if self.readings:
            raise ConfigError(
                "each environment has states and actions of its own, and no worker was named; give its number, as in "
                "predict(observation, 0)"
            )
        return self.members[0]

    # ---- the Q-function, which the first task reads for all

    def encoding(self) -> Encoding:
        """Return the encoding that makes observations into arguments of the Q-function."""
        return self._reader().encoding()

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a table, for *n* lanes."""
        return self.members[0].q_function(rows, n)

    def step_size(self, gamma: float) -> StepSize:
        """Return the step sizes with which it is learnt unless its user says so."""
        return self.members[0].step_size(gamma)

    def initial(self, value: float) -> float:
        """Return the entry of the table for which every action has the value *value*."""
        return self.members[0].initial(value)

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the table's value of each action; raises `ConfigError` if the observation is not one."""
        return self._reader().action_values(self.values_of(values, None), observation)

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        return self._reader().split(observations)

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of an observation as a function, which later learning does not change."""
        return self._reader().values_now(self.values_of(values, None))

    def mask_of(self, observation: Any) -> Any:
        """Return the allowed actions, where the observation itself holds a mask that is heeded; else None."""
        return self._reader().mask_of(observation)


def allowed_in(task: EnvironmentTask, blocks: Blocks | None) -> npt.NDArray[np.bool_] | None:
    """Return the actions that the rows of a task's table have, where its models say that they do not have all.

    Rows that all workers of a fleet have in common have those of any; *blocks* say whether each has rows of its own.
    """
    if not isinstance(task, FleetTask):
        return None if task.model is None else task.model.actions
    models = [one.model for one in task.members if one.model is not None]
    if len(models) < len(task.members) or all(model.actions is None for model in models):
        return None
    each = [_all_of(model) if model.actions is None else model.actions for model in models]
    common: npt.NDArray[np.bool_] = np.logical_or.reduce(each)
    return common if blocks is None else np.concatenate([common, *each])


def _all_of(model: MDP) -> npt.NDArray[np.bool_]:
    return np.ones((model.n_states, model.n_actions), np.bool_)


def _named(names: Sequence[str]) -> str:
    shown = [*dict.fromkeys(names)]
    more = f" and {len(shown) - _MOST_NAMED} more" if len(shown) > _MOST_NAMED else ""
    return f"{len(names)} environments: {', '.join(shown[:_MOST_NAMED])}{more}"


def _same(words: Sequence[str], otherwise: str) -> str:
    return words[0] if len(set(words)) == 1 else otherwise
