"""Read the transition table ``P`` that Gymnasium's toy-text environments carry."""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Callable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from cdq.envs.spaces import SHIMMY
from cdq.envs.turns import register
from cdq.envs.wrappers import time_limit_of
from cdq.errors import CdqError, ConfigError, ModelError, UnsupportedEnvironment
from cdq.errors.checks import described, shown

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
    players: int


def read_table(env_like: EnvLike, **kwargs: object) -> TransitionTable:
    """Return the transition table of an environment, closing the environment if it was made here.

    Parameters
    ----------
    env_like : str, EnvSpec, Env or callable
        The environment or how to make it.
    **kwargs
        Arguments that are passed to ``gymnasium.make`` or to the callable.

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
    env = make_any(env_like, **kwargs)
    require_single(env_like, env)
    return env


def require_single(env_like: EnvLike, env: Any) -> None:
    """Raise `UnsupportedEnvironment` unless *env*, which *env_like* made, is an environment of Gymnasium."""
    import gymnasium

    if not isinstance(env, (gymnasium.Env, gymnasium.vector.VectorEnv)):
        raise UnsupportedEnvironment(
            f"{env_like!r} returned {type(env).__name__}{_hint_of(env)}; it must return a gymnasium.Env or VectorEnv"
        )


def _hint_of(env: Any) -> str:
    """Return why something is no environment of Gymnasium, for a message."""
    if isinstance(env, type):
        return f" {env.__name__}, a class, and nothing that it makes"
    if not callable(getattr(env, "observation_space", None)):
        return f", which is {_NO_ENV}" if hasattr(env, "step") else ""
    if hasattr(env, "possible_agents"):
        return ", which has several agents, and so no model of one"
    return ", which has several agents and no possible_agents: let it list all that may take part"


def make_any(env_like: EnvLike, **kwargs: object) -> Any:
    """Make an environment as `make_env` does, which may turn out to be of another kind, such as of several agents."""
    import gymnasium

    with warnings.catch_warnings():
        # Gymnasium warns about old versions and unversioned ids; what matters comes back as an error.
        warnings.simplefilter("ignore")
        if isinstance(env_like, (str, gymnasium.envs.registration.EnvSpec)):
            return _make_registered(env_like, kwargs)
        if callable(env_like):
            return env_like(**kwargs)
    if isinstance(env_like, gymnasium.vector.VectorEnv):
        refuse_vector()
    if hasattr(env_like, "step"):
        raise UnsupportedEnvironment(f"{env_like!r} is {_NO_ENV}")
    raise UnsupportedEnvironment(
        f"cannot make an environment from {env_like!r}; give an id such as 'FrozenLake-v1', an EnvSpec, "
        "an Env, or a callable that makes one"
    )


def refuse_vector() -> NoReturn:
    """Refuse a vector environment where a model is asked for."""
    raise UnsupportedEnvironment("a vector environment has no model; give one of its environments")


def _make_registered(env_id: Any, kwargs: dict[str, Any]) -> Any:
    import gymnasium

    register(env_id)
    called = _called(env_id)
    module, colon, name = env_id.partition(":") if isinstance(env_id, str) else ("", "", "")
    if colon and (":" in name or not name or not all(part.isidentifier() for part in module.split("."))):
        raise UnsupportedEnvironment(f"cannot make {called}: write it as module:Env-v0")
    try:
        make = _in_module(module, name) if colon else None
        if make is not None:
            return make(**kwargs)
        return gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    except gymnasium.error.DeprecatedEnv as error:
        raise UnsupportedEnvironment(_one_line(error)) from None
    except gymnasium.error.UnregisteredEnv:
        raise UnsupportedEnvironment(_unknown_id(str(env_id), list(gymnasium.registry))) from None
    except ModuleNotFoundError as error:
        missing = _one_line(error).partition(". ")[0]
        # Programs, unlike python itself, do not look in the working directory.
        raise UnsupportedEnvironment(
            f"cannot make {called}: {missing}; install it, or name its directory in PYTHONPATH"
        ) from None
    except (gymnasium.error.Error, TypeError, ValueError, KeyError) as error:
        raise UnsupportedEnvironment(f"cannot make {called}: {_one_line(error)}") from error
    except Exception as error:
        raise UnsupportedEnvironment(f"cannot make {called}: {described(error)}") from error


def _called(env_id: Any) -> str:
    """Return an environment for a message: its id, and the arguments of an EnvSpec."""
    if isinstance(env_id, str):
        return shown(env_id)
    return f"{shown(env_id.id)} with the arguments {shown(env_id.kwargs)}"


def _in_module(module: str, name: str) -> Callable[..., Any] | None:
    """Return what a module, which its user named, calls so, if it can be called and is no id of Gymnasium."""
    import gymnasium

    found = getattr(importlib.import_module(module), name, None)
    return found if callable(found) and name not in gymnasium.registry else None


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


def name_of(env: gymnasium.Env[Any, Any]) -> str:
    """Return an environment's name: its id, or else that of its game, or its class."""
    base: Any = env.unwrapped
    return env.spec.id if env.spec is not None else game_of(base) or type(base).__name__


def game_of(base: Any) -> str | None:
    """Return the name of the game that an environment plays, where it tells one; others have a `game` of their own."""
    game = getattr(base, "game", None)
    return game if isinstance(game, str) else None


