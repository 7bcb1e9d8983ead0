"""Speed of update rules on a model with a table, in turn in one process, in CPU time of the thread that learns.

Run: python -m tests.benchmarks.rules [--env FrozenLake8x8-v1 ...] [--lanes 64] [--repeats 9]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

from cdq.mdp.model import MDP
from cdq.qfunctions.merged import MergedTable
from cdq.rules import RULES
from cdq.schedules import RescaledLinear, build_law
from tests.benchmarks.tables import begin, row, spread
from tests.strategies import make_worker


def loop(model: MDP, rule: str, dtype: str, lanes: int, steps: int) -> Callable[[], float]:
    """Return a function that learns for a while and returns its steps per second."""
    merged = MergedTable(model.n_states, model.n_actions, dtype, 0.0, RULES[rule])
    worker = make_worker(model, dtype, merged=merged, num_envs=lanes, gamma=0.99)
    law = build_law(RescaledLinear(0.99), 0, 0.3, dtype)

    def run() -> float:
        begun = time.thread_time()
        worker.run(law, steps // lanes, 0.1, 0.1)
        return steps / (time.thread_time() - begun)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", nargs="*", default=("FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4"))
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--steps", type=float, default=4e6)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    begin(
        f"Update rules, {arguments.lanes} lanes",
        *("model, type, rule", "million steps/s", "part of Q-learning's", "goal"),
    )
    for env in arguments.env:
        model = MDP.from_gymnasium(env)
        for dtype in ("float64", "float32"):
            loops = {rule: loop(model, rule, dtype, arguments.lanes, int(arguments.steps)) for rule in RULES}
            show(f"{env}, {dtype}", loops, arguments.repeats)


def show(name: str, loops: Mapping[str, Callable[[], float]], repeats: int) -> None:
    """Print a row for each rule, all of which take turns."""
    speeds: dict[str, list[float]] = {rule: [] for rule in loops}
    for _ in range(repeats):
        for rule, run in loops.items():
            speeds[rule].append(run())
    for rule, measured in speeds.items():
        ratios = [one / first for one, first in zip(measured, speeds["q-learning"], strict=True)]
        goal = None if rule == "q-learning" else 0.6
        millions = spread((speed / 1e6 for speed in measured), ".1f")
        row(f"{name}, {rule}", millions, spread(ratios, goal=goal), f"{goal or ''}")


if __name__ == "__main__":
    main()
