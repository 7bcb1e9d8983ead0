"""Arguments with which an environment is made."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from gymnasium.envs.registration import EnvSpec

from cdq.envs.origin import spec_of
from cdq.envs.toy_text import make_any
from cdq.errors import ConfigError
from cdq.errors.checks import shown


def with_arguments_of_each(env_like: Any, arguments: Any) -> Any:
    """Return what makes an environment with arguments (`with_arguments`), or a list of them where there are several.

    There are where *env_like* is a list, which has the arguments in common, or where *arguments* are.

    Raises
    ------
    ConfigError
        As `with_arguments`, or if both are lists.

    Examples
    --------
    >>> [spec.kwargs["is_slippery"] for spec in with_arguments_of_each("FrozenLake-v1", [{"is_slippery": False}])]
    [False]
    """
    if not isinstance(arguments, (list, tuple)):
        several = isinstance(env_like, (list, tuple))
        return (
            [with_arguments(one, arguments) for one in env_like]
            if several
            else with_arguments(env_like, arguments)
        )
    if isinstance(env_like, (list, tuple)):
        raise ConfigError(
            "env and env_kwargs are both lists; give a list of environments, or one and a list of arguments"
        )
    return [with_arguments(env_like, one) for one in arguments]


def with_arguments(env_like: Any, arguments: Mapping[str, Any] | None) -> Any:
    """Return what makes an environment with arguments, of what makes it without.

    Parameters
    ----------
    env_like : str, EnvSpec or callable
        An id, a spec or a callable that makes an environment.
    arguments : mapping of str to object, or None
        Arguments for ``gymnasium.make`` or for the callable; they replace those of a spec.

    Raises
    ------
    ConfigError
        If *arguments* are none, the callable does not take them, or *env_like* exists already.

    Examples
    --------
    >>> with_arguments("FrozenLake-v1", {"is_slippery": False}).kwargs["is_slippery"]
    False
    """
    if arguments is None:
        return env_like
    if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
        raise ConfigError(
            f"env_kwargs is {shown(arguments)}; allowed: a dictionary of arguments by name, such as "
            "{'is_slippery': False}"
        )
    if not arguments:
        return env_like
    if isinstance(env_like, (str, EnvSpec)):
        return _spec_with(env_like, arguments)
    if not callable(env_like) or (hasattr(env_like, "step") and not isinstance(env_like, type)):
        raise ConfigError(
            f"env_kwargs has {', '.join(arguments)}, and {type(env_like).__name__} is not made here; give the "
            "arguments where it is made, or an id or a callable in its place"
        )
    _require_taken(env_like, arguments)
    return functools.partial(env_like, **arguments)


def _spec_with(env_like: str | EnvSpec, arguments: Mapping[str, Any]) -> EnvSpec | Callable[[], Any]:
    spec = spec_of(env_like) if isinstance(env_like, str) else env_like
    if spec is None:  # an id without a version, what a module has, or none: making it says what is wrong
        env = make_any(env_like, **arguments)
        spec = getattr(env, "spec", None)
        with contextlib.suppress(AttributeError):  # not all that modules make has something to close
            env.close()
    if spec is None:
        return functools.partial(make_any, env_like, **arguments)
    changed = copy.deepcopy(spec)
    changed.kwargs.update(arguments)
    return changed


def _require_taken(make: Any, arguments: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if a callable does not take the arguments, as far as its signature says."""
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):  # of a builtin: calling it says what is wrong
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"env_kwargs: {error}; {getattr(make, '__name__', make)!s} takes {signature}"
        ) from None
