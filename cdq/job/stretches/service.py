"""The hub's part of a job whose workers may play together: it takes over what a stretch has come to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from zlib import crc32

from cdq.comm.contribution import Received
from cdq.comm.zmq.wire import Body
from cdq.job.faults import point
from cdq.job.job import make_worker
from cdq.job.membership.events import HubState, Submission
from cdq.job.messages import OFFER, TOGETHER, result_parts
from cdq.job.service import LearningService
from cdq.job.stretches.commons import Commons, fits
from cdq.job.stretches.ending import Before, Ending, check_ending, most_of, open_ending
from cdq.job.stretches.group import Group
from cdq.job.stretches.offers import MOST_MEMBERS, with_offer
from cdq.training import in_compiled_code, lengths_of
from cdq.workers import Look, Stretch, Stretches

# Bytes of a table beyond which rounds take messages: each stretch sends it whole.
_MOST_TABLE = 1 << 22
_SHORT = 0.5  # seconds: who plays rounds that take longer gains nothing, and is long waited for
_PAUSE = 10.0  # seconds until those who could not play together try again
_SHARE = 30.0  # a stretch takes so many times as long as all around it,
_LONGEST = 0.5  # and at most so many seconds
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class StretchService(LearningService):
    """Learning part of a hub whose workers may play rounds together, where they are on its machine.

    As `LearningService`. None do where *shares* is False.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        self._group: Group | None = None
        self._parted: tuple[tuple[int, ...], float] = (), 0.0  # who could not play, and until when
        self._able: dict[int, bool] = {}
        self._ordered = self._took = 0.0
        super().__init__(*given, **more)

    @property
    def together(self) -> int:
        """Number of workers that play a stretch now, all of which must end it; 0 for none."""
        group = self._group
        return len(group.uids) if group is not None and group.plays and not self.finished else 0

    def break_up(self) -> None:
        """Let workers play together no more: one of them is gone, or lies; all begin from the last round again."""
        self._part()
        self.open(self._size)

    def _part(self) -> None:
        """Give back the memory of workers that cannot play together, which may be otherwise later."""
        if self._group is not None:
            self._parted = self._group.uids, time.monotonic() + _PAUSE
            self.end()

    def end(self) -> None:
        """Give the memory back, at the end of the hub."""
        if self._group is not None:
            self._group.end()
            self._group = None

    def limit(self, uid: int) -> int:
        """Return the bytes of the largest contribution."""
        return max(super().limit(uid), most_of(self._shape)) if self.together else super().limit(uid)

    def check(self, uid: int, submission: Submission) -> str | None:
        """Return why a contribution to this round is refused; None if it is not."""
        if not self.together:
            return super().check(uid, submission)
        try:
            ending = self._open_ending(submission, first=uid == self._first)
        except ValueError as error:
            return str(error)
        if ending.records["nanoseconds"][-1] > 1e9 * (time.perf_counter() - self._ordered):
            return "a stretch has rounds that are yet to come"
        self._opened[uid] = ending
        return None

    @property
    def _first(self) -> int:
        """Number of the worker that says what the table is."""
        assert self._group is not None
        return self._group.uids[0]

    def _open_ending(self, submission: Submission, *, first: bool) -> Ending:
        ending, course = open_ending(submission.payload, self._shape, first=first), self._course
        progress, lengths = course.progress, lengths_of(course.plan.window)
        before = Before(self._size, progress.steps, course.target, progress.window, lengths)
        check_ending(ending, self._shape, self._state.merged, before)
        return ending

    def close_round(
        self, members: Sequence[int], submissions: Mapping[int, Submission], state: Callable[[], HubState]
    ) -> dict[int, Body]:
        """Merge the contributions, or take over a stretch, and return the answers, which acknowledge: it is durable."""
        size = max(self.least, len(members))
        more = {"next": size, "hub": state()}
        if self.together:
            self.apply_stretch(submissions, more, began=self._ordered)
            merged: Received = b""
        else:
            merged = self.apply(submissions, more)
        offer = self._arrange(tuple(members), submissions)
        self.open(size)
        point("hub:before_acknowledge")
        return dict.fromkeys(submissions, Body(*self._result(merged, offer)))

    def _result(self, merged: Received, offer: bytes) -> tuple[Received, ...]:
        if not offer:
            return self.result_parts(merged)
        return with_offer(
            result_parts(self.window._replace(compare=self.window.compare | OFFER), merged), offer
        )

    def _arrange(self, members: tuple[int, ...], submissions: Mapping[int, Submission]) -> bytes:
        """Let workers play together, if they can; return what to offer to them for that."""
        group = self._group
        if group is not None and group.uids == members and (group.plays or group.is_complete):
            group.plays = True
            return b""
        if group is not None and group.uids == members:  # some have not found the memory
            self._part()
        self.end()
        if set(members) != set(submissions) or not self._may_play(members):
            return b""
        with contextlib.suppress(OSError):
            self._group = Group(members, self._state.merged)
            return self._group.offer
        return b""

    def _may_play(self, members: tuple[int, ...]) -> bool:
        """Return whether compiled code can play the rounds of these workers, while nobody sees each of them."""
        course, (parted, until) = self._course, self._parted
        if not self.shares or not self.least <= len(members) <= MOST_MEMBERS:
            return False
        if members == parted and time.monotonic() < until:
            return False
        if time.perf_counter() - self._ordered > _SHORT or self._table_bytes > _MOST_TABLE:
            return False
        plan = course.plan
        is_quiet = course.onlooker is not None and in_compiled_code(plan) and fits(plan)
        return is_quiet and all(map(self._plays, members))

    @property
    def _table_bytes(self) -> int:
        return sum(one.nbytes for one in self._state.merged.tensors().values())

    def _plays(self, uid: int) -> bool:
        if uid not in self._able:
            problem, table = self.job.problem_of(uid)
            one = make_worker(problem, table, self.job.settings.gamma, self._shape.num_envs, None, rank=uid)
            self._able[uid] = Stretches.can_play(one)
        return self._able[uid]

    def open(self, size: int) -> None:
        """Open the next window, or say how far to play; `window` says which."""
        super().open(size)
        self._ordered = time.perf_counter()
        group, course = self._group, self._course
        if group is None or not group.plays or self.finished:
            return
        course.forget()
        look = course.look()
        assert look is not None, "the course goes on"
        if look.seconds:
            look = look._replace(seconds=min(max(look.seconds, _SHARE * self._took), _LONGEST))
        self.order(group.commons, look)
        self.window = self.window._replace(compare=TOGETHER)

    def order(self, commons: Commons, look: Look) -> None:
        """Write how far to play from here."""
        progress, merged = self._course.progress, self._state.merged
        commons.write_plan(self._course.plan, self._course.target)
        commons.write(progress.steps, progress.window, look, merged.visits)

    # ---- what a stretch has come to

    def apply_stretch(
        self,
        submissions: Mapping[int, Submission],
        more: Mapping[str, Any] = _NOTHING,
        *,
        began: float | None = None,
    ) -> None:
        """Make what workers came to together the state; *began* is when, None where that was before this start.

        Whatever fails before the stretch is written down leaves all as it was before.
        """
        uids, endings = sorted(submissions), self._endings(submissions)
        self._opened.clear()
        rounds, record = self.rounds + endings[0].end.rounds, self._record
        point("hub:before_apply")
        if record.store is not None:
            record.store(rounds, [submissions[uid].payload for uid in uids])
        if record.write is not None:
            record.write({**self._line_of(submissions, endings), **more})
        self._take_over(uids, endings, began)
        point("hub:after_apply")
        self._keep_if_due()
        if began is not None:
            self._took = time.perf_counter() - began - float(endings[0].records["nanoseconds"][-1]) / 1e9

    def agree(self, submissions: Mapping[int, Submission]) -> bool:
        """Return whether all have ended the stretch in the same way."""
        first, *others = self._endings(submissions)
        return all(first.is_as(other) for other in others)

    def _endings(self, submissions: Mapping[int, Submission]) -> list[Ending]:
        """Return the messages taken apart, in the order of uids."""
        uids = sorted(submissions)
        return [self._ending_again(uid, submissions[uid], first=uid == uids[0]) for uid in uids]

    def merged_checksum(self) -> int:
        """Return the checksum of the table, as workers have it."""
        checksum: int = self._state.merged.merged_checksum()
        return checksum

    def _ending_again(self, uid: int, submission: Submission, *, first: bool) -> Ending:
        opened = self._opened.get(uid)
        if isinstance(opened, Ending) and opened.payload is submission.payload:
            return opened
        return self._open_ending(submission, first=first)

    def _line_of(self, submissions: Mapping[int, Submission], endings: Sequence[Ending]) -> dict[str, Any]:
        end = endings[0].end
        return {
            "round": self.rounds + end.rounds,
            "rounds": end.rounds,
            "size": self._size,
            "steps": end.steps,
            "members": [[uid, one.sequence, crc32(one.payload)] for uid, one in sorted(submissions.items())],
            "merged": end.checksum,
            "lanes": [crc32(ending.lanes) for ending in endings],
            "time": time.time(),
        }

    def _take_over(self, uids: Sequence[int], endings: Sequence[Ending], began: float | None) -> None:
        course, end, merged = self._course, endings[0].end, self._state.merged
        each = (end.steps - course.progress.steps) // len(uids)
        table = endings[0].table
        assert table is not None, "the first one has it"
        for name, array in table.items():
            getattr(merged, name)[:] = array
        for uid, ending in zip(uids, endings, strict=True):
            self._lanes[uid] = bytes(ending.lanes)
        self.rounds += end.rounds
        self.bytes += sum(len(ending.payload) for ending in endings)
        self._count(uids, each)
        records = [ending.records.copy() for ending in endings]
        for number, record in enumerate(records):
            record["bytes_sent"] = 0 if number else self.bytes
        if began is None:  # how long it took, the journal knows
            records[0]["nanoseconds"] = 0
        tallies = [ending.tallies for ending in endings]
        stretch = Stretch(records, tallies, time.perf_counter() if began is None else began)
        course.forget()
        # When to end is the hub's to say: no worker of a hub asks for it.
        course.settle_stretch(end._replace(asked=int(course.request > 0)), stretch)
