"""Two builds of cdq in turn in one run: the CPU time of the one over that of the other, pair by pair.

Run: python tests/benchmarks/pairs.py --python OLD/bin/python NEW/bin/python [--pairs 4] [--starts 3] [--only WORDS]

Each interpreter imports the cdq that is installed in it and does the same work again and again, in turn with the other;
which one begins changes from pair to pair, and both are started anew some times. Prints a row per case: the median
ratio, old over new, so that below 1 the new build is slower, with the least and the greatest. CPU time of all threads
counts, as other work on the machine changes it least. This file is run by either build, and so takes what both have.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

Work = Callable[[], Any]
_FROZEN, _TAXI, _GRID = "FrozenLake8x8-v1", "Taxi-v4", "cdq/GridWorld-v0"
_STEPS = 20_000_000


class Case(NamedTuple):
    """Work to compare: *prepare* returns what is timed, and is not timed itself."""

    name: str
    prepare: Callable[..., Work]
    arguments: tuple[Any, ...]


def learning(env: str, steps: int, settings: dict[str, Any]) -> Work:
    """Return a call of `learn` by a new learner."""
    import cdq

    agent = cdq.QLearner(env, seed=0, **settings)
    return lambda: agent.learn(steps, **({"verbose": 0} if "verbose" in settings else {}))


_MADE: dict[tuple[Any, ...], Any] = {}  # what takes long to make


def _once(make: Callable[..., Any], *arguments: Any) -> Any:
    key = (make, *arguments)
    if key not in _MADE:
        _MADE[key] = make(*arguments)
    return _MADE[key]


def loop(env: str, dtype: str, lanes: int) -> Work:
    """Return the loop on a model alone, as `cdq bench rollout` has it."""
    return _once(_loop_of, env, dtype, lanes)  # type: ignore[no-any-return]


def _loop_of(env: str, dtype: str, lanes: int) -> Work:
    from cdq.cli import benchmarks
    from cdq.mdp import MDP

    return benchmarks._loop(MDP.from_gymnasium(env), dtype, lanes)


def stepped(env: str, steps: int, arguments: dict[str, Any]) -> Work:
    """Return the loop that steps a compiled environment, alone: one window of a learner without history."""
    import gymnasium

    import cdq
    import cdq.envs  # which registers them

    agent = cdq.QLearner(gymnasium.make(env, **arguments), seed=0, sync_every=1 << 20)
    agent.learn(1 << 20)
    return lambda: agent.learn(steps)


def merge(rule: str, n_states: int, size: int) -> Work:
    """Return a merge of tables of 8 actions, float32, all touched."""
    from cdq.cli import benchmarks
    from cdq.schedules import RescaledLinear, build_law

    tables = [_once(benchmarks._touched_table, n_states, 8, "float32", rank).rows for rank in range(size)]
    law, out = build_law(RescaledLinear(0.99), 0, 0.3, "float32"), [bytearray() for _ in range(size)]

    def run() -> None:
        for _ in range(max(1_000_000 // n_states, 1)):
            for rank in range(size):
                benchmarks._core.merge_tables(tables, rank, rule, law, False, out[rank])

    return run


_AUTO: dict[str, Any] = {}
_LONG = {"sync_every": 100_000}
_FLAT = {"shape": (16, 16), "max_episode_steps": 500}

CASES = [
    Case("learn FrozenLake8x8, sync_every 100,000", learning, (_FROZEN, _STEPS, _LONG)),
    Case("learn FrozenLake8x8, automatic windows", learning, (_FROZEN, _STEPS, _AUTO)),
    Case("learn Taxi, sync_every 100,000", learning, (_TAXI, _STEPS, _LONG)),
    Case("learn Taxi, automatic windows", learning, (_TAXI, _STEPS, _AUTO)),
    Case("learn GridWorld, sync_every 100,000", learning, (_GRID, _STEPS // 2, _LONG)),
    Case("learn GridWorld, automatic windows", learning, (_GRID, _STEPS // 2, _AUTO)),
    Case(
        "learn FrozenLake8x8, sync_every 10,000",
        learning,
        (_FROZEN, _STEPS // 4, {"sync_every": 10_000}),
    ),
    Case(
        "learn FrozenLake8x8, two threads, sync_every 8,192",
        learning,
        (_FROZEN, _STEPS // 4, {"sync_every": 8192, "workers": 2}),
    ),
    Case(
        "learn FrozenLake8x8, two threads, sync_every 100,000",
        learning,
        (_FROZEN, _STEPS, {"sync_every": 100_000, "workers": 2}),
    ),
    Case(
        "learn FrozenLake8x8, two threads, automatic windows",
        learning,
        (_FROZEN, _STEPS, {"workers": 2}),
    ),
    Case("a call of 16 steps, FrozenLake8x8, 50 times", learning, (_FROZEN, 16, _AUTO)),
    *(
        Case(f"loop {env}, {dtype}, {lanes} lanes", loop, (env, dtype, lanes))
        for env in (_FROZEN, _TAXI)
        for dtype in ("float32", "float64")
        for lanes in (1, 16, 64)
    ),
    Case("loop of GridWorld 16 x 16", stepped, (_GRID, 8 << 20, _FLAT)),
    Case("loop of CartPole", stepped, ("cdq/CartPole-v0", 8 << 20, {})),
    *(
        Case(f"merge of {size}, {n_states:,} x 8, {rule}", merge, (rule, n_states, size))
        for rule in ("mean", "pooled")
        for n_states, size in ((1000, 2), (1_000_000, 2), (1_000_000, 8))
    ),
]


def serve() -> None:
    """Do the cases whose numbers come in, and print the CPU seconds of each."""
    for line in sys.stdin:
        _, prepare, arguments = CASES[int(line)]
        work = prepare(*arguments)
        begun = time.process_time()
        work()
        print(time.process_time() - begun, flush=True)


class Build:
    """An interpreter with a build of cdq, which does cases when asked."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, "-I", __file__, "--serve"],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def seconds(self, case: int) -> float:
        """Return the CPU seconds of a case."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(case, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def end(self) -> None:
        """End the interpreter."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def compare(pythons: Sequence[str], case: int, pairs: int, starts: int) -> tuple[list[float], float]:
    """Return the ratios of all pairs, old over new, and the median CPU seconds of the new build."""
    taken = []
    for _ in range(starts):  # where memory lies decides some percents for as long as a process lives
        old, new = map(Build, pythons)
        old.seconds(case), new.seconds(case)  # whatever happens once
        for i in range(pairs):
            order = (old, new) if i % 2 else (new, old)
            first, second = order[0].seconds(case), order[1].seconds(case)
            taken.append((first, second) if i % 2 else (second, first))
        old.end(), new.end()
    return [one / other for one, other in taken], median(other for _, other in taken)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", nargs=2, metavar=("OLD", "NEW"), help="interpreters of the two builds")
    parser.add_argument("--pairs", type=int, default=4, help="pairs with the same two processes")
    parser.add_argument("--starts", type=int, default=3, help="times that both are started")
    parser.add_argument("--only", default="", help="cases whose names contain these words")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    print("| work | CPU ms | old / new | least | greatest |\n|---|---|---|---|---|")
    for number, case in enumerate(CASES):
        if all(word in case.name for word in arguments.only.split()):
            ratios, seconds = compare(arguments.python, number, arguments.pairs, arguments.starts)
            print(
                f"| {case.name} | {1e3 * seconds:.1f} | {median(ratios):.3f} | {min(ratios):.2f} | {max(ratios):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
