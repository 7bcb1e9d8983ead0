"""Modules of Gymnasium as their files have them, against which changes of those in use are seen."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np

# Classes that every environment of Gymnasium is made of.
_COMMON = ("gymnasium.core", "gymnasium.utils.seeding")


def is_pristine(name: str) -> bool:
    """Return whether a module of Gymnasium's environments is as its file has it, and what it calls in Gymnasium, too.

    Functions are compared by their code, constants by their values, of the module, its classes and their bases.

    Examples
    --------
    >>> import gymnasium.envs.classic_control.acrobot
    >>> is_pristine("gymnasium.envs.classic_control.acrobot")
    True
    """
    package = name.rpartition(".")[0]
    return all(_is_unchanged(module) for module in (name, f"{package}.utils", *_COMMON))


@lru_cache(maxsize=32)
def _loaded(name: str) -> ModuleType | None:
    """Return a module that is run anew from its file, beside the one in use; None without a file."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_unchanged(name: str) -> bool:
    used, pristine = sys.modules.get(name), _loaded(name)
    return used is not None and pristine is not None and _alike(_contents(used), _contents(pristine))


def _contents(owner: Any) -> dict[str, Any]:
    """Return what a module or class defines, without what Python adds."""
    return {
        name: value
        for name, value in vars(owner).items()
        if not name.startswith("__") or isinstance(value, FunctionType)
    }


def _alike(used: Any, pristine: Any) -> bool:
    """Return whether two things do the same."""
    if used is pristine or isinstance(pristine, TypeVar):
        return True
    if type(used) is not type(pristine):
        return False
    if isinstance(pristine, (FunctionType, property, classmethod, staticmethod, type)):
        return _alike(_parts(used), _parts(pristine))
    if isinstance(pristine, Mapping):
        return used.keys() == pristine.keys() and all(_alike(used[key], pristine[key]) for key in pristine)
    if isinstance(pristine, (list, tuple)):
        return len(used) == len(pristine) and all(
            _alike(one, other) for one, other in zip(used, pristine, strict=True)
        )
    return np.array_equal(used, pristine) if isinstance(pristine, np.ndarray) else bool(used == pristine)


def _parts(thing: Any) -> Any:
    """Return what a function, a method or a class is told by."""
    if isinstance(thing, FunctionType):
        return [thing.__code__, thing.__defaults__, thing.__kwdefaults__, len(thing.__closure__ or ())]
    if isinstance(thing, property):
        return [thing.fget, thing.fset, thing.fdel]
    if isinstance(thing, type):
        return [thing.__name__, [base.__name__ for base in thing.__bases__], _contents(thing)]
    return thing.__func__
