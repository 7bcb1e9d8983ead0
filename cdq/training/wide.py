"""Several tasks in one environment: what a learner learns of them, and each of them by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats, Loop, QFunctionKind
from cdq.core.lanes import Lanes
from cdq.core.loops.wide_rollout import WideRollout
from cdq.core.table.qfunction import QFunction, TableQ
from cdq.core.table.rows import Law, Rows
from cdq.core.table.wide import Tasks as CoreTasks
from cdq.core.table.wide import WideQ, signals_of
from cdq.errors import ConfigError, FileError
from cdq.errors.checks import as_array, shown
from cdq.mdp import MDP, pack_model
from cdq.settings import Goals, Rewards, Tasks, Weights
from cdq.training.task import EnvironmentTask, ModelTask, SteppedTask

# Values of a table, or rewards of a model's outcomes, beyond which tasks are refused: each takes 12 bytes or more.
MOST_VALUES = 2**28
# The numbers of a model's outcomes take the place of its rewards, which are of the table's type.
_MOST_OUTCOMES = {"float32": 2**24, "float64": 2**53}


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

    Raises
    ------
    ConfigError
        If the tasks are none of this environment, or are too many for it.
    """

    model = None

    def __init__(
        self, inner: ModelTask | SteppedTask, tasks: Tasks, dtype: str, recipe: Callable[[], Any]
    ) -> None:
        self.inner, self.recipe, self._dtype = inner, recipe, dtype
        known = None if inner.own_table is not None else inner.n_rows
        self.tasks = tasks.among(known, inner.name) if isinstance(tasks, Goals) else tasks
        self.n_actions, self.columns = inner.n_actions, inner.n_actions * width_of(self.tasks)
        self._require_room()
        self.name, self.stepping, self.why, self.changed = (
            inner.name,
            inner.stepping,
            inner.why,
            inner.changed,
        )
        self.threads, self.resumable, self.own_table = inner.threads, inner.resumable, inner.own_table
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
        self._signals = self._of_outcomes() if isinstance(inner, ModelTask) else None
        if isinstance(inner, SteppedTask):
            _require_paid(inner, self.tasks)

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
        if self._signals is not None:
            digest.update(self._signals.data)
        return digest.hexdigest()

    # ---- rewards

    def _of_outcomes(self) -> npt.NDArray[np.float64] | None:
        """Return what each outcome of the model pays, (n_outcomes, width); None of goals."""
        model, tasks = self.inner.model, self.tasks
        assert model is not None
        if model.n_outcomes > _MOST_OUTCOMES[self._dtype]:
            raise ConfigError(
                f"{model.name} has {model.n_outcomes:,} outcomes; allowed with tasks in {self._dtype}: up to "
                f"{_MOST_OUTCOMES[self._dtype]:,}"
            )
        if isinstance(tasks, Goals):
            return None
        if model.n_outcomes * signals_in(tasks) > MOST_VALUES:
            raise ConfigError(
                f"{model.n_outcomes:,} outcomes of {model.name} with {signals_in(tasks):,} rewards each are "
                f"{model.n_outcomes * signals_in(tasks):,} numbers; allowed: up to {MOST_VALUES:,}"
            )
        if isinstance(tasks, Rewards) and isinstance(tasks.function, tuple):
            return _rewards_of_models(tasks, model)
        pair = np.repeat(np.arange(model.n_pairs), np.diff(model.offsets))
        state, action = np.divmod(pair, model.n_actions)
        return self._by_function(state, action, model.reward, model.next_state.astype(np.int64))

    def _by_function(
        self, states: Any, actions: Any, rewards: Any, next_states: Any
    ) -> npt.NDArray[np.float64]:
        """Return what the user's function makes of transitions."""
        function = _function_of(self.tasks)
        if function is None:
            raise ConfigError(
                f"{self.name} pays one number at a step, of which weights of {signals_in(self.tasks)} features make "
                "nothing; give cdq.Weights(weights, features), a function that makes them"
            )
        try:
            made: npt.NDArray[np.float64] = signals_of(
                function, states, actions, rewards, next_states, signals_in(self.tasks)
            )
        except Exception as error:
            raise ConfigError(_failed(error)) from error
        return made

    def of_log(self, log: Any, paid: Any) -> npt.NDArray[np.float64]:
        """Return what each transition of a log pays to the tasks, (n, width).

        *paid* are the rewards as they were given, which features without a function are.

        Raises
        ------
        ConfigError
            If they have another shape, or the function fails.
        """
        if isinstance(self.tasks, Goals):
            return np.zeros((len(log), 1))
        if _function_of(self.tasks) is not None:
            columns = [
                np.ascontiguousarray(one, np.int64) for one in (log.states, log.actions, log.next_states)
            ]
            return self._by_function(columns[0], columns[1], log.rewards, columns[2])
        return rewards_of_features(paid, len(log), signals_in(self.tasks))

    # ---- learning

    def _core(self, *, paid: bool) -> CoreTasks:
        """Return the tasks as the core knows them; *paid*: transitions bring what the function would make."""
        tasks, n = self.tasks, len(self.names)
        if isinstance(tasks, Goals):
            return CoreTasks("goals", self.n_actions, n, owner=_owners(tasks))
        function = None if paid else _function_of(tasks)
        weights = tasks.array if isinstance(tasks, Weights) else None
        return CoreTasks(tasks.kind, self.n_actions, n, weights=weights, function=function)

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
            return WideRollout(q, self._packed, self._signals, own, gamma, stop)
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
            if type(own) is type(name) and own == name:
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
        """Return the model of a task, where the environment's is known."""
        return None if self.inner.model is None else self._with_rewards(self.inner.model, number)

    def _with_rewards(self, model: MDP, number: int) -> MDP:
        tasks = self.tasks
        if isinstance(tasks, Goals):
            reached = model.next_state == tasks.names[number]
            ended = model.terminated | reached
            return replace(model, reward=reached.astype(np.float64), terminated=ended)
        assert self._signals is not None
        by_task = (
            self._signals @ tasks.array[number] if isinstance(tasks, Weights) else self._signals[:, number]
        )
        return replace(model, reward=by_task)

    def run_episodes(self, *_: Any) -> Any:
        """Raise: each task is played by itself."""
        raise ConfigError("each task is evaluated by itself")


