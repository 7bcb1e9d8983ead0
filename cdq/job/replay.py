"""Replay of a job in this process: every round is learnt again, and compared with the journal."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from cdq.comm.base import LONGEST_TIMEOUT
from cdq.comm.contribution import Received
from cdq.errors import CdqError, DivergenceError, FileError
from cdq.job.asynchronous import Assignment, AsynchronousService
from cdq.job.job import Job
from cdq.job.journal import Entry, read
from cdq.job.member import Member
from cdq.job.membership.events import Submission
from cdq.job.messages import TOGETHER, OpenWindow, is_of, pack_result
from cdq.job.opening import make_service, plan_of
from cdq.job.service import LearningService
from cdq.job.store import NAME, read_beginning
from cdq.job.stretches.commons import Commons, commons_bytes
from cdq.job.stretches.player import Place
from cdq.job.stretches.service import StretchService
from cdq.job.tasks import Make, make_nothing, open_task
from cdq.merges import MergeRule, resolve
from cdq.qfunctions import MergedNetwork, QTable
from cdq.settings import arguments_of, make_settings, named_model
from cdq.storage import Tensors
from cdq.training import Goal, Nobody, Progress, Requests, State, WideTask, allowed_in, watch_nothing
from cdq.workers import MOST_ROUNDS, Look

_MOST = 1 << 62  # no number of a line is larger


class Rehearsal:
    """Workers of this process, which learn for a service as the workers of a job do for the hub.

    Parameters
    ----------
    service : LearningService
        Service for which the workers learn.
    """

    def __init__(self, service: LearningService) -> None:
        self._service = service
        self._members: dict[int, Member] = {}
        self._known = service.job.known()
        self._merged: Received = b""
        self._together: list[Member] = []  # those who play in the memory
        self._commons: Commons

    def learn(self, uids: Iterable[int], size: int) -> dict[int, Submission]:
        """Return the contributions of these workers to a round whose window is computed for *size* workers."""
        service = self._service
        service.open(size)
        # A worker that was not in the last round restarts from the lanes that the hub has of it, like any that returns.
        self._members = {uid: self._member(uid) for uid in uids}
        return {uid: _submission(member) for uid, member in self._members.items()}

    def _member(self, uid: int) -> Member:
        member = self._members.get(uid)
        if member is None:
            member = Member(self._known)
            member.join(self._service.welcome(uid, ()))
        else:
            member.settle(pack_result(self._service.window, self._merged))
        return member

    def apply(self, submissions: Mapping[int, Submission]) -> int:
        """Merge contributions; return the CRC of the merged slice."""
        self._merged = self._service.apply(submissions)
        return crc32(self._merged)

    def repeat(self, entry: Entry) -> None:
        """Learn and merge a round again; raise `DivergenceError` if it comes out otherwise than its line says."""
        expected = {uid: crc for uid, _, crc in entry["members"]}
        if "rounds" in entry:
            self._repeat_stretch(entry, list(expected))
            return
        brought = self.learn(expected, entry["size"])
        odd = [uid for uid, one in brought.items() if not self._service.is_of(one.payload, expected[uid])]
        if odd or self.apply(brought) != entry["merged"]:
            raise divergence(entry, odd)

    def _repeat_stretch(self, entry: Entry, uids: Sequence[int]) -> None:
        """Play rounds again that workers played together; see `repeat`."""
        service = self._service
        assert isinstance(service, StretchService)
        service.open(entry["size"])
        self._members = {uid: self._member(uid) for uid in uids}
        members, self._merged = list(self._members.values()), b""
        service.order(self._commons_of(members), Look(at=entry["steps"]))
        for member in members:
            member.window = member.window._replace(compare=TOGETHER)
        with ThreadPoolExecutor(len(members)) as pool:
            service.apply_stretch(dict(zip(uids, pool.map(_submission, members), strict=True)))
        odd = [uid for uid, crc in zip(uids, entry["lanes"], strict=True) if crc32(service.lanes(uid)) != crc]
        if odd or service.rounds != entry["round"] or service.merged_checksum() != entry["merged"]:
            raise divergence(entry, odd)

    def _commons_of(self, members: list[Member]) -> Commons:
        """Return memory in which these workers play: the same one as long as they are the same."""
        if members != self._together:
            merged = self._service.job.new_table()[0]
            memory = mmap(-1, commons_bytes(merged, len(members)))
            self._together, self._commons = members, Commons(memory, merged, len(members))
            for rank, member in enumerate(members):
                member.take_place(Place(self._commons, rank, len(members), LONGEST_TIMEOUT))
        return self._commons


def _submission(member: Member) -> Submission:
    payload = member.learn()
    assert payload is not None, "all workers are here"
    return Submission(payload, 0, 0)


def repeat(
    service: LearningService, entries: Iterable[Entry], told: Callable[[int], None] | None = None
) -> None:
    """Learn the rounds of a journal again, for a service that stands where the first of them began.

    Parameters
    ----------
    service : LearningService
        Service that learns and merges again; it must not write its own journal.
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
        require_next(service, entry)
        rehearsal.repeat(entry)
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
    members, brought = dict[int, Member](), dict[int, Received]()
    known = service.job.known()
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
            if last.get(uid) != service.rounds:  # it restarted here
                members[uid] = Member(known)
                members[uid].join(service.welcome(uid, ()))
            members[uid].window = OpenWindow(*later["task"])
            brought[uid] = _submission(members[uid]).payload


