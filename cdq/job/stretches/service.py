"""The hub's part: it says when to look, and takes over what a stretch of rounds has come to."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.comm.memory import anonymous_file
from cdq.comm.zmq.wire import Body
from cdq.core.merge.merge import RULES
from cdq.job.faults import point
from cdq.job.job import Job, make_worker
from cdq.job.membership.events import HubState, Submission
from cdq.job.messages import DONE, OpenWindow, check_lanes, window_parts
from cdq.job.service import LearningService
from cdq.job.stretches.commons import MOST_TEXT, Commons, commons_bytes
from cdq.job.stretches.member import End
from cdq.schedules import to_config
from cdq.training import LearnCall, Plan, in_compiled_code, lengths_of
from cdq.workers import MOST_ROUNDS, MOST_TALLIES, Look, Stretch, Stretches

_A_STRETCH = OpenWindow(1, 0, 0.0, 0.0, 0)


class StretchService(LearningService):
    """Learning part of a hub whose workers, which it started, play stretches of rounds by themselves.

    Parameters
    ----------
    commons : Commons
        Memory that it shares with the workers; as for `LearningService` else.
    call : LearnCall
        The call, whose plan all workers follow.
    """

    def __init__(self, job: Job, *, commons: Commons, call: LearnCall, **how: Any) -> None:
        self._commons, self._plan, self._monitor = commons, call.plan, call.monitor
        self._records: dict[int, npt.NDArray[Any]] = {}  # of the stretch in hand, by uid
        super().__init__(job, **how)
        history = self._state.history
        self._bytes_before = history[-1].bytes if len(history) else 0

    def _prepare(self) -> None:
        super()._prepare()
        plan, order, merged = self._plan, self._commons.order, self._state.merged
        for name, array in self._commons.table.items():
            array[:] = getattr(merged, name)
        assert isinstance(plan.rule, str)
        order["rule"], order["needs_mass"] = RULES[plan.rule], plan.needs_mass
        order["target"] = self._course.target
        order["mass"], order["floor"], order["longest"] = lengths_of(plan.window)
        text = _text_of(plan)
        order["text"], self._commons.text[: len(text)] = len(text), np.frombuffer(text, np.uint8)

    def limit(self, uid: int) -> int:
        """Return the bytes of what a worker says at the end of a stretch."""
        return len(End(0, 0, 0, 0.0, 0, 0.0).pack(b"")) + int(self._shape.lanes)

    def open(self, size: int) -> None:
        """Say how far to play."""
        course = self._course
        course.forget()
        self._size = course.size = size
        look = None if course.met or course.is_done else course.look()
        self.finished, before = look is None, course.progress.steps
        self.window = DONE._replace(before=before) if look is None else _A_STRETCH._replace(before=before)
        if look is not None:
            self._write(look)

    def _write(self, look: Look) -> None:
        """Write the order for the next stretch."""
        order, progress = self._commons.order, self._course.progress
        order["steps"], order["window"] = progress.steps, progress.window
        order["knows"] = 0 if look.known is None else len(look.known)
        if look.known is not None:
            self._commons.known[: len(look.known)] = look.known
        for name in set(Look._fields) - {"known"}:
            order[name] = getattr(look, name)

    def check(self, uid: int, submission: Submission) -> str | None:
        """Return why what a worker says of a stretch cannot be; None if it can."""
        try:
            end, lanes = End.unpack(submission.payload)
            check_lanes(lanes, self._shape)
        except ValueError as error:
            return str(error)
        records = self._records[uid] = self._commons.desks[uid].records[: max(end.rounds, 0)].copy()
        return None if self._is_possible(end, records) else f"a stretch cannot end so: {end}"

    def _is_possible(self, end: End, records: npt.NDArray[Any]) -> bool:
        """Return whether these are rounds from where the workers were sent."""
        course, overshoot = self._course, self._size * self._shape.num_envs
        steps = [course.progress.steps, *records["steps"].tolist(), course.target + overshoot]
        figures = end.asked in {0, 1} and end.bytes_sent >= 0 and 0 < end.window < math.inf
        return (
            0 < end.rounds <= MOST_ROUNDS
            and all(before < after for before, after in pairwise(steps))
            and end.steps == steps[-2]
            and (figures and math.isfinite(end.began))
            and bool((records["parts"] >= 0).all())
            and sum(records["parts"].tolist()) <= MOST_TALLIES
        )

    def close_round(
        self, members: Sequence[int], submissions: Mapping[int, Submission], state: Callable[[], HubState]
    ) -> dict[int, Body]:
        """Take over the table that a stretch has come to, and return the answers to its workers."""
        said = {uid: End.unpack(submissions[uid].payload) for uid in sorted(submissions)}
        ends = [end for end, _ in said.values()]
        if len({end[:4] for end in ends}) > 1 or len(ends) < self._size:
            raise AssertionError(f"workers ended a stretch in different ways: {ends}")
        point("hub:before_apply")
        if self._monitor is not None:
            self._monitor.go_on(ends[0].began)  # until workers are there is no time of learning
            self._monitor = None
        self._take(said)
        self._course.settle_stretch(ends[0], self._stretch(ends[0]))
        if self._course.over:  # else the last round's bytes are known with the next
            self._state.history.recount(self._bytes_before + self.bytes)
        point("hub:after_apply")
        self._keep_if_due()
        self.open(self._size)
        return dict.fromkeys(submissions, Body(*window_parts(self.window, b"")))

    def _take(self, said: Mapping[int, tuple[End, memoryview]]) -> None:
        """Make what the workers have learnt the state."""
        end, before = said[0][0], self._course.progress.steps
        for name, array in self._commons.table.items():
            getattr(self._state.merged, name)[:] = array
        for uid, (_, lanes) in said.items():
            self._lanes[uid] = bytes(lanes)
        self.rounds += end.rounds
        self.bytes = sum(end.bytes_sent for end, _ in said.values())
        self._count(list(said), (end.steps - before) // len(said))

    def _stretch(self, end: End) -> Stretch:
        """Return what there is to say of the rounds of a stretch."""
        records = [self._records[uid] for uid in sorted(self._records)]
        m = int(records[0]["parts"].sum())
        return Stretch(records, [desk.tallies[:m] for desk in self._commons.desks], end.began)


def _text_of(plan: Plan) -> bytes:
    return json.dumps(to_config(plan.exploration)).encode()


class Shared(NamedTuple):
    """Memory for the workers of a call, and its file, which they inherit."""

    file: int
    commons: Commons


@contextmanager
def commons_of(call: LearnCall, job: Job) -> Iterator[Shared | None]:
    """Yield memory for the workers of a call; None where their rounds take messages."""
    size, merged = call.settings.workers, call.state.merged
    if not _plays_stretches(call, job):
        yield None
        return
    file = anonymous_file(commons_bytes(merged, size))
    if file is None:
        yield None
        return
    commons = Commons(file, merged, size)
    try:
        yield Shared(file, commons)
    finally:
        commons.release()
        os.close(file)


def _plays_stretches(call: LearnCall, job: Job) -> bool:
    """Return whether compiled code can play the rounds of all workers, while nobody sees each of them."""
    if call.onlooker is None or call.plan.overlap or not in_compiled_code(call.plan):
        return False
    if len(_text_of(call.plan)) > MOST_TEXT:
        return False
    return all(_plays(job, uid) for uid in range(call.settings.workers))


def _plays(job: Job, uid: int) -> bool:
    problem, table = job.problem_of(uid)
    worker = make_worker(problem, table, job.settings.gamma, job.shape.num_envs, None, rank=uid)
    return Stretches.can_play(worker)
