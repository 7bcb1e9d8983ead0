"""Workers of a job as one who looks on has seen them join, learn, be lost and come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from cdq.cli.output import printable

_MOST = 512  # workers that are remembered, and shown
_EVENTS = 40
_LONGEST = 80  # characters of a name
_GONE = ("lost", "left")
_WORDS = {
    "unreachable": "cannot be reached",
    "lost": "was lost: the round went on without it",
    "left": "left",
    "waiting": "waits to be let in",
}


class Workers:
    """Workers of a job, also those that it has no more.

    Attributes
    ----------
    events : deque of (str, str)
        Times and texts of what happened last, the oldest first.
    """

    def __init__(self) -> None:
        self._known: dict[int, dict[str, Any]] = {}
        self._dropped: int | None = None
        self.events: deque[tuple[str, str]] = deque(maxlen=_EVENTS)

    def see(self, told: Mapping[str, Any], when: str) -> None:
        """Take in the state that a hub told at some time."""
        here = _present(told)
        dropped = int(told["counts"].get("evicted", 0))
        lost = self._dropped is not None and dropped > self._dropped
        for uid, worker in self._known.items():
            if uid not in here and worker["state"] not in _GONE:
                gone = "lost" if lost or worker["state"] == "unreachable" else "left"
                self._move(worker, gone, when)
        for uid, worker in here.items():
            self._move(self._known.setdefault(uid, {"uid": uid, "state": ""}), worker["state"], when, worker)
        self._dropped = dropped
        self._forget()

    def _move(
        self, worker: dict[str, Any], state: str, when: str, told: Mapping[str, Any] | None = None
    ) -> None:
        """Give a worker another state, and write down what that means."""
        before = worker["state"]
        worker.update(told or {}, state=state)
        if state != before:
            back = "joined" if before in {"", "waiting"} else "is back"
            self.note(when, f"{_name_of(worker)} {_WORDS.get(state, back)}")

    def _forget(self) -> None:
        gone = [uid for uid, worker in self._known.items() if worker["state"] in _GONE]
        for uid in gone[: max(len(self._known) - _MOST, 0)]:
            del self._known[uid]

    def note(self, when: str, text: str) -> None:
        """Write down what happened to the job itself."""
        self.events.append((when, text))

    def rows(self, *, known: bool) -> list[dict[str, Any]]:
        """Return what a table shows of each worker, in the order of their numbers.

        Parameters
        ----------
        known : bool
            False: nobody tells at present where workers are that were there.
        """
        unknown = {} if known else {"state": "unknown", "speed": None, "seen": None}
        return [
            {**worker, "who": _name_of(worker), **({} if worker["state"] in _GONE else unknown)}
            for _, worker in sorted(self._known.items())[:_MOST]
        ]


def _present(told: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Return the workers that a job has, by number; of many a hub describes some alone, and of the rest only this."""
    states = dict.fromkeys(map(int, told["waiting"]), "waiting")
    for uid in map(int, told["members"]):
        states[uid] = "learning"
    states.update((int(uid), "unreachable") for uid in told["unreachable"] if int(uid) in states)
    described = {int(worker["uid"]): worker for worker in told["workers"]}
    paces = told["service"]["speeds"]
    found = {}
    for uid, state in list(states.items())[:_MOST]:
        worker, pace = described.get(uid, {}), paces.get(str(uid), {})
        found[uid] = {
            "state": state,
            "name": _short(worker.get("name", "")),
            "host": _short(worker.get("host", "")),
            "seen": worker.get("seen"),
            "speed": pace.get("steps_per_second"),
            "steps": pace.get("steps"),
        }
    return found


def _short(text: Any) -> str:
    return " ".join(printable(str(text)).split())[:_LONGEST]


def _name_of(worker: Mapping[str, Any]) -> str:
    """Return the number of a worker, with the name of its key and its machine as far as they are known."""
    parts = [worker.get("name", ""), f"on {worker['host']}" if worker.get("host") else ""]
    said = " ".join(filter(None, parts))
    return f"worker {worker['uid']}{f' ({said})' if said else ''}"
