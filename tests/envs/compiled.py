"""Compiled environments for the tests: shipped ones with finitely many states, and some of Python behind a pointer."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from cdq.core.loops.stepping import LANE_BYTES
from cdq.envs import CompiledEnv, lane_dtype
from cdq.envs.finite import DeepSea, Garnet, RiverSwim
from cdq.envs.games import Nim, TicTacToe
from cdq.envs.grids import GridWorld

FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

FINITE: dict[str, Callable[[], Any]] = {
    "grid": lambda: GridWorld((4, 5), walls=0.2, seed=3, slip=0.3),
    "grid without slip": lambda: GridWorld((3, 3), start=(0, 0)),
    "map": lambda: GridWorld(walls=["S.#G", "....", "G#.."], slip=0.1, step_reward=-0.5, goal_reward=2.0),
    "garnet": lambda: Garnet(7, 3, branching=2, seed=1),
    "river": lambda: RiverSwim(5),
    "sea": lambda: DeepSea(4, seed=1),
    "sea without seed": lambda: DeepSea(3, seed=None),
}


GAMES: dict[str, Callable[[], Any]] = {"tic-tac-toe": TicTacToe, "nim": lambda: Nim((2, 3))}


def function(body: Callable[[Any], None]) -> Any:
    """Return a C function that calls *body* on the lane as a record."""

    def called(pointer: int) -> None:
        memory = (ctypes.c_ubyte * LANE_BYTES).from_address(pointer)
        body(np.frombuffer(memory, lane_dtype())[0:1].view(np.recarray)[0])

    return FUNCTION(called)


def scripted(
    step: Callable[[Any], None], reset: Callable[[Any], None] | None = None, **arguments: Any
) -> CompiledEnv:
    """Return an environment of Python functions; by default it starts in state 0, and has 4 states and 2 actions."""

    def begin(lane: Any) -> None:
        lane["index"] = lane["integer"][0] = 0
        lane["observation"][:] = 0.0

    if "observation_space" not in arguments:
        arguments.setdefault("n_states", 4)
    return CompiledEnv(function(step), function(reset or begin), **{"n_actions": 2, **arguments})
