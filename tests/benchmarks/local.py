"""Two local workers of a ZeroMQ hub, in turn with two threads: steps per second of learning alone, not of starting.

    python -m tests.benchmarks.local [--env Taxi-v4] [--seconds 2] [--repeats 5] [--windows 100000 auto]

"Local" is ``comm="zmq"``; "hub" a hub with a journal, and two processes that join it, with and without waiting for the
disk. Speeds are those of the second half of a call; ratios are formed within a repeat. Medians (least - greatest).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial

import cdq
from cdq.job import Hosting
from cdq.job.local import JOIN, processes
from tests.benchmarks.tables import begin, row, spread

_WORKERS = 2
GOALS: dict[int | str, float] = {100_000: 0.9, "auto": 0.4}


def speed(agent: cdq.QLearner) -> float:
    """Return the million steps a second of the second half of what was learnt, and the steps of a round."""
    rows = agent.history.to_arrays()
    half = len(rows["steps"]) // 2
    return float(
        (rows["steps"][-1] - rows["steps"][half]) / (rows["seconds"][-1] - rows["seconds"][half]) / 1e6
    )


def by_threads(env: str, window: int | str, steps: int) -> cdq.QLearner:
    """Learn with threads."""
    return cdq.QLearner(env, sync_every=window, workers=_WORKERS, seed=0).learn(steps, verbose=0)


def by_local_workers(env: str, window: int | str, steps: int) -> cdq.QLearner:
    """Learn with processes that the call starts."""
    return cdq.QLearner(env, sync_every=window, workers=_WORKERS, seed=0, comm="zmq").learn(steps, verbose=0)


def by_hub(env: str, window: int | str, steps: int, durable: bool = True) -> cdq.QLearner:
    """Learn with processes that join a hub of this one."""
    with tempfile.TemporaryDirectory(prefix="cdq-") as folder:
        hosting = Hosting(f"zmq+ipc://{folder}/hub", durable=durable)
        agent = cdq.QLearner(
            env, sync_every=window, workers=_WORKERS, seed=0, comm="zmq", checkpoint=f"{folder}/job"
        )
        with processes([[*JOIN, hosting.url]] * _WORKERS):
            return agent.learn(steps, verbose=0, hosting=hosting)


WAYS: dict[str, Callable[[str, int | str, int], cdq.QLearner]] = {
    "threads": by_threads,
    "local": by_local_workers,
    "hub, durable=False": partial(by_hub, durable=False),
    "hub": by_hub,
}


def measure(env: str, window: int | str, seconds: float, repeats: int, ways: list[str]) -> None:
    """Print the speeds of all ways, as many times in turn."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    steps: dict[str, int] = dict.fromkeys(ways, 4_000_000)
    rounds: dict[str, float] = {}
    for number in range(repeats + 1):  # the first tells how many steps take so long
        for way in ways:
            agent = WAYS[way](env, window, steps[way])
            own = speed(agent)
            rounds[way] = agent.history[-1].steps / agent.history[-1].rounds / _WORKERS
            steps[way] = int(own * 1e6 * seconds)
            if number:
                found[way].append(own)
    for way in ways:
        shares = [one / other for one, other in zip(found[way], found[ways[0]], strict=True)]
        goal = None if way == "threads" else GOALS.get(window)
        cells = (f"{rounds[way]:,.0f}", spread(found[way], ".1f"), spread(shares, goal=goal), f"{goal or ''}")
        row(f"{env}, {window}, {way}", *cells)


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", nargs="+", default=["FrozenLake8x8-v1", "Taxi-v4"])
    parser.add_argument("--windows", nargs="+", default=["100000", "auto"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    begin(
        "Two local workers beside two threads, learning alone",
        *("environment, windows, workers", "steps of a window", "million steps/s", "part of threads", "goal"),
    )
    for env in given.env:
        for window in given.windows:
            whole = int(window) if window.isdigit() else window
            measure(env, whole, given.seconds, given.repeats, given.ways)


if __name__ == "__main__":
    sys.exit(main())
