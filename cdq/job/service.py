"""The hub's part of learning: it opens windows, merges the contributions, and keeps the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cdq.comm.contribution import Received
from cdq.comm.zmq.wire import Body
from cdq.core.merge import merge as _core
from cdq.core.table.rows import Law
from cdq.errors import ConfigError
from cdq.job.faults import point
from cdq.job.handshake import Job, check_hello, pack_welcome
from cdq.job.membership.events import HubState, Refused, Submission
from cdq.job.messages import (
    DONE,
    OpenWindow,
    ReceivedContribution,
    check_contribution,
    merged_alone,
    most_merged,
    open_contribution,
    result_parts,
)
from cdq.job.pace import Pace, learnt
from cdq.mdp import MDP, pack_model
from cdq.qfunctions import MergedTable, allocate, rows_over, table_bytes
from cdq.settings import Settings
from cdq.training import Course, Ended, Pictures, Plan, State, Watch
from cdq.workers import Round, Rule, Worker

# Clocks stay below this (rows.h): beyond it the laws are constant.
_CLOCK_LIMIT = 0x40000000

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
        Stores the contributions to a round, by its number, before it counts.
    write_checkpoint : callable, optional
        Called with the service after a round at which a checkpoint is due, and after the last.
    is_crowded : callable
        Returns True if so much is stored that a checkpoint, which makes it superfluous, is due.
    """

    write: Callable[[Mapping[str, Any]], None] | None = None
    store: Callable[[int, Sequence[Received]], None] | None = None
    write_checkpoint: Callable[[LearningService], None] | None = None
    is_crowded: Callable[[], bool] = lambda: False


NO_RECORD = Record()


