"""Restart of the hub: rounds of the journal that the newest checkpoint lacks, applied as they were stored."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import takewhile

from cdq.errors import FileError
from cdq.job.asynchronous import AsynchronousService
from cdq.job.contributions import Contributions
from cdq.job.journal import Entry, Journal
from cdq.job.membership.events import Submission
from cdq.job.replay import Rehearsal, goal_of, kind_of, require_next, require_round, starts, take_again
from cdq.job.service import LearningService
from cdq.job.stretches.service import StretchService
from cdq.training import Goal

_log = logging.getLogger("cdq")
Make = Callable[[type[LearningService], Goal], LearningService]


def recover(journal: Journal, goal: Goal, make: Make, stored: Contributions) -> Entry | None:
    """Apply the rounds of a journal to a state that stands where they began.

    Nothing is learnt or compared: what was acknowledged counts, whoever brought it. Only a round whose contributions
    are not stored is learnt again; where it cannot be, and nothing was promised, the journal ends before it.

    Parameters
    ----------
    journal : Journal
        Journal whose entries are those that the state does not have.
    goal : Goal
        Goal of the state.
    make : callable
        Function that returns a service of a kind on the state, for a goal.
    stored : Contributions
        Stored contributions to the rounds.

    Returns
    -------
    dict or None
        The line of the hub's last start.

    Raises
    ------
    FileError
        If lines or contributions are missing.
    DivergenceError
        If a round that must be learnt again comes out otherwise.
    """
    stored.find()
    last: Entry | None = None
    for last, rounds in list(starts(journal.entries)):
        there = _stored(last, rounds, stored)
        if there:
            _apply(make(kind_of(last), _as_it_was(goal, goal_of(last))), there, stored)
        if len(there) < len(rounds):
            number = rounds[len(there)]["round"]
            _log.warning(
                "round %d and what came after it did not reach the disk: the job goes on before it", number
            )
            journal.cut(number)
            break
    return last


def seconds_of(entries: Iterable[Entry], begun: float | None) -> float:
    """Return how long the rounds of a journal took, by the clock of the hub; not what passed while there was none.

    Parameters
    ----------
    entries : iterable of dict
        Its lines.
    begun : float or None
        When the line before them was written.

    Examples
    --------
    >>> seconds_of([{"start": 1, "time": 5.0}, {"round": 1, "time": 7.0}, {"start": 2, "time": 90.0}], None)
    2.0
    """
    total, before = 0.0, begun
    for entry in entries:
        now = entry.get("time")
        if not isinstance(now, (int, float)):  # the starts of an older cdq
            now = None
        elif "round" in entry and before is not None:
            total += max(now - before, 0.0)  # a clock may be set back
        before = now
    return total


def _stored(start: Entry, rounds: list[Entry], stored: Contributions) -> list[Entry]:
    """Return the rounds up to the first that cannot be applied, as it was promised only from a checkpoint on."""
    for entry in rounds:
        require_round(entry)
    if start.get("durable", True) or kind_of(start) is LearningService:
        return rounds
    return list(
        takewhile(lambda entry: stored.of_round(entry["round"], checksums(entry)) is not None, rounds)
    )


def is_changed(last: Entry | None, goal: Goal, kind: type[LearningService]) -> bool:
    """Return whether the hub's last start had another goal, or merged in another way."""
    return last is not None and not (_same(goal, goal_of(last)) and kind is kind_of(last))


def _as_it_was(goal: Goal, then: Goal) -> Goal:
    """Return the goal of rounds; another one is not measured: that the hub went on says that it was not reached."""
    return (
        goal if _same(goal, then) else replace(goal, target=then.target, until=None, measure_at=sys.maxsize)
    )


def _same(one: Goal, other: Goal) -> bool:
    return (one.target, one.until) == (other.target, other.until)


def checksums(entry: Entry) -> list[int]:
    """Return the checksums of the contributions to a round, in the order of uids."""
    return [crc for _, _, crc in entry["members"]]


def _apply(service: LearningService, entries: Iterable[Entry], stored: Contributions) -> None:
    rehearsal: Rehearsal | None = None
    for entry in entries:
        require_next(service, entry)
        payloads = stored.of_round(entry["round"], checksums(entry))
        if payloads is None and isinstance(service, AsynchronousService):
            raise FileError(
                f"the contribution to round {entry['round']} is not in {stored.directory}, though its journal has "
                "the round; use another copy of the directory"
            )
        if payloads is None:
            rehearsal = rehearsal or Rehearsal(service)
            rehearsal.repeat(entry)
        elif isinstance(service, AsynchronousService):
            take_again(service, entry, payloads[0])
        else:
            rehearsal = None
            service.open(entry["size"])
            members = zip(entry["members"], payloads, strict=True)
            brought = {uid: Submission(payload, sequence, 0) for (uid, sequence, _), payload in members}
            if isinstance(service, StretchService) and "rounds" in entry:
                service.apply_stretch(brought)
            else:
                service.apply(brought)
