"""Speed of update rules on a model with a table, in turn in one process, in CPU time of the thread that learns.

Run: python -m tests.benchmarks.rules [--env FrozenLake8x8-v1] [--lanes 64] [--repeats 9]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

from cdq.mdp.model import MDP
from cdq.qfunctions.merged import MergedTable
from cdq.rules import RULES
from cdq.schedules import RescaledLinear, build_law
from tests.strategies import make_worker

STEPS = 4_000_000


def loop(model: MDP, rule: str, dtype: str, lanes: int) -> Callable[[], float]:
    """Return a function that learns for a while and returns its steps per second."""
    merged = MergedTable(model.n_states, model.n_actions, dtype, 0.0, RULES[rule])
    worker = make_worker(model, dtype, merged=merged, num_envs=lanes, gamma=0.99)
    law = build_law(RescaledLinear(0.99), 0, 0.3, dtype)

    def run() -> float:
        begun = time.thread_time()
        worker.run(law, STEPS // lanes, 0.1, 0.1)
        return STEPS / (time.thread_time() - begun)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="FrozenLake8x8-v1")
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    model = MDP.from_gymnasium(arguments.env)
    for dtype in ("float64", "float32"):
        loops = {rule: loop(model, rule, dtype, arguments.lanes) for rule in RULES}
        speeds: dict[str, list[float]] = {rule: [] for rule in RULES}
        for _ in range(arguments.repeats):
            for rule, run in loops.items():
                speeds[rule].append(run())
        for rule, measured in speeds.items():
            ratios = [one / first for one, first in zip(measured, speeds["q-learning"], strict=True)]
            print(
                f"{arguments.env}, {dtype}, {rule}: {median(measured) / 1e6:.1f} M steps/s, {median(ratios):.2f}"
            )


if __name__ == "__main__":
    main()
