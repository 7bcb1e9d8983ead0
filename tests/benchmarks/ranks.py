"""Two ranks of one machine, of `mpiexec` and of `cdq launch`, in turn with two threads: steps per second of learning.

    python -m tests.benchmarks.ranks [--env Taxi-v4] [--seconds 1] [--repeats 5] [--windows 100000 auto]

Speeds are those of the second half of a call, so starting does not count; ratios are formed within a repeat. Medians
(least - greatest).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

import cdq
from tests.benchmarks.local import GOALS, speed
from tests.benchmarks.tables import begin, row, spread
from tests.mpi.jobs import environment, mpiexec

_RANKS = 2
_OWN = [sys.executable, "-m", "tests.benchmarks.ranks", "--learn"]
WAYS = {
    "threads": [*_OWN, str(_RANKS)],
    "mpiexec": [*mpiexec(), "-n", str(_RANKS), *_OWN, "0"],
    "cdq launch": [sys.executable, "-m", "cdq", "launch", "-n", str(_RANKS), *_OWN, "0"],
}


Window = int | str


def learn(env: str, windows: list[Window], steps: list[int], workers: int) -> None:
    """Learn as one rank, or with threads; print speeds, and the steps of a worker's windows."""
    given: dict[str, Any] = {"workers": workers} if workers else {}
    for window, n in zip(windows, steps, strict=True):
        agent = cdq.QLearner(env, sync_every=window, seed=0, **given).learn(n, verbose=0)
        if agent.rank == 0:
            print(speed(agent), agent.history[-1].steps / agent.history[-1].rounds / _RANKS)


def measured(way: str, env: str, windows: list[Window], steps: list[int]) -> list[tuple[float, float]]:
    """Return the million steps a second of a way, and the steps of a worker's window, for each length of windows."""
    told = ["--env", env, "--windows", *map(str, windows), "--steps", *map(str, steps)]
    done = subprocess.run(
        [*WAYS[way], *told], env=environment(), capture_output=True, text=True, timeout=300, check=True
    )
    return [(float(own), float(length)) for own, length in map(str.split, done.stdout.splitlines())]


def measure(env: str, windows: list[Window], seconds: float, repeats: int, ways: list[str]) -> None:
    """Print the speeds of all ways, as many times in turn."""
    found: dict[str, list[list[tuple[float, float]]]] = {way: [] for way in ways}
    steps = {way: [4_000_000] * len(windows) for way in ways}
    for number in range(repeats + 1):  # the first tells how many steps take so long
        for way in ways:
            own = measured(way, env, windows, steps[way])
            steps[way] = [int(one * 1e6 * seconds) for one, _ in own]
            if number:
                found[way].append(own)
    for index, window in enumerate(windows):
        first = [told[index][0] for told in found[ways[0]]]
        for way in ways:
            own = [told[index] for told in found[way]]
            speeds, goal = [one for one, _ in own], GOALS.get(window) if way != ways[0] else None
            shares = spread([one / other for one, other in zip(speeds, first, strict=True)], goal=goal)
            row(
                f"{env}, {window}, {way}",
                f"{own[-1][1]:,.0f}",
                spread(speeds, ".1f"),
                shares,
                f"{goal or ''}",
            )


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", nargs="+", default=["FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4"])
    parser.add_argument("--windows", nargs="+", default=["100000", "10000", "1000", "auto"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--learn", type=int, help=argparse.SUPPRESS
    )  # as one of the ranks, or with so many threads
    parser.add_argument("--steps", type=int, nargs="+", default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    windows = [int(window) if window.isdigit() else window for window in given.windows]
    if given.learn is not None:
        learn(given.env[0], windows, given.steps, given.learn)
        return
    begin(
        "Two ranks of one machine beside two threads",
        *("environment, windows, workers", "steps of a window", "million steps/s", "part of threads", "goal"),
    )
    for env in given.env:
        measure(env, windows, given.seconds, given.repeats, given.ways)


if __name__ == "__main__":
    sys.exit(main())
