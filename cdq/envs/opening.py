"""Opening of an environment: the fastest source of transitions that does what the environment's `step` does."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import gymnasium

from cdq.contracts import Environment, Model
from cdq.envs.agents import OWN, Groups, has_agents, open_agents
from cdq.envs.bins import refuse_bins
from cdq.envs.classic import twin_of
from cdq.envs.compiled import CompiledEnv, CompiledEnvironment
from cdq.envs.compiled_agents import Parallel
from cdq.envs.compiled_groups import PartsEncoder, compiled_in, open_compiled
from cdq.envs.copying import true_copy_of
from cdq.envs.drawn import has_advice, is_compiled, known_of
from cdq.envs.playing import play
from cdq.envs.python import PythonEnvironment
from cdq.envs.spaces import Encoder
from cdq.envs.toy_text import (
    TransitionTable,
    make_any,
    make_env,
    name_of,
    players_of,
    read_table,
    refuse_vector,
    require_single,
)
from cdq.envs.trial import silence
from cdq.envs.turns import Plies
from cdq.envs.vector import VectorEnvironment
from cdq.envs.wrappers import change_by_wrappers, records_episodes, time_limit_of
from cdq.errors import CdqError, ConfigError, ModelError, UnsupportedEnvironment

_log = logging.getLogger("cdq")

# States of a compiled environment up to which its model is listed, which takes 50 microseconds for each.
_LISTED = 2000
# Pairs of a table up to which it is read again whenever it may have changed, which takes a microsecond for each.
_LOOKED_AT = 20_000

Build = Callable[[TransitionTable], Model]
M = TypeVar("M", bound=Model)


class Opened(NamedTuple):
    """A source of transitions or a model, its observations and actions, why, a test for changes, and its players."""

    origin: Model | Environment
    encoder: Encoder
    why: str
    changed: Callable[[], bool] = bool  # that is, False
    players: int = 1


def open_environment(
    env_like: Any,
    num_envs: int,
    build: Build,
    *,
    stepping: str,
    masks: bool | str,
    bins: Any,
    instead: str = "",
    groups: Groups = OWN,
) -> Opened:
    """Return the model of an environment, or how it is stepped.

    The model is taken where `step` is known to draw from it, where playing the environment finds nothing against it, or
    where *stepping* says so. An environment that was given is played as a copy that was seen to play as it does,
    or where there is none itself, and reset afterwards.

    Parameters
    ----------
    env_like : str, EnvSpec, Env, VectorEnv or callable
        The environment or how to make it.
    num_envs : int
        Number of environments to make where each is stepped by itself.
    build : callable
        Makes a model of a transition table; raises `ModelError` if it is none.
    stepping : {"auto", "model", "python"}
        "model": by its table, whatever `step` does; "python": by its own `step`.
    masks : {"auto", True, False}
        True: heed masks; "auto": heed them unless they are advice; False: do not.
    bins : int, sequence of int or None
        Number of parts into which Gymnasium's wrapper is to cut each number of an observation.
    instead : str
        Subject and verb of what is learnt in place of a table of a model's states, as in "features are"; else empty.
    groups : str or dict
        Tables of an environment of several agents (`cdq.envs.agents`).

    Raises
    ------
    UnsupportedEnvironment, ConfigError
        If it cannot be made or learnt, or *stepping* is "model" and it has none.
    """
    given = isinstance(env_like, (gymnasium.Env, gymnasium.vector.VectorEnv))
    twin = twin_of(env_like) if stepping == "auto" else None
    env = env_like if given or has_agents(env_like) else make_any(twin or env_like)
    several = _of_agents(env_like, env, num_envs, stepping=stepping, masks=masks, bins=bins, groups=groups)
    if several is not None:
        return several
    require_single(env_like, env)
    if groups != OWN:
        raise ConfigError(f"groups are of several agents, and {name_of(env)} has no agents; leave groups out")
    if isinstance(env, gymnasium.vector.VectorEnv):
        if not given:
            env.close()
        return _as_vector(env if given else env_like, stepping, masks, bins)._replace(players=players_of(env))
    found: Opened | str = ""
    try:
        found = _as_single(env, build, stepping, given=given, masks=masks, instead=instead)
    finally:
        if not given and not (isinstance(found, Opened) and isinstance(found.origin, CompiledEnvironment)):
            env.close()
    if isinstance(found, str):
        source = PythonEnvironment(env_like, num_envs, masks=masks, bins=bins)
        why = found + _faster(env_like, env, stepping)
        return Opened(source, source.encoder, why, players=players_of(env))
    found = found._replace(players=players_of(env))
    if isinstance(found.origin, CompiledEnvironment):
        refuse_bins(found.encoder, bins)
    if twin is not None:
        found = found._replace(why=f"{twin} is {env_like}, compiled")
    if given and stepping == "auto":
        opened, before = found, _look(env, found, build)
        found = found._replace(changed=lambda: _look(env, opened, build) != before)
    return _with_notice(env, found) if given else found


def _faster(env_like: Any, env: Any, stepping: str) -> str:
    """Return a word on the id that is compiled, where an id without a version stands for it."""
    full = env_like if env.spec is None else env.spec.id
    by_short_id = stepping == "auto" and isinstance(env_like, str) and full != env_like
    return f"; by its full id, {full}, it is compiled" if by_short_id and twin_of(full) is not None else ""


def _as_single(
    env: Any, build: Build, stepping: str, *, given: bool, masks: bool | str, instead: str
) -> Opened | str:
    """Return how one environment is stepped, or in words why by its own `step`."""
    if isinstance(env.unwrapped, Plies):
        env.unwrapped.rehearse()
    if stepping == "python":
        return "stepping='python' says so"
    if stepping == "auto":
        return _fastest(env, build, given=given, masks=masks, instead=instead)
    _require_plain(instead, masks)
    return _asked_for(env, build)


def _of_agents(
    env_like: Any, env: Any, num_envs: int, *, stepping: str, masks: bool | str, bins: Any, groups: Groups
) -> Opened | None:
    """Return how an environment of several agents is stepped; None where it has one."""
    inner, why = compiled_in(env), "it has several agents"
    if inner is not None:
        found = open_compiled(inner, stepping=stepping, masks=masks, bins=bins, groups=groups)
        if not isinstance(found, str):
            why = "its step and reset are compiled functions of all agents"
            return Opened(found, cast(Encoder, found.encoder), why)
        env_like, why = (env_like if isinstance(env, Parallel) else lambda: Parallel(inner)), found
        env = env if isinstance(env, Parallel) else Parallel(inner)
    if not has_agents(env):
        return None
    several = open_agents(env_like, env, num_envs, stepping=stepping, masks=masks, bins=bins, groups=groups)
    return Opened(cast(Environment, several), cast(Encoder, several.encoder), why)


def read_model(env_like: Any, build: Callable[[TransitionTable], M], **kwargs: object) -> M:
    """Return the model of an environment that has a transition table which is what its `step` does.

    Parameters
    ----------
    env_like : str, EnvSpec, Env or callable
        The environment or how to make it.
    build : callable
        Makes a model of a transition table.
    **kwargs
        Arguments that are passed to ``gymnasium.make`` or to the callable.

    Raises
    ------
    UnsupportedEnvironment
        If it has none, or `step` does something else.
    """
    given = isinstance(env_like, gymnasium.Env)
    if given and kwargs:
        raise ConfigError(f"an environment that exists takes no arguments; got {', '.join(kwargs)}")
    env = env_like if given else make_env(env_like, **kwargs)
    try:
        if isinstance(env, gymnasium.vector.VectorEnv):
            refuse_vector()
        model = build(read_table(env))
        against = change_by_wrappers(env)
        if against is None:
            agrees, why = _agreement(env, model, _encoder_of(env), given=given, masks=False)
            against = None if agrees else why
    finally:
        if not given:
            env.close()
    if against is not None:
        raise UnsupportedEnvironment(
            f"P of {model.name} cannot be taken for what playing it gives: {against}; QLearner steps such an "
            "environment, and MDP.from_outcomes takes a model of your own"
        )
    return model


def _fastest(
    env: gymnasium.Env[Any, Any], build: Build, *, given: bool, masks: bool | str, instead: str
) -> Opened | str:
    """Return the fastest way to step an environment that is what its `step` does, or why there is none but that."""
    base: Any = env.unwrapped
    compiled = isinstance(base, CompiledEnv)
    if masks is True and not (compiled and base.masked):
        return "masks=True is for infos and observations, which only step gives"
    against = change_by_wrappers(env)
    if against is not None:
        return against
    if compiled and not is_compiled(base):
        return f"{type(base).__name__} has a step, reset or space of its own in Python"
    why = f"{instead} learnt by stepping, and {type(base).__name__} has its step in Python"
    if not instead and (not compiled or (base.n_states or 0) <= _LISTED):
        found = _modelled(env, build, given=given, masks=masks)
        if isinstance(found, Opened):
            return found  # faster still, and how far from optimal a table is is then known
        why = found
    if compiled:
        source = CompiledEnvironment(env, masks=masks is not False)
        source.encoder = _encoder_of(env)
        return Opened(source, source.encoder, "its step and reset are compiled functions")
    return why


def _modelled(env: gymnasium.Env[Any, Any], build: Build, *, given: bool, masks: bool | str) -> Opened | str:
    """Return the model of an environment where that is what its `step` does; else why it is not taken."""
    try:
        model, encoder = build(read_table(env)), _encoder_of(env)
    except ModelError as error:
        return f"its P is no model: {error}"
    except CdqError as error:
        text, name = str(error), name_of(env)
        return f"it{text.removeprefix(name)}" if text.startswith(f"{name} has") else text
    agrees, why = _agreement(env, model, encoder, given=given, masks=masks == "auto")
    return Opened(model, encoder, why) if agrees else why


def _agreement(
    env: gymnasium.Env[Any, Any], model: Model, encoder: Encoder, *, given: bool, masks: bool
) -> tuple[bool, str]:
    """Return whether a model is what `step` does, and how that is known."""
    misfit = _misfit(env, model, encoder)
    if misfit is not None:
        return False, misfit
    known, why = known_of(env.unwrapped)
    if known is not None:
        return known, why
    base = env.unwrapped
    copied = true_copy_of(base) if given else base
    if not given:
        silence(env)
    found = play(base if copied is None else copied, model, encoder, masks=masks and not has_advice(base))
    if given:
        with contextlib.suppress(Exception):  # what it raises was found
            env.reset()
    return found


def _misfit(env: gymnasium.Env[Any, Any], model: Model, encoder: Encoder) -> str | None:
    """Return in words why a model's states and actions cannot be those of an environment; None if they may be."""
    n_states = encoder.n_states if encoder.countable and not encoder.masked else None
    if (n_states, encoder.n_actions) == (model.n_states, model.n_actions):
        return None
    return (
        f"P has {model.n_states:,} states and {model.n_actions:,} actions, which do not number what is in "
        f"{env.observation_space} and {env.action_space}"
    )


