"""Ranks as threads of one process: contributions change hands by reference, behind a compiled barrier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from cdq.comm.base import DEFAULT_TIMEOUT, Call, Communicator
from cdq.comm.contribution import Contribution
from cdq.comm.together import Item, Together
from cdq.core.barrier import DONE, TIMED_OUT, Barrier
from cdq.errors import CollectiveMismatch, CommClosed, CommError, CommTimeout, ConfigError, PeerLost

if TYPE_CHECKING:
    from typing_extensions import Self

SCHEME = "inprocess"


class _Meeting:
    """Meeting of the ranks: the barrier and two sets of slots that they share.

    A call uses the set of its sequence number's parity. A rank that is through the barrier of call n may post
    for n + 1 while another one still reads the slots of n; for n + 2 it can post only when all came to n + 1,
    and so had read those of n.
    """

    __slots__ = ("barrier", "calls", "gone", "items")

    def __init__(self, size: int) -> None:
        self.barrier = Barrier(size)
        self.calls: tuple[list[Call | None], list[Call | None]] = ([None] * size, [None] * size)
        self.items: tuple[list[Any], list[Any]] = ([None] * size, [None] * size)
        self.gone: dict[int, str] = {}  # rank -> why, of those that left, but for victims of others

    def leave(self, rank: int, why: str) -> None:
        self.gone.setdefault(rank, why)
        self.barrier.break_()


class InProcessCommunicator(Communicator):
    """One of the ranks that are threads of one process; made by :func:`connect`.

    As :class:`Communicator`. Every collective costs one barrier; parts are copied once, contributions
    that can be merged from shared memory (``merge_shared``, ``join_shared``) are not copied at all.
    """

    API_VERSION = 1

    def __init__(self, rank: int, meeting: _Meeting, timeout: float = DEFAULT_TIMEOUT) -> None:
        super().__init__(rank, meeting.barrier.size, timeout)
        self._meeting: _Meeting | None = meeting

    @classmethod
    def connect(cls, url: str, workers: int, timeout: float) -> Sequence[Self]:
        """Return `workers` communicators, one for each thread to be; `url` is ``"inprocess"``."""
        if url.removesuffix("://") != SCHEME:
            raise ConfigError(f"communicator {url!r}: there is no address in a process; give {SCHEME!r}")
        if workers < 1:
            raise ConfigError(f"workers is {workers}; at least 1 is needed")
        meeting = _Meeting(workers)
        return [cls(rank, meeting, timeout) for rank in range(workers)]

    def merge(self, contribution: Contribution, rule: Any) -> Any:
        """Merge as :meth:`Communicator.merge`, straight from the others' memory if the contribution can."""
        merge_shared = getattr(contribution, "merge_shared", None)
        join_shared = getattr(contribution, "join_shared", None)
        if merge_shared is None or join_shared is None:
            return super().merge(contribution, rule)
        merge_shared(self._pass("merge", contribution), rule, self.rank)
        joined = join_shared(self._pass("merged", contribution))
        self.bytes_sent += contribution.nbytes * (self.size - 1) // self.size
        return joined

    def together(self) -> Together | None:
        """Return where the threads' compiled code meets, unless they merge in a way of their own."""
        if type(self) is not InProcessCommunicator:
            return super().together()
        if self._meeting is None:
            raise CommClosed("closed by another thread during a call")
        return _OfThreads(self, self._meeting.barrier)

    def _fail_apart(self, status: int, doing: str) -> NoReturn:
        """Raise why compiled code of the ranks did not meet."""
        call, meeting = Call(doing, self._sequence), self._meeting
        closed = CommClosed("closed by another thread during a call")
        error = closed if meeting is None else self._failure(meeting, status, call)
        self._fail(error)
        raise error

    def allgather_shared(self, part: Any) -> list[Any]:
        """Return the parts of all ranks as :meth:`Communicator.allgather_shared`: the objects themselves."""
        parts = self._pass("allgather_shared", part)
        self.bytes_sent += memoryview(part).nbytes * (self.size - 1)
        return parts

    def _pass(self, operation: str, item: Any) -> list[Any]:
        """Return the items that all ranks brought, in rank order: the objects themselves."""
        call = self._begin(operation)
        try:
            return self._meet(call, item)
        except BaseException as error:
            self._fail(error)
            raise

    def _meet(self, call: Call, item: Any) -> list[Any]:
        meeting = self._meeting
        if meeting is None:
            raise CommClosed("closed by another thread during a call")
        parity = call.sequence & 1
        calls, items = meeting.calls[parity], meeting.items[parity]
        calls[self.rank], items[self.rank] = call, item
        status = meeting.barrier.wait(self.rank, self.timeout)
        if status != DONE:
            raise self._failure(meeting, status, call)
        if calls.count(call) != self.size:
            raise CollectiveMismatch(f"the ranks made different calls: {_by_rank(calls)}")
        return items.copy()

    def _failure(self, meeting: _Meeting, status: int, call: Call) -> CommError:
        missing = meeting.barrier.missing()
        if self._closed:
            return CommClosed(f"{call}: closed by another thread during the call")
        if status == TIMED_OUT:
            return CommTimeout(
                f"{_ranks(missing)} did not come to {call} within"
                f" {self.timeout:g} s; raise the timeout if they were only slow",
                missing,
            )
        gone = dict(meeting.gone)  # another thread may add to it
        if gone:
            return PeerLost(f"{call}: {_reasons(gone)}", sorted(gone))
        waited = [rank for rank in range(self.size) if rank not in missing]
        return PeerLost(f"{call}: {_ranks(waited)} gave up waiting for {_ranks(missing)}", waited)

    def _alltoall(self, call: Call, parts: Sequence[memoryview]) -> list[bytes]:
        rows = self._meet(call, [bytes(part) for part in parts])
        return [row[self.rank] for row in rows]

    def _gather(self, operation: str, part: memoryview) -> list[bytes]:
        parts = self._pass(operation, bytes(part))
        self.bytes_sent += part.nbytes * (self.size - 1)
        return parts

    def _subset(self, members: Sequence[int]) -> InProcessCommunicator | None:
        leads = bool(members) and members[0] == self.rank
        meetings = self._pass("subset", _Meeting(len(members)) if leads else None)
        if not members:
            return None
        return type(self)(members.index(self.rank), meetings[members[0]], self.timeout)

    def _close(self) -> None:
        self._leave("closed its communicator")

    def _abort(self, reason: str) -> None:
        self._leave(reason)

    def _leave(self, why: str) -> None:
        meeting, self._meeting = self._meeting, None
        if meeting is None:
            return
        if self._victim:  # the others are to hear of the rank that was the cause
            meeting.barrier.break_()
        else:
            meeting.leave(self.rank, why)


