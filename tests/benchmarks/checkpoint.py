"""A checkpoint of a 256 MiB table against dd, which writes and syncs as many bytes, in turn.

    python tests/benchmarks/checkpoint.py [DIRECTORY] [--rounds N]

The disk under DIRECTORY (the current one by default) is measured; it needs 1.5 GiB free. The table is random: a disk
that compresses gains nothing by it, though it may by dd's zeros.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.storage.directory import CheckpointDirectory

MEBIBYTES = 256


def make_tensors() -> dict[str, npt.NDArray[Any]]:
    """Return values, visits and clocks that take 256 MiB together."""
    pairs = MEBIBYTES * 2**20 // (8 + 8 + 4)
    rng = np.random.default_rng(0)
    return {
        "values": rng.standard_normal(pairs),
        "visits": rng.integers(0, 2**40, pairs),
        "clock": rng.integers(0, 2**32, pairs, np.uint32),
    }


def write_with_dd(path: Path) -> None:
    command = ["dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={MEBIBYTES}", "conv=fsync"]
    subprocess.run(command, check=True, capture_output=True)


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(directory: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way in each round; each writes a new file while the old one is there."""
    tensors = make_tensors()
    times: dict[str, list[float]] = {"dd": [], "checkpoint": [], "newest": []}
    checkpoints = CheckpointDirectory(directory / "run")
    with checkpoints.lock():
        for number in range(rounds):
            zeros = directory / f"zeros{number}"
            times["dd"].append(seconds(lambda zeros=zeros: write_with_dd(zeros)))  # type: ignore[misc]
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
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        times = measure(Path(name), arguments.rounds)
    reference = statistics.median(times["dd"])
    for way, values in times.items():
        median = statistics.median(values)
        print(
            f"{way:11} median {median:.3f} s  (min {min(values):.3f}, max {max(values):.3f})  "
            f"{MEBIBYTES / median:5.0f} MiB/s  {median / reference:.2f} times dd"
        )
    ratios = [ours / theirs for ours, theirs in zip(times["checkpoint"], times["dd"], strict=True)]
    print(f"checkpoint / dd round by round: median {statistics.median(ratios):.2f}, ", end="")
    print(f"from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
