"""Last rounds of a hub, by its journal: their steps, their speed, and the workers that brought something."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from cdq.job.journal import Entry, tail
from cdq.training import JOURNAL

_LATELY = 10.0  # seconds before the last round, in which a worker that learns has brought something
_MOST = 512  # workers that are shown


def last_rounds(directory: Path) -> list[Entry]:
    """Return the last rounds of a hub's journal, oldest first; none where there is no journal.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    if not (directory / JOURNAL).exists():
        return []
    return [entry for entry in tail(directory) if _is_whole(entry)]


def _is_whole(entry: Entry) -> bool:
    members = entry.get("members")
    return (
        isinstance(entry.get("steps"), int)
        and isinstance(entry.get("time"), float)
        and isinstance(members, list)
        and all(isinstance(one, list) and one and isinstance(one[0], int) for one in members)
    )


def speed_of(rounds: list[Entry]) -> float:
    """Return the steps a second of the last seconds; 0 where there are too few rounds to tell."""
    lately = _of_late(rounds)
    passed = lately[-1]["time"] - lately[0]["time"] if lately else 0.0
    return float((lately[-1]["steps"] - lately[0]["steps"]) / passed) if passed > 0 else 0.0


def _of_late(rounds: list[Entry]) -> list[Entry]:
    return [entry for entry in rounds if entry["time"] >= rounds[-1]["time"] - _LATELY]


def workers_of(rounds: list[Entry], now: float, *, goes_on: bool) -> list[dict[str, Any]]:
    """Return what a table shows of the workers of the last rounds, in the order of their numbers.

    Parameters
    ----------
    rounds : list of dict
        The rounds.
    now : float
        Time, in seconds since 1970.
    goes_on : bool
        True while the hub is there.
    """
    seen, brought = dict[int, float](), Counter[int]()
    lately = _of_late(rounds)
    for entry in rounds:
        seen.update((one[0], entry["time"]) for one in entry["members"])
    for before, entry in pairwise(lately):
        each = (entry["steps"] - before["steps"]) / max(len(entry["members"]), 1)
        brought.update({one[0]: each for one in entry["members"]})
    passed = lately[-1]["time"] - lately[0]["time"] if lately else 0.0
    here = "learning" if goes_on else "left"
    return [
        {
            "who": f"worker {uid}",
            "state": here if lately[0]["time"] <= seen[uid] else "absent",
            "speed": brought[uid] / passed if passed > 0 and goes_on else None,
            "steps": None,
            "seen": max(now - seen[uid], 0.0),
        }
        for uid in sorted(seen)[:_MOST]
    ]
