"""Several tasks in one environment: what a learner learns of them, and each of them by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats, Loop, QFunctionKind
from cdq.core.lanes import Lanes
from cdq.core.loops.wide_rollout import WideRollout
from cdq.core.table.qfunction import QFunction, TableQ
from cdq.core.table.rows import Rows
from cdq.core.table.wide import Tasks as CoreTasks
from cdq.core.table.wide import WideQ
from cdq.errors import ConfigError, FileError
from cdq.errors.checks import shown
from cdq.mdp import MDP, pack_model
from cdq.qfunctions import HashedStates, Table
from cdq.settings import Goals, Tasks, Weights
from cdq.training.kinds import EnvironmentTask
from cdq.training.paid import (
    MOST_VALUES,
    FunctionGuard,
    function_of,
    most_in,
    of_outcomes,
    owners_of,
    require_light,
    require_paid,
    width_of,
    width_paid,
)
from cdq.training.task import ModelTask, SteppedTask

if TYPE_CHECKING:
    from typing_extensions import Self

# Tasks up to which each has a model of its own.
_MOST_MODELS = 128


class WideTask:
    """Several tasks in one environment, and a table with the values of all (`cdq.training.EnvironmentTask`).

    Parameters
    ----------
    inner : ModelTask or SteppedTask
        The environment, and the Q-function as it would be for a single task.
    tasks : Tasks
        The tasks.
    dtype : str
        Type of the table's values.
    recipe : callable
        Returns what another process makes the environment of; raises `ConfigError` if it cannot.
    signals : (n_outcomes, width) array of float64, optional
        Numbers that each outcome of a model pays, where they are known; by default the tasks make them.

    Attributes
    ----------
    signals : (n_outcomes, width) array of float64, or None
        Numbers that each outcome of a model pays to the tasks; None of goals, and where there is no model.

    Raises
    ------
    ConfigError
        If the tasks are none of this environment, or are too many for it.
    """

    model = None
    blocks = None
    agents = ()
    lanes_each = 1

    def __init__(
        self,
        inner: ModelTask | SteppedTask,
        tasks: Tasks,
        dtype: str,
        recipe: Callable[[], Any],
        signals: npt.NDArray[np.float64] | None = None,
    ) -> None:
        self.inner, self.recipe, self._dtype = inner, recipe, dtype
        if inner.blocks is not None:
            raise ConfigError(f"tasks are of one table, and {inner.name} has several; leave tasks out")
        if isinstance(inner, SteppedTask):
            _require_table(inner, tasks)
        known = None if inner.own_table is not None else inner.n_rows
        self.tasks = tasks.among(known, inner.name) if isinstance(tasks, Goals) else tasks
        self.n_actions, self.columns = inner.n_actions, inner.n_actions * width_of(self.tasks)
        self._require_room()
        require_light(self.tasks, dtype)
        self.name, self.stepping, self.why, self.changed = (
            inner.name,
            inner.stepping,
            inner.why,
            inner.changed,
        )
        self.threads, self.resumable, self.own_table = inner.threads, inner.resumable, inner.own_table
        self.in_python = inner.in_python
        self.own_bytes, self.default_num_envs = inner.own_bytes + 8, inner.default_num_envs
        self.n_rows, self.time_limit, self.step_scale = inner.n_rows, inner.time_limit, inner.step_scale
        self.input_bounds, self.first_action = inner.input_bounds, inner.first_action
        self.encoding, self.step_size, self.kinds, self.trial = (
            inner.encoding,
            inner.step_size,
            inner.kinds,
            inner.trial,
        )
        self.initial, self.split, self.mask_of, self.close = (
            inner.initial,
            inner.split,
            inner.mask_of,
            inner.close,
        )
        self.signals = None
        if isinstance(inner, ModelTask):
            self.signals = of_outcomes(inner.model, self.tasks, dtype, signals)
        else:
            require_paid(inner, self.tasks)

    def of_worker(self, rank: int) -> Self:
        """Return the task itself, which all workers learn."""
        return self

    @property
    def names(self) -> tuple[Any, ...]:
        """Name of each task."""
        return self.tasks.names

    @property
    def representation(self) -> str:
        """The Q-function in words: its kind and its size."""
        n, of = len(self.names), ""
        if isinstance(self.tasks, Weights):
            of = f", by {self.tasks.array.shape[1]} successor features"
        return f"{self.inner.representation}, {n} {'task' if n == 1 else 'tasks'} each{of}"

    def _require_room(self) -> None:
        values = max(1, self.inner.n_rows) * self.columns
        if values > MOST_VALUES:
            rows = f"{self.inner.n_rows:,} states, " if self.inner.n_rows else ""
            raise ConfigError(
                f"{len(self.names):,} tasks on {self.inner.name} ({rows}{self.n_actions} actions) are {values:,} "
                f"values; allowed: up to {MOST_VALUES:,}. Learn fewer tasks at once, or table='hash', whose "
                "states are those that are met"
            )

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a table depends on, as hexadecimal digits."""
        told = json.dumps(self.tasks.to_config(), sort_keys=True)
        digest = hashlib.sha256(f"{self.inner.fingerprint()} {told}".encode())
        if self.signals is not None:
            digest.update(self.signals.data)
        return digest.hexdigest()

    # ---- learning

    def _core(self, *, paid: bool) -> CoreTasks:
        """Return the tasks as the core knows them; *paid*: transitions bring what the function would make."""
        tasks, n = self.tasks, len(self.names)
        if isinstance(tasks, Goals):
            return CoreTasks(
                "goals", self.n_actions, n, owner=owners_of(tasks), paid=1 if paid else width_paid(self.inner)
            )
        function = None if paid else function_of(tasks)
        weights = tasks.array if isinstance(tasks, Weights) else None
        return CoreTasks(
            tasks.kind,
            self.n_actions,
            n,
            weights=weights,
            function=function,
            most=most_in(tasks, self._dtype),
            paid=width_paid(self.inner),
        )

    def _q(self, rows: Rows, n: int, tasks: CoreTasks, episodes: Any, first: int) -> WideQ:
        located = self.inner.q_function(rows, n)
        assert isinstance(located, TableQ)
        return WideQ(located, tasks, episodes, first % len(self.names))

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a table, for *n* lanes whose transitions bring what they pay to the tasks."""
        return self._q(rows, n, self._core(paid=True), None, 0)

    def loop(self, rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        """Return the loop of a worker over its table and lanes."""
        own, episodes = lanes.apart()
        if isinstance(self.inner, ModelTask):
            if lanes.state.max() >= self.n_rows:
                raise FileError(
                    f"an environment is in state {lanes.state.max()} of {self.n_rows}; use another checkpoint"
                )
            q = self._q(rows, lanes.n, self._core(paid=True), episodes, lanes.rank)
            return WideRollout(q, self._packed, self.signals, own, gamma, stop)
        q = self._q(rows, lanes.n, self._core(paid=False), episodes, lanes.rank)
        loop = self.inner.environment.loop(q, own, gamma, lanes.seeds(), stop)
        return FunctionGuard(loop, q) if q.tasks.function is not None else loop

    @cached_property
    def _packed(self) -> Any:
        model = self.inner.model
        assert model is not None
        return pack_model(replace(model, reward=np.arange(model.n_outcomes, dtype=np.float64)), self._dtype)

    # ---- each task by itself

    def number_of(self, name: Any) -> int:
        """Return the number of a task.

        Raises
        ------
        ConfigError
            If there is no such task, or *name* is None where there are several.
        """
        if name is None and len(self.names) == 1:
            return 0
        for number, own in enumerate(self.names):
            if isinstance(own, str) == isinstance(name, str) and own == name:
                return number
        said = (
            "several tasks are learnt, and no name was given"
            if name is None
            else f"there is no task {shown(name)}"
        )
        raise ConfigError(f"{said}; allowed: {shown(list(self.names))}")

    def values_to(self, values: Floats, task: int) -> Floats:
        """Return the value of each action to a task, by the columns of rows."""
        own = values.reshape(*values.shape[:-1], self.n_actions, len(self.names), -1)[..., task, :]
        if isinstance(self.tasks, Weights):
            worth: Floats = own @ self.tasks.array[task].astype(values.dtype)
            return worth
        return own[..., 0]

    def values_by(self, values: Floats, weights: npt.NDArray[np.float64]) -> Floats:
        """Return, for weights that no task need have, the value of each action to the policy that is best for them.

        That is the maximum over the policies of all tasks: generalised policy improvement.
        """
        parts = values.reshape(*values.shape[:-1], self.n_actions, len(self.names), -1)
        best: Floats = (parts @ weights.astype(values.dtype)).max(axis=-1)
        return best

    def row_of(self, values: Floats, observation: Any) -> Floats:
        """Return the row of an observation."""
        if isinstance(self.inner, ModelTask):
            row: Floats = values[self.inner.state_of(observation)]
            return row
        return self.inner.action_values(values, observation)

    def allowed_in(self, values: Floats, observation: Any) -> Floats:
        """Return values of actions, -inf at those that the observed state of a model does not have."""
        if not isinstance(self.inner, ModelTask):
            return values
        allowed = self.inner.model.actions_in(self.inner.state_of(observation))
        return values if allowed is None else np.where(allowed, values, -np.inf)

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the value of each action to the only task."""
        return self.allowed_in(
            self.values_to(self.row_of(values, observation), self.number_of(None)), observation
        )

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the row of an observation as a function of it, which later learning does not change."""
        if isinstance(self.inner, ModelTask):
            return partial(self.row_of, values.copy())
        return self.inner.values_now(values)

    def each(self, values: Floats) -> Iterator[tuple[Any, EnvironmentTask, Floats]]:
        """Yield each task: its name, what it is by itself, and the values to play it by."""
        for number, name in enumerate(self.names):
            yield name, self.alone(number), self._values_alone(values, number)

    def _values_alone(self, values: Floats, number: int) -> Floats:
        """Return the values by which `alone` is played: of a model the task's, else all columns."""
        if isinstance(self.inner, ModelTask):
            return np.ascontiguousarray(self.values_to(values, number))
        return values

    def alone(self, number: int) -> EnvironmentTask:
        """Return a task by itself: its episodes end where its goal is reached."""
        if isinstance(self.inner, ModelTask):
            return self.inner.of_model(self._with_rewards(self.inner.model, number), self._dtype)
        kind = _KindAlone(self.inner.kind, self._core(paid=False), number)
        return self.inner.with_kind(kind)

    def model_of(self, number: int) -> MDP | None:
        """Return the model of a task, where the environment's is known, and the tasks are no more than 128."""
        if self.inner.model is None or len(self.names) > _MOST_MODELS:  # each holds all outcomes
            return None
        return self._with_rewards(self.inner.model, number)

    def _with_rewards(self, model: MDP, number: int) -> MDP:
        tasks = self.tasks
        if isinstance(tasks, Goals):
            reached = model.next_state == tasks.names[number]
            ended = model.terminated | reached
            return replace(model, reward=reached.astype(np.float64), terminated=ended)
        assert self.signals is not None
        by_task = (
            self.signals @ tasks.array[number] if isinstance(tasks, Weights) else self.signals[:, number]
        )
        return replace(model, reward=by_task)

    def run_episodes(self, *_: Any) -> Any:
        """Raise: each task is played by itself."""
        raise ConfigError("each task is evaluated by itself")


class _KindAlone:
    """Kind of Q-function by which a single task is played."""

    def __init__(self, kind: QFunctionKind, tasks: CoreTasks, number: int) -> None:
        self._kind, self._tasks, self._number = kind, tasks, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kind, name)

    def __str__(self) -> str:
        return str(self._kind)

    def reader(self, values: Floats, n: int) -> QFunction:
        """Return the Q-function of a task over the columns of all, to be read, for *n* lanes."""
        located = self._kind.reader(values, n)
        assert isinstance(located, TableQ)
        return WideQ(located, self._tasks, None, self._number)


def _require_table(inner: SteppedTask, tasks: Tasks) -> None:
    """Raise `ConfigError` unless an environment is learnt with a table, whose states goals can name."""
    if not isinstance(inner.kind, (Table, HashedStates)):
        raise ConfigError(
            f"several tasks are learnt in a table, and {inner.name} is learnt with another Q-function ({inner.kind}); "
            "give bins and table='hash', or wrap it so that it observes whole numbers"
        )
    if isinstance(tasks, Goals) and inner.input_bounds is not None:
        raise ConfigError(
            f"goals are numbers of states, and {inner.name} observes vectors; give cdq.Rewards(names, function), or "
            "wrap it so that it observes whole numbers"
        )
