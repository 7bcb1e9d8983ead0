"""How fast compiled environments are learnt: a Numba chain, a GridWorld of 10^8 cells with its memory, classic control.

Run: python -m tests.benchmarks.environments [chain] [grid] [classic] [--repeats 5]. CPU seconds tell what a busy
machine took away.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from typing import Any

from tests.benchmarks.tables import begin, row, spread


def rate(learn: Any, steps: int) -> tuple[float, float]:
    """Return million steps per second of time, and of CPU time."""
    began, cpu = time.perf_counter(), time.process_time()
    learn(steps, verbose=0)
    return steps / (time.perf_counter() - began) / 1e6, steps / (time.process_time() - cpu) / 1e6


def show(name: str, rates: list[tuple[float, float]]) -> None:
    """Print a row."""
    wall, cpu = zip(*rates, strict=True)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    row(name, spread(wall, ".1f"), spread(cpu, ".1f"), f"{gigabytes:.2f}")


def learner(env: Any) -> Any:
    import cdq

    return cdq.QLearner(env, seed=0, num_envs=64, dtype="float32")


def chain(repeats: int) -> None:
    sys.path.insert(0, "examples")
    from numba_chain import chain as env  # type: ignore[import-not-found]

    agent = learner(env)
    agent.learn(1_000_000, verbose=0)
    show("Numba chain of 64 states", [rate(agent.learn, 100_000_000) for _ in range(repeats)])


def grid(repeats: int) -> None:
    """Starts anywhere, episodes of 1,000 steps; the first round also gets the memory from the system."""
    import gymnasium

    import cdq.envs  # noqa: F401 - registers

    env = gymnasium.make("cdq/GridWorld-v0", shape=(10_000, 10_000), max_episode_steps=1000)
    agent = learner(env)
    show("GridWorld of 10^8 cells, first round", [rate(agent.learn, 1_000_000_000)])
    show("GridWorld of 10^8 cells, later", [rate(agent.learn, 200_000_000) for _ in range(repeats)])


def classic(repeats: int) -> None:
    """By tile coding, as `QLearner` chooses it."""
    from cdq.envs.classic import TWINS

    for name in TWINS:
        agent = learner(name)
        agent.learn(200_000, verbose=0)
        show(f"{name}, {agent.report()['stepping']}", [rate(agent.learn, 2_000_000) for _ in range(repeats)])


_PARTS = {"chain": chain, "grid": grid, "classic": classic}


def main() -> None:
    """Print the table, each part from a process of its own, whose memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*_PARTS, []], help="default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--alone", choices=_PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        _PARTS[given.alone](given.repeats)
        return
    head = ("environment", "million steps/s", "million steps/s of CPU time", "memory at most, GB")
    begin("Compiled environments, float32, 64 lanes, one worker", *head)
    for name in given.parts or _PARTS:
        program = [sys.executable, "-m", "tests.benchmarks.environments", "--alone", name]
        subprocess.run([*program, "--repeats", str(given.repeats)], check=True)


if __name__ == "__main__":
    main()