def _asked_for(env: gymnasium.Env[Any, Any], build: Build) -> Opened:
    """Return the model of an environment, whatever its `step` does."""
    found = Opened(build(read_table(env)), _encoder_of(env), "stepping='model' says so")
    misfit = _misfit(env, cast(Model, found.origin), found.encoder)
    if misfit is not None:
        raise UnsupportedEnvironment(misfit)
    return found


def _as_vector(envs: Any, stepping: str, masks: bool | str, bins: Any) -> Opened:
    if stepping == "model":
        refuse_vector()
    source = VectorEnvironment(envs, masks=masks)
    refuse_bins(source.encoder, bins)
    return Opened(source, source.encoder, "it is one call of step for all lanes")


def _encoder_of(env: gymnasium.Env[Any, Any]) -> Encoder:
    blocks = getattr(env.unwrapped, "blocks", None) if isinstance(env.unwrapped, CompiledEnv) else None
    if blocks is not None:
        return cast(Encoder, PartsEncoder(blocks))
    return Encoder(env.observation_space, env.action_space)


def _require_plain(instead: str, masks: bool | str) -> None:
    if instead or masks is True:
        raise ConfigError(
            "stepping='model' learns a table of the model's states: leave out features, network, bins, table and masks"
        )


def _with_notice(env: gymnasium.Env[Any, Any], found: Opened) -> Opened:
    """Return *found*, which does not step *env*, with a notice of the effects that its user will miss."""
    if not records_episodes(env):
        return found
    notice = "its RecordEpisodeStatistics sees none of the steps; stepping='python' fills it"
    _log.warning("%s is not stepped itself: %s", found.origin.name, notice)
    return found._replace(why=f"{found.why}; {notice}")


def _look(env: gymnasium.Env[Any, Any], found: Opened, build: Build) -> tuple[object, ...]:
    """Return the facts on which the choice of the way depends, as far as they can be read in a moment."""
    base: Any = env.unwrapped
    methods = (vars(base).get(name) for name in ("step", "reset"))
    spaces = str(env.observation_space), str(env.action_space)
    seen = (change_by_wrappers(env), known_of(base), time_limit_of(env), *methods, *spaces)
    if isinstance(base, CompiledEnv):
        return (*seen, is_compiled(base), base.time_limit)
    if getattr(found.origin, "n_pairs", 0) > _LOOKED_AT:
        return (*seen, id(base.P))
    try:
        return (*seen, build(read_table(env)).fingerprint())
    except CdqError as error:
        return (*seen, str(error))


def reward_threshold(name: str) -> float | None:
    """Return the mean return from which on an environment counts as solved, where Gymnasium knows of one."""
    spec = gymnasium.registry.get(name)
    return None if spec is None else spec.reward_threshold
