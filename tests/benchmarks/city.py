"""How fast traffic signals are learnt, compiled: 3 x 3 crossings, 64 lanes' worth of copies, and two workers.

Run: python tests/benchmarks/city.py. Figures are medians of rounds, in million decisions of a signal per second of CPU
time, with the least and the greatest; ratios are formed within a round. A busy machine slows what two workers do
together, but hardly the CPU time that they take: twice the ratio of CPU times is what they come to where both cores are
theirs and neither waits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from typing import Any

import cdq
from cdq.cli.benchmarks import spread

STEPS, WINDOW = 10_000_000, 20_000  # a window is some 320 decisions of each signal


def seconds(agent: Any, workers: int) -> tuple[float, float]:
    """Return how long each worker's steps take, and the CPU time of all workers."""
    began, cpu = time.perf_counter(), time.process_time()
    agent.learn(STEPS * workers, verbose=0)
    return time.perf_counter() - began, time.process_time() - cpu


def shown(figures: Iterable[float]) -> str:
    found = spread(list(figures))
    return f"{found['median']:.2f} ({found['min']:.2f} - {found['max']:.2f})"


def measure(groups: str, sync_every: Any, repeats: int) -> None:
    """Print the speed of one worker and of two, in turns."""
    given: dict[str, Any] = {
        "num_envs": 7,
        "gamma": 0.9,
        "seed": 0,
        "groups": groups,
        "sync_every": sync_every,
    }
    agents = [cdq.QLearner(cdq.Signals(), workers=workers, **given) for workers in (1, 2)]
    rounds = [[seconds(agent, k) for k, agent in enumerate(agents, 1)] for _ in range(repeats + 1)][1:]
    print(f"groups={groups!r}, sync_every={sync_every!r}")
    print(f"  one worker: {shown(STEPS / 1e6 / one[1] for one, _ in rounds)} million decisions/s")
    print(f"  two against one: {shown(2 * one[0] / two[0] for one, two in rounds)}")
    print(f"  by their CPU time: {shown(4 * one[1] / two[1] for one, two in rounds)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    for groups in ("shared", "own"):
        for sync_every in (WINDOW, "auto"):
            measure(groups, sync_every, repeats if sync_every == WINDOW else 1)
