"""Read the transition table ``P`` that Gymnasium's toy-text environments carry."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.envs.spaces import SHIMMY
from cdq.errors import ConfigError, ModelError, UnsupportedEnvironment

if TYPE_CHECKING:
    import gymnasium

EnvLike = Any
"""An id, ``"module:Env-v0"``, an EnvSpec, an Env, or a callable that makes one."""


_NO_ENV = (
    f"no gymnasium.Env: derive its class from gymnasium.Env, or, if it is one of the former gym, {SHIMMY}"
)


class TransitionTable(NamedTuple):
    """The contents of ``P`` as flat arrays, one entry per outcome, in the table's order."""

    state: NDArray[np.int64]
    action: NDArray[np.int64]
    next_state: NDArray[np.int64]
    probability: NDArray[np.float64]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    n_states: int
    n_actions: int
    start: NDArray[np.float64]
    time_limit: int | None
    name: str
    grid: tuple[int, int] | None


def read_table(env_like: EnvLike, **kwargs: object) -> TransitionTable:
    """Return the transition table of an environment, closing the environment if it was made here.

    Parameters
    ----------
    env_like : str, EnvSpec, Env or callable
        The environment or how to make it.
    **kwargs
        Passed to ``gymnasium.make`` or to the callable.

    Raises
    ------
    UnsupportedEnvironment
        If the id is unknown, deprecated or cannot be made, or the environment has no table ``P``.

    Examples
    --------
    >>> read_table("FrozenLake-v1").n_states
    16
    """
    import gymnasium

    if isinstance(env_like, gymnasium.Env):
        if kwargs:
            raise ConfigError(f"an environment that exists takes no arguments; got {', '.join(kwargs)}")
        return _read(env_like)
    env = make_env(env_like, **kwargs)
    try:
        return _read(env)
    finally:
        env.close()


def make_env(env_like: EnvLike, **kwargs: object) -> Any:
    """Make an environment from an id, an EnvSpec or a callable, without Gymnasium's warnings and checker."""
    import gymnasium

    with warnings.catch_warnings():
        # Gymnasium warns about old versions and unversioned ids; what matters comes back as an error.
        warnings.simplefilter("ignore")
        if isinstance(env_like, (str, gymnasium.envs.registration.EnvSpec)):
            return _make_registered(env_like, kwargs)
        if callable(env_like):
            return _call(env_like, kwargs)
    if hasattr(env_like, "step"):
        raise UnsupportedEnvironment(f"{env_like!r} is {_NO_ENV}")
    raise UnsupportedEnvironment(
        f"cannot make an environment from {env_like!r}; give an id such as 'FrozenLake-v1', an EnvSpec, "
        "an Env, or a callable that makes one"
    )


def _make_registered(env_id: Any, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    import gymnasium

    try:
        return gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    except gymnasium.error.DeprecatedEnv as error:
        raise UnsupportedEnvironment(_one_line(error)) from None
    except gymnasium.error.UnregisteredEnv:
        raise UnsupportedEnvironment(_unknown_id(str(env_id), list(gymnasium.registry))) from None
    except ModuleNotFoundError as error:
        missing = _one_line(error).partition(". ")[0]
        # Programs, unlike python itself, do not look in the working directory.
        raise UnsupportedEnvironment(
            f"cannot make {env_id!r}: {missing}; install it, or name its directory in PYTHONPATH"
        ) from None
    except (gymnasium.error.Error, TypeError, ValueError, KeyError) as error:
        raise UnsupportedEnvironment(f"cannot make {env_id!r}: {_one_line(error)}") from error


def _call(make: Callable[..., object], kwargs: dict[str, Any]) -> Any:
    import gymnasium

    env = make(**kwargs)
    if not isinstance(env, (gymnasium.Env, gymnasium.vector.VectorEnv)):
        hint = f", which is {_NO_ENV}" if hasattr(env, "step") else ""
        raise UnsupportedEnvironment(
            f"{make!r} returned {type(env).__name__}{hint}; it must return a gymnasium.Env or VectorEnv"
        )
    return env


def _unknown_id(env_id: str, known: list[str]) -> str:
    """Return the message for an unknown id: the nearest ids rather than all, for there are hundreds."""
    folded = {name.lower(): name for name in known}
    near = [folded[name] for name in difflib.get_close_matches(env_id.lower(), folded, n=3)]
    hint = (
        f"did you mean {' or '.join(near)}?" if near else "gymnasium.pprint_registry() lists what there is."
    )
    return (
        f"unknown environment {env_id!r}; {hint} An id of your own package needs its module: 'module:Env-v0'"
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).replace("`", "'").split())


def _read(env: gymnasium.Env[Any, Any]) -> TransitionTable:
    base = env.unwrapped
    name = env.spec.id if env.spec is not None else type(base).__name__
    table = getattr(base, "P", None)
    start = getattr(base, "initial_state_distrib", None)
    if table is None or start is None:
        raise UnsupportedEnvironment(
            f"{name} has no transition table: P and initial_state_distrib are needed "
            "(FrozenLake, CliffWalking and Taxi have them)"
        )
    n_states, n_actions = _sizes(table)
    rows = [table[state][action] for state in range(n_states) for action in range(n_actions)]
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    pair = np.repeat(np.arange(len(rows), dtype=np.int64), counts)
    flat = np.array([tuple(map(float, outcome)) for outcome in chain.from_iterable(rows)]).reshape(-1, 4)
    return TransitionTable(
        state=pair // n_actions,
        action=pair % n_actions,
        next_state=flat[:, 1].astype(np.int64),
        probability=flat[:, 0],
        reward=flat[:, 2],
        terminated=flat[:, 3] != 0.0,
        n_states=n_states,
        n_actions=n_actions,
        start=np.asarray(start, np.float64),
        time_limit=env.spec.max_episode_steps if env.spec is not None else None,
        name=name,
        grid=_grid(base, n_states),
    )


def _sizes(table: Any) -> tuple[int, int]:
    """Return the numbers of states and actions, after checking that the table is full."""
    n_states, n_actions = len(table), len(table[0])
    for state in range(n_states):
        if len(table[state]) != n_actions:
            raise ModelError(f"state {state} has {len(table[state])} actions; state 0 has {n_actions}")
    return n_states, n_actions


def _grid(base: Any, n_states: int) -> tuple[int, int] | None:
    """Return (rows, columns) of a grid of states: FrozenLake's map, CliffWalking's shape."""
    shape = getattr(base, "shape", None) or np.shape(getattr(base, "desc", ()))
    if len(shape) == 2 and shape[0] * shape[1] == n_states:
        return int(shape[0]), int(shape[1])
    return None