def take_again(service: AsynchronousService, entry: Entry, payload: Received) -> None:
    """Apply a contribution to a service that stands where it was applied before; raise as `repeat` does."""
    require_next(service, entry)
    ((uid, sequence, crc),) = entry["members"]
    if not is_of(payload, crc):
        raise divergence(entry, [uid])
    service.open(entry["size"])
    service.apply_single(
        uid, Submission(payload, sequence, 0), Assignment(entry["base"], OpenWindow(*entry["task"]))
    )


def require_next(service: LearningService, entry: Entry) -> None:
    """Raise `FileError` unless the line is that of the service's next round."""
    require_round(entry)
    if "rounds" in entry and not isinstance(service, StretchService):
        raise FileError(
            "the journal has rounds without messages, which this job cannot have; use another copy"
        )
    first = entry["round"] - entry.get("rounds", 1) + 1
    if first != service.rounds + 1:
        raise FileError(
            f"the journal goes on with round {first} where round {service.rounds + 1} should be; "
            "use another copy"
        )


def require_round(entry: Entry) -> None:
    """Raise `FileError` unless the line is that of a round."""
    if not _is_round(entry):
        raise FileError(f"the journal lacks what its round {entry.get('round')!r:.20} was; use another copy")


def _is_round(entry: Entry) -> bool:
    """Return whether a line has the form of a round or of a single contribution, with numbers in their ranges."""
    members, window = entry.get("members"), entry.get("task")
    if not (isinstance(members, list) and all(isinstance(one, list) and len(one) == 3 for one in members)):
        return False
    of_all = window is None
    if not of_all and not (
        isinstance(window, list) and len(window) == len(OpenWindow._fields) and len(members) == 1
    ):
        return False
    numbers = [entry.get(name) for name in ("round", "size", "merged" if of_all else "base")]
    if "rounds" in entry:
        n, lanes = entry["rounds"], entry.get("lanes")
        if not (isinstance(lanes, list) and len(lanes) == len(members) and n in range(1, MOST_ROUNDS + 1)):
            return False
        numbers += [n, entry.get("steps"), *lanes]
    numbers += [number for one in members for number in one]
    return bool(members) and all(type(number) is int and 0 <= number <= _MOST for number in numbers)


def divergence(entry: Entry, odd: Sequence[int]) -> DivergenceError:
    """Return the error for a round that comes out otherwise; *odd* are the workers that brought something else."""
    who = f" for worker {list(odd)}" if odd else ""
    liar = "the worker did not deliver what it should have learnt, " if odd else ""
    return DivergenceError(
        f"round {entry['round']} comes out otherwise than the journal says{who}: {liar}the journal was begun by "
        "another cdq or on another kind of machine, or memory or disk are at fault",
        odd,
    )


