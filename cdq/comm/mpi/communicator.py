"""Ranks as processes of an MPI job, by mpi4py's buffer interface; nothing is imported from it before the first use."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from cdq.comm import node
from cdq.comm.base import Call
from cdq.comm.contribution import Received, SlicedContribution
from cdq.comm.kept import Kept
from cdq.comm.launchers import started_by
from cdq.comm.mpi import ends, pieces
from cdq.comm.mpi.library import LOCK, is_running, load
from cdq.comm.mpi.notices import CLOSED, FAILED, LOST, Notices
from cdq.comm.mpi.records import Records
from cdq.comm.mpi.slices import Exchange
from cdq.comm.processes import ProcessCommunicator
from cdq.errors import CollectiveMismatch, CommClosed, CommError, CommTimeout, ConfigError, PeerLost

if TYPE_CHECKING:
    from typing_extensions import Self

SCHEME = "mpi"

_SPIN = 50e-6  # seconds of testing without pause: most ranks come within them, and giving up the core costs as much
_YIELD = 1e-3  # seconds of testing with the core offered to others each time
_LONGEST_PAUSE = 1e-3
_EMPTY = memoryview(b"")


class MPICommunicator(ProcessCommunicator):
    """The rank of an MPI job that this process is.

    As :class:`~cdq.comm.Communicator`. Every call begins with one gather of small records, which carry short parts;
    longer ones follow. All waiting is done by testing, so that every call has its deadline; only `split` into several
    groups contains a call of MPI that waits (``MPI_Comm_split``), made when all ranks are known to be there.

    Parameters
    ----------
    mpi : module
        The module ``mpi4py.MPI``.
    channel : MPI.Intracomm
        Channel that nobody else uses; freed after all its ranks closed.
    timeout : float
        Deadline of each collective, in seconds.
    parent : MPICommunicator, optional
        The communicator that this one was split from.
    """

    API_VERSION = 1

    def __init__(self, mpi: Any, channel: Any, timeout: float, parent: MPICommunicator | None = None) -> None:
        super().__init__(channel.Get_rank(), channel.Get_size(), timeout)
        self._mpi = mpi
        self._channel = channel
        self._parent = parent
        self._records = Records(self.size)
        self.at_once = self._records.largest_room
        self._notices = Notices(mpi, channel)
        self._kept = Kept()
        self._spin: float = parent._spin if parent is not None else 0.0
        self._step = self._completed = 0
        self._started = 0.0
        self._between_calls = True
        self._call = Call("connect", 0)
        ends.open_ranks.add(self)

    @classmethod
    def connect(cls, url: str, workers: int, timeout: float) -> Sequence[Self]:
        """Return the communicator of this process, over a duplicate of ``COMM_WORLD``; `url` is ``"mpi"``."""
        cls.ranks(url, workers)
        mpi = load()
        ends.tend()
        comm = cls(mpi, _duplicate(mpi, timeout), timeout)
        comm._look_round()
        ends.expect(everybody=True)
        return [comm]

    @classmethod
    def ranks(cls, url: str, workers: int | None) -> int:
        """Return the number of ranks that the job was started with; it cannot be another one.

        The first time, it sees to it that an exception that nobody catches ends the whole job: from here on MPI would
        wait at the end for the others, and they may be about to connect.
        """
        if url.removesuffix("://") != SCHEME:
            raise ConfigError(f"communicator {url!r}: mpiexec knows the addresses; give {SCHEME!r}")
        mpi = load()
        ends.install(mpi)
        size: int = mpi.COMM_WORLD.Get_size()
        if workers is not None and workers != size:
            raise ConfigError(_other_number(workers, size))
        return size

    # ---- collectives

    def _gather(self, operation: str, part: memoryview) -> Sequence[Received]:
        call = self._begin(operation)
        try:
            parts = self._collect(call, part)
        except BaseException as error:
            self._fail(error)
            raise
        self.bytes_sent += part.nbytes * (self.size - 1)
        return parts

    def _alltoall(self, call: Call, parts: Sequence[memoryview]) -> Sequence[Received]:
        if call.root >= 0:
            return self._collect(call, parts[call.root])
        if self.size == 1:
            return [bytes(parts[0])]
        longest = max(self._open(call, max(part.nbytes for part in parts), _EMPTY))
        self._records.learn(call.operation, 0)
        received: Sequence[Received] = [b""] * self.size
        if longest:
            received = pieces.exchange(self._run, self._channel, parts, longest)
        self._between_calls = True
        return received

    def _collect(self, call: Call, part: memoryview) -> Sequence[Received]:
        """Return the parts of all ranks; of a broadcast, that of the root."""
        if self.size == 1:
            return [bytes(part)]
        lengths = self._open(call, part.nbytes, part)
        longest = max(lengths)
        received: Sequence[Received]
        if longest <= self._records.room:
            received = self._records.parts(lengths)
        elif call.root >= 0:
            whole = pieces.broadcast(self._run, self._channel, part, longest, call.root)
            received = [whole] * self.size
        else:
            received = pieces.gather(self._run, self._channel, part, lengths)
        self._records.learn(call.operation, longest)
        self._between_calls = True
        return received

    def _open(self, call: Call, length: int, part: memoryview) -> list[int]:
        """Meet the others, and return the lengths that they gave."""
        self._started = time.monotonic()
        with LOCK:
            self._check_open(call)
            self._between_calls = False
            self._call = call
        records = self._records
        records.write(call, length, part)
        self._run(self._channel.Iallgather, records.outgoing, records.incoming)
        lengths = records.lengths()
        if lengths is None:
            by_rank = "; ".join(f"rank {rank}: {other}" for rank, other in enumerate(records.calls()))
            raise CollectiveMismatch(f"the ranks made different calls: {by_rank}")
        return lengths

    def _check_open(self, call: Call) -> None:
        if self._closed:
            raise CommClosed(f"{call}: closed by another thread during the call")
        self._check_running(call)

    def _check_running(self, call: Call | str) -> None:
        if self._mpi.Is_finalized():
            raise CommClosed(f"{call}: MPI has been finalised in this process; learn before MPI.Finalize()")

    def _merge_by_messages(self, contribution: Any, rule: Any, most: int) -> Any:
        if not hasattr(contribution, "merge_into"):
            return super()._merge_by_messages(contribution, rule, most)
        self._call = self._begin("merge by messages")
        try:
            return contribution.join(self._merge_slices(contribution, rule, most))
        except BaseException as error:
            self._fail(error)
            raise

    def _merge_slices(self, contribution: SlicedContribution, rule: Any, most: int) -> list[memoryview]:
        """Return the merged slices of all ranks: one step, as a rank that has ended it needs nothing of the others."""
        with LOCK:
            self._check_open(self._call)
            self._between_calls = False
        self._step += 1
        exchange = Exchange(self._mpi, self._channel, contribution, most, self._kept)
        try:
            slices = exchange.run(self._until_done, rule)
        except BaseException:
            ends.kept.append(exchange)
            raise
        self._completed = self._step
        self._between_calls = True
        self.bytes_sent += exchange.bytes_sent
        return slices

    # ---- waiting

    def _run(self, start: Callable[..., Any], *arguments: Any) -> None:
        """Start a nonblocking operation, and wait until the part of this rank in it is done."""
        self._step += 1
        try:
            with LOCK:
                self._check_open(self._call)
                request = start(*arguments)
            self._until_done(request, self._started)
        except BaseException:
            ends.kept.append(arguments)
            raise
        self._completed = self._step

    def _until_done(self, request: Any, started: float | None = None) -> None:
        """Wait for a request of the step; its deadline counts from when it was *started*, or from now."""
        self._started = time.monotonic() if started is None else started
        with LOCK:
            done = _spun(request, self._spin)
        if not done:
            self._wait(request)
        self._hear()  # a rank that came too late is to know, though what the others sent has come

    def _wait(self, request: Any) -> None:
        """Wait with longer and longer pauses, and read the notices of the others."""
        began = time.monotonic()
        while True:
            now = time.monotonic()
            _pause(now - began)
            with LOCK:
                if request.Test():
                    return
                self._hear()
                self._check_open(self._call)
                self._check_deadline(now - self._started)

    def _check_deadline(self, waited: float) -> None:
        """Send that this rank is here, in time for those who wait for it, and give up when the time is over."""
        if waited >= 0.5 * self.timeout or self._notices.asked(self._step):
            self._notices.say_here(self._step)
        if waited >= self.timeout:
            raise self._give_up()

    def _hear(self) -> None:
        """Raise if a rank did not complete this step; a rank may have ended after completing it."""
        notices = self._notices
        with LOCK:
            notices.read()
        if not (notices.gone or notices.gave_up):
            return
        for rank, (step, why) in notices.gave_up.items():
            if step == self._step:
                ends.expect(everybody=False)
                raise CommTimeout(f"{self._call}: {why} (rank {rank} waited longest)", notices.missing(step))
        left = sorted({**notices.gave_up, **notices.gone}.items())
        gone = {rank: why for rank, (step, why) in left if step <= self._step}
        if gone:
            reasons = "; ".join(f"rank {rank}: {why}" for rank, why in gone.items())
            raise PeerLost(f"{self._call}: {reasons}", list(gone))

    def _give_up(self) -> CommTimeout:
        missing = self._notices.missing(self._step)
        ranks = f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
        what = f"{ranks} did not come" if missing else "all ranks came, but not all that they sent did"
        self._notices.say_gave_up(self._step, f"gave up waiting for {ranks}" if missing else what)
        ends.expect(everybody=False)
        within = f"within {self.timeout:g} s; raise the timeout if they were only slow"
        return CommTimeout(f"{self._call}: {what} {within}", missing)

    def _fail(self, error: BaseException) -> None:
        super()._fail(error)
        if isinstance(error, CommTimeout):
            ends.expect(everybody=False)
        elif isinstance(error, CommError):
            relative = self._parent
            while relative is not None:
                relative._victim = True
                relative = relative._parent

    # ---- groups and the end

    def _look_round(self) -> None:
        """Learn which ranks are on which node: those that have a core each may wait for each other on it."""
        place = node.here(self._mpi.Get_processor_name())
        parts = self._collect(self._call, memoryview(place.packed()))
        places = [node.unpacked(part) for part in parts]
        crowded = node.crowded(places)
        if place.node not in crowded:
            self._spin = _SPIN
        first = next((rank for rank, other in enumerate(places) if other.node in crowded), -1)
        if first == self.rank:
            is_open_mpi = "Open MPI" in self._mpi.Get_library_version()
            warnings.warn(node.advice(*crowded[place.node], is_open_mpi), RuntimeWarning, stacklevel=4)

    def _subset(self, members: Sequence[int]) -> MPICommunicator | None:
        self._check_running("split")
        ends.tend()
        everybody = self.size > 1 and list(members) == [*range(self.size)]
        channel = self._copied() if everybody else self._split(members)
        return type(self)(self._mpi, channel, self.timeout, self) if members else None

    def _copied(self) -> Any:
        """Return a channel of all ranks: that has a nonblocking call of MPI, and so its deadline."""
        made: list[Any] = []

        def start() -> Any:
            made[:] = self._channel.Idup()
            return made[1]

        self._run(start)
        return made[0]

    def _split(self, members: Sequence[int]) -> Any:
        color, key = (members[0], members.index(self.rank)) if members else (self._mpi.UNDEFINED, 0)
        with LOCK:
            return self._channel.Split(color, key)

    def _close(self) -> None:
        self._leave(CLOSED, "closed its communicator")

    def _abort(self, reason: str) -> None:
        self._leave(FAILED, reason)

    def _leave(self, kind: int, why: str) -> None:
        """Tell the others, and see to the channel: it is freed when all have closed, and never after a failure."""
        if self._is_victim():
            kind, why = LOST, ""
        elif not self._between_calls:
            kind = FAILED
        ends.open_ranks.discard(self)
        if not is_running(self._mpi):
            return
        with LOCK:
            self._notices.say_end(kind, self._completed + 1, why)
            ends.leaving.append(partial(_settled, self._channel, self._notices, kind == CLOSED))
            ends.tend()

    def _is_victim(self) -> bool:
        """Return True if this rank failed because of another one, whose failure the others are to be sent instead."""
        return self._victim or (self._parent is not None and self._parent._is_victim())


def _other_number(workers: int, size: int) -> str:
    launch = started_by()
    if launch is None:
        return (
            f"workers is {workers}, but no launcher started this process, which is one rank alone: start {workers} "
            f"(mpiexec -n {workers} python script.py), or let threads learn (comm='inprocess')"
        )
    launcher = "mpiexec" if "mpiexec" in launch.launcher else launch.launcher
    return (
        f"workers is {workers}, but {launcher} started {size} rank{'s' * (size > 1)}, one worker each:"
        f" leave workers out, or start {workers} ({launcher} -n {workers})"
    )


def _duplicate(mpi: Any, timeout: float) -> Any:
    """Duplicate ``COMM_WORLD`` when all ranks do."""
    started = time.monotonic()
    with LOCK:
        channel, request = mpi.COMM_WORLD.Idup()
    while True:
        with LOCK:
            if request.Test():
                return channel
        waited = time.monotonic() - started
        if waited >= timeout:
            ends.kept.append((channel, request))
            ends.expect(everybody=False)
            size = mpi.COMM_WORLD.Get_size()
            raise CommTimeout(f"not all of the {size} ranks connected within {timeout:g} s")
        _pause(waited)


def _spun(request: Any, seconds: float) -> bool:
    """Return whether a request is done, after testing it for so long."""
    until = time.monotonic() + seconds
    while not (done := request.Test()) and time.monotonic() < until:
        pass
    return bool(done)


def _pause(waited: float) -> None:
    """Leave the core to others, for longer the longer this rank has waited already."""
    if waited < _YIELD and hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(min(waited / 16, _LONGEST_PAUSE))


def _settled(channel: Any, notices: Notices, orderly: bool) -> bool:
    """Free the channel of a rank that has left, if it and all others closed; return whether that is settled.

    What a rank sent last is its notice, so nothing is on the way when all notices are there.
    """
    if orderly:
        notices.read()
    if not (orderly and all(notices.ended.values())):
        ends.kept.append((channel, notices))
    elif len(notices.ended) < channel.Get_size() - 1:
        return False
    else:
        notices.stop()
        channel.Free()
    return True
