"""Speed of several tasks on a model with a table, in turn with one task, in CPU time of the thread that learns.

Run: python -m tests.benchmarks.tasks [--tasks 16] [--states 64] [--lanes 64] [--repeats 9]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import cdq
from cdq.qfunctions import MergedTable
from cdq.schedules import RescaledLinear, build_law
from cdq.training import ModelTask, WideTask
from tests.benchmarks.tables import begin, row, spread
from tests.strategies import make_worker


def loop(model: cdq.MDP, tasks: Any, dtype: str, lanes: int, steps: int) -> Callable[[], float]:
    """Return a function that learns for a while and returns its steps per second."""
    alone = ModelTask(model, dtype)
    task = alone if tasks is None else WideTask(alone, tasks, dtype, str)
    merged = MergedTable(model.n_states, task.columns, dtype, 0.0)
    worker = make_worker(model, dtype, problem=task, merged=merged, num_envs=lanes, gamma=0.9)
    law = build_law(RescaledLinear(0.9), 0, 0.3, dtype)

    def run() -> float:
        begun = time.thread_time()
        worker.run(law, steps // lanes, 0.1, 0.1)
        return steps / (time.thread_time() - begun)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--states", type=int, default=64)
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--steps", type=float, default=2e6)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    n, random = arguments.tasks, np.random.default_rng(0)
    model = cdq.MDP.garnet(arguments.states, 4, branching=4, seed=0)
    paid, features = random.random((model.n_outcomes, n)), random.random((model.n_outcomes, 4))
    kinds = {
        "one task": None,
        f"{n} goals": cdq.Goals(range(n)),
        f"{n} rewards": cdq.Rewards([str(i) for i in range(n)], lambda *_: paid),
        f"{n} weights of 4 features": cdq.Weights(random.random((n, 4)), lambda *_: features),
    }
    begin(
        f"Tasks on a model of {arguments.states} states and 4 actions, {arguments.lanes} lanes",
        *("type, tasks", "million steps/s", "part of one task's", "goal"),
    )
    for dtype in ("float64", "float32"):
        loops = {
            name: loop(model, tasks, dtype, arguments.lanes, int(arguments.steps))
            for name, tasks in kinds.items()
        }
        speeds: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(arguments.repeats):
            for name, run in loops.items():
                speeds[name].append(run())
        for name, measured in speeds.items():
            ratios = [one / first for one, first in zip(measured, speeds["one task"], strict=True)]
            goal = 0.25 if name in {f"{n} goals", f"{n} rewards"} else None
            millions = spread((speed / 1e6 for speed in measured), ".1f")
            row(f"{dtype}, {name}", millions, spread(ratios, goal=goal), f"{goal or ''}")


if __name__ == "__main__":
    main()