def replay(
    directory: str | os.PathLike[str],
    *,
    merge: MergeRule | None = None,
    told: Callable[[int], None] | None = None,
    make: Make = make_nothing,
) -> QTable | LearntNetwork:
    """Learn a whole job again, its faults included, in this process; return the table, or network, that it comes to.

    Parameters
    ----------
    directory : path
        Directory in which the hub keeps the job.
    merge : MergeRule, optional
        The rule, where it is one of your own.
    told : callable, optional
        Called with the number of each round.
    make : callable, optional
        Makes the environment of a job that has no model, of what its file says (`cdq.learner.members.task_of`).

    Raises
    ------
    FileError
        If there is no job, or its files were altered.
    DivergenceError
        If anything comes out in other bits than the journal says.
    """
    path = Path(directory)
    tensors, header = read_beginning(path)
    job = _job_in(path / NAME, tensors, header, merge, make)
    merged, blocks = job.new_table()
    state = State(merged, Progress(0, 0.0), actions=allowed_in(job.task, blocks), blocks=blocks)
    state.restore(path / NAME, tensors, header, job.task)
    lanes: dict[int, Any] = dict(enumerate(tensors["lanes"]))
    rounds = int(header["rounds"])
    for start, entries in starts(read(path)):
        state.goal = goal_of(start)
        service = make_service(
            job,
            plan=plan_of(job, resolve(job.settings.merge)),
            state=state,
            lanes=lanes,
            watch=watch_nothing,
            finish=Requests().finish,
            rounds=rounds,
            onlooker=Nobody(),
            make=kind_of(start),
        )
        repeat(service, entries, told)
        rounds = service.rounds
    if isinstance(merged, MergedNetwork):
        return LearntNetwork(job.task.name, merged)
    return QTable(merged.mean_values(), merged.updates(), job.task.name, actions=state.allowed())


class LearntNetwork(NamedTuple):
    """A network that a job has come to: the name of its environment, and its parameters."""

    environment: str
    merged: MergedNetwork

    def digest(self) -> str:
        """Return the SHA-256 of parameters and moments, as hexadecimal digits."""
        return self.merged.digest().hex()


def _job_in(
    path: Path, tensors: Tensors, header: Mapping[str, Any], merge: MergeRule | None, make: Make
) -> Job:
    """Return the job of a file; raises `FileError` if it has none."""
    try:
        task = open_task(header, tensors, str(header["settings"]["dtype"]), make)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, CdqError):
            raise
        raise FileError(f"{path} lacks what the job learnt: {error!r}; use another copy") from None
    tasks = task.tasks if isinstance(task, WideTask) else None
    arguments = {**arguments_of(path, header, merge, tasks, named_model(header)), "comm": "inprocess"}
    return Job(task, make_settings(**arguments), header)


def starts(entries: Iterable[Entry]) -> Iterator[tuple[Entry, list[Entry]]]:
    """Yield each start of the hub, and the rounds until the next; its mode and goal are checked.

    Raises
    ------
    FileError
        If a line lacks what a start has.
    """
    begun: tuple[Entry, list[Entry]] | None = None
    for entry in entries:
        if "start" in entry:
            if begun is not None:
                yield begun
            begun = entry, []
            goal_of(entry)
        elif begun is not None:
            begun[1].append(entry)
    if begun is not None:
        yield begun


def kind_of(start: Entry) -> type[LearningService]:
    """Return the kind of service that merged from a start of the hub on."""
    return AsynchronousService if start["asynchronous"] else LearningService


def goal_of(start: Entry) -> Goal:
    """Return the goal of a start of the hub; raises `FileError`."""
    try:
        start["asynchronous"], start["start"]
        return Goal.from_config(start["goal"])
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(
            f"the journal lacks what a start of the hub was: {error!r}; use another copy"
        ) from None
