"""A job's rounds again, in this process: what its journal says was learnt, learnt once more and compared."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from cdq.comm.contribution import Received
from cdq.comm.zmq.events import Submission
from cdq.errors import DivergenceError, FileError
from cdq.interrupts import Requests
from cdq.job.asynchronous import AsynchronousService, Offer
from cdq.job.journal import Entry, read
from cdq.job.member import Member
from cdq.job.messages import Task, pack_result
from cdq.job.service import LearningService, make_service, plan_of
from cdq.job.store import NAME, read_beginning
from cdq.merges import MergeRule, resolve
from cdq.monitor import watch_nothing
from cdq.problem import PackedModel
from cdq.settings import arguments_of, make_settings
from cdq.state import State
from cdq.subject import ModelSubject
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
        self._samplers: dict[tuple[str, str], PackedModel] = {}
        self._merged: Received = b""

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
    service: LearningService, entries: Iterable[Entry], told: Callable[[int], None] | None = None
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
    if isinstance(service, AsynchronousService):
        repeat_singles(service, list(entries), told)
        return
    rehearsal = Rehearsal(service)
    for entry in entries:
        _require_next(service, entry)
        expected = {uid: crc for uid, _, crc in entry["members"]}
        brought = rehearsal.learn(expected, entry["size"])
        odd = [uid for uid, one in brought.items() if crc32(one.payload) != expected[uid]]
        if odd or rehearsal.apply(brought) != entry["merged"]:
            raise _divergence(entry, odd)
        if told is not None:
            told(entry["round"])


def repeat_singles(
    service: AsynchronousService, entries: Sequence[Entry], told: Callable[[int], None] | None = None
) -> None:
    """Learn the contributions of an asynchronous journal again; see `repeat`.

    Each was learnt from the table as it was some contributions before: workers learn ahead here, when the table is what
    theirs was, and what they bring waits for its turn.
    """
    ahead, last = defaultdict[int, list[Entry]](list), dict[int, int]()
    for later in entries:
        ahead[later["base"]].append(later)
    members, brought, samplers = (
        dict[int, Member](),
        dict[int, Received](),
        dict[tuple[str, str], PackedModel](),
    )
    turns: list[Entry | None] = [None, *entries]
    for entry in turns:
        if entry is not None:
            uid = entry["members"][0][0]
            take_again(service, entry, brought.pop(uid))
            members[uid].settle(service.answer(uid, entry["base"]))
            last[uid] = entry["round"]
            if told is not None:
                told(entry["round"])
        for later in ahead[service.rounds]:
            uid = later["members"][0][0]
            if last.get(uid) != service.rounds:  # it began anew here
                members[uid] = Member(samplers)
                members[uid].join(service.welcome(uid, ()))
            members[uid].task = Task(*later["task"])
            brought[uid] = members[uid].learn()


def take_again(service: AsynchronousService, entry: Entry, payload: Received) -> None:
    """Apply a contribution to a service that stands where it was applied before; raise as `repeat` does."""
    _require_next(service, entry)
    ((uid, sequence, crc),) = entry["members"]
    if crc32(payload) != crc:
        raise _divergence(entry, [uid])
    service.open(entry["size"])
    service.apply_single(uid, Submission(payload, sequence, 0), Offer(entry["base"], Task(*entry["task"])))


def _require_next(service: LearningService, entry: Mapping[str, Any]) -> None:
    if entry["round"] != service.rounds + 1:
        raise FileError(
            f"the journal goes on with round {entry['round']} where round {service.rounds + 1} should be; "
            "use another copy"
        )


def _divergence(entry: Mapping[str, Any], odd: Sequence[int]) -> DivergenceError:
    return DivergenceError(
        f"round {entry['round']} comes out otherwise than the journal says"
        f"{f' for worker {odd}' if odd else ''}: the journal was begun by another cdq or on another kind of "
        "machine, or memory or disk are at fault",
        odd,
    )


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
    arguments = {**arguments_of(path / NAME, header, merge), "comm": "inprocess"}
    settings = make_settings(**arguments)
    state = State(Merged(model.n_states, model.n_actions, settings.dtype, 0.0), Progress(0, 0.0))
    state.restore(path / NAME, tensors, header, ModelSubject(model, settings.dtype))
    lanes: dict[int, Any] = dict(enumerate(tensors["lanes"]))
    rounds = int(header["rounds"])
    for start, entries in _starts(read(path)):
        state.goal = Goal.from_config(start["goal"])
        service = make_service(
            model,
            settings,
            plan=plan_of(settings, resolve(settings.merge)),
            state=state,
            lanes=lanes,
            watch=watch_nothing,
            finish=Requests().finish,
            rounds=rounds,
            kind=AsynchronousService if start["asynchronous"] else LearningService,
        )
        repeat(service, entries, told)
        rounds = service.rounds
    return QTable(state.merged.values, state.merged.visits, model.name, actions=model.actions)


def _starts(entries: Iterable[Entry]) -> Iterator[tuple[Entry, list[Entry]]]:
    """Yield each start of the hub, and the rounds until the next."""
    begun: tuple[Entry, list[Entry]] | None = None
    for entry in entries:
        if "start" in entry:
            if begun is not None:
                yield begun
            begun = entry, []
        elif begun is not None:
            begun[1].append(entry)
    if begun is not None:
        yield begun
