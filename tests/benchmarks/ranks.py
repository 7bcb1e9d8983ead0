"""Two ranks of one machine, of `mpiexec` and of `cdq launch`, in turn with two threads: steps per second of learning.

    python -m tests.benchmarks.ranks [--env Taxi-v4] [--seconds 1] [--repeats 5] [--windows 100000 auto]

Speeds are those of the second half of a call, so starting does not count; ratios are formed within a repeat. Medians
(least - greatest).
"""

from __future__ import annotations

import argparse
import subprocess
import sys

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


def learn(env: str, window: int | str, steps: int, workers: int) -> None:
    """Learn as one rank, or with threads; print the speed, and the steps of a worker's window."""
    given = {"workers": workers} if workers else {}
    agent = cdq.QLearner(env, sync_every=window, seed=0, **given).learn(steps, verbose=0)
    if agent.rank == 0:
        print(speed(agent), agent.history[-1].steps / agent.history[-1].rounds / _RANKS)


def measured(way: str, env: str, window: int | str, steps: int) -> tuple[float, float]:
    """Return the million steps a second of a way, and the steps of a worker's window."""
    command = [*WAYS[way], "--env", env, "--windows", str(window), "--steps", str(steps)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=True)
    own, length = map(float, done.stdout.split())
    return own, length


def measure(env: str, window: int | str, seconds: float, repeats: int, ways: list[str]) -> None:
    """Print the speeds of all ways, as many times in turn."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    steps: dict[str, int] = dict.fromkeys(ways, 4_000_000)
    lengths: dict[str, float] = {}
    for number in range(repeats + 1):  # the first tells how many steps take so long
        for way in ways:
            own, lengths[way] = measured(way, env, window, steps[way])
            steps[way] = int(own * 1e6 * seconds)
            if number:
                found[way].append(own)
    for way in ways:
        shares = [one / other for one, other in zip(found[way], found[ways[0]], strict=True)]
        goal = GOALS.get(window) if way != "threads" else None
        cells = (
            f"{lengths[way]:,.0f}",
            spread(found[way], ".1f"),
            spread(shares, goal=goal),
            f"{goal or ''}",
        )
        row(f"{env}, {window}, {way}", *cells)


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
    parser.add_argument("--steps", type=int, default=4_000_000, help=argparse.SUPPRESS)
    given = parser.parse_args()
    windows = [int(window) if window.isdigit() else window for window in given.windows]
    if given.learn is not None:
        learn(given.env[0], windows[0], given.steps, given.learn)
        return
    begin(
        "Two ranks of one machine beside two threads",
        *("environment, windows, workers", "steps of a window", "million steps/s", "part of threads", "goal"),
    )
    for env in given.env:
        for window in windows:
            measure(env, window, given.seconds, given.repeats, given.ways)


if __name__ == "__main__":
    sys.exit(main())
