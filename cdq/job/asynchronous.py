"""The hub's part without rounds: each contribution is applied when it arrives, to a table that changed meanwhile."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from cdq.comm.contribution import Received
from cdq.job.faults import point
from cdq.job.handshake import pack_welcome
from cdq.job.increments import Increment, check_increment, largest, open_increment
from cdq.job.membership.events import HubState, Refused, Submission
from cdq.job.messages import CLOCK_LIMIT, DONE, OpenWindow, pack_result
from cdq.job.service import LearningService
from cdq.schedules.windows import sweeps_of
from cdq.workers import Round

# Windows of a worker that are remembered: it may still bring one that it was told before it said hello again.
_REMEMBERED = 4
_MERGED = struct.Struct("<qqqq")  # the header of a merged slice


class Assignment(NamedTuple):
    """Assignment to a worker: the number of contributions that its table holds, and the window to learn."""

    base: int
    window: OpenWindow


class AsynchronousService(LearningService):
    """Hub's part of learning without rounds: each contribution is applied when it arrives, and counts as a round.

    Parameters
    ----------
    staleness : int
        Contributions of others that may come between what a worker learnt from and its own.
    offset : int
        Difference between the hub's version of the table and `rounds`.
    *arguments, **named
        Arguments of `LearningService`.
    """

    asynchronous = True

    def __init__(self, *arguments: Any, staleness: int = 64, offset: int = 0, **named: Any) -> None:
        self._staleness, self._offset = staleness, offset
        self._offers: dict[int, list[Assignment]] = {}
        super().__init__(*arguments, **named)
        self._changed = np.full(self._state.merged.clock.size, self.rounds, np.int64)

    def open(self, size: int) -> None:
        """Let *size* workers learn."""
        self._size = max(size, 1)
        self.finished = self._course.over

    def welcome(self, uid: int, members: Collection[int]) -> bytes:
        """Return all that a worker begins with."""
        self._size = max(1, len(members))
        window = self.offer(uid).window
        goal = self._state.goal
        return pack_welcome(
            self.job, uid, self._state.merged, self.lanes(uid), window, target=goal.target, asynchronous=True
        )

    def limit(self, uid: int) -> int:
        """Return the bytes of the largest contribution."""
        return largest(self._shape)

    def offer(self, uid: int) -> Assignment:
        """Return the window of a worker that gets the table as it is now."""
        offers = self._offers.setdefault(uid, [])
        if not offers or offers[-1].base != self.rounds:
            offers.append(Assignment(self.rounds, self._next()))
            del offers[:-_REMEMBERED]
        return offers[-1]

    def _next(self) -> OpenWindow:
        course, rate, size = self._course, self.job.settings.exploration, self._size
        before, left = course.progress.steps, self._state.goal.target - course.progress.steps
        if self.finished or left <= 0:
            return DONE._replace(before=before)
        sweeps = sweeps_of(course.progress.window, left, size, self._shape.num_envs)
        after = before + sweeps * self._shape.num_envs * size
        return OpenWindow(sweeps, before, rate.at(before), rate.at(after), 0)

    def _offered(self, uid: int, submission: Submission) -> Assignment | None:
        base = submission.base - self._offset
        return next((offer for offer in self._offers.get(uid, []) if offer.base == base), None)

    def check(self, uid: int, submission: Submission) -> str | None:
        """Return why a contribution is refused; None if it is not."""
        offer = self._offered(uid, submission)
        if offer is None:
            return None  # of a time that is forgotten: `single` sends it back for the table
        try:
            brought = open_increment(submission.payload, self._shape)
            check_increment(brought, self._shape, self._state.merged.values.reshape(-1), offer.window.sweeps)
        except ValueError as error:
            return str(error)
        return None

    def single(self, uid: int, submission: Submission, state: Callable[[], HubState]) -> Received:
        """Apply a contribution, make it durable, and return the changes since the worker's table, and the next window.

        Raises
        ------
        Refused
            If it is too old; the worker begins again with the table as it is.
        """
        offer = self._offered(uid, submission)
        if offer is None or self.finished or self.rounds - offer.base > self._staleness:
            raise Refused("the contribution is older than the hub still takes")
        self.apply_single(uid, submission, offer, {"hub": state()})
        point("hub:before_acknowledge")
        return self.answer(uid, offer.base)

    def apply_single(
        self, uid: int, submission: Submission, offer: Assignment, more: Mapping[str, Any] | None = None
    ) -> None:
        """Apply a worker's contribution; *more* goes into its line of the journal."""
        brought = open_increment(submission.payload, self._shape)
        point("hub:before_apply")
        if self._record.store is not None:
            self._record.store(self.rounds + 1, [submission.payload])
        if self._record.write is not None:
            self._record.write({**self._single_line(uid, submission, offer), **(more or {})})
        self.stalest = max(self.stalest, self.rounds - offer.base)
        self._take(uid, brought)
        point("hub:after_apply")
        self._count([uid], offer.window.sweeps * self._shape.num_envs)
        self._settle(brought, offer.window, len(submission.payload))

    def answer(self, uid: int, base: int) -> Received:
        """Return the answer to a worker whose table has *base* contributions."""
        return pack_result(self.offer(uid).window, self._changes(base))

    def _take(self, uid: int, brought: Increment) -> None:
        merged, pairs = self._state.merged, brought.pairs
        values, clock, visits = (part.reshape(-1) for part in (merged.values, merged.clock, merged.visits))
        values[pairs] = brought.applied_to(values)
        clock[pairs] = np.minimum(clock[pairs] + brought.visits, np.uint32(CLOCK_LIMIT))
        visits[pairs] += brought.visits
        self._lanes[uid] = bytes(brought.lanes)
        self.rounds += 1
        self._changed[pairs] = self.rounds

    def _settle(self, brought: Increment, window: OpenWindow, n_bytes: int) -> None:
        self.bytes += n_bytes
        summary = brought.summary._replace(bytes_sent=self.bytes, request=self._course.request)
        steps = window.sweeps * self._shape.num_envs
        self._course.settle_one(Round([summary], brought.mass * self._size), steps)
        self.finished = self._course.over
        self._keep_if_due()

    def _changes(self, base: int) -> bytes:
        """Return the pairs that changed since a round as a merged slice, which `Worker.commit` takes."""
        merged = self._state.merged
        pairs = np.flatnonzero(self._changed > base).astype(np.uint32)
        values = merged.values.reshape(-1)[pairs]
        header = _MERGED.pack(-1, len(pairs), 0, len(pairs))
        padding, some = bytes(-values.nbytes % 8), np.ones(len(pairs), np.uint32)
        clock = merged.clock.reshape(-1)[pairs]
        return b"".join((header, values.data, padding, some.data, clock.data, pairs.data))

    def _single_line(self, uid: int, submission: Submission, offer: Assignment) -> dict[str, Any]:
        return {
            "round": self.rounds + 1,
            "base": offer.base,
            "task": list(offer.window),
            "size": self._size,
            "steps": self._course.progress.steps + offer.window.sweeps * self._shape.num_envs,
            "members": [[uid, submission.sequence, crc32(submission.payload)]],
            "next": self._size,
            "time": time.time(),
        }
