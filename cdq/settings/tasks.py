"""Tasks that a learner learns at the same time: goals, rewards of its user's own, weights of features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from cdq.errors import ConfigError
from cdq.errors.checks import shown, whole

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# A task more costs a value for each pair, and time at each step.
MOST_TASKS = 1 << 16
_MOST_STATE = (1 << 24) - 1

# Takes states, actions, rewards and next states of n transitions, arrays; returns a row of numbers for each.
Ints: TypeAlias = "npt.NDArray[np.int64]"
Function: TypeAlias = "Callable[[Ints, Ints, npt.NDArray[np.float64], Ints], npt.ArrayLike]"


class Tasks:
    """Tasks with the same environment, of which every transition teaches each: `Goals`, `Rewards` or `Weights`.

    Attributes
    ----------
    names : tuple
        Name of each task; of `Goals` "all" empty until the environment is known.
    kind : str
        Kind, in files and in the core.
    """

    kind: ClassVar[str]
    names: tuple[Any, ...]

    def to_config(self) -> dict[str, Any]:
        """Return the tasks as a JSON object; `from_config` reads it back, where it can."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class Goals(Tasks):
    """Tasks of reaching a state each: entering it pays 1, and nothing follows for that task.

    The value of a pair is then the mean of gamma to the number of steps that are left after the first: a task is a
    shortest path. A worker's lane acts for one goal after another, and begins an episode where it reached its own; for
    the other tasks that episode was cut off.

    Parameters
    ----------
    states : sequence of int, or "all"
        Number of each goal's state; its task has that name. "all": every state is a goal.

    Raises
    ------
    ConfigError
        If there is no goal, or one twice, or one is no state's number.

    Examples
    --------
    >>> from cdq import Goals, QLearner
    >>> agent = QLearner("FrozenLake-v1", env_kwargs={"is_slippery": False}, tasks=Goals([14, 10]), seed=0)
    >>> agent.learn(50_000).predict(13, 14)
    2
    """

    states: tuple[int, ...] | str
    kind: ClassVar[str] = "goals"

    def __init__(self, states: Sequence[int] | npt.NDArray[np.integer[Any]] | str) -> None:
        if isinstance(states, str):
            if states != "all":
                raise ConfigError(f"the goals are {shown(states)}; allowed: numbers of states, or 'all'")
            object.__setattr__(self, "states", states)
            return
        given = getattr(states, "ndim", 0) > 0  # of an array
        if not given and (not isinstance(states, Sequence) or isinstance(states, bytes)):
            raise ConfigError(
                f"the goals are {shown(states)}; allowed: a list of numbers of states, or 'all'"
            )
        goals = tuple(whole("a goal", state, 0, _MOST_STATE) for state in states)
        _require_some("goals", goals)
        object.__setattr__(self, "states", goals)

    def __repr__(self) -> str:
        return f"Goals({self.states if isinstance(self.states, str) else shown(list(self.states))})"

    @property
    def names(self) -> tuple[int, ...]:  # type: ignore[override]  # computed here
        """Numbers of the states."""
        return () if isinstance(self.states, str) else self.states

    def among(self, n_states: int | None, environment: str) -> Goals:
        """Return the goals in an environment of so many states, None where nobody knows how many.

        Raises
        ------
        ConfigError
            If one is none of its states.
        """
        if isinstance(self.states, str):
            if n_states is None or n_states > MOST_TASKS:
                count = "nobody knows how many" if n_states is None else f"{n_states:,}"
                raise ConfigError(
                    f"every state of {environment} is to be a goal, and there are {count}; allowed: up to "
                    f"{MOST_TASKS:,}. Name goals: cdq.Goals([...])"
                )
            return Goals(range(n_states))
        beyond = [state for state in self.states if n_states is not None and state >= n_states]
        if beyond:
            assert n_states is not None
            raise ConfigError(
                f"the goal {beyond[0]} is no state of {environment}; allowed: 0 to {n_states - 1}"
            )
        return self

    def to_config(self) -> dict[str, Any]:
        """Return the goals as a JSON object."""
        return {
            "kind": self.kind,
            "states": self.states if isinstance(self.states, str) else list(self.states),
        }


