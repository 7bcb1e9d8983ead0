"""What `cdq train ID` comes to, for every environment of Gymnasium's toy-text and classic-control families.

``python -m tests.benchmarks.every_environment [ID ...]`` prints the table of docs/gymnasium.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

IDS = (
    "FrozenLake-v1",
    "FrozenLake8x8-v1",
    "CliffWalking-v1",
    "CliffWalkingSlippery-v1",
    "Taxi-v4",
    "Blackjack-v1",
    "CartPole-v0",
    "CartPole-v1",
    "MountainCar-v0",
    "Acrobot-v1",
)
SEEDS = range(5)


def trained(env_id: str, seed: int) -> dict[str, Any]:
    """Return the report of a command in a process of its own."""
    command = [sys.executable, "-c", "from cdq.cli import main; main()", "train", env_id, "--seed", str(seed)]
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def line(env_id: str) -> str:
    """Return the row of an environment: figures of the median seed, and the spread of the returns."""
    reports = [trained(env_id, seed) for seed in SEEDS]
    seconds, returns = (sorted(report[name] for report in reports) for name in ("seconds", "mean_return"))
    middle = len(SEEDS) // 2
    first = reports[0]
    representation = first["representation"].split(",")[0].split(":")[0]
    features = first["representation"].partition("linear, ")[2].partition("(")[0]
    what = f"{representation}, {features}" if features else representation
    returned = f"{returns[middle]:.4g} ({returns[0]:.4g} to {returns[-1]:.4g})"
    cells = (
        f"`{env_id}`",
        first["stepping"],
        what,
        f"{first['steps']:,}",
        f"{seconds[middle]:.2f}",
        returned,
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    print("| environment | stepping | Q-function | steps | seconds | mean return |")
    print("|---|---|---|---|---|---|")
    for env_id in sys.argv[1:] or IDS:
        print(line(env_id), flush=True)


if __name__ == "__main__":
    main()
