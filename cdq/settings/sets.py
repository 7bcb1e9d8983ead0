"""State and action sets of environments that differ: which states, and which actions, are the same."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from cdq.errors import ConfigError
from cdq.errors.checks import shown, whole

Key = Callable[[Any], Any]
Keys = tuple[Key, ...]
Rows = tuple[tuple[int, ...], ...]

_MOST_ROW = 2**31 - 2


def checked_key(name: str, key: Any) -> Key | Keys | Rows | None:
    """Return a function of observations, or one for each environment, or the rows that a file has of them."""
    if key is None:
        return None
    if callable(key):
        function: Key = key
        return function
    each = tuple(key) if isinstance(key, Sequence) and not isinstance(key, str) else ()
    if each and all(map(callable, each)):
        return each
    if not each or not all(isinstance(one, Sequence) and not isinstance(one, str) for one in each):
        raise ConfigError(
            f"{name} is {shown(key)}; allowed: a function of an observation, or a list of them, one per environment"
        )
    return tuple(tuple(whole(f"a row of {name}", row, 0, _MOST_ROW) for row in one) for one in each)


def keys_of(key: Any, n: int) -> Sequence[Key] | None:
    """Return the function of each of *n* environments; None where there are rows.

    Raises
    ------
    ConfigError
        If there are not as many.
    """
    if callable(key):
        return [key] * n
    if not callable(key[0]):
        return None
    if len(key) != n:
        raise ConfigError(
            f"key has {len(key)} functions, and there are {n} environments; give one for each, or one"
        )
    functions: Sequence[Key] = key
    return functions


def key_to_config(key: Any) -> Any:
    """Return rows as a JSON object; functions, which have no environments yet, are none."""
    return None if key is None or callable(key) or callable(key[0]) else [list(one) for one in key]


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
