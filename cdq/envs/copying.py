"""Copies of environments that play as they do."""

from __future__ import annotations

import copy
import logging
import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import gymnasium
import numpy as np

from cdq.envs.trial import play_alike, silence

# Objects that are looked at; what has more is not copied for every evaluation.
_MOST = 100_000
_CONSTANT = (int, float, complex, str, bytes, bool, type(None), type, ModuleType, np.generic, np.ufunc)
_PLAIN = (
    *(Enum, range, slice, bytearray, date, time, timedelta, Decimal, Fraction, PurePath, logging.Logger),
    *(random.Random, np.random.Generator, np.random.BitGenerator, np.random.RandomState),
    *(np.dtype, gymnasium.spaces.Space, gymnasium.envs.registration.EnvSpec, type(...)),
)
_CONTAINERS = (list, tuple, dict, set, frozenset, deque, OrderedDict, defaultdict, Counter, SimpleNamespace)
_NUMBERS = frozenset({int, float, bool, np.int64, np.float64})  # most of what a table holds
_ALONE = (
    3  # references to the base of an array that is its only view: that one, a name, the argument of the count
)
_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, partial)


def true_copy_of(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any] | None:
    """Return a copy of an environment that was seen to play as it does; None if there is none.

    Both are reset and played, so that this is not for the middle of an episode; a random stream of the environment's
    own is seeded.
    """
    twin = copy_of(env)
    return twin if twin is not None and play_alike(env, twin) else None


def copy_of(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any] | None:
    """Return a copy of an environment that shares nothing with it; None if none is sure to play as it does.

    There is one of environments and wrappers that hold plain data: numbers, text, arrays with memory of their own,
    random generators, spaces, and lists, dictionaries and values of these. There is none where copying fails, where a
    class says how it is copied (such a copy may be a pristine one, as that of `gymnasium.utils.EzPickle`), where an
    object is held that equals itself alone (a copy of it is another one, which a comparison tells), where a function
    that is held, such as a replaced `step`, refers to things that a copy would share, and of compiled environments,
    which hold addresses.
    """
    if not _stands_alone(env):
        return None
    try:
        twin = copy.deepcopy(env)
    except Exception:  # whatever the environment holds
        return None
    silence(twin)
    return twin


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
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if len(seen) > _MOST or not _is_copied(thing):
            return False
        waiting.extend(inner for inner in _within(thing) if type(inner) not in _NUMBERS)
    return True


def _is_copied(thing: Any) -> bool:
    """Return whether a copy of something is as good, if what is within it is."""
    kind = type(thing)
    if isinstance(thing, (type, ModuleType, *_FUNCTIONS)):
        return _is_free(thing)
    if isinstance(thing, np.ndarray):
        return kind is np.ndarray and _is_alone(thing)
    if kind in _CONTAINERS or (isinstance(thing, (*_CONSTANT, *_PLAIN)) and _is_library(kind)):
        return True
    if _copies_itself(kind):
        return isinstance(thing, Enum)
    if isinstance(thing, gymnasium.Env) or kind.__module__.startswith("gymnasium."):
        return True
    return getattr(kind, "__eq__", None) is not object.__eq__ and not _is_library(kind)


def _is_alone(array: Any) -> bool:
    """Return whether nothing but an array leads to its memory."""
    base = array.base
    return base is None or sys.getrefcount(base) <= _ALONE


def _is_library(kind: Any) -> bool:
    """Return whether a class is Python's, NumPy's or Gymnasium's, not a user's that inherits from it."""
    top = kind.__module__.partition(".")[0]
    return top != "__main__" and (top in {"numpy", "gymnasium"} or top in sys.stdlib_module_names)


def _within(thing: Any) -> Iterator[Any]:
    """Yield what a container or an object holds."""
    if isinstance(thing, (type, ModuleType, FunctionType, *_PLAIN)):
        return
    if isinstance(thing, Mapping):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        yield from thing
    elif isinstance(thing, np.ndarray) and thing.dtype.hasobject:
        yield from thing.ravel().tolist()
    elif isinstance(thing, partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, MethodType):
        yield thing.__self__
        if getattr(type(thing.__self__), thing.__name__, None) is not thing.__func__:
            yield thing.__func__
    if isinstance(thing, defaultdict):
        yield thing.default_factory
    yield from getattr(thing, "__dict__", {}).values()
    if not _is_library(type(thing)):
        yield from (getattr(thing, name, None) for name in _slots(type(thing)))


def _slots(kind: Any) -> Iterator[str]:
    for base in kind.__mro__:
        names = vars(base).get("__slots__", ())
        yield from [names] if isinstance(names, str) else names


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
