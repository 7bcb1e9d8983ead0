"""Environments whose observations are names of states, and environments that are given made."""

from __future__ import annotations

from typing import Any

from gymnasium import Env, spaces

from cdq.envs.spaces import Encoder
from cdq.errors import ConfigError


def is_made(env: Any) -> bool:
    """Return whether a single environment is given, and not how to make it."""
    return isinstance(env, Env)


def require_numbers(name: str, encoder: Encoder) -> None:
    """Raise `ConfigError` if all numbers of an observation name states, of which no network can make anything."""
    if _are_states(encoder.space):
        raise ConfigError(
            f"{name} shows numbered states, {encoder.in_words()}: a table learns them, and a network would take "
            "neighbouring numbers for neighbours; leave network out, or show them as vectors of 0 and 1: "
            "gymnasium.wrappers.FlattenObservation(env)"
        )


def _are_states(space: Any) -> bool:
    if isinstance(space, spaces.Dict):
        return all(map(_are_states, space.spaces.values()))
    if isinstance(space, spaces.Tuple):
        return all(map(_are_states, space.spaces))
    return isinstance(space, (spaces.Discrete, spaces.MultiDiscrete))
