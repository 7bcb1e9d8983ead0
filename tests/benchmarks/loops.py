"""The compiled loop beside the same loop in plain C, in turn in one run, and float64 beside float32.

    python -m tests.benchmarks.loops [--env FrozenLake8x8-v1 ...] [--lanes 1 16 64] [--repeats 7]

`limit.c` is compiled by the compiler that CC names, or cc, with -O2 and -O3, for x86-64 and x86-64-v3 where the
processor has it; the best of these builds counts. It has the numbers of actions, outcomes and lanes as constants. Times
are of the processor, of one thread: what other programs take of the machine is not counted. Medians (least - greatest).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cdq.cli.benchmarks import _STEPS, _loop
from cdq.mdp.model import MDP
from tests.benchmarks.tables import begin, row, spread

SOURCE = Path(__file__).with_name("limit.c")
ENVIRONMENTS = ("FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4")
_ENDS = np.uint32(1 << 31)


def targets() -> list[str]:
    """Return the options for the instruction sets that this processor has."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ["-march=native"]
    flags = Path("/proc/cpuinfo")
    has_v3 = flags.exists() and {"avx2", "bmi2", "fma"} <= set(flags.read_text(encoding="utf-8").split())
    return ["-march=x86-64", "-march=x86-64-v3"][: 1 + has_v3]


def packed(model: MDP) -> tuple[Any, ...]:
    """Return thresholds, successors and rewards, padded to the most outcomes of a pair: (pairs, outcomes) each."""
    shape = (model.n_pairs, model.max_outcomes)
    until = np.full(shape, 2**32 - 1, np.uint32)
    successor, reward = np.zeros(shape, np.uint32), np.zeros(shape, np.float32)
    for pair in range(model.n_pairs):
        first, last = model.offsets[pair : pair + 2]
        places = np.minimum(np.arange(shape[1]) + first, last - 1)
        cumulative = np.cumsum(model.probability[first:last])[:-1]
        until[pair, : len(cumulative)] = np.minimum(cumulative * 2**32, 2**32 - 1)
        successor[pair] = model.next_state[places].astype(np.uint32) | _ENDS * model.terminated[places]
        reward[pair] = model.reward[places]
    return until, successor, reward


def compiled(model: MDP, lanes: int, options: Sequence[str], library: Path) -> Callable[[int], int]:
    """Return the C loop on a model: it learns for as many steps as it is told."""
    names = {"ACTIONS": model.n_actions, "OUTCOMES": model.max_outcomes, "LANES": lanes, "VALUE": "float"}
    command = [*shlex.split(os.environ.get("CC", "cc")), *options, "-ffp-contract=off", "-shared", "-fPIC"]
    defined = [f"-D{name}={value}" for name, value in names.items()]
    subprocess.run([*command, *defined, SOURCE, "-o", library], check=True)
    code = ctypes.CDLL(str(library))
    arrays = [np.flatnonzero(model.start).astype(np.uint32), *packed(model)]
    code.begin(model.n_states, len(arrays[0]), *(ctypes.c_void_p(array.ctypes.data) for array in arrays))
    code.learn.argtypes, code.learn.restype = [ctypes.c_long], ctypes.c_long

    def learn(steps: int, _borrowed: Any = arrays) -> int:
        return int(code.learn(steps))

    return learn


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the seconds of the processor that the work takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def loops(model: MDP, lanes: int, directory: Path) -> dict[str, Callable[[], object]]:
    """Return the loops by name: those of C by their options, and those of cdq by the type of values."""
    found: dict[str, Callable[[], object]] = {}
    for number, options in enumerate((level, target) for target in targets() for level in ("-O2", "-O3")):
        learn = compiled(model, lanes, options, directory / f"{model.name}-{lanes}-{number}.so")
        found[" ".join(options)] = lambda learn=learn: learn(_STEPS // lanes * lanes)
    for dtype in ("float32", "float64"):
        found[dtype] = _loop(model, dtype, lanes)
    return found


def speeds(work: dict[str, Callable[[], object]], steps: int, repeats: int) -> dict[str, list[float]]:
    """Return the million steps in a second of the processor, of repeats that take turns."""
    for run in work.values():  # what happens once, and what is learnt at first
        run()
    taken = [{name: cpu_seconds(run) for name, run in work.items()} for _ in range(repeats)]
    return {name: [1e-6 * steps / row[name] for row in taken] for name in work}


def show(name: str, found: dict[str, list[float]]) -> None:
    """Print a row of the table."""
    best = max(list(found)[:-2], key=lambda build: statistics.median(found[build]))
    ours, wider, theirs = found["float32"], found["float64"], found[best]
    of_c, of_float32 = (
        [one / other for one, other in zip(*pair, strict=True)] for pair in ((ours, theirs), (wider, ours))
    )
    cells = (
        spread(ours, ".0f"),
        spread(of_c, goal=0.95),
        "0.95",
        spread(wider, ".0f"),
        spread(of_float32, goal=0.8),
    )
    row(name, spread(theirs, ".0f"), f"`{best}`", *cells, "0.8")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", nargs="+", default=ENVIRONMENTS)
    parser.add_argument("--lanes", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    begin(
        "Loops beside the same in C, million steps/s of CPU time",
        *("environment, lanes", "C", "best build", "float32", "part of C", "at least"),
        *("float64", "part of float32", "goal"),
    )
    with tempfile.TemporaryDirectory() as directory:
        for env in given.env:
            model = MDP.from_gymnasium(env)
            for lanes in given.lanes:
                work = loops(model, lanes, Path(directory))
                show(f"{env}, {lanes}", speeds(work, _STEPS // lanes * lanes, given.repeats))


if __name__ == "__main__":
    main()
