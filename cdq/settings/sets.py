"""State and action sets of environments that differ: which states, and which actions, are the same."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from cdq.errors import ConfigError
from cdq.errors.checks import shown, whole

Rows = tuple[tuple[int, ...], ...]
Key = Callable[[Any], Any]

_MOST_ROW = 2**31 - 2


def checked_key(name: str, key: Any) -> Key | Rows | None:
    """Return a function of observations, or the row of each state of each environment that one led to."""
    if key is None:
        return None
    if callable(key):
        function: Key = key
        return function
    plain = (
        isinstance(key, Sequence)
        and not isinstance(key, str)
        and all(isinstance(one, Sequence) for one in key)
    )
    if not plain or not key:
        raise ConfigError(f"{name} is {shown(key)}; allowed: a function of an observation, or None")
    return tuple(tuple(whole(f"a row of {name}", row, 0, _MOST_ROW) for row in one) for one in key)


def key_to_config(key: Key | Rows | None) -> Any:
    """Return rows as a JSON object; a function, which has no environments yet, is none."""
    return None if key is None or callable(key) else [list(one) for one in key]


def key_of(text: str) -> Key:
    """Return the function that ``--key MODULE:FUNCTION`` names.

    Raises
    ------
    ConfigError
        If there is none.

    Examples
    --------
    >>> key_of("math:floor")(1.5)
    1
    """
    module, _, function = text.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"key is {shown(text)}: {error}; allowed: MODULE:FUNCTION") from None
    if not callable(found):
        raise ConfigError(f"key is {shown(text)}, which is no function; allowed: MODULE:FUNCTION")
    known: Key = found
    return known


def checked_actions(name: str, actions: Any) -> tuple[tuple[str, ...], ...] | None:
    """Return the names of the actions of each environment.

    Raises
    ------
    ConfigError
        If they are none, or one occurs twice in an environment.
    """
    if actions is None:
        return None
    lists = isinstance(actions, Sequence) and not isinstance(actions, str) and len(actions) > 0
    if not lists or any(isinstance(own, str) or not isinstance(own, Sequence) or not own for own in actions):
        raise ConfigError(
            f"{name} is {shown(actions)}; allowed: a list of names for each environment, in the order of its actions"
        )
    for number, own in enumerate(actions):
        if not all(isinstance(one, str) and one for one in own) or len(set(own)) < len(own):
            raise ConfigError(
                f"{name}[{number}] is {shown(list(own))}; allowed: a text for each action, no two the same"
            )
    return tuple(tuple(own) for own in actions)


def actions_to_config(actions: tuple[tuple[str, ...], ...] | None) -> Any:
    """Return names of actions as a JSON object."""
    return None if actions is None else [list(own) for own in actions]


def actions_of(text: str) -> list[list[str]]:
    """Return the names that ``--actions`` gives.

    Examples
    --------
    >>> actions_of("left,right;left,right,up")
    [['left', 'right'], ['left', 'right', 'up']]
    """
    return [own.split(",") for own in text.split(";")]
