"""Copies of environments that play as they do."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import EzPickle

from cdq.envs.compiled import CompiledEnv

# Objects that are looked at; what has more is not copied for every evaluation.
_MOST = 100_000
_CONSTANT = (int, float, complex, str, bytes, bool, type(None), type, ModuleType, np.generic, np.ufunc)
_PLAIN = (
    *_CONSTANT,
    np.ndarray,
    np.random.Generator,
    gymnasium.spaces.Space,
    gymnasium.envs.registration.EnvSpec,
)
_NUMBERS = frozenset({int, float, bool, np.int64, np.float64})  # most of what a table holds
# What a copy would share with the original, to which it leads back.
_SHARED = (weakref.ReferenceType, weakref.ProxyType, weakref.CallableProxyType, type(lru_cache(print)))


def copy_of(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any] | None:
    """Return a copy of an environment that plays as it does and shares nothing with it; None if there is none.

    There is none where copying fails, where a class says how it is copied (such a copy may be a pristine one, as that
    of `gymnasium.utils.EzPickle`), where a function that it holds, such as a replaced `step`, refers to things that
    a copy would share with it, and of compiled environments, which hold addresses.
    """
    if not _stands_alone(env):
        return None
    try:
        twin = copy.deepcopy(env)
    except Exception:  # whatever the environment holds
        return None
    silence(twin)
    return twin


def silence(env: gymnasium.Env[Any, Any]) -> None:
    """Let an environment that nobody looks at show no window."""
    base: Any = env.unwrapped
    if getattr(base, "render_mode", None) == "human":
        with suppress(AttributeError):
            base.render_mode = None


def _copies_itself(kind: Any) -> bool:
    """Return whether a class says how it is copied or pickled."""
    default = getattr(object, "__getstate__", None)
    return (
        hasattr(kind, "__deepcopy__")
        or hasattr(kind, "__setstate__")
        or getattr(kind, "__getstate__", default) is not default
        or kind.__reduce__ is not object.__reduce__
        or kind.__reduce_ex__ is not object.__reduce_ex__
    )


def _stands_alone(env: Any) -> bool:
    """Return whether all within an environment is copied as it is, and leads to nothing outside."""
    waiting, seen = [env], set()
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen.add(id(thing))
        environment = isinstance(thing, (gymnasium.Env, EzPickle))
        if environment and (isinstance(thing, CompiledEnv) or _copies_itself(type(thing))):
            return False
        if len(seen) > _MOST or isinstance(thing, _SHARED) or not _is_free(thing):
            return False
        waiting.extend(inner for inner in _within(thing) if type(inner) not in _NUMBERS)
    return True


def _within(thing: Any) -> Iterator[Any]:
    """Yield what a container or an object holds."""
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from thing
    elif isinstance(thing, partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, MethodType):
        yield thing.__self__
    if not isinstance(thing, FunctionType):
        yield from getattr(thing, "__dict__", {}).values()


def _is_free(thing: Any, depth: int = 8) -> bool:
    """Return whether something is no function, or one that refers to constants and such functions alone."""
    if isinstance(thing, BuiltinFunctionType):
        return isinstance(thing.__self__, (ModuleType, type, type(None)))
    if not isinstance(thing, FunctionType):
        return True
    cells = [cell.cell_contents for cell in thing.__closure__ or () if _is_filled(cell)]
    named = [thing.__globals__[name] for name in _names_in(thing.__code__) if name in thing.__globals__]
    return depth > 0 and all(
        isinstance(inner, (*_CONSTANT, FunctionType, BuiltinFunctionType)) and _is_free(inner, depth - 1)
        for inner in (*cells, *named, *(thing.__defaults__ or ()))
    )


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises where it is empty
    except ValueError:
        return False
    return True


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
