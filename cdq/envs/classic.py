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
from cdq.errors import ConfigError
from cdq.errors.checks import real

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


def _above_0(name: str, value: float) -> float:
    number = real(name, value, "a finite number above 0", 0.0)
    if number == 0:
        raise ConfigError(f"{name} is 0; allowed: a finite number above 0")
    return number


class MountainCar(CompiledEnv):
    """Gymnasium's MountainCar-v0: a car too weak to climb a hill without a run-up."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        space = _box(0.6, 0.07, low=(-1.2, -0.07))
        super().__init__(
            *FUNCTIONS["car"], n_actions=3, observation_space=space, uniforms=0, name="MountainCar"
        )


class CartPole(CompiledEnv):
    """Gymnasium's CartPole-v1: a pole to balance on a cart.

    Parameters
    ----------
    masspole : float
        Mass of the pole, in kg; that of the cart is 1.
    length : float
        Half of the pole's length, in m.
    render_mode : str, optional
        The same as for Gymnasium's.

    Raises
    ------
    ConfigError
        If *masspole* or *length* is not a number above 0.

    Examples
    --------
    >>> import gymnasium
    >>> long = gymnasium.make("cdq/CartPole-v0", length=1.0)
    """

    def __init__(self, masspole: float = 0.1, length: float = 0.5, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        pole = np.array([_above_0("masspole", masspole), _above_0("length", length)])
        usual = pole.tolist() == [
            0.1,
            0.5,
        ]  # without a context, as tables of before there were others have it
        space = _box(4.8, np.inf, 24 * 2 * np.pi / 360, np.inf)
        super().__init__(
            *FUNCTIONS["pole"],
            n_actions=2,
            observation_space=space,
            context=None if usual else pole,
            uniforms=0,
            name="CartPole",
        )


class Acrobot(CompiledEnv):
    """Gymnasium's Acrobot-v1: two links to swing up by the joint between them."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        space = _box(1.0, 1.0, 1.0, 1.0, 4 * np.pi, 9 * np.pi)
        super().__init__(
            *FUNCTIONS["acrobot"], n_actions=3, observation_space=space, uniforms=0, name="Acrobot"
        )
