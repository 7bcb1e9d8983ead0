"""How fast compiled environments are learnt: a Numba chain, and a GridWorld of 10^8 cells with its memory.

Run: python tests/benchmarks/environments.py [chain] [grid] [classic]. Each figure is the best and the median of rounds
in one process; CPU seconds tell what a busy machine took away.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from typing import Any

ROUNDS = 5


def rate(learn: Any, steps: int) -> tuple[float, float]:
    """Return million steps per second of time, and of CPU time."""
    began, cpu = time.perf_counter(), time.process_time()
    learn(steps)
    return steps / (time.perf_counter() - began) / 1e6, steps / (time.process_time() - cpu) / 1e6


def show(name: str, rates: list[tuple[float, float]]) -> None:
    wall, cpu = zip(*rates, strict=True)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(
        f"{name}: best {max(wall):.1f}, median {statistics.median(wall):.1f} million steps/s "
        f"(of CPU time {max(cpu):.1f}, {statistics.median(cpu):.1f}); {gigabytes:.2f} GB at most",
        flush=True,
    )


def learner(env: Any) -> Any:
    import cdq

    return cdq.QLearner(env, seed=0, num_envs=64, dtype="float32")


def chain() -> None:
    sys.path.insert(0, "examples")
    from numba_chain import chain as env  # type: ignore[import-not-found]

    agent = learner(env)
    agent.learn(1_000_000)
    show("Numba chain of 64 states", [rate(agent.learn, 100_000_000) for _ in range(ROUNDS)])


def grid() -> None:
    """Starts anywhere, episodes of 1,000 steps; the first round also gets the memory from the system."""
    import gymnasium

    import cdq.envs  # noqa: F401 - registers

    env = gymnasium.make("cdq/GridWorld-v0", shape=(10_000, 10_000), max_episode_steps=1000)
    agent = learner(env)
    show("GridWorld of 10^8 cells, first round", [rate(agent.learn, 1_000_000_000)])
    show("GridWorld of 10^8 cells, later", [rate(agent.learn, 200_000_000) for _ in range(ROUNDS)])


def classic() -> None:
    """By tile coding, as `QLearner` chooses it."""
    from cdq.envs.classic import TWINS

    for name in TWINS:
        agent = learner(name)
        agent.learn(200_000)
        show(f"{name}, {agent.report()['stepping']}", [rate(agent.learn, 2_000_000) for _ in range(ROUNDS)])


if __name__ == "__main__":
    names = sys.argv[1:] or ["chain", "grid", "classic"]
    if len(names) == 1:
        {"chain": chain, "grid": grid, "classic": classic}[names[0]]()
    else:  # each in a process of its own, whose memory is its own
        for name in names:
            subprocess.run([sys.executable, __file__, name], check=True)
