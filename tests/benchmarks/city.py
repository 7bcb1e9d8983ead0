"""How fast traffic signals are learnt, compiled: 3 x 3 crossings, 64 lanes' worth of copies, and two workers.

Run: python -m tests.benchmarks.city. Figures are medians of rounds, in million decisions of a signal per second of CPU
time, with the least and the greatest; ratios are formed within a round. A busy machine slows what two workers do
together, but hardly the CPU time that they take: twice the ratio of CPU times is what they come to where both cores are
theirs and neither waits.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import cdq
from tests.benchmarks.tables import begin, row, spread

WINDOW = 20_000  # a window is some 320 decisions of each signal


def seconds(agent: Any, workers: int, steps: int) -> tuple[float, float]:
    """Return how long each worker's steps take, and the CPU time of all workers."""
    began, cpu = time.perf_counter(), time.process_time()
    agent.learn(steps * workers, verbose=0)
    return time.perf_counter() - began, time.process_time() - cpu


def measure(groups: str, sync_every: Any, steps: int, repeats: int) -> None:
    """Print the speed of one worker and of two, in turns."""
    given: dict[str, Any] = {
        "num_envs": 7,
        "gamma": 0.9,
        "seed": 0,
        "groups": groups,
        "sync_every": sync_every,
    }
    agents = [cdq.QLearner(cdq.Signals(), workers=workers, **given) for workers in (1, 2)]
    rounds = [[seconds(agent, k, steps) for k, agent in enumerate(agents, 1)] for _ in range(repeats + 1)][1:]
    row(
        f"{'one table' if groups == 'shared' else 'a table each'}, `sync_every={sync_every!r}`",
        spread((steps / 1e6 / one[1] for one, _ in rounds), ".1f", goal=15),
        spread(2 * one[0] / two[0] for one, two in rounds),
        spread(4 * one[1] / two[1] for one, two in rounds),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=float, default=1e7)
    given = parser.parse_args()
    begin(
        "Signals, 3 x 3, 7 cities",
        *(
            "tables, windows",
            "million decisions/s of CPU time",
            "two workers against one",
            "against one by CPU time",
        ),
    )
    for groups in ("shared", "own"):
        for sync_every in (WINDOW, "auto"):
            measure(groups, sync_every, int(given.steps), given.repeats if sync_every == WINDOW else 1)
