"""A checkpoint of a 256 MiB table against dd, which writes and syncs as many bytes, in turn.

    python -m tests.benchmarks.checkpoint [DIRECTORY] [--repeats N] [--mebibytes N]

The disk under DIRECTORY (the current one by default) is measured; it needs 1.5 GiB free. The table is random: a disk
that compresses gains nothing by it, though it may by dd's zeros.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.storage.directory import CheckpointDirectory
from tests.benchmarks.tables import begin, row, spread


def make_tensors(mebibytes: int) -> dict[str, npt.NDArray[Any]]:
    """Return values, visits and clocks that take so many MiB together."""
    pairs = mebibytes * 2**20 // (8 + 8 + 4)
    rng = np.random.default_rng(0)
    return {
        "values": rng.standard_normal(pairs),
        "visits": rng.integers(0, 2**40, pairs),
        "clock": rng.integers(0, 2**32, pairs, np.uint32),
    }


def write_with_dd(path: Path, mebibytes: int) -> None:
    command = ["dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={mebibytes}", "conv=fsync"]
    subprocess.run(command, check=True, capture_output=True)


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(directory: Path, rounds: int, mebibytes: int) -> dict[str, list[float]]:
    """Return the seconds of each way in each round; each writes a new file while the old one is there."""
    tensors = make_tensors(mebibytes)
    times: dict[str, list[float]] = {"dd": [], "checkpoint": [], "newest": []}
    checkpoints = CheckpointDirectory(directory / "run")
    with checkpoints.lock():
        for number in range(rounds):
            zeros = directory / f"zeros{number}"
            times["dd"].append(seconds(lambda zeros=zeros: write_with_dd(zeros, mebibytes)))  # type: ignore[misc]
            # Three are kept of either: memory that the page cache has had before is written to faster.
            (directory / f"zeros{number - 3}").unlink(missing_ok=True)
            write = lambda number=number: checkpoints.write(number, tensors, {"steps": number})  # noqa: E731
            times["checkpoint"].append(seconds(write))
            times["newest"].append(seconds(checkpoints.newest))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", nargs="?", default=".")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--mebibytes", type=int, default=256)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        times = measure(Path(name), arguments.repeats, arguments.mebibytes)
    begin(f"A checkpoint of a {arguments.mebibytes} MiB table", "way", "s", "to dd", "goal")
    for way, values in times.items():
        ratios = [ours / theirs for ours, theirs in zip(values, times["dd"], strict=True)]
        goal = 1.3 if way == "checkpoint" else None
        row(
            way,
            spread(values, ".3f"),
            spread(ratios, goal=goal, most=True),
            f"{goal} at most" if goal else "",
        )


if __name__ == "__main__":
    main()