def _read(env: gymnasium.Env[Any, Any]) -> TransitionTable:
    base, name = env.unwrapped, name_of(env)
    table, start = _attribute(base, "P"), _attribute(base, "initial_state_distrib")
    known = {"P": table, "initial_state_distrib": start}
    missing = [attribute for attribute, value in known.items() if value is None]
    if missing:
        raise UnsupportedEnvironment(
            f"{name} has no transition table: it lacks {' and '.join(missing)} "
            "(FrozenLake, CliffWalking and Taxi have both)"
        )
    try:
        return _as_table(env, name, table, start)
    except CdqError:
        raise
    except Exception as error:  # P is whatever its author calls so
        raise UnsupportedEnvironment(
            f"{name} has a P that cannot be read as P[state][action] = [(probability, next state, reward, "
            f"terminated), ...]: {described(error)}"
        ) from error


def players_of(env: Any) -> int:
    """Return how many players take turns in an environment of plies: its metadata's entry "players"; 1 without one."""
    metadata = _attribute(env, "metadata")
    players = metadata.get("players", 1) if isinstance(metadata, Mapping) else 1
    if isinstance(players, bool) or not isinstance(players, (int, np.integer)) or players < 1:
        raise ConfigError(
            f"metadata['players'] of {name_of(env)} is {shown(players)}; allowed: a whole number of at least 1, 2 in a "
            "game of two players in turn"
        )
    return int(players)


def _attribute(base: Any, name: str) -> Any:
    try:
        return getattr(base, name, None)
    except Exception:  # a property may raise anything
        return None


def _as_table(env: gymnasium.Env[Any, Any], name: str, table: Any, start: Any) -> TransitionTable:
    first_state, first_action = _first(env.observation_space), _first(env.action_space)
    states, first_state = _listed(table, first_state)
    n_states, n_actions = len(states), len(states[0])
    for state, actions in enumerate(states):
        if len(actions) != n_actions:
            raise ModelError(f"state {state} has {len(actions)} actions; state 0 has {n_actions}")
    by_state = [_listed(actions, first_action)[0] for actions in states]
    for state, actions in enumerate(by_state):
        if not any(map(len, actions)):  # nobody acts there
            by_state[state] = [[(1.0, state + first_state, 0.0, True)]] * n_actions
    rows = list(chain.from_iterable(by_state))
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    pair = np.repeat(np.arange(len(rows), dtype=np.int64), counts)
    flat = _numbers(list(chain.from_iterable(rows)))
    return TransitionTable(
        state=pair // n_actions,
        action=pair % n_actions,
        next_state=flat[:, 1].astype(np.int64) - first_state,
        probability=flat[:, 0],
        reward=flat[:, 2],
        terminated=flat[:, 3] != 0.0,
        n_states=n_states,
        n_actions=n_actions,
        start=np.array(start, np.float64),
        time_limit=time_limit_of(env),
        name=name,
        grid=_grid(env.unwrapped, n_states),
        players=players_of(env),
    )


def _first(space: Any) -> int:
    """Return the first number of a space; 0 where it has none."""
    return int(getattr(space, "start", 0)) if np.ndim(getattr(space, "start", 0)) == 0 else 0


def _listed(entries: Any, first: int) -> tuple[list[Any], int]:
    """Return entries by the numbers 0, 1, 2, ... or first, first + 1, ..., and the number of the first of them.

    Nothing is looked up that is not there: a defaultdict would grow.
    """
    n = len(entries)
    if not isinstance(entries, Mapping):
        return [entries[i] for i in range(n)], 0
    keys = set(entries)
    begin = next((begin for begin in (0, first) if keys == set(range(begin, begin + n))), None)
    if begin is None or not n:
        raise ModelError(f"keys of P are {_some(keys)}; allowed: all whole numbers from 0 on")
    return [entries[begin + i] for i in range(n)], begin


def _some(keys: set[Any]) -> str:
    shown = ", ".join(map(repr, sorted(keys, key=repr)[:3]))
    return f"{shown}, ..." if len(keys) > 3 else shown or "none"


def _numbers(outcomes: list[Any]) -> NDArray[np.float64]:
    """Return outcomes as rows of four numbers; raises `ModelError` for those that are none."""
    flat = np.array([tuple(map(float, outcome)) for outcome in outcomes]).reshape(len(outcomes), -1)
    if flat.shape[1] != 4 and len(outcomes):
        raise ModelError(
            f"an outcome of P has {flat.shape[1]} entries; allowed: probability, next state, reward, terminated"
        )
    flat = flat.reshape(-1, 4)
    for column, allowed, what in (
        (1, np.rint(flat[:, 1]), "next state"),
        (3, flat[:, 3] != 0.0, "terminated"),
    ):
        wrong = np.flatnonzero(flat[:, column] != allowed)
        if len(wrong):
            kind = "whole numbers" if column == 1 else "True and False"
            raise ModelError(f"an outcome of P has {what} {flat[wrong[0], column]}; allowed: {kind}")
    return flat


def _grid(base: Any, n_states: int) -> tuple[int, int] | None:
    """Return (rows, columns) of a grid of states: FrozenLake's map, CliffWalking's shape."""
    shape, desc = _attribute(base, "shape"), _attribute(base, "desc")
    if not isinstance(shape, tuple):
        shape = desc.shape if isinstance(desc, np.ndarray) else ()
    if (
        len(shape) == 2
        and all(isinstance(n, (int, np.integer)) for n in shape)
        and shape[0] * shape[1] == n_states
    ):
        return int(shape[0]), int(shape[1])
    return None
