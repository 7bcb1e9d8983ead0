"""Rounds, in turn with the loop alone: windows of one worker, and of two threads beside two processes that never merge.

    python -m tests.benchmarks.rounds [--env FrozenLake8x8-v1] [--windows 1000 auto] [--steps 2e7] [--repeats 5]

Of one worker, whose windows change nothing of what it learns: CPU time in windows of 2^20 steps over that in shorter
ones. Of two threads: time of two processes with a worker each at the same time, in windows of 2^20 steps, over that
of the threads for as many steps each; and what a round takes of CPU time and how often a thread left its core.

Both sides of a ratio are measured in turn, in pieces of a repeat's steps, with learners that are made anew for each
repeat: of what else the machine does, each gets its share. A repeat's ratio is that of the medians of its pieces.
Medians of the repeats (least - greatest).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import cdq
from tests.benchmarks.tables import begin, row, spread

# Windows, and what is asked of them.
TWO_THREADS: dict[int | str, float] = {100_000: 0.97, 10_000: 0.93, 1_000: 0.8, "auto": 0.9}
ONE_WORKER: dict[int | str, float] = {10_000: 0.97, 1_000: 0.9}
_ALONE = 1 << 20
_BEFORE = 2_000_000  # steps before the clock starts
_PIECES = 5  # of a repeat, which is this often in turn with the other side


class Taken(NamedTuple):
    """Cost of learning: seconds, CPU seconds, rounds, and how often threads left their cores."""

    seconds: float
    cpu: float
    rounds: float
    voluntary: float
    forced: float


def learner(env: str, window: int | str, workers: int, seed: int = 0) -> cdq.QLearner:
    """Return a learner that has learnt for a while."""
    settings: dict[str, Any] = {"sync_every": window, "workers": workers, "seed": seed}
    return cdq.QLearner(env, dtype="float32", num_envs=64, **settings).learn(_BEFORE, verbose=0)


def cost(agent: cdq.QLearner, steps: int) -> Taken:
    """Return what learning for so many steps takes."""
    rounds, used = agent.history[-1].rounds, resource.getrusage(resource.RUSAGE_SELF)
    cpu, seconds = time.process_time(), time.perf_counter()
    agent.learn(steps, verbose=0)
    seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
    now = resource.getrusage(resource.RUSAGE_SELF)
    switches = now.ru_nvcsw - used.ru_nvcsw, now.ru_nivcsw - used.ru_nivcsw
    return Taken(seconds, cpu, agent.history[-1].rounds - rounds, *switches)


def middle(taken: Sequence[Taken]) -> Taken:
    """Return the median of each figure."""
    return Taken(*(statistics.median(column) for column in zip(*taken, strict=True)))


@contextmanager
def apart(env: str, steps: int) -> Iterator[Callable[[], float]]:
    """Start two processes; hand on what lets them learn at the same time, and returns the seconds of the slower one."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.rounds",
        "--alone",
        "--env",
        env,
        "--steps",
        str(steps),
    ]
    started = [
        subprocess.Popen(
            [*command, "--seed", str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for seed in range(2)
    ]

    def answers() -> list[str]:
        return [one.stdout.readline() for one in started if one.stdout is not None]

    def learn() -> float:
        for one in started:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        return max(map(float, answers()))

    try:
        answers()
        yield learn
    finally:
        for one in started:
            one.communicate()


def alone(env: str, steps: int, seed: int) -> None:
    """Be one of two processes: get ready; at each word, learn and print the seconds."""
    agent = learner(env, _ALONE, 1, seed)
    print(flush=True)
    for _ in sys.stdin:
        print(cost(agent, steps).seconds, flush=True)


def show_one_worker(env: str, windows: Sequence[int | str], steps: int, repeats: int) -> None:
    """Print how windows of one worker compare with the loop alone."""
    head = ("windows", "part of the loop alone", "goal", "CPU us a round beside the loop")
    begin(f"One worker on {env}, beside the loop alone", *head)
    for window in windows:
        ratios, beside = [], []
        for _ in range(repeats):
            pair = [learner(env, length, 1) for length in (_ALONE, window)]
            pieces = [[cost(agent, steps // _PIECES) for agent in pair] for _ in range(_PIECES)]
            loop, own = (middle(side) for side in zip(*pieces, strict=True))
            ratios.append(loop.cpu / own.cpu)
            beside.append(1e6 * (own.cpu - loop.cpu) / max(own.rounds, 1))
        goal = ONE_WORKER.get(window)
        row(f"{window}", spread(ratios, goal=goal), f"{goal or ''}", spread(beside, ".1f"))


def show_threads(env: str, windows: Sequence[int | str], steps: int, repeats: int) -> None:
    """Print how two threads compare with two processes."""
    head = ("part of two processes", "goal", "CPU us a round", "voluntary switches a round", "forced ones")
    begin(f"Two threads on {env}, beside two processes", "windows", *head)
    for window in windows:
        ratios, found = [], []
        for _ in range(repeats):
            agent, piece = learner(env, window, 2), steps // _PIECES
            with apart(env, piece) as learn:
                pieces = [(learn(), cost(agent, 2 * piece)) for _ in range(_PIECES)]
            free, own = statistics.median(each for each, _ in pieces), middle([each for _, each in pieces])
            ratios.append(free / own.seconds)
            found.append([1e6 * own.cpu / own.rounds, own.voluntary / own.rounds, own.forced / own.rounds])
        cpu, voluntary, forced = (list(column) for column in zip(*found, strict=True))
        switches = (spread(each, ".3f") for each in (voluntary, forced))
        goal = TWO_THREADS[window]
        row(f"{window}", spread(ratios, goal=goal), f"{goal}", spread(cpu, ".1f"), *switches)


def main() -> None:
    """Print the tables, or be one of two processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="FrozenLake8x8-v1")
    parser.add_argument("--windows", nargs="*", default=list(TWO_THREADS))
    parser.add_argument("--steps", type=float, default=2e7)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        alone(given.env, int(given.steps), given.seed)
        return
    windows = [int(window) if str(window).isdigit() else window for window in given.windows]
    show_one_worker(given.env, windows, int(given.steps), given.repeats)
    show_threads(given.env, windows, int(given.steps), given.repeats)


if __name__ == "__main__":
    main()
