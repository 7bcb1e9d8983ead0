"""Last rounds of a hub, by its journal: their steps, their speed, and the workers that brought something."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

from cdq.errors.checks import MOST_STEPS
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
    members, steps, when = (entry.get(name) for name in ("members", "steps", "time"))
    return (
        isinstance(steps, int)
        and steps <= MOST_STEPS
        and isinstance(when, float)
        and math.isfinite(when)
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


class Bringers:
    """Workers that bring something to the rounds of a journal, also those that do so no more."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}

    def see(self, rounds: list[Entry]) -> None:
        """Take in the last rounds."""
        for entry in rounds:
            self._seen.update((one[0], entry["time"]) for one in entry["members"])
        if len(self._seen) > _MOST:
            newest = sorted(self._seen.items(), key=lambda item: -item[1])
            self._seen = dict(newest[:_MOST])

    def rows(self, rounds: list[Entry], now: float, *, goes_on: bool) -> list[dict[str, Any]]:
        """Return what a table shows of each worker, in the order of their numbers.

        Parameters
        ----------
        rounds : list of dict
            The last rounds.
        now : float
            Time, in seconds since 1970.
        goes_on : bool
            True while the hub is there.
        """
        since = rounds[-1]["time"] - _LATELY if rounds else 0.0
        speeds = _speeds(_of_late(rounds)) if goes_on else {}
        here = "learning" if goes_on else "left"
        return [
            {
                "who": f"worker {uid}",
                "state": here if self._seen[uid] >= since else "lost",
                "speed": speeds.get(uid),
                "steps": None,
                "seen": max(now - self._seen[uid], 0.0),
            }
            for uid in sorted(self._seen)
        ]


def _speeds(lately: list[Entry]) -> dict[int, float]:
    """Return the steps a second of each worker."""
    passed = lately[-1]["time"] - lately[0]["time"] if lately else 0.0
    if passed <= 0:
        return {}
    brought: dict[int, float] = {}
    for before, entry in pairwise(lately):
        each = (entry["steps"] - before["steps"]) / max(len(entry["members"]), 1) / passed
        for one in entry["members"]:
            brought[one[0]] = brought.get(one[0], 0.0) + each
    return brought