@dataclass(frozen=True, repr=False)
class Rewards(Tasks):
    """Tasks with rewards of their own for the same transitions; each is learnt for its own best actions.

    Parameters
    ----------
    names : sequence of str
        Name of each task.
    function : callable, or sequence of MDP
        Function of states, actions, rewards and next states of n transitions, arrays of that length, which returns
        the rewards of all tasks, (n, n_tasks). States are numbers, or keys of a hashed table. Or a model for each
        task, which differ in nothing but their rewards from the one that is learnt.

    Raises
    ------
    ConfigError
        If names are missing, or one occurs twice, or there is neither a function nor a model for each.

    Examples
    --------
    >>> import numpy as np
    >>> from cdq import QLearner, Rewards
    >>> def rewards(states, actions, rewards, next_states):
    ...     return np.stack([next_states == 3, next_states == 12], axis=1)
    >>> agent = QLearner("FrozenLake-v1", tasks=Rewards(["right", "left"], rewards), seed=0).learn(200_000)
    >>> agent.tables["left"].values.shape
    (16, 4)
    """

    names: tuple[str, ...]
    function: Function | tuple[Any, ...]
    kind: ClassVar[str] = "rewards"

    def __init__(self, names: Sequence[str], function: Function | Sequence[Any]) -> None:
        object.__setattr__(self, "names", _checked_names(names))
        if not callable(function):
            models = tuple(function) if isinstance(function, Iterable) else ()
            if len(models) != len(self.names) or not all(hasattr(model, "reward") for model in models):
                raise ConfigError(
                    f"the rewards of {len(self.names)} tasks are {shown(function)}; allowed: a function of states, "
                    "actions, rewards and next states, or a model (cdq.MDP) for each task"
                )
            function = models
        object.__setattr__(self, "function", function)

    def __repr__(self) -> str:
        return f"Rewards({shown(list(self.names))})"

    def to_config(self) -> dict[str, Any]:
        """Return the names as a JSON object: a file holds no function."""
        return {"kind": self.kind, "names": list(self.names)}


@dataclass(frozen=True, repr=False)
class Weights(Tasks):
    """Tasks that weigh the same features of transitions differently, learnt as successor features.

    A task is worth the weighted sum of its features; each part of that sum is learnt for the actions that are best for
    the sum. Weights that no task has are acted for without learning (`QLearner.predict` with ``weights=``).

    Parameters
    ----------
    weights : (n_tasks, n_features) array
        Weight of each feature to each task.
    features : callable, optional
        Function of states, actions, rewards and next states of n transitions, as for `Rewards`, which returns their
        features, (n, n_features). By default the environment pays them: its rewards are arrays.
    names : sequence of str, optional
        Name of each task; by default 0, 1, 2 and so on.

    Raises
    ------
    ConfigError
        If the weights are no such array of finite numbers, or the names are not one for each task.

    Examples
    --------
    >>> import numpy as np
    >>> from cdq import QLearner, Weights
    >>> def features(states, actions, rewards, next_states):
    ...     return np.stack([rewards, -np.ones(len(states))], axis=1)
    >>> tasks = Weights([[1.0, 0.0], [1.0, 0.01]], features)
    >>> agent = QLearner("FrozenLake-v1", tasks=tasks, seed=0).learn(200_000)
    >>> agent.predict(14, weights=[1.0, 0.001])
    1
    """

    weights: tuple[tuple[float, ...], ...]
    features: Function | None
    names: tuple[Any, ...]
    kind: ClassVar[str] = "features"

    def __init__(
        self, weights: npt.ArrayLike, features: Function | None = None, *, names: Sequence[str] | None = None
    ) -> None:
        import numpy as np  # here, and below: the help of a command needs none

        try:
            given = np.asarray(weights)
        except ValueError:
            given = np.empty(0)
        plain = given.ndim == 2 and given.size > 0 and given.dtype.kind in "biuf"
        if not plain or not np.isfinite(given).all():
            raise ConfigError(
                f"the weights are {shown(weights)}; allowed: finite numbers of shape (n_tasks, n_features)"
            )
        if features is not None and not callable(features):
            raise ConfigError(
                f"the features are {shown(features)}; allowed: a function of states, actions, rewards and next states"
            )
        _require_number(len(given))
        named = tuple(range(len(given))) if names is None else _checked_names(names)
        if len(named) != len(given):
            raise ConfigError(
                f"there are {len(named)} names for {len(given)} rows of weights; give one for each"
            )
        object.__setattr__(self, "weights", tuple(tuple(map(float, row)) for row in given.tolist()))
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "names", named)

    def __repr__(self) -> str:
        return f"Weights({shown([list(row) for row in self.weights])})"

    @property
    def array(self) -> npt.NDArray[np.float64]:
        """Weights, (n_tasks, n_features)."""
        import numpy as np

        return np.array(self.weights)

    def to_config(self) -> dict[str, Any]:
        """Return weights and names as a JSON object, and whether a function makes the features: a file holds none."""
        own = {} if self.names == tuple(range(len(self.names))) else {"names": list(self.names)}
        return {
            "kind": self.kind,
            "weights": [list(row) for row in self.weights],
            "by_function": self.features is not None,
            **own,
        }


