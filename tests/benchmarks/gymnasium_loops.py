"""What learning adds to stepping environments of Gymnasium in Python: the loops against bare ones, in one run, in turn.

    python tests/benchmarks/gymnasium_loops.py [--repeats 9] [--json FILE]

A bare loop only steps: actions that were drawn before, and a reset where an episode ended. The learning loops explore
always, so that both make the same episodes, and hold a float32 table. Environments are made without the checker.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from cdq import schedules
from cdq.core.lanes import Lanes
from cdq.core.table.qfunction import TableQ
from cdq.core.table.rows import Rows, row_size
from cdq.envs.python import PythonEnvironment
from cdq.envs.vector import VectorEnvironment
from cdq.workers.worker import streams
from tests.benchmarks.tables import begin, row, spread

LAW = schedules.build_law(schedules.RescaledLinear(0.9), 0, 0.3, "float32")


class Nothing(gymnasium.Env[int, int]):
    """Does nothing."""

    observation_space = spaces.Discrete(16)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        """Begin."""
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Go on."""
        return 3, 0.0, False, False, {}


class Arithmetic(VectorEnv[Any, Any, Any]):
    """A vector environment that is one line of NumPy."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, n: int) -> None:
        self.num_envs = n
        self.single_action_space, self.single_observation_space = spaces.Discrete(4), spaces.Discrete(64)
        self.action_space, self.observation_space = (
            spaces.MultiDiscrete([4] * n),
            spaces.MultiDiscrete([64] * n),
        )
        self.states, self.rewards, self.flags = np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.bool_)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin."""
        return self.states, {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Go on."""
        self.states = (self.states * 5 + actions) % 64
        return self.states, self.rewards, self.flags, self.flags, {}


class Case(NamedTuple):
    """An environment, how many calls to `step` a run makes, and how many steps each is."""

    make: Callable[[], Any]
    calls: int
    lanes: int = 1


def lake() -> Any:
    """Return the environment of most of the figures."""
    return gymnasium.make("FrozenLake8x8-v1", disable_env_checker=True)


def sixty_four(mode: AutoresetMode) -> Callable[[], Any]:
    """Return what makes the vector environment."""
    return lambda: SyncVectorEnv([lake] * 64, autoreset_mode=mode)


CASES = {
    "does nothing": Case(Nothing, 1_000_000),
    "FrozenLake8x8-v1": Case(lake, 60_000),
    "Blackjack-v1": Case(lambda: gymnasium.make("Blackjack-v1", disable_env_checker=True), 40_000),
    "64 x FrozenLake8x8-v1, next step": Case(sixty_four(AutoresetMode.NEXT_STEP), 800, 64),
    "64 x FrozenLake8x8-v1, same step": Case(sixty_four(AutoresetMode.SAME_STEP), 800, 64),
    "64 x one line of NumPy": Case(lambda: Arithmetic(64), 50_000, 64),
}


def bare(case: Case) -> Callable[[], float]:
    """Return a function that only steps, and returns the seconds per step."""
    env = case.make()
    env.reset(seed=0)
    single = case.lanes == 1
    n_actions = int((env.action_space if single else env.single_action_space).n)
    drawn = np.random.default_rng(0).integers(0, n_actions, (case.calls, case.lanes))
    actions = drawn[:, 0].tolist() if single else list(drawn)

    def run_one() -> float:
        step, reset = env.step, env.reset
        started = time.perf_counter()
        for action in actions:
            _, _, terminated, truncated, _ = step(action)
            if terminated or truncated:
                reset()
        return time.perf_counter() - started

    def run_vector() -> float:
        step = env.step
        started = time.perf_counter()
        for action in actions:
            step(action)
        return time.perf_counter() - started

    return lambda: (run_one if single else run_vector)() / case.calls / case.lanes


def learning(case: Case) -> Callable[[], float]:
    """Return a function that learns, and returns the seconds per step."""
    n = case.lanes
    source: Any = PythonEnvironment(case.make) if n == 1 else VectorEnvironment(case.make)
    n_rows, n_actions = source.encoder.n_states, source.n_actions
    data = np.zeros((n_rows, row_size(n_actions, 4)), np.uint8)
    n_pairs = n_rows * n_actions
    rows = Rows(
        data, np.zeros(n_pairs + 1, "u4"), np.zeros(n_pairs, np.float32), np.zeros(n_pairs, "u4"), n_actions
    )
    lanes = Lanes(n)
    lanes.words[:] = streams(0, (0,), n)
    loop = source.loop(TableQ(rows, n), lanes, 0.99, list(range(n)), np.zeros(1, np.int32))
    loop.reset()

    def run() -> float:
        started = time.perf_counter()
        loop.run(LAW, case.calls, 1.0, 1.0)
        return (time.perf_counter() - started) / case.calls / n

    return run


def measure(case: Case, repeats: int) -> dict[str, list[float]]:
    """Run both loops in turn; return nanoseconds per step, and what learning adds, pair by pair."""
    loops = bare(case), learning(case)
    for loop in loops:
        loop()
    pairs = [(loops[0](), loops[1]()) for _ in range(repeats)]
    return {
        "bare": [1e9 * a for a, _ in pairs],
        "learning": [1e9 * b for _, b in pairs],
        "added": [1e9 * (b - a) for a, b in pairs],
        "ratio": [a / b for a, b in pairs],
    }


def main() -> None:
    """Print medians and spreads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = {name: measure(case, options.repeats) for name, case in CASES.items()}
    begin(
        "Environments stepped in Python beside a loop that only steps them",
        *("environment", "bare, ns", "learning, ns", "added, ns", "part of the bare loop's"),
    )
    for name, rows in figures.items():
        *times, ratio = rows.values()
        row(name, *(spread(each, ".0f") for each in times), spread(ratio))
    if options.json:
        options.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
