"""Networks beside tile coding, and shared by several workers: returns, steps and seconds of the processor, by seed.

Run it from the checkout: ``python -m tests.benchmarks.networks`` (some minutes). Prints Markdown. ``--two-threads``
says instead how much two threads do in the time of one, with wide layers; it wants an idle machine.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

import cdq
from cdq.envs.defaults import RECOMMENDED

SEEDS = range(1, 6)
GOALS = {"CartPole": 475.0, "Acrobot": -100.0, "MountainCar": -110.0}
WIDE = cdq.Network((256, 256), minibatch=1024)


class First(cdq.Callback):
    """Steps at the first greedy mean of 100 episodes that reaches a goal."""

    def __init__(self, goal: float) -> None:
        self.goal, self.steps = goal, 0

    def on_round(self, run: cdq.RunView) -> None:
        if not self.steps and run.evaluate(100, seed=7).mean_return >= self.goal:
            self.steps = run.steps


def measure(name: str, steps: int, **arguments: Any) -> str:
    """Return a row: the returns of all seeds after the last step, and the least and greatest time."""
    returns, seconds = [], []
    for seed in SEEDS:
        start = time.process_time()
        agent = cdq.QLearner(f"cdq/{name}-v0", seed=seed, **arguments).learn(steps, verbose=0)
        seconds.append(time.process_time() - start)
        returns.append(agent.evaluate(100, seed=8).mean_return)
    told = ", ".join(f"{value:.1f}" for value in returns)
    return f"{told} | {min(seconds):.2f} to {max(seconds):.2f} | {steps:,}"


def first_steps(name: str, workers: int, merge: str) -> str:
    """Return a row: the steps of each worker until the goal is reached first; the median, least and greatest."""
    found, last = [], []
    for seed in SEEDS:
        first = First(GOALS[name])
        settings: dict[str, Any] = {
            "network": cdq.Network(),
            "workers": workers,
            "merge": merge,
            "seed": seed,
        }
        agent = cdq.QLearner(f"cdq/{name}-v0", **settings).learn(300_000, callbacks=[first], verbose=0)
        found += [first.steps // workers] * (first.steps > 0)
        last.append(agent.evaluate(100, seed=8).mean_return)
    told = ", ".join(f"{value:.1f}" for value in last)
    spread = f"{min(found):,} to {max(found):,}" if found else "never"
    return f"{median(found) if found else 0:,.0f} ({spread}) | {len(found)} of {len(SEEDS)} | {told}"


def two_threads() -> None:
    """Print steps a second of one and of two workers, in turn."""
    for workers in (1, 2) * 3:
        agent = cdq.QLearner("CartPole-v1", network=WIDE, workers=workers, seed=0).learn(4096, verbose=0)
        start = time.perf_counter()
        agent.learn(40_960, verbose=0)
        print(f"{workers}: {40_960 / (time.perf_counter() - start):,.0f} steps/s", flush=True)


def main() -> None:
    print("| environment | Q-function | mean return of 100 episodes, seeds 1 to 5 | seconds | steps |")
    print("|---|---|---|---|---|")
    for name in GOALS:
        known = RECOMMENDED[name]
        print(f"| {name} | tiles | {measure(name, known.steps, **known.arguments)} |", flush=True)
        print(f"| {name} | network | {measure(name, 300_000, network=cdq.Network())} |", flush=True)
    print(
        "\n| environment | merge | workers | steps of each | reached by | at the end |\n|---|---|---|---|---|---|"
    )
    for name, merge, workers in [
        *(("CartPole", "gradient", workers) for workers in (1, 2, 4, 8)),
        *(("CartPole", "mean", workers) for workers in (2, 4, 8)),
        *(("Acrobot", "gradient", workers) for workers in (1, 2, 4)),
    ]:
        print(f"| {name} | {merge} | {workers} | {first_steps(name, workers, merge)} |", flush=True)


if __name__ == "__main__":
    two_threads() if "--two-threads" in sys.argv else main()
