"""An environment of a module, whose constants, functions and classes tests change after it was imported."""

from __future__ import annotations

import threading
from typing import Any

import gymnasium

PRICE = 1.0


def price() -> float:
    return PRICE


class Shop(gymnasium.Env[int, int]):
    """Pays in the last of three steps."""

    observation_space = gymnasium.spaces.Discrete(4)
    action_space = gymnasium.spaces.Discrete(2)
    factor = 1.0

    def __init__(self, bonus: float = 0.0) -> None:
        self.n, self.bonus = 0, bonus

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, Any]:
        super().reset(seed=seed)
        self.n = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.n += 1
        reward = self.factor * price() + self.bonus if self.n == 3 else 0.0
        return self.n % 4, reward, self.n == 3, False, {}


class Remade(Shop, gymnasium.utils.EzPickle):
    """Pickles as what it was made with."""

    def __init__(self, bonus: float = 0.0) -> None:
        gymnasium.utils.EzPickle.__init__(self, bonus)
        super().__init__(bonus)


class Held(Shop):
    """Holds what cannot be sent."""

    def __init__(self, bonus: float = 0.0) -> None:
        super().__init__(bonus)
        self.lock = threading.Lock()


class Windowed(Shop):
    """Counts how often a window would be shown."""

    metadata = {"render_modes": ["human"], "render_fps": 4}  # noqa: RUF012 - Gymnasium's

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode, self.shown = render_mode, 0

    def render(self) -> None:
        """Show it."""

    def step(self, action: int) -> Any:
        self.shown += self.render_mode == "human"
        return super().step(action)


gymnasium.register("Windowed-v0", entry_point="tests.envs.changed:Windowed")
gymnasium.register("Shop-v0", entry_point="tests.envs.changed:Shop")
gymnasium.register("Held-v0", entry_point="tests.envs.changed:Held")
