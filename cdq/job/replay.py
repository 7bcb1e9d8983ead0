"""A job's rounds again, in this process: what its journal says was learnt, learnt once more and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from cdq.comm.zmq.events import Submission
from cdq.core.model import Sampler
from cdq.errors import DivergenceError, FileError
from cdq.interrupts import Requests
from cdq.job.journal import Entry, read
from cdq.job.member import Member
from cdq.job.messages import pack_result
from cdq.job.service import LearningService, make_service, plan_of
from cdq.job.store import read_beginning
from cdq.merges import MergeRule, resolve
from cdq.monitor import watch_nothing
from cdq.settings import as_arguments, make_settings
from cdq.state import State
from cdq.table import QTable
from cdq.training import Progress
from cdq.until import Goal
from cdq.worker import Merged


class Rehearsal:
    """Workers of this process, which learn for a service as those of a job do for the hub.

    Parameters
    ----------
    service : LearningService
        What they learn for.
    """

    def __init__(self, service: LearningService) -> None:
        self._service = service
        self._members: dict[int, Member] = {}
        self._samplers: dict[tuple[str, str], Sampler] = {}
        self._merged = b""

    def learn(self, uids: Iterable[int], size: int) -> dict[int, Submission]:
        """Return what these workers bring to a round whose window is reckoned for *size*."""
        service = self._service
        service.open(size)
        # Who was not in the last round begins anew from what the hub knows of it, like any that comes back.
        self._members = {uid: self._member(uid) for uid in uids}
        return {uid: Submission(member.learn(), 0, 0) for uid, member in self._members.items()}

    def _member(self, uid: int) -> Member:
        member = self._members.get(uid)
        if member is None:
            member = Member(self._samplers)
            member.join(self._service.welcome(uid, ()))
        else:
            member.settle(pack_result(self._service.task, self._merged))
        return member

    def apply(self, submissions: Mapping[int, Submission]) -> int:
        """Merge what they bring; return the CRC of what was merged."""
        self._merged = self._service.apply(submissions)
        return crc32(self._merged)


def repeat(
    service: LearningService, entries: Iterable[Mapping[str, Any]], told: Callable[[int], None] | None = None
) -> None:
    """Learn the rounds of a journal again, for a service that stands where the first of them began.

    Parameters
    ----------
    service : LearningService
        It must not write its own journal.
    entries : iterable of dict
        Lines of rounds.
    told : callable, optional
        Called with the number of each round.

    Raises
    ------
    FileError
        If rounds are missing.
    DivergenceError
        If anything comes out in other bits than the journal says; names the round and the workers.
    """
    rehearsal = Rehearsal(service)
    for entry in entries:
        if entry["round"] != service.rounds + 1:
            raise FileError(
                f"the journal goes on with round {entry['round']} where round {service.rounds + 1} should be; "
                "use another copy"
            )
        expected = {uid: crc for uid, _, crc in entry["members"]}
        brought = rehearsal.learn(expected, entry["size"])
        odd = [uid for uid, one in brought.items() if crc32(one.payload) != expected[uid]]
        if odd or rehearsal.apply(brought) != entry["merged"]:
            raise DivergenceError(
                f"round {entry['round']} comes out otherwise than the journal says"
                f"{f' for worker {odd}' if odd else ''}: the journal was begun by another cdq or on another kind of "
                "machine, or memory or disk are at fault",
                odd,
            )
        if told is not None:
            told(entry["round"])


def replay(
    directory: str | os.PathLike[str],
    *,
    merge: MergeRule | None = None,
    told: Callable[[int], None] | None = None,
) -> QTable:
    """Learn a whole job again, its faults included, in this process; return the table that it comes to.

    Parameters
    ----------
    directory : path
        Where the hub keeps the job.
    merge : MergeRule, optional
        The rule, where it is one of your own.
    told : callable, optional
        Called with the number of each round.

    Raises
    ------
    FileError
        If there is no job, or its files were altered.
    DivergenceError
        If anything comes out in other bits than the journal says.
    """
    path = Path(directory)
    model, tensors, header = read_beginning(path)
    arguments = {**as_arguments(header["settings"], merge), "comm": "inprocess"}
    settings = make_settings(**arguments)
    state = State(Merged(model.n_states, model.n_actions, settings.dtype, 0.0), Progress(0, 0.0))
    state.restore(path, tensors, header, model)
    lanes: dict[int, Any] = dict(enumerate(tensors["lanes"]))
    rounds = int(header["rounds"])
    for goal, entries in _starts(read(path)):
        state.goal = Goal.from_config(goal)
        service = make_service(
            model,
            settings,
            plan=plan_of(settings, resolve(settings.merge)),
            state=state,
            lanes=lanes,
            watch=watch_nothing,
            finish=Requests().finish,
            rounds=rounds,
        )
        repeat(service, entries, told)
        rounds = service.rounds
    return QTable(state.merged.values, state.merged.visits, model.name)


def _starts(entries: Iterable[Entry]) -> Iterator[tuple[dict[str, Any], list[Entry]]]:
    """Yield the goal of each start of the hub, and the rounds until the next."""
    begun: tuple[dict[str, Any], list[Entry]] | None = None
    for entry in entries:
        if "start" in entry:
            if begun is not None:
                yield begun
            begun = entry["goal"], []
        elif begun is not None:
            begun[1].append(entry)
    if begun is not None:
        yield begun
