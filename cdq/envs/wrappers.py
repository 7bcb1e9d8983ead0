"""Wrappers round an environment: those that change what is learnt, and the tightest time limit."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any

import gymnasium
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, TimeLimit

# Wrappers that change neither observations nor rewards: what is within them is what is learnt.
_TRANSPARENT = (OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, TimeLimit)
_PLAYED = ("step", "reset")


def layers(env: Any) -> Iterator[Any]:
    """Yield an environment's wrappers, from the outside in, then the environment itself."""
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env
    yield env


def time_limit_of(env: Any) -> int | None:
    """Return the steps after which the first of its time limits truncates an episode; None without any.

    Examples
    --------
    >>> time_limit_of(TimeLimit(gymnasium.make("FrozenLake-v1"), 1000))
    100
    """
    limits = [layer._max_episode_steps for layer in layers(env) if type(layer) is TimeLimit]
    return min((int(limit) for limit in limits if limit is not None), default=None)


def change_by_wrappers(env: Any) -> str | None:
    """Return in words which wrapper may change what the environment within it does; None if none can."""
    for layer in layers(env):
        if layer is env.unwrapped:
            break
        name = type(layer).__name__
        if type(layer) not in _TRANSPARENT:
            return f"the wrapper {name} may change what the environment within it does"
        if not all(is_gymnasiums(getattr(type(layer), method)) for method in _PLAYED) or is_patched(layer):
            return f"methods of the wrapper {name} were replaced"
        if (
            layer.action_space != layer.env.action_space
            or layer.observation_space != layer.env.observation_space
        ):
            return f"the wrapper {name} has other spaces than the environment within it"
    return None


def records_episodes(env: Any) -> bool:
    """Return whether a wrapper counts episodes as they are stepped."""
    while isinstance(env, (gymnasium.Wrapper, gymnasium.vector.VectorWrapper)):
        if isinstance(env, (RecordEpisodeStatistics, gymnasium.wrappers.vector.RecordEpisodeStatistics)):
            return True
        env = env.env
    return any(map(records_episodes, getattr(env, "envs", [])))


def is_gymnasiums(function: Any) -> bool:
    """Return whether a method is one that Gymnasium defines, and not one that was put in its place."""
    return (
        isinstance(function, FunctionType)
        and function.__module__.startswith("gymnasium.")
        and not hasattr(function, "__wrapped__")
    )


def is_patched(env: Any) -> bool:
    """Return whether an object has attributes that hide what its class defines, or a class that hides them all."""
    kind: Any = type(env)
    hidden = (name for name in vars(env) if callable(getattr(kind, name, None)))
    plain = kind.__getattribute__ is object.__getattribute__ and kind.__setattr__ is object.__setattr__
    return not plain or next(hidden, None) is not None
