"""From what a user names to where transitions come from, by the fastest way there is."""

from __future__ import annotations

from typing import Any

import gymnasium

from cdq.envs.classic import TWINS
from cdq.envs.compiled import CompiledEnv, CompiledSource
from cdq.envs.python import PythonSource
from cdq.envs.spaces import Encoder
from cdq.envs.toy_text import TransitionTable, make_env, read_table
from cdq.envs.vector import VectorSource
from cdq.source import Source

# States of a compiled environment up to which its model is listed, which takes 50 microseconds for each.
_LISTED = 2000

# Wrappers that change neither observations nor rewards: what is within them is what is learnt.
_TRANSPARENT = (
    gymnasium.wrappers.OrderEnforcing,
    gymnasium.wrappers.PassiveEnvChecker,
    gymnasium.wrappers.RecordEpisodeStatistics,
    gymnasium.wrappers.TimeLimit,
)


def open_environment(
    env_like: Any, num_envs: int, *, stepping: str, masks: bool | str, bins: Any, plain: bool
) -> TransitionTable | tuple[Source, Encoder]:
    """Return the model of an environment, or how it is stepped and what its observations are.

    Parameters
    ----------
    env_like : str, EnvSpec, Env, VectorEnv or callable
        The environment or how to make it.
    num_envs : int
        How many to make where each is stepped by itself.
    stepping : {"auto", "python"}
        "python": by its own `step`.
    masks : {"auto", True, False}
        Whether masks are heeded.
    bins : int, sequence of int or None
        How Gymnasium's wrapper is to discretise observations.
    plain : bool
        Whether a table of the states of a model is what is asked for.

    Raises
    ------
    UnsupportedEnvironment, ConfigError
        If it cannot be made or learnt.
    """
    given = isinstance(env_like, (gymnasium.Env, gymnasium.vector.VectorEnv))
    env = env_like if given else make_env(_twin(env_like) if stepping == "auto" else env_like)
    if isinstance(env, gymnasium.vector.VectorEnv):
        if not given:
            env.close()
        vector = VectorSource(env if given else env_like, masks=masks)
        return vector, vector.encoder
    found = (
        _compiled(env, plain) if stepping == "auto" and masks is not True and _is_transparent(env) else None
    )
    if not given and not isinstance(found, tuple):
        env.close()
    if found is not None:
        return found
    source = PythonSource(env_like, num_envs, masks=masks, bins=bins)
    return source, source.encoder


def _compiled(env: gymnasium.Env[Any, Any], plain: bool) -> TransitionTable | tuple[Source, Encoder] | None:
    base = env.unwrapped
    listed = not isinstance(base, CompiledEnv) or (base.n_states or 0) <= _LISTED
    if plain and listed and getattr(base, "P", None) is not None:
        return read_table(env)  # faster still, and how far from optimal a table is is then known
    if isinstance(base, CompiledEnv):
        return CompiledSource(env), Encoder(env.observation_space, env.action_space)
    return None


def _twin(env_like: Any) -> Any:
    """Return the id of the same environment as the package ships it compiled, where it does."""
    return TWINS.get(env_like, env_like) if isinstance(env_like, str) else env_like


def _is_transparent(env: gymnasium.Env[Any, Any]) -> bool:
    while isinstance(env, gymnasium.Wrapper):
        if not isinstance(env, _TRANSPARENT):
            return False
        env = env.env
    return True


def reward_threshold(name: str) -> float | None:
    """Return the mean return from which on an environment counts as solved, where Gymnasium knows of one."""
    spec = gymnasium.registry.get(name)
    return None if spec is None else spec.reward_threshold
