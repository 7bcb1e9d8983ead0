"""The hub's part of learning: it opens windows, merges the contributions, and keeps the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from zlib import crc32

import numpy as np

from cdq.comm.contribution import Received
from cdq.comm.kept import Kept
from cdq.comm.zmq.wire import Body
from cdq.core.merge import merge as _core
from cdq.core.table.rows import Law
from cdq.errors import ConfigError
from cdq.job.faults import point
from cdq.job.handshake import check_hello, pack_welcome
from cdq.job.job import Job
from cdq.job.membership.events import HubState, Refused, Submission
from cdq.job.messages import (
    CLOCK_LIMIT,
    COMPARE,
    DONE,
    OpenWindow,
    Own,
    check_contribution,
    is_of,
    merged_alone,
    most_merged,
    open_contribution,
    result_parts,
)
from cdq.job.pace import Pace, learnt
from cdq.qfunctions import allocate, rows_over, table_bytes
from cdq.training import Course, Ended, Pictures, State
from cdq.workers import Round, Rule, Worker

# Rounds between two comparisons of all tables: each takes as long as reading the table twice.
_COMPARE_EVERY = 64
_DESCRIBED = 256  # workers that the status describes one by one


@dataclass(frozen=True)
class Record:
    """Record that a service keeps of its rounds; by default none.

    Attributes
    ----------
    write : callable, optional
        Makes a round durable, before it counts: gets its line for the journal.
    store : callable, optional
        Stores the contributions to a round, by its number, before it counts; returns their CRCs.
    write_checkpoint : callable, optional
        Called with the service after a round at which a checkpoint is due, and after the last.
    is_crowded : callable
        Returns True if so much is stored that a checkpoint, which makes it superfluous, is due.
    """

    write: Callable[[Mapping[str, Any]], None] | None = None
    store: Callable[[int, Sequence[Received]], Sequence[int]] | None = None
    write_checkpoint: Callable[[LearningService], None] | None = None
    is_crowded: Callable[[], bool] = lambda: False


NO_RECORD = Record()


class LearningService:
    """Learning part of a hub: it opens windows, merges the contributions to them, and keeps the table.

    It merges in the order of uids, whoever came, as threads merge in the order of ranks: while the same workers come
    from the first round to the last, the table is that of as many threads, to the bit.

    Parameters
    ----------
    job : Job
        Task and settings, the same for all workers from the first round to the last.
    rule : str or callable
        Rule by which tables become one (`cdq.merges.resolve`).
    state : State
        The table and the progress of learning; changed by whole rounds.
    lanes : dict of int to bytes
        State of the environments of each worker by uid, lost workers included; kept up to date.
    course : Course
        The windows before them, and the watch.
    needs_mass : bool
        True if the next window depends on the round's pooled mass.
    least : int
        Least number of workers for which windows are computed.
    rounds : int
        Number of rounds before.
    record : Record
        Record of the rounds.

    Attributes
    ----------
    window : OpenWindow
        The window that all learn now.
    finished : bool
        True if there is nothing more to learn.
    least : int
        Least number of workers for which windows are computed.
    rounds, bytes : int
        Number of rounds so far; bytes of the contributions and results of this service.
    stalest : int
        Contributions of others that came between what a worker learnt from and its own, at most; none in rounds.
    """

    asynchronous = False  # whether each contribution is a round of its own
    stalest = 0
    shares = True  # whether workers of one machine may play rounds together, where they can

    def __init__(
        self,
        job: Job,
        *,
        rule: Rule,
        state: State,
        lanes: dict[int, Any],
        course: Course,
        needs_mass: bool,
        least: int,
        rounds: int,
        record: Record = NO_RECORD,
    ) -> None:
        self.job, self._shape = job, job.shape
        self._rule, self._state, self._lanes, self._course = rule, state, lanes, course
        self._needs_mass, self.least, self._record = needs_mass, least, record
        self._law: Law
        self._checksums: dict[int, int] = {}  # of the tables of workers, in a round in which they tell theirs
        self._opened: dict[int, Any] = {}
        self._kept = Kept()
        self.rounds, self.bytes = rounds, 0
        self._pace, self._paces = Pace(), dict[int, Pace]()
        self._prepare()
        self.window, self.finished = DONE, False
        self.open(least)

    def _prepare(self) -> None:
        """Make what it takes to merge, and to draw."""
        self._pictures: Any
        self._rows = rows_over(allocate(table_bytes(self._state.merged)), self._state.merged)
        self._pictures = Pictures(self.job.task.model)

    @property
    def ended(self) -> Ended:
        """Reason for which the job ends after the last round."""
        return self._course.ended

    # ---- what the hub asks for

    def admit(self, hello: bytes) -> str:
        """Look at what a worker says of itself; raise `Refused`, with a text for its user, if it cannot take part.

        Returns the name of its machine.
        """
        try:
            return check_hello(hello)
        except ConfigError as error:
            raise Refused(str(error)) from None

    def welcome(self, uid: int, members: Collection[int]) -> bytes:
        """Return all that a worker begins with."""
        merged, target = self._state.merged, self._state.goal.target
        return pack_welcome(self.job, uid, merged, self.lanes(uid), self.window, target=target)

    def limit(self, uid: int) -> int:
        """Return the bytes of the largest contribution."""
        return int(self._shape.largest)

    def check(self, uid: int, submission: Submission) -> str | None:
        """Return why a contribution to this round is refused; None if it is not."""
        try:
            brought = self._opened[uid] = self._open_contribution(submission.payload)
            self._check_contribution(uid, brought)
            self._compare(uid, brought.checksum)
        except ValueError as error:
            return str(error)
        return None

    def _open_contribution(self, payload: Any) -> Any:
        return open_contribution(payload, self._shape)

    def _check_contribution(self, uid: int, brought: Any) -> None:
        clock = self._state.merged.clock
        own = clock[self.job.own_rows(uid)] if brought.own is not None else None
        check_contribution(brought, self._shape, clock, self.window.sweeps, own)

    def is_of(self, payload: Received, checksum: int) -> bool:
        """Return whether a contribution is the one of a CRC-32 in the journal."""
        return is_of(payload, checksum)

    def result_parts(self, merged: Received) -> tuple[Received, ...]:
        """Return the parts of a result: the next window, and the merged slice."""
        return result_parts(self.window, merged)

    def _compare(self, uid: int, checksum: int) -> None:
        whose = uid if self._shape.keeps_own else 0
        if whose not in self._checksums:
            self._checksums[whose] = self._checksum_of(uid) if self.window.compare & COMPARE else -1
        if checksum != self._checksums[whose]:
            raise ValueError(
                "a worker's table is not the hub's, as it must be after every round: memory or network are at fault; "
                "start the worker again, elsewhere if it happens again"
            )

    def _checksum_of(self, uid: int) -> int:
        """Return the checksum that a worker's table must have."""
        table = self.job.table_of(self._state.merged, uid)
        return crc32(table["clock"].data, crc32(table["values"].data))

    def close_round(
        self, members: Sequence[int], submissions: Mapping[int, Submission], state: Callable[[], HubState]
    ) -> dict[int, Body]:
        """Merge the contributions, and return the answers to their workers, which acknowledge: the round is durable."""
        size = max(self.least, len(members))
        merged = self.apply(submissions, {"next": size, "hub": state()})
        self.open(size)
        point("hub:before_acknowledge")
        return dict.fromkeys(submissions, Body(*self.result_parts(merged)))

    def single(self, uid: int, submission: Submission, state: Callable[[], HubState]) -> Received:
        """Refuse: this job has rounds."""
        raise Refused("this job merges in rounds; start its hub without the asynchronous mode")

    def status(self) -> dict[str, Any]:
        """Return the public state of the job."""
        return {
            "environment": self.job.task.name,
            "steps": self._course.progress.steps,
            "target": self._state.goal.target,
            "finished": self.finished,
            "rounds": self.rounds,
            "staleness": self.stalest,
            **learnt(self._state.history),
            "speed": self._pace.per_second(),
            "speeds": {
                uid: {"steps": pace.steps, "steps_per_second": pace.per_second()}
                for uid, pace in sorted(self._paces.items())[:_DESCRIBED]
            },
        }

    def picture(self) -> dict[str, Any]:
        """Return curves and table, for whoever looks at the job."""
        picture: dict[str, Any] = self._pictures.of(self._state)
        return picture

    def _count(self, uids: Sequence[int], steps: int) -> None:
        """Take note of who brought how many steps."""
        self._pace.add(steps * len(uids))
        for uid in uids:
            self._paces.setdefault(uid, Pace()).add(steps)

    @property
    def together(self) -> int:
        """Number of workers that play rounds together now, all of which must end them; 0 for none."""
        return 0

    def agree(self, submissions: Mapping[int, Submission]) -> bool:
        """Return whether workers that play rounds together have come to the same table."""
        return True

    def break_up(self) -> None:
        """Let workers play together no more."""

    def end(self) -> None:
        """Keep nothing that others share, at the end of the hub."""

    # ---- rounds

    def lanes(self, uid: int) -> Any:
        """Return where a worker's environments are; at their start where it has learnt nothing yet."""
        if uid not in self._lanes:
            settings, (problem, table) = self.job.settings, self.job.problem_of(uid)
            worker = Worker(
                problem,
                table,  # untouched, it takes no memory
                is_keeper=False,
                gamma=settings.gamma,
                seed=settings.seed,
                rank=uid,
                session=self._state.session,
                num_envs=self._shape.num_envs,
                stop=np.zeros(1, np.int32),
            )
            self._lanes[uid] = worker.lane_state
        return self._lanes[uid]

    def open(self, size: int) -> None:
        """Open the next window, computed for *size* workers, in place of one that is open; `window` says which."""
        course = self._course
        course.forget()
        self._size = course.size = size
        before = course.progress.steps
        step = None if course.met else course.next()
        self.finished, self._checksums = step is None, {}
        compare = int(self.rounds % _COMPARE_EVERY == 0)
        self.window = (
            DONE._replace(before=before)
            if step is None
            else OpenWindow(step.sweeps, before, *step.rates, compare)
        )
        if step is not None:
            self._law = step.law

    def apply(
        self, submissions: Mapping[int, Submission], more: Mapping[str, Any] = MappingProxyType({})
    ) -> Received:
        """Merge a round into the table, and return the merged slice; *more* goes into its line of the journal.

        Whatever fails before the round is written down leaves all as it was before.
        """
        uids = sorted(submissions)
        brought = [self._open_again(uid, submissions[uid]) for uid in uids]
        self._opened.clear()  # the rest is of workers that were dropped
        point("hub:before_apply")
        merged = self._merge(brought)
        payloads, checksums = [submissions[uid].payload for uid in uids], None
        if self._record.store is not None:
            checksums = self._record.store(self.rounds + 1, payloads)
        if self._record.write is not None:
            self._record.write({**self._line(submissions, merged, checksums or map(crc32, payloads)), **more})
        self._commit(uids, brought, merged)
        point("hub:after_apply")
        self._keep_if_due()
        return merged

    def _keep_if_due(self) -> None:
        course, record = self._course, self._record
        if record.write_checkpoint is not None and (course.due or course.over or record.is_crowded()):
            record.write_checkpoint(self)
            course.kept = course.progress.steps

    def _open_again(self, uid: int, submission: Submission) -> Any:
        """Return what `check` took apart, if it was this."""
        opened = self._opened.get(uid)
        if opened is not None and opened.payload is submission.payload:
            return opened
        return self._open_contribution(submission.payload)

    def _merge(self, brought: Sequence[Any]) -> Received:
        clock = self._state.merged.clock
        if len(brought) == 1:
            return merged_alone(brought[0], clock, CLOCK_LIMIT)
        parts = [np.frombuffer(one.part, np.uint8) for one in brought]
        room = self._kept.take(most_merged(brought, self._shape))
        n_bytes = _core.merge_slices(
            self._rows, parts, 0, self._shape.n_pairs, self._rule, self._law, self._needs_mass, room
        )
        return room[:n_bytes].toreadonly()

    def _apply_merged(self, merged: Received) -> float:
        """Make what was merged the table; return the pooled mass of the round."""
        visits = self._state.merged.visits.reshape(-1)
        mass, total = _core.commit(self._rows, [np.frombuffer(merged, np.uint8)], visits)
        return mass / 2**20 / total if total else 0.0

    def _commit(self, uids: Sequence[int], brought: Sequence[Any], merged: Received) -> None:
        mass = self._apply_merged(merged)
        for uid, one in zip(uids, brought, strict=True):
            self._lanes[uid] = bytes(one.lanes)
            if one.own is not None:
                self._keep_own(uid, one.own)
        self.rounds += 1
        result = sum(map(len, self.result_parts(merged)))
        self.bytes += sum(len(one.payload) + result for one in brought)
        self._count(uids, self.window.sweeps * self._shape.num_envs)
        summaries = [one.summary for one in brought]
        # The hub's own, as it knows them: bytes of all, and whether somebody asked it to end.
        summaries[0] = summaries[0]._replace(bytes_sent=self.bytes, request=self._course.request)
        self._course.settle(Round(summaries, mass))

    def _keep_own(self, uid: int, own: Own) -> None:
        """Take over what a worker learnt in rows of its own."""
        merged, rows = self._state.merged, self.job.own_rows(uid)
        values, clock, visits = (
            table[rows].reshape(-1) for table in (merged.values, merged.clock, merged.visits)
        )
        visits[own.pairs] += own.counts.astype(np.int64) - clock[own.pairs]
        values[own.pairs], clock[own.pairs] = own.values, np.minimum(own.counts, np.uint32(CLOCK_LIMIT))

    def _line(
        self, submissions: Mapping[int, Submission], merged: Received, checksums: Iterable[int]
    ) -> dict[str, Any]:
        window, came = self.window, sorted(submissions.items())
        return {
            "round": self.rounds + 1,
            "size": self._size,
            "steps": window.before + window.sweeps * self._shape.num_envs * len(came),
            "members": [
                [uid, one.sequence, checksum] for (uid, one), checksum in zip(came, checksums, strict=True)
            ],
            "merged": crc32(merged),
            "time": time.time(),
        }