class LearningService:
    """Learning part of a hub: it opens windows, merges the contributions to them, and keeps the table.

    It merges in the order of uids, whoever came, as threads merge in the order of ranks: while the same workers come
    from the first round to the last, the table is that of as many threads, to the bit.

    Parameters
    ----------
    model, settings
        Model and settings, the same for all workers from the first round to the last.
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

    def __init__(
        self,
        model: MDP,
        settings: Settings,
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
        self._job = Job(model, settings)
        self._shape = self._job.shape
        self._rule, self._state, self._lanes, self._course = rule, state, lanes, course
        self._needs_mass, self.least = needs_mass, least
        self._record = record
        self._sampler = pack_model(model, settings.dtype)
        self._rows = rows_over(allocate(table_bytes(state.merged)), state.merged)
        self._law: Law
        self._checksum: int | None = None  # of the table, in a round in which workers tell theirs
        self._opened: dict[int, ReceivedContribution] = {}
        self.rounds, self.bytes = rounds, 0
        self._pace, self._paces = Pace(), dict[int, Pace]()
        self._pictures = Pictures(model)
        self.window, self.finished = DONE, False
        self.open(least)

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

    def welcome(self, uid: int, members: Sequence[int]) -> bytes:
        """Return all that a worker begins with."""
        return pack_welcome(
            self._job, self._state.merged, self.lanes(uid), self.window, target=self._state.goal.target
        )

    def limit(self, uid: int) -> int:
        """Return the bytes of the largest contribution."""
        return self._shape.largest

    def check(self, uid: int, submission: Submission) -> str | None:
        """Return why a contribution to this round is refused; None if it is not."""
        try:
            brought = self._opened[uid] = open_contribution(submission.payload, self._shape)
            check_contribution(brought, self._shape, self._state.merged.clock, self.window.sweeps)
            self._compare(brought.checksum)
        except ValueError as error:
            return str(error)
        return None

    def _compare(self, checksum: int) -> None:
        if self._checksum is None:
            merged = self._state.merged
            self._checksum = (
                crc32(merged.clock.data, crc32(merged.values.data)) if self.window.compare else -1
            )
        if checksum != self._checksum:
            raise ValueError(
                "a worker's table is not the hub's, as it must be after every round: memory or network are at fault; "
                "start the worker again, elsewhere if it happens again"
            )

    def close_round(
        self, members: Sequence[int], submissions: Mapping[int, Submission], state: Callable[[], HubState]
    ) -> dict[int, Body]:
        """Merge the contributions, and return the answers to their workers, which acknowledge: the round is durable."""
        size = max(self.least, len(members))
        merged = self.apply(submissions, {"next": size, "hub": state()})
        self.open(size)
        point("hub:before_acknowledge")
        return dict.fromkeys(submissions, Body(*result_parts(self.window, merged)))

    def single(self, uid: int, submission: Submission, state: Callable[[], HubState]) -> Received:
        """Refuse: this job has rounds."""
        raise Refused("this job merges in rounds; start its hub without the asynchronous mode")

    def status(self) -> dict[str, Any]:
        """Return the public state of the job."""
        return {
            "environment": self._job.model.name,
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
        return self._pictures.of(self._state)

    def _count(self, uids: Sequence[int], steps: int) -> None:
        """Take note of who brought how many steps."""
        self._pace.add(steps * len(uids))
        for uid in uids:
            self._paces.setdefault(uid, Pace()).add(steps)

    # ---- rounds

    def lanes(self, uid: int) -> Any:
        """Return where a worker's environments are; at their start where it has learnt nothing yet."""
        if uid not in self._lanes:
            settings, shape = self._job.settings, self._shape
            worker = Worker(
                self._sampler,
                MergedTable(
                    shape.n_states, self._job.model.n_actions, shape.real, 0.0, settings.rule
                ),  # untouched, it takes no memory
                is_keeper=False,
                gamma=settings.gamma,
                seed=settings.seed,
                rank=uid,
                session=self._state.session,
                num_envs=settings.num_envs,
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
        self.finished, self._checksum = step is None, None
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
        if self._record.store is not None:
            self._record.store(self.rounds + 1, [submissions[uid].payload for uid in uids])
        if self._record.write is not None:
            self._record.write({**self._line(submissions, merged), **more})
        self._commit(uids, brought, merged)
        point("hub:after_apply")
        self._keep_if_due()
        return merged

    def _keep_if_due(self) -> None:
        course, record = self._course, self._record
        if record.write_checkpoint is not None and (course.due or course.over or record.is_crowded()):
            record.write_checkpoint(self)
            course.kept = course.progress.steps

    def _open_again(self, uid: int, submission: Submission) -> ReceivedContribution:
        """Return what `check` took apart, if it was this."""
        opened = self._opened.get(uid)
        if opened is not None and opened.payload is submission.payload:
            return opened
        return open_contribution(submission.payload, self._shape)

    def _merge(self, brought: Sequence[ReceivedContribution]) -> Received:
        clock = self._state.merged.clock
        if len(brought) == 1:
            return merged_alone(brought[0], clock, _CLOCK_LIMIT)
        parts = [np.frombuffer(one.part, np.uint8) for one in brought]
        # Fresh: it is kept until all have it.
        room = np.empty(most_merged(brought, self._shape), np.uint8).data
        n_bytes = _core.merge_slices(
            self._rows, parts, 0, clock.size, self._rule, self._law, self._needs_mass, room
        )
        return room[:n_bytes].toreadonly()

    def _commit(self, uids: Sequence[int], brought: Sequence[ReceivedContribution], merged: Received) -> None:
        visits = self._state.merged.visits.reshape(-1)
        mass, total = _core.commit(self._rows, [np.frombuffer(merged, np.uint8)], visits)
        for uid, one in zip(uids, brought, strict=True):
            self._lanes[uid] = bytes(one.lanes)
        self.rounds += 1
        result = sum(map(len, result_parts(self.window, merged)))
        self.bytes += sum(len(one.payload) + result for one in brought)
        self._count(uids, self.window.sweeps * self._shape.num_envs)
        summaries = [one.summary for one in brought]
        # The hub's own, as it knows them: bytes of all, and whether somebody asked it to end.
        summaries[0] = summaries[0]._replace(bytes_sent=self.bytes, request=self._course.request)
        self._course.settle(Round(summaries, mass / 2**20 / total if total else 0.0))

    def _line(self, submissions: Mapping[int, Submission], merged: Received) -> dict[str, Any]:
        window, came = self.window, sorted(submissions.items())
        return {
            "round": self.rounds + 1,
            "size": self._size,
            "steps": window.before + window.sweeps * self._shape.num_envs * len(came),
            "members": [[uid, one.sequence, crc32(one.payload)] for uid, one in came],
            "merged": crc32(merged),
            "time": time.time(),
        }


def plan_of(settings: Settings, rule: Rule, keep_every: int = 0) -> Plan:
    """Return the plan of every worker of a job.

    Raises
    ------
    ConfigError
        If the settings want what a hub cannot do.
    """
    if settings.overlap:
        raise ConfigError("overlap needs workers that stay: threads or MPI; leave it out with a hub")
    if settings.federation is not None or settings.per_worker is not None:
        what = "per_worker and federation name workers by rank, and members of a hub come and go"
        raise ConfigError(f"{what}; use threads, MPI or cdq launch")
    windows = settings.sync_every, settings.dtype
    return Plan(settings.step_size, settings.exploration, rule, *windows, keep_every=keep_every)


def make_service(
    model: MDP,
    settings: Settings,
    *,
    plan: Plan,
    state: State,
    lanes: dict[int, Any],
    watch: Watch,
    finish: npt.NDArray[np.int32],
    rounds: int,
    make: Callable[..., LearningService] = LearningService,
    record: Record = NO_RECORD,
) -> LearningService:
    """Return the service that *make* makes: it merges from the state as it is until the goal is reached."""
    course = Course(
        plan=plan,
        progress=state.progress,
        target=state.goal.target,
        size=settings.workers,
        num_envs=settings.num_envs,
        watch=watch,
        finish=finish,
    )
    return make(
        model,
        settings,
        rule=plan.rule,
        state=state,
        lanes=lanes,
        course=course,
        needs_mass=plan.needs_mass,
        least=settings.workers,
        rounds=rounds,
        record=record,
    )
