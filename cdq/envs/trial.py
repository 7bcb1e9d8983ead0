"""Trials: steps played in an environment, to be compared with those of one made from the same in another process."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from cdq.envs.by_value import pack, unpack
from cdq.envs.sending import PLAIN, exists
from cdq.envs.toy_text import make_env
from cdq.errors import ConfigError

# A trial ends after so many steps or seconds, whichever is first.
_STEPS, _SECONDS = 200, 0.1
_RECORDERS = (
    gymnasium.wrappers.RecordEpisodeStatistics,
    gymnasium.wrappers.RecordVideo,
    gymnasium.wrappers.vector.RecordEpisodeStatistics,
)


class Played(NamedTuple):
    """A step of a trial.

    Parameters
    ----------
    digest : str
        Hash of everything that the environment returned.
    reward : str
        The reward in words.
    """

    digest: str
    reward: str


def trial(env_like: Any) -> list[Played]:
    """Play what *env_like* makes for a moment, and return as many steps as come out the same a second time."""
    data = pack(env_like)
    first = play(data, _STEPS, _SECONDS)
    return _common(first, play(data, len(first), np.inf))


def trial_of(env: Any) -> list[Played]:
    """Play an environment itself for a moment, which leaves it anywhere; return what comes out the same twice."""
    with _silent(env):
        first = list(_played(env, _STEPS, _SECONDS))
        return _common(first, list(_played(env, len(first), np.inf)))


def play_alike(env: Any, twin: Any) -> bool:
    """Return whether a copy plays as the original does, and neither moves the other: both are played in turn.

    What comes out otherwise when the original alone is played twice can tell nothing.
    """
    expected = trial_of(env)
    with _silent(env):
        turns = zip(_played(env, len(expected), np.inf), _played(twin, len(expected), np.inf), strict=False)
        return list(turns) == [(step, step) for step in expected]


def require_alike(env_like: Any, twin: Any) -> None:
    """Raise `ConfigError` if an environment that exists has a copy that plays otherwise."""
    if exists(env_like) and not play_alike(env_like, twin):
        raise ConfigError(
            f"a copy of this {type(env_like.unwrapped).__name__} plays otherwise than it does, as one may that tells "
            "objects by identity or says how it is copied: save the learner, and load the file with an environment"
        )


def _common(first: list[Played], again: list[Played]) -> list[Played]:
    same = [one == other for one, other in zip(first, again, strict=False)]
    return first[: same.index(False) if False in same else len(same)]


def silence(env: Any) -> None:
    """Let an environment that nobody looks at show no window."""
    base: Any = env.unwrapped
    if getattr(base, "render_mode", None) == "human":
        with contextlib.suppress(AttributeError):
            base.render_mode = None


@contextlib.contextmanager
def _silent(env: Any) -> Iterator[None]:
    """Let an environment show no window for a while."""
    mode = getattr(env.unwrapped, "render_mode", None)
    silence(env)
    try:
        yield
    finally:
        if mode == "human":
            with contextlib.suppress(AttributeError):
                env.unwrapped.render_mode = mode


def require_same_play(data: bytes, expected: list[Played], where: str) -> None:
    """Raise `ConfigError` if what *data* makes here plays otherwise than *expected*."""
    played = play(data, len(expected), np.inf)
    for step, there in enumerate(expected):
        here = played[step] if step < len(played) else None
        if here != there:
            what = "another observation"
            if here is None or here.reward != there.reward:
                what = "an error" if here is None else f"a reward of {here.reward}"
                what = f"{what} in place of {there.reward}"
            raise ConfigError(
                f"{where} plays another environment than the process that started it: the same seed and actions come, "
                f"in step {step}, to {what}. A module or a class was changed after it was imported, and other "
                "processes import it as it is on the disk: make the change in the module, in a subclass, or on the "
                "environment that is given. Or an environment that exists tells objects by identity, which a copy does "
                "not have: give what makes it (an id, a class or a function)"
            )


def play(data: bytes, steps: int, seconds: float) -> list[Played]:
    """Play what packed *data* makes, with a seed and actions that are always the same; ends where it raises."""
    like = unpack(data)
    env = like if exists(like) else make_env(like)
    with contextlib.closing(env):
        return list(_played(env, steps, seconds))


def _played(env: Any, steps: int, seconds: float) -> Iterator[Played]:
    """Yield so many steps of an environment, or as many as time is; ends where it raises."""
    deadline = time.monotonic() + seconds
    alone = _alone(env)
    if steps and not isinstance(alone, gymnasium.vector.VectorEnv):
        with contextlib.suppress(Exception):
            for count, step in enumerate(_steps(alone), 1):
                yield step
                if count >= steps or time.monotonic() >= deadline:
                    break


def _alone(env: Any) -> Any:
    """Return what a trial plays: no wrapper that counts or films episodes, and the first of a vector environment."""
    while isinstance(env, _RECORDERS):
        env = env.env
    within = getattr(env.unwrapped, "envs", None) if isinstance(env, gymnasium.vector.VectorEnv) else None
    return _alone(within[0]) if within else env


def _steps(env: Any) -> Iterator[Played]:
    """Yield what an environment returns, a reset first, for ever."""
    random = np.random.default_rng(0)
    first = int(env.action_space.start)
    observation, info = env.reset(seed=0)
    yield Played(_digest([observation, {}]), "no reward")
    while True:
        allowed = np.flatnonzero(_mask_of(env, observation, info))
        answer = env.step(first + int(random.choice(allowed)))
        observation, reward, terminated, truncated, info = answer
        yield Played(_digest(answer[:4]), str(reward))
        if terminated or truncated:
            observation, info = env.reset()
            yield Played(_digest(observation), "no reward")


def _mask_of(env: Any, observation: Any, info: Any) -> Any:
    for place in (observation, info):
        if isinstance(place, dict) and "action_mask" in place:
            return np.asarray(place["action_mask"])
    return np.ones(env.action_space.n)


def _digest(thing: Any) -> str:
    return hashlib.blake2b(_text(thing).encode(), digest_size=8).hexdigest()


def _text(thing: Any) -> str:
    """Return all of plain objects as text; of others their type."""
    if isinstance(thing, np.ndarray):
        return f"{thing.dtype}{thing.tolist()}"
    if isinstance(thing, dict):
        return "".join(f"{key}:{_text(part)}," for key, part in thing.items())
    if isinstance(thing, (list, tuple)):
        return "".join(f"{_text(part)}," for part in thing)
    return repr(thing) if isinstance(thing, PLAIN) else type(thing).__name__
