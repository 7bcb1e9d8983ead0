"""Plies of tic-tac-toe a second: cdq with a hashed table, and a C loop with the same book-keeping, in one run, in turn.

    python -m tests.benchmarks.games [--lanes 64] [--plies 4e6] [--repeats 7]

Times are of the processor, of one thread: what other programs take of the machine is not counted. `ply_loop.c` is
compiled with -O3 -march=native by the compiler that CC names, or cc.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cdq
from tests.benchmarks.tables import begin, row, spread

SOURCE = Path(__file__).with_name("ply_loop.c")
GAMMA, EXPLORATION = 0.99, 0.3


def compiled(directory: str) -> Any:
    """Return the C loop as a library."""
    library = Path(directory) / "ply_loop.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    subprocess.run([*compiler, "-O3", "-march=native", "-shared", "-fPIC", SOURCE, "-o", library], check=True)
    loop = ctypes.CDLL(str(library)).learn
    loop.restype = ctypes.c_int64
    loop.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_double, ctypes.c_double, ctypes.c_uint64]
    return loop


def per_second(plies: int, work: Callable[[], object]) -> float:
    """Return the plies in a second of the processor."""
    begun = time.process_time()
    work()
    return plies / (time.process_time() - begun)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--plies", type=float, default=4e6)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    lanes, plies = options.lanes, int(options.plies)
    how: dict[str, Any] = {"opponent": "self", "table": "hash", "num_envs": lanes, "exploration": EXPLORATION}
    agent = cdq.QLearner("cdq/TicTacToe-v0", gamma=GAMMA, seed=0, **how).learn(1_000_000, verbose=0)
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        loop = compiled(directory)
        for repeat in range(options.repeats):
            ours.append(per_second(plies, lambda: agent.learn(plies, verbose=0)))
            theirs.append(per_second(plies, partial(loop, lanes, plies // lanes, GAMMA, EXPLORATION, repeat)))
    shares = [one / other for one, other in zip(ours, theirs, strict=True)]
    begin("Plies of tic-tac-toe, a hashed table beside a loop in C", "what", "figure", "goal")
    row("cdq, million plies/s", spread((rate / 1e6 for rate in ours), ".1f", goal=8), "8")
    row("C loop, million plies/s", spread((rate / 1e6 for rate in theirs), ".1f"), "")
    row("part of the C loop's speed", spread(shares, goal=0.5), "0.5")


if __name__ == "__main__":
    main()
