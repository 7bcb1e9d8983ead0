"""Numbers that transitions pay to several tasks: rewards of all, or features that tasks weigh."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats, Loop
from cdq.core.table.rows import Law
from cdq.core.table.wide import WideQ, signals_of
from cdq.errors import ConfigError
from cdq.errors.checks import as_array
from cdq.mdp import MDP
from cdq.offline import Log
from cdq.settings import Goals, Rewards, Tasks, Weights
from cdq.training.task import SteppedTask

# Values of a table, or rewards of a model's outcomes, beyond which tasks are refused: each takes 12 bytes or more.
MOST_VALUES = 2**28
# Without discount a value may become the sum of all that there is time for, and differences twice that.
_LONGEST = 2e12
# The numbers of a model's outcomes take the place of its rewards, which are of the table's type.
_MOST_OUTCOMES = {"float32": 2**24, "float64": 2**53}


def of_outcomes(
    model: MDP, tasks: Tasks, dtype: str, known: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64] | None:
    """Return what each outcome of a model pays, (n_outcomes, width), the *known* ones if there are; None of goals.

    Raises
    ------
    ConfigError
        If there are too many outcomes, or what makes the numbers fails.
    """
    if model.n_outcomes > _MOST_OUTCOMES[dtype]:
        raise ConfigError(
            f"{model.name} has {model.n_outcomes:,} outcomes; allowed with tasks in {dtype}: up to "
            f"{_MOST_OUTCOMES[dtype]:,}"
        )
    if isinstance(tasks, Goals):
        return None
    if model.n_outcomes * signals_in(tasks) > MOST_VALUES:
        raise ConfigError(
            f"{model.n_outcomes:,} outcomes of {model.name} with {signals_in(tasks):,} rewards each are "
            f"{model.n_outcomes * signals_in(tasks):,} numbers; allowed: up to {MOST_VALUES:,}"
        )
    if known is not None:
        return features_of(known, model.n_outcomes, signals_in(tasks), most_in(tasks, dtype))
    if isinstance(tasks, Rewards) and isinstance(tasks.function, tuple):
        return _rewards_of_models(tasks, model)
    pair = np.repeat(np.arange(model.n_pairs), np.diff(model.offsets))
    state, action = np.divmod(pair, model.n_actions)
    return _by_function(
        tasks, dtype, model.name, (state, action, model.reward, model.next_state.astype(np.int64))
    )


def of_log(tasks: Tasks, dtype: str, name: str, log: Log, paid: Any) -> npt.NDArray[np.float64]:
    """Return what each transition of a log pays to the tasks, (n, width).

    *paid* are the rewards as they were given, which features without a function are.

    Raises
    ------
    ConfigError
        If they have another shape, or the function fails.
    """
    if isinstance(tasks, Goals):
        return np.zeros((len(log), 1))
    if pays_features(tasks):
        return features_of(paid, len(log), signals_in(tasks), most_in(tasks, dtype))
    states, actions, next_states = (
        np.ascontiguousarray(one, np.int64) for one in (log.states, log.actions, log.next_states)
    )
    return _by_function(tasks, dtype, name, (states, actions, log.rewards, next_states))


def _by_function(
    tasks: Tasks, dtype: str, name: str, transitions: tuple[Any, ...]
) -> npt.NDArray[np.float64]:
    """Return what the user's function makes of transitions."""
    function = function_of(tasks)
    if function is None:
        raise ConfigError(
            f"{name} pays one number at a step, of which weights of {signals_in(tasks)} features make nothing; give "
            "cdq.Weights(weights, features), a function that makes them"
        )
    states, actions, rewards, next_states = transitions
    try:
        made: npt.NDArray[np.float64] = signals_of(
            function, states, actions, rewards, next_states, signals_in(tasks), most_in(tasks, dtype)
        )
    except Exception as error:
        raise ConfigError(_failed(error)) from error
    return made


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


def width_of(tasks: Tasks | None) -> int:
    """Return the number of columns that an action has; that of goals in all states is not known here."""
    if tasks is None:
        return 1
    return len(tasks.names) * (signals_in(tasks) if isinstance(tasks, Weights) else 1)


def signals_in(tasks: Tasks) -> int:
    """Return how many numbers a transition pays: rewards of tasks, or features."""
    return tasks.array.shape[1] if isinstance(tasks, Weights) else len(tasks.names)


def most_in(tasks: Tasks, dtype: str) -> float:
    """Return the largest number that a transition may pay: discounted sums, weighed or not, are of the table's type."""
    most = float(np.finfo(dtype).max) / _LONGEST
    return math.sqrt(most) if isinstance(tasks, Weights) else most


def require_light(tasks: Tasks, dtype: str) -> None:
    """Raise `ConfigError` if a weight is so large that a weighted sum may be beyond the table's type."""
    if isinstance(tasks, Weights) and np.abs(tasks.array).max() > most_in(tasks, dtype):
        raise ConfigError(
            f"a weight is {tasks.array.flat[np.abs(tasks.array).argmax()]:.3g}; allowed in {dtype}: up to "
            f"{most_in(tasks, dtype):.3g}"
        )


def pays_features(tasks: Tasks) -> bool:
    """Return whether transitions pay features, with no function that makes them."""
    return isinstance(tasks, Weights) and tasks.features is None


def function_of(tasks: Tasks) -> Callable[..., Any] | None:
    """Return the user's function; None where the environment pays features. `ConfigError` where models say it."""
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


def owners_of(goals: Goals) -> npt.NDArray[np.int32]:
    """Return, for each state up to the last goal, the task whose goal it is, or -1."""
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


def features_of(paid: Any, n: int, width: int, most: float) -> npt.NDArray[np.float64]:
    """Return the features that a log has in place of rewards; `ConfigError` where they are none."""
    features = as_array("the rewards", paid)
    if features.shape != (n, width) or features.dtype.kind not in "biuf":
        raise ConfigError(
            f"the rewards are {features.dtype} of shape {features.shape}; allowed: numbers of shape ({n}, {width}), "
            "the features of each transition"
        )
    features = np.ascontiguousarray(features, np.float64)
    wrong = ~(np.abs(features) <= most).all(axis=1)
    if wrong.any():
        first = int(wrong.argmax())
        raise ConfigError(
            f"the features of transition {first} are {features[first]}; allowed: finite numbers"
        )
    return features


def _shape_paid(inner: SteppedTask) -> tuple[int, ...] | None:
    """Return the shape of the rewards of an environment whose rewards are arrays."""
    return getattr(getattr(inner.environment, "reward_space", None), "shape", None)


def width_paid(inner: Any) -> int:
    """Return how many numbers a step of an environment pays."""
    shape = _shape_paid(inner) if isinstance(inner, SteppedTask) else None
    return 1 if not shape else int(np.prod(shape))


def require_paid(inner: SteppedTask, tasks: Tasks) -> None:
    """Raise `ConfigError` unless the environment pays what the tasks are made of."""
    if not pays_features(tasks):
        if not isinstance(tasks, Goals):
            function_of(tasks)  # raises where there is none
        return
    shape, width = _shape_paid(inner), signals_in(tasks)
    if shape != (width,):
        pays = (
            "one number at a step (it has no reward_space)" if shape is None else f"rewards of shape {shape}"
        )
        raise ConfigError(
            f"{inner.name} pays {pays}, and the weights are of {width} features; give an environment with a "
            f"reward_space of shape ({width},), or cdq.Weights(weights, features), a function that makes them"
        )