class _OfThreads(Together):
    """Meeting place of threads, as `Together`: items are the objects themselves."""

    def __init__(self, comm: InProcessCommunicator, barrier: Barrier) -> None:
        super().__init__(barrier)
        self._comm = comm

    def bring(self, item: Item | None, stand_ins: Sequence[Item] = ()) -> list[Item | None]:
        return self._comm._pass("bring", item)

    def leave(self, status: int, doing: str) -> None:
        if status != DONE:
            self._comm._fail_apart(status, doing)


def connect(size: int, timeout: float = DEFAULT_TIMEOUT) -> list[InProcessCommunicator]:
    """Return `size` connected communicators, to be used by one thread each.

    Parameters
    ----------
    size : int
        Number of ranks.
    timeout : float
        Deadline of each collective, in seconds.

    Examples
    --------
    >>> with connect(1)[0] as comm:
    ...     comm.allgather(b"hello")
    [b'hello']
    """
    return list(InProcessCommunicator.connect(SCHEME, size, timeout))


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


def _reasons(gone: dict[int, str]) -> str:
    return "; ".join(f"rank {rank}: {why}" for rank, why in sorted(gone.items()))


def _by_rank(calls: Sequence[Call | None]) -> str:
    return "; ".join(f"rank {rank}: {call}" for rank, call in enumerate(calls))
