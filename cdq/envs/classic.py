"""Gymnasium's classic control, compiled: the same dynamics, rewards, ends and starts."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium
import numpy as np

from cdq.core.envs.envs import FUNCTIONS
from cdq.envs.compiled import CompiledEnv
from cdq.envs.drawing import checked_mode
from cdq.envs.pristine import is_pristine

# Gymnasium's id, made without arguments -> the compiled environment that is the same, with the same time limit.
TWINS = {
    "MountainCar-v0": "cdq/MountainCar-v0",
    "CartPole-v1": "cdq/CartPole-v0",
    "Acrobot-v1": "cdq/Acrobot-v0",
}


def twin_of(env_like: Any) -> str | None:
    """Return the id of the compiled environment that is the same as one of Gymnasium's ids; None without one.

    An id that was registered again, or whose class was changed, is another environment.

    Examples
    --------
    >>> twin_of("CartPole-v1")
    'cdq/CartPole-v0'
    """
    twin = TWINS.get(env_like) if isinstance(env_like, str) else None
    spec = gymnasium.registry.get(env_like) if twin is not None else None
    if twin is None or spec is None or spec.kwargs or spec.additional_wrappers:
        return None
    entry, limit = spec.entry_point, gymnasium.registry[twin].max_episode_steps
    if (
        not isinstance(entry, str)
        or not entry.startswith("gymnasium.envs.")
        or spec.max_episode_steps != limit
    ):
        return None
    module, _, name = entry.partition(":")
    importlib.import_module(module)
    own = name == f"{env_like.partition('-')[0]}Env"
    return twin if own and is_pristine(module) else None


def _box(*high: float, low: tuple[float, ...] | None = None) -> gymnasium.spaces.Box:
    most = np.array(high, np.float32)
    return gymnasium.spaces.Box(-most if low is None else np.array(low, np.float32), most, dtype=np.float32)


class MountainCar(CompiledEnv):
    """Gymnasium's MountainCar-v0: a car too weak to climb a hill without a run-up."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        space = _box(0.6, 0.07, low=(-1.2, -0.07))
        super().__init__(
            *FUNCTIONS["car"], n_actions=3, observation_space=space, uniforms=0, name="MountainCar"
        )


class CartPole(CompiledEnv):
    """Gymnasium's CartPole-v1: a pole to balance on a cart."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        space = _box(4.8, np.inf, 24 * 2 * np.pi / 360, np.inf)
        super().__init__(
            *FUNCTIONS["pole"], n_actions=2, observation_space=space, uniforms=0, name="CartPole"
        )


class Acrobot(CompiledEnv):
    """Gymnasium's Acrobot-v1: two links to swing up by the joint between them."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        space = _box(1.0, 1.0, 1.0, 1.0, 4 * np.pi, 9 * np.pi)
        super().__init__(
            *FUNCTIONS["acrobot"], n_actions=3, observation_space=space, uniforms=0, name="Acrobot"
        )
