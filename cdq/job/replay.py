"""A job's rounds again, in this process: what its journal says was learnt, learnt once more and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from zlib import crc32

from cdq.comm.zmq.events import Submission
from cdq.core.model import Sampler
from cdq.errors import DivergenceError
from cdq.job.member import Member
from cdq.job.messages import pack_result
from cdq.job.service import LearningService


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
    DivergenceError
        If anything comes out in other bits than the journal says; names the round and the workers.
    """
    rehearsal = Rehearsal(service)
    for entry in entries:
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
