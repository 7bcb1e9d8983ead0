"""Origin of an environment in a file: its description, and the conditions on which it is made again.

A file is data. It may name an environment that is registered here, and give it numbers. That a module is imported, or
that a text of the file reaches code which is neither Gymnasium's nor this package's, is for the user to say.
"""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from cdq.envs.turns import register
from cdq.errors import ConfigError

Origin = dict[str, Any]
# Bytes of arguments, as JSON, that are kept.
_LONGEST = 1 << 16
# Packages whose environments import nothing that an argument names.
_KNOWN = ("gymnasium.", "cdq.")
# Arguments of the display, not of the environment.
_OF_DISPLAY = {"render_mode"}


def origin_of(env_like: Any) -> Origin:
    """Return what a file says of an environment besides its name, as a JSON object; empty if the name is enough.

    Parameters
    ----------
    env_like : str, EnvSpec, Env, callable or other
        The environment, as a learner was given it.

    Examples
    --------
    >>> origin_of("shop:Shop-v0")
    {'id': 'shop:Shop-v0'}
    >>> origin_of(gymnasium.make("FrozenLake-v1", is_slippery=False))
    {'id': 'FrozenLake-v1', 'arguments': {'is_slippery': False}}
    >>> origin_of("FrozenLake-v1")
    {}
    """
    if isinstance(env_like, str):
        register(env_like)
        spec = gymnasium.registry.get(env_like)
        return {"id": env_like} if spec is None and ":" in env_like else _named(spec, {})
    spec = env_like if isinstance(env_like, EnvSpec) else getattr(env_like, "spec", None)
    if not isinstance(spec, EnvSpec) or isinstance(env_like, gymnasium.vector.VectorEnv):
        return {}
    usual = gymnasium.registry.get(spec.id)
    told: Origin = _arguments(spec.kwargs, {} if usual is None else usual.kwargs)
    if usual is not None and spec.max_episode_steps != usual.max_episode_steps:
        told["time_limit"] = spec.max_episode_steps
    if spec.additional_wrappers:
        told["wrappers"] = [wrapper.name for wrapper in spec.additional_wrappers]
    return _named(spec, told)


def _named(spec: EnvSpec | None, told: Origin) -> Origin:
    """Return a description of an environment with its id, before which the module of its class stands."""
    if spec is None:
        return {}
    module, colon, _ = str(spec.entry_point).partition(":")
    if _is_known(spec) or not colon or module == "__main__":
        return {"id": spec.id, **told} if told else {}
    return {"id": f"{module}:{spec.id}", **told}


def _arguments(given: Mapping[str, Any], usual: Mapping[str, Any]) -> Origin:
    """Return the arguments that are not the usual ones; the names of those that JSON does not hold."""
    kept: dict[str, Any] = {}
    lost: list[str] = []
    for name in sorted(given.keys() - _OF_DISPLAY):
        try:
            value = json.loads(json.dumps(given[name], allow_nan=False))
            if len(json.dumps(value)) > _LONGEST:
                raise ValueError("it is too long")
        except (TypeError, ValueError, RecursionError):
            lost.append(name)
            continue
        if name not in usual or value != usual[name]:
            kept[name] = value
    return {key: value for key, value in (("arguments", kept), ("lost", lost)) if value}


def environment_of(path: object, name: str, origin: Origin, given: Any) -> Any:
    """Return the environment of a file, in a form from which a learner is made.

    Parameters
    ----------
    path : object
        The file, for messages.
    name : str
        The environment's name in its header.
    origin : dict
        Description that `origin_of` returned.
    given : object
        The environment that the user names; None: the file's.

    Raises
    ------
    ConfigError
        If it takes code, or arguments, for which the user has to vouch; says what to give.
    """
    try:
        full = str(origin.get("id", name))
        arguments = {
            key: value for key, value in dict(origin.get("arguments", {})).items() if key not in _OF_DISPLAY
        }
        longest = max((len(json.dumps(value)) for value in arguments.values()), default=0)
        if longest > _LONGEST:
            raise ValueError(
                f"an argument has {longest:,} bytes, and none that is kept has more than {_LONGEST:,}"
            )
        missing = [*map(str, origin.get("wrappers", [])), *map(str, origin.get("lost", []))]
        limit = origin.get("time_limit")
        if limit is not None and not 0 < int(limit) < 1 << 62:
            raise ValueError(f"a time limit of {limit} steps")
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ConfigError(
            f"{path} does not say which environment it was learnt on: {error}; give env"
        ) from None
    bare = full.rpartition(":")[2]
    register(bare)
    spec = gymnasium.registry.get(bare)
    if given is None:
        _require_safe(path, full, spec, arguments, missing)
        given = bare
    elif not isinstance(given, str) or given.rpartition(":")[2] != bare or missing:
        return given
    if not arguments and limit is None:
        return given
    spec = copy.deepcopy(spec_of(given))
    if spec is None:
        return given  # making it says what is wrong
    spec.kwargs.update(arguments)
    spec.max_episode_steps = spec.max_episode_steps if limit is None else int(limit)
    return spec


def spec_of(env_id: str) -> EnvSpec | None:
    """Return the spec that is registered under an id; a module before the id is imported, as its user named it."""
    register(env_id)
    module, _, bare = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
    except ImportError:  # another module may have registered the same name
        return None
    return gymnasium.registry.get(bare)


def _require_safe(
    path: object, full: str, spec: EnvSpec | None, arguments: Mapping[str, Any], missing: list[str]
) -> None:
    """Raise unless the file's word is enough to make the environment."""
    env = f"env={full!r} (--env {full} on the command line)"
    if spec is None and ":" in full:
        raise ConfigError(
            f"{path} was learnt on {full!r:.200}, and no module is imported because a file names it; if you trust "
            f"that module, give {env:.400}"
        )
    if missing:
        raise ConfigError(
            f"{path} was learnt on {full!r:.200} with what a file does not hold ({', '.join(missing):.200}); give the "
            "environment, made in the same way, as env"
        )
    if spec is not None and not _is_known(spec) and any(map(_has_text, arguments.values())):
        raise ConfigError(
            f"{path} was learnt on {full!r:.200} with the arguments {arguments!r:.200}, which may name code; if you "
            f"trust them, give {env:.400}"
        )


def _is_known(spec: EnvSpec) -> bool:
    return isinstance(spec.entry_point, str) and spec.entry_point.startswith(_KNOWN)


def _has_text(value: Any) -> bool:
    """Return whether there is text in an argument: what names code is text."""
    if isinstance(value, (list, tuple)):
        return any(map(_has_text, value))
    return isinstance(value, (str, dict))
