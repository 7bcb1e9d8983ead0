"""How fast traffic signals are learnt, compiled: 3 x 3 crossings, 64 lanes' worth of copies, and two workers.

Run: python tests/benchmarks/city.py. Each figure is the best and the median of rounds, in million decisions of a signal
per second; CPU seconds tell what a busy machine took away.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import cdq

ROUNDS, STEPS, WINDOW = 5, 20_000_000, 20_000  # a window is some 320 decisions of each signal


def rate(agent: Any) -> tuple[float, float]:
    """Return million steps per second of time, and of CPU time of all workers."""
    began, cpu = time.perf_counter(), time.process_time()
    agent.learn(STEPS * agent.settings.workers, verbose=0)
    steps = STEPS * agent.settings.workers / 1e6
    return steps / (time.perf_counter() - began), steps / (time.process_time() - cpu)


def main() -> None:
    """Measure one worker and two, in turns."""
    kinds = [
        (
            groups,
            workers,
            cdq.QLearner(cdq.Signals(), groups=groups, num_envs=7, workers=workers, gamma=0.9, seed=0),
        )
        for groups in ("shared", "own")
        for workers in (1, 2)
    ]
    found: dict[tuple[str, int], list[tuple[float, float]]] = {
        (groups, workers): [] for groups, workers, _ in kinds
    }
    for _ in range(ROUNDS + 1):
        for groups, workers, agent in kinds:
            found[groups, workers].append(rate(agent))
    for (groups, workers), rates in found.items():
        wall, cpu = zip(*rates[1:], strict=True)
        print(
            f"signals 3x3, 63 lanes, groups={groups!r}, {workers} worker(s): best {max(wall):.1f}, "
            f"median {statistics.median(wall):.1f} million decisions/s (of CPU time {statistics.median(cpu):.1f})"
        )


if __name__ == "__main__":
    main()
