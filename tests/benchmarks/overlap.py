"""What overlap gains where merging takes time: steps per second of two workers, by how long a merge travels.

Run it from the checkout: ``python -m tests.benchmarks.overlap`` (about a minute). Prints Markdown: medians of runs
taken in turn, in million steps per second of both workers, with the smallest and the largest. The network is threads
of one process whose merges each sleep first: it costs time and no core, as one with hardware of its own does.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from cdq import QLearner
from cdq.comm.base import Communicator
from cdq.comm.inprocess import InProcessCommunicator
from cdq.testing import run_in_threads
from tests.benchmarks.tables import begin, row, spread

WORKERS, LANES, ROUNDS = 2, 64, 20


class Slow(InProcessCommunicator):
    """Merges take so many seconds longer."""

    seconds = 0.0

    def merge(self, contribution: Any, rule: Any) -> Any:
        """Sleep, then merge."""
        if self.seconds:
            time.sleep(self.seconds)
        return super().merge(contribution, rule)


def speed(env: str, window: int, overlap: bool) -> float:
    """Return the million steps per second of all workers, the first rounds left out."""

    def learn(comm: Communicator) -> float:
        agent = QLearner(env, comm=comm, num_envs=LANES, sync_every=window, overlap=overlap, seed=0)
        agent.learn(3 * window * WORKERS, verbose=0)
        began, before = time.perf_counter(), agent.steps
        agent.learn(ROUNDS * window * WORKERS, verbose=0)
        return (agent.steps - before) / (time.perf_counter() - began) / 1e6

    found = run_in_threads(Slow.connect("inprocess", WORKERS, 60.0), learn)
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return float(found[0])


def show(env: str, window: int, runs: int) -> None:
    """Print a row of the speeds in turn and overlapped."""
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(runs):
        for overlap, speeds in found.items():
            speeds.append(speed(env, window, overlap))
    row(
        f"{window:,} steps, {1000 * Slow.seconds:g} ms",
        *(spread(speeds, ".1f") for speeds in found.values()),
        spread(after / before for before, after in zip(*found.values(), strict=True)),
    )


def main() -> None:
    """Print a row for each window and time of travel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="FrozenLake8x8-v1")
    parser.add_argument("--windows", type=int, nargs="*", default=(10_000, 100_000, 1_000_000))
    parser.add_argument("--milliseconds", type=float, nargs="*", default=(0.0, 1.0, 10.0))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    begin(
        f"Overlap on {given.env}, million steps/s",
        *("windows of a worker, a merge travels for", "in turn", "overlapped", "part of in turn"),
    )
    for window in given.windows:
        for milliseconds in given.milliseconds:
            Slow.seconds = milliseconds / 1000
            show(given.env, window, given.repeats)


if __name__ == "__main__":
    main()
