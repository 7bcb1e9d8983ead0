"""Gymnasium's side: everything that imports gymnasium lives here; importing it registers the shipped environments."""

from __future__ import annotations

from typing import Any

import gymnasium

from cdq.envs.compiled import CompiledEnv as CompiledEnv
from cdq.envs.lane import lane_dtype as lane_dtype
from cdq.errors.lazy import submodule

# Name -> module, time limit and reward threshold; those of classic control are Gymnasium's.
_SHIPPED: dict[str, tuple[str, int | None, float | None]] = {
    "GridWorld": ("grids", 1000, None),
    "Garnet": ("finite", 1000, None),
    "RiverSwim": ("finite", 1000, None),
    "DeepSea": ("finite", None, None),
    "MountainCar": ("classic", 200, -110.0),
    "CartPole": ("classic", 500, 475.0),
    "Acrobot": ("classic", 500, -100.0),
    "TicTacToe": ("games", None, None),
    "Nim": ("games", None, None),
    "ConnectFour": ("games", None, None),
}

for _name, (_module, _limit, _threshold) in _SHIPPED.items():
    gymnasium.register(
        f"cdq/{_name}-v0",
        entry_point=f"cdq.envs.{_module}:{_name}",
        max_episode_steps=_limit,
        reward_threshold=_threshold,
    )


def __getattr__(name: str) -> Any:
    return submodule("cdq.envs", name)
