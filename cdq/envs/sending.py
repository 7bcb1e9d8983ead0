"""Environments for other processes of this machine: the bytes that are sent, and the test that a copy is the same.

What a script made of an environment (attributes, patched methods, wrappers) is to be there, too. An environment that
cannot be sent as it is, as it holds a window or a simulator, is made again from its spec, if that comes to the same.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any

import gymnasium
import numpy as np

from cdq.envs.by_value import pack, unpack
from cdq.envs.compiled import CompiledEnv
from cdq.envs.toy_text import make_env
from cdq.errors import ConfigError
from cdq.errors.checks import described

# Wrappers that come and go with how an environment is made, and change nothing in how it plays.
_CHECKERS = (gymnasium.wrappers.OrderEnforcing, gymnasium.wrappers.PassiveEnvChecker)
# Attributes that the first reset sets anyway, and those that say how an environment was made.
_PASSING = {
    "_np_random",
    "_np_random_seed",
    "_has_reset",
    "_elapsed_steps",
    "_cached_spec",
    "_saved_kwargs",
    "env",
    "envs",
    "env_fns",
    "spec",
}
# Attributes of compiled environments: the place in an episode, and addresses.
_OF_LANE = {"_step", "_reset", "_encode", "_memory", "_elapsed"}
# Compared by their text.
PLAIN = (bool, int, float, complex, str, bytes, np.generic, type(None))


def sendable(env_like: Any) -> Any:
    """Return what another process of this machine is to make an environment of.

    Parameters
    ----------
    env_like : str, EnvSpec, Env, VectorEnv or callable
        The environment or how to make it.

    Returns
    -------
    object
        *env_like* itself, or for an environment that cannot be sent but is as it was made, its spec.

    Raises
    ------
    ConfigError
        If there is nothing that would be the same there; says why.
    """
    if not exists(env_like):
        pack(env_like)
        return env_like
    why = _loss(env_like, lambda: unpack(pack(env_like)))
    if why is None:
        return env_like
    spec = getattr(env_like, "spec", None)
    if isinstance(spec, gymnasium.envs.registration.EnvSpec):
        changed = _loss(env_like, lambda: make_env(spec))
        if changed is None:
            return spec
        why = f"{why}; as its spec makes it: {changed}"
    raise ConfigError(
        f"this {type(env_like.unwrapped).__name__} would be another environment in another process, and several "
        f"workers of it are processes: {why}. Give what makes it (an id, a class or a function) instead of an "
        "environment that exists"
    )


def exists(env_like: Any) -> bool:
    """Return whether this is an environment, not a function or name that makes one."""
    return isinstance(env_like, (gymnasium.Env, gymnasium.vector.VectorEnv))


def _loss(env: Any, copied: Callable[[], Any]) -> str | None:
    """Return in words what a copy of an environment lacks; None if no difference is found."""
    try:
        copy = copied()
    except Exception as error:  # a copy is made by code of the environment
        return f"it cannot be copied ({described(error.__cause__ or error)})"
    try:
        changed = _change(env, copy)
    finally:
        with contextlib.suppress(Exception):
            copy.close()
    return None if changed is None else f"a copy of it has another {changed}"


# ---- what Gymnasium knows


def registered() -> dict[str, Any]:
    """Return the specs that Gymnasium knows here, by id: also those that a script registered."""
    return dict(gymnasium.registry)


def register(env_like: Any, registry: dict[str, bytes]) -> None:
    """Let Gymnasium know what it does in the process that sent *registry* and *env_like*."""
    if isinstance(env_like, str) and ":" in env_like:
        importlib.import_module(env_like.partition(":")[0])  # once it is known, it would be registered again
    for name, data in registry.items():
        with contextlib.suppress(Exception):  # what cannot be made here is perhaps not needed
            gymnasium.registry[name] = unpack(data)


# ---- two environments compared


def layers(env: Any) -> list[Any]:
    """Return an environment's wrappers, from the outermost, itself, and those that it is made of."""
    if isinstance(env, (gymnasium.Wrapper, gymnasium.vector.VectorWrapper)):
        within = [env.env]
    else:
        within = getattr(env, "envs", [])
    own = [] if isinstance(env, _CHECKERS) else [env]
    return [*own, *(layer for inner in within for layer in layers(inner))]


def kinds_of(env: Any) -> list[str]:
    """Return the names of the classes of an environment's layers."""
    return [f"{type(layer).__module__}.{type(layer).__qualname__}" for layer in layers(env)]


def _change(one: Any, other: Any) -> str | None:
    """Return the name of a difference between two environments; None if none is found."""
    mine, theirs = layers(one), layers(other)
    if [type(layer) for layer in mine] != [type(layer) for layer in theirs]:
        return "set of wrappers"
    for layer, copy in zip(mine, theirs, strict=True):
        found = _difference(_attributes(layer), _attributes(copy), "", set())
        if found is not None:
            return f"{type(layer).__name__}{found}"
    return None


def _attributes(thing: Any) -> dict[str, Any]:
    attributes = getattr(thing, "__dict__", {})
    if isinstance(thing, CompiledEnv):  # as it is pickled: addresses are of this process, and of each copy
        attributes = {**thing.__getstate__(), "_context": thing.parameters()}
        attributes = {name: value for name, value in attributes.items() if name not in _OF_LANE}
    return {name: value for name, value in attributes.items() if name not in _PASSING}


def _difference(one: Any, other: Any, where: str, seen: set[int]) -> str | None:
    """Return where two objects differ, None where they do not, or hold what cannot be compared."""
    if type(one) is not type(other) or not _same_leaf(one, other):
        return where
    if one is other or isinstance(one, PLAIN) or id(one) in seen:
        return None
    seen.add(id(one))
    parts, others = _parts(one), _parts(other)
    if parts.keys() != others.keys():
        lost = sorted(map(str, parts.keys() ^ others.keys()))
        return f"{where}.{lost[0]}"
    found = (_difference(part, others[key], f"{where}.{key}", seen) for key, part in parts.items())
    return next((place for place in found if place is not None), None)


def _same_leaf(one: Any, other: Any) -> bool:
    """Return whether two objects of one type are the same, as far as they are not made of others."""
    if isinstance(one, PLAIN):
        return repr(one) == repr(other)
    if type(one) is object:  # all that it has is its identity
        return one is other
    if isinstance(one, np.ndarray) and one.dtype != object:
        return bool(one.shape == other.shape) and one.tobytes() == other.tobytes()
    return not isinstance(one, (set, frozenset)) or len(one) == len(other)


def _parts(thing: Any) -> dict[Any, Any]:
    """Return what an object is made of, as far as that can be compared."""
    if isinstance(thing, dict):
        return {key: part for key, part in thing.items() if isinstance(key, (*PLAIN, tuple))}
    if isinstance(thing, (list, tuple)) or (isinstance(thing, np.ndarray) and thing.dtype == object):
        return dict(enumerate(thing))
    if isinstance(thing, MethodType):
        return {"__func__": thing.__func__}
    if isinstance(thing, FunctionType):
        code, cells = thing.__code__, [_content(cell) for cell in thing.__closure__ or ()]
        return {
            "code": code.co_code,
            "constants": code.co_consts,
            "closure": cells,
            "defaults": thing.__defaults__,
        }
    return {} if isinstance(thing, (type, ModuleType)) else _attributes(thing)


def _content(cell: Any) -> Any:
    with contextlib.suppress(ValueError):  # of one that is empty
        return cell.cell_contents
    return None