class FunctionGuard:
    """A loop that raises an error when the function of a user's failed in it.

    Parameters
    ----------
    loop : Loop
        The loop that learns.
    q : WideQ
        Its Q-function.
    """

    def __init__(self, loop: Loop, q: WideQ) -> None:
        self._loop, self._q = loop, q
        self.reset = loop.reset

    def run(
        self, law: Law, sweeps: int, explore_first: float, explore_last: float, parts: Floats | None = None
    ) -> tuple[bool, int, int, float]:
        """Learn; raises `ConfigError`."""
        result = self._loop.run(law, sweeps, explore_first, explore_last, parts)
        if self._q.error is not None:
            raise ConfigError(_failed(self._q.error)) from self._q.error
        return result


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


def width_of(tasks: Tasks | None) -> int:
    """Return the number of columns that an action has; that of goals in all states is not known here."""
    if tasks is None:
        return 1
    return len(tasks.names) * (signals_in(tasks) if isinstance(tasks, Weights) else 1)


def signals_in(tasks: Tasks) -> int:
    """Return how many numbers a transition pays: rewards of tasks, or features."""
    return tasks.array.shape[1] if isinstance(tasks, Weights) else len(tasks.names)


def _function_of(tasks: Tasks) -> Callable[..., Any] | None:
    if isinstance(tasks, Weights):
        return tasks.features
    assert isinstance(tasks, Rewards)
    if not callable(tasks.function):
        raise ConfigError(
            "models with rewards of tasks are for an environment that is a model; give a function"
        )
    return tasks.function


def _failed(error: Exception) -> str:
    said = str(error) if type(error) is ValueError and str(error).startswith("it returned") else repr(error)
    return f"the function of the tasks failed: {said}"


def _owners(goals: Goals) -> npt.NDArray[np.int32]:
    owners = np.full(max(goals.names) + 1, -1, np.int32)
    owners[list(goals.names)] = np.arange(len(goals.names))
    return owners


def _rewards_of_models(tasks: Rewards, model: MDP) -> npt.NDArray[np.float64]:
    assert isinstance(tasks.function, tuple)
    for name, other in zip(tasks.names, tasks.function, strict=True):
        for field in ("offsets", "next_state", "probability", "terminated"):
            if not np.array_equal(getattr(other, field), getattr(model, field)):
                raise ConfigError(
                    f"the model of task {name!r} differs from {model.name} in {field}; tasks differ in rewards alone"
                )
    return np.ascontiguousarray(np.stack([other.reward for other in tasks.function], axis=1))


def rewards_of_features(paid: Any, n: int, width: int) -> npt.NDArray[np.float64]:
    """Return the features that a log has in place of rewards; `ConfigError` where they are none."""
    features = as_array("the rewards", paid)
    if features.shape != (n, width) or features.dtype.kind not in "biuf":
        raise ConfigError(
            f"the rewards are {features.dtype} of shape {features.shape}; allowed: numbers of shape ({n}, {width}), "
            "the features of each transition"
        )
    wrong = ~np.isfinite(features).all(axis=1)
    if wrong.any():
        first = int(wrong.argmax())
        raise ConfigError(
            f"the features of transition {first} are {features[first]}; allowed: finite numbers"
        )
    return np.ascontiguousarray(features, np.float64)


def _require_paid(inner: SteppedTask, tasks: Tasks) -> None:
    """Raise `ConfigError` unless the environment pays what the tasks are made of."""
    if isinstance(tasks, Goals) or _function_of(tasks) is not None:
        return
    space = getattr(inner.environment, "reward_space", None)
    shape, width = getattr(space, "shape", None), signals_in(tasks)
    if shape != (width,):
        pays = (
            "one number at a step (it has no reward_space)" if shape is None else f"rewards of shape {shape}"
        )
        raise ConfigError(
            f"{inner.name} pays {pays}, and the weights are of {width} features; give an environment with a "
            f"reward_space of shape ({width},), or cdq.Weights(weights, features), a function that makes them"
        )