def _checked_names(names: object) -> tuple[str, ...]:
    given = tuple(names) if isinstance(names, Sequence) and not isinstance(names, str) else ()
    if not given or not all(isinstance(name, str) and name for name in given):
        raise ConfigError(
            f"the names of tasks are {shown(names)}; allowed: a list of texts, one for each task"
        )
    _require_some("tasks", given)
    return given


def _require_some(what: str, names: tuple[Any, ...]) -> None:
    if not names:
        raise ConfigError(f"there are no {what}; give one or more")
    _require_number(len(names))
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"{shown(name)} occurs twice among the {what}; give each once")
        seen.add(name)


def _require_number(n: int) -> None:
    if n > MOST_TASKS:
        raise ConfigError(f"there are {n:,} tasks; allowed: up to {MOST_TASKS:,}")


# ---- the hyper-parameter


def checked_tasks(name: str, tasks: Any) -> Tasks | None:
    """Return the tasks that were given; raises `ConfigError` if they are none."""
    if tasks is not None and not isinstance(tasks, (Goals, Rewards, Weights)):
        raise ConfigError(
            f"{name} is {shown(tasks)}; allowed: cdq.Goals(...), cdq.Rewards(...) or cdq.Weights(...)"
        )
    return tasks


def tasks_to_config(tasks: Tasks | None) -> dict[str, Any] | None:
    """Return tasks as a JSON object."""
    return None if tasks is None else tasks.to_config()


NO_FUNCTION = (
    "the tasks of {} were made with a function, which no file holds; give them: tasks=cdq.Rewards(names, function), or "
    "cdq.Weights(weights, function)"
)


def lacks_function(config: Any) -> bool:
    """Return whether the tasks that `tasks_to_config` described are of a function, which a file does not hold."""
    return config is not None and (config["kind"] == Rewards.kind or bool(config.get("by_function")))


def tasks_from_config(config: Any) -> Tasks | None:
    """Return the tasks that `tasks_to_config` described, where no function makes them."""
    if config is None:
        return None
    if config["kind"] == Goals.kind:
        return Goals(config["states"])
    if config["kind"] == Weights.kind:
        return Weights(config["weights"], names=config.get("names"))
    raise ValueError(f"no tasks are of the kind {config['kind']!r}")


def tasks_of(text: str) -> Tasks:
    """Return the tasks that ``--tasks`` names.

    Raises
    ------
    ConfigError
        If it names none.

    Examples
    --------
    >>> tasks_of("goals:14,37,60").names
    (14, 37, 60)
    """
    kind, _, given = text.partition(":")
    if kind == "goals" and given == "all":
        return Goals("all")
    read: Callable[[str], float] | None = {"goals": int, "weights": float}.get(kind)
    try:
        rows = (
            [] if read is None else [[read(number) for number in row.split(",")] for row in given.split(";")]
        )
    except ValueError:
        rows = []
    if rows and kind == "weights":
        return Weights(rows)
    if len(rows) == 1:
        return Goals([int(state) for state in rows[0]])
    raise ConfigError(
        f"tasks is {shown(text)}; allowed: goals:14,37,60, goals:all, or weights:1,0;0,1 with a row for each task"
    )
