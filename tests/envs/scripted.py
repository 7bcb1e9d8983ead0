"""Environments that answer what a test says, and a learner over them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from cdq import schedules
from cdq.core.lanes import Lanes
from cdq.core.table.qfunction import TableQ
from cdq.core.table.rows import Rows
from cdq.workers.worker import streams
from tests.small_tables import Table, make_table

TAXI = max(name for name in gymnasium.registry if name.startswith("Taxi-v"))
LAW = schedules.build_law(schedules.Constant(0.5), 0, 0.3, "float64")


def start(source: Any, n: int = 1, n_states: int | None = None, value: float = 0.0) -> tuple[Any, Table]:
    """Return the loop of a source, its episodes begun, and its table."""
    shape = (n_states or source.encoder.n_states, source.n_actions)
    table = make_table(np.full(shape, value), np.zeros(shape))
    lanes = Lanes(n)
    lanes.words[:] = streams(0, (0,), n)
    loop = source.loop(TableQ(table.rows, n), lanes, 0.9, list(range(n)), np.zeros(1, np.int32))
    loop.reset()
    return loop, table


def evaluate(source: Any, n: int, longest: int = 100, lanes: int = 1, seed: int = 0) -> Any:
    values = np.zeros((source.encoder.n_states, source.n_actions))
    words = streams(seed, (1,), lanes)
    return source.episodes(TableQ(Rows.of_values(values), lanes), words, n, longest, np.zeros(1, np.int32))


class Scripted(gymnasium.Env[Any, Any]):
    """Answers what the test says, from its third step on."""

    observation_space: Any = spaces.Discrete(4)
    action_space: Any = spaces.Discrete(2)

    def __init__(self, answer: Any = None, first: Any = (0, {})) -> None:
        self.answer, self.first, self.steps, self.resets, self.closed = answer, first, 0, 0, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.resets += 1
        return self.first

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps < 3:
            return 1, 0.0, False, False, {"action_mask": np.ones(2, np.int8)}
        return self.answer(self) if callable(self.answer) else self.answer

    def close(self) -> None:
        self.closed += 1


class Wide(gymnasium.Env[Any, Any]):
    """Real observations, of which the third is not a number."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return np.array([0.5, np.nan if self.steps == 3 else 0.5], np.float32), 0.0, False, False, {}


class Spy(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Counts the actions that the mask of the info forbids."""

    forbidden = 0
    mask: Any = None

    def reset(self, **arguments: Any) -> Any:
        observation, info = self.env.reset(**arguments)
        self.mask = info["action_mask"].copy()
        return observation, info

    def step(self, action: Any) -> Any:
        self.forbidden += not self.mask[action]
        answer = self.env.step(action)
        self.mask = answer[4]["action_mask"].copy()
        return answer
