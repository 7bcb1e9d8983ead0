"""Checks of what a compiled environment is made with."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError

MOST_NUMBERS = 8  # in an observation


def whole_of(what: str, value: Any, least: int, most: int) -> int:
    """Return a whole number from *least* to *most* as an int."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        raise ConfigError(f"{what} is {value!r}; allowed: a whole number from {least} to {most}")
    return int(value)


def space_of(n_states: Any, space: Any) -> gymnasium.spaces.Space[Any]:
    """Return the space of observations that a number of states, or a space of vectors, says."""
    if (n_states is None) == (space is None):
        raise ConfigError(
            "give n_states, where the environment shows an index, or observation_space, where it shows a vector; "
            f"got n_states={n_states!r} and observation_space={space!r}"
        )
    if space is None:
        return gymnasium.spaces.Discrete(whole_of("n_states", n_states, 1, 2**63 - 1))
    if not isinstance(space, gymnasium.spaces.Box) or space.shape not in [
        (n,) for n in range(1, MOST_NUMBERS + 1)
    ]:
        raise ConfigError(
            f"observation_space is {space!r}; allowed: a Box of shape (n,) with n from 1 to {MOST_NUMBERS}; "
            "observe an index (n_states) otherwise"
        )
    return space


def context_of(given: Any) -> npt.NDArray[Any]:
    """Return the parameters as an array that is the environment's own, or borrowed where it is an array."""
    if given is None:
        return np.zeros(0, np.uint8)
    if isinstance(given, (bytes, bytearray, memoryview)):
        return np.frombuffer(bytes(given), np.uint8)
    if not isinstance(given, (np.ndarray, np.void)) or given.dtype.hasobject:
        raise ConfigError(f"context is a {type(given).__name__}; allowed: a NumPy array or record, or bytes")
    array = np.atleast_1d(np.asarray(given))
    if not array.size:
        raise ConfigError("context is an empty array; leave it out")
    if not array.flags.c_contiguous:
        raise ConfigError("context is an array that is not contiguous; give a copy: context.copy()")
    return array
