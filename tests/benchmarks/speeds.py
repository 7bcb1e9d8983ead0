"""What `cdq bench NAME` measures, each in a process of its own, beside what is asked for.

python -m tests.benchmarks.speeds [--large] [--repeats 7] [--only WORDS]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from tests.benchmarks.tables import begin, row


class Speed(NamedTuple):
    """Row of the table: what it is, the command, which of its figures, in which unit, and what is asked for."""

    name: str
    command: str
    figure: str
    unit: float = 1.0
    form: str = ".2f"
    least: float | None = None
    most: float | None = None


_M, _G = 1e-6, 1e-9
_MERGE = "merge"
SPEEDS = {
    "Speeds": [
        Speed(
            "FrozenLake8x8-v1, float32, one worker, 64 lanes, M steps/s",
            "rollout",
            "steps_per_second",
            _M,
            ".1f",
            80,
        ),
        Speed(
            "FrozenLake8x8-v1, one lane, M steps/s", "rollout --num-envs 1", "steps_per_second", _M, ".1f", 45
        ),
        Speed("Taxi-v4, 64 lanes, M steps/s", "rollout --env Taxi-v4", "steps_per_second", _M, ".1f", 80),
        Speed(
            "CliffWalking-v1, 64 lanes, M steps/s",
            "rollout --env CliffWalking-v1",
            "steps_per_second",
            _M,
            ".1f",
            80,
        ),
        Speed(
            "two threads, `sync_every` 100,000, M steps/s",
            "threads --workers 2",
            "steps_per_second",
            _M,
            ".1f",
            140,
        ),
        Speed("two threads against one", "threads --workers 2", "ratio", least=1.9),
        Speed(
            '`sync_every="auto"` on FrozenLake-v1, two threads, part of that with 100,000',
            "window --env FrozenLake-v1 --workers 2",
            "ratio",
            least=0.8,
        ),
        Speed(
            '`sync_every="auto"` on Taxi-v4, part of that with 100,000',
            "window --env Taxi-v4 --workers 2",
            "ratio",
            least=0.8,
        ),
        Speed("`import cdq`, s", "import", "seconds", form=".3f", most=0.15),
    ],
    "Speeds of large tables and models": [
        Speed("$10^7$ states x 4 actions, 64 lanes, M steps/s", "dram", "steps_per_second", _M, ".1f", 15),
        Speed("$10^7$ states, 64 lanes against one lane", "dram", "ratio", form=".1f", least=5),
        Speed(
            "merge of 2 workers, $10^6$ x 8, `mean`, GB/s", _MERGE, "mean_2_bytes_per_second", _G, ".1f", 15
        ),
        Speed("merge of 2 workers, `pooled`, GB/s", _MERGE, "pooled_2_bytes_per_second", _G, ".1f", 4),
        Speed("merge of 8 workers, `mean`, GB/s", _MERGE, "mean_8_bytes_per_second", _G, ".1f", 15),
        Speed("merge of 8 workers, `pooled`, GB/s", _MERGE, "pooled_8_bytes_per_second", _G, ".1f", 4),
        Speed("`solve` FrozenLake8x8-v1, gamma .99, to 1e-10, ms", "solve", "seconds", 1e3, most=5),
        Speed("`solve` Garnet $10^6$ x 4 x 3, gamma .95, to 1e-6, s", "solve", "garnet_seconds", most=3),
    ],
}


@cache
def measured(command: str, repeats: int) -> dict[str, Any]:
    """Return the figures of a command of `cdq bench`."""
    whole = [sys.executable, "-m", "cdq", "bench", *command.split(), "--repeats", str(repeats), "--json", "-"]
    found = json.loads(subprocess.run(whole, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert isinstance(found, dict)
    return found


def show(title: str, speeds: Sequence[Speed], repeats: int) -> None:
    """Print the table."""
    begin(title, "what", "figure", "goal", "command")
    for speed in speeds:
        found = measured(speed.command, repeats)[speed.figure]
        median, least, greatest = (
            f"{found[key] * speed.unit:{speed.form}}" for key in ("median", "min", "max")
        )
        short = _short(found["median"] * speed.unit, speed)
        goal = f"{speed.least:g}" if speed.most is None else f"{speed.most:g} at most"
        mark = "**" if short else ""
        row(speed.name, f"{mark}{median}{mark} ({least} - {greatest})", goal, f"`cdq bench {speed.command}`")


def _short(median: float, speed: Speed) -> bool:
    return median < (speed.least or 0) or median > (speed.most or float("inf"))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--large", action="store_true", help="large tables and models")
    parser.add_argument("--only", default="", help="speeds whose names or commands contain these words")
    given = parser.parse_args()
    title, words = list(SPEEDS)[given.large], given.only.split()
    chosen = [s for s in SPEEDS[title] if all(word in f"{s.name} {s.command}" for word in words)]
    show(title, chosen, given.repeats)


if __name__ == "__main__":
    main()
