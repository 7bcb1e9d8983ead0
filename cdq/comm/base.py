"""Communicators: one collective that implementations provide, and the others, which are derived from it.

Communicators move bytes between the ranks of a run and know nothing of learning. Implementations subclass
:class:`Communicator` and run the suite of :mod:`cdq.testing` on it.
"""

from __future__ import annotations

import operator
import os
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cdq.comm.contribution import Contribution, Part, Received, as_bytes_view
from cdq.comm.together import Together
from cdq.core.barrier import Barrier
from cdq.errors import CommClosed, CommError, ConfigError
from cdq.errors.checks import described

if TYPE_CHECKING:
    from typing_extensions import Self

API_VERSION = 1

DEFAULT_TIMEOUT = 60.0
# In seconds, thirty years: as milliseconds and nanoseconds it fits what clocks and sockets count with.
LONGEST_TIMEOUT = 1e9

_EMPTY = memoryview(b"")
_COLOR_AND_KEY = struct.Struct("<?qq")  # whether there is a colour, the colour, the key


class Call(NamedTuple):
    """The signature of a collective, which must be the same on every rank.

    Parameters
    ----------
    operation : str
        Name of the collective.
    sequence : int
        Number of this collective among those of the communicator, from 1.
    root : int
        The rank that a broadcast starts from; -1 where there is none.
    """

    operation: str
    sequence: int
    root: int = -1

    def __str__(self) -> str:
        root = f" from rank {self.root}" if self.root >= 0 else ""
        return f"{self.operation}{root} (call {self.sequence})"


class Communicator(ABC):
    """Carries bytes between `size` ranks.

    Implementations set a class attribute ``API_VERSION = 1``, call this ``__init__``, and provide
    ``connect``, ``_alltoall``, ``_subset``, ``_close`` and ``_abort``.

    **Calls.** Every collective must be made by every rank, in the same order; that all made the same call
    is verified. Parts are C-contiguous buffers (bytes, memoryviews, NumPy arrays) of any lengths and may be
    changed as soon as the call returns; results are read-only, bytes-like and stay valid.

    **Threads.** All collectives of one communicator come from one thread: the one that made the first.
    ``close`` and ``abort`` may come from any thread. A forked process must not use the communicator.

    **Failures.** A bad argument (`ConfigError`, `TypeError`) is found before anything is sent and changes
    nothing. After any other failure of a collective (`CommTimeout`, `PeerLost`, `CollectiveMismatch`, Ctrl-C)
    only ``abort`` and ``close`` are allowed: other calls raise `CommClosed`. No partial result is returned.

    **Processes.** Where ``SPREAD`` is true, ``connect`` returns the one rank that this process is, and every process
    of the run calls it.

    Parameters
    ----------
    rank : int
        Number of this rank, in ``range(size)``.
    size : int
        Number of ranks.
    timeout : float
        Deadline of each collective, in seconds.

    Attributes
    ----------
    rank, size, timeout
        The rank's number, the number of ranks and the deadline; `timeout` may be changed between calls.
    bytes_sent : int
        Payload bytes that this rank handed to other ranks so far.
    """

    API_VERSION: ClassVar[int]
    SPREAD: ClassVar[bool] = False

    def __init__(self, rank: int, size: int, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.rank = rank
        self.size = size
        self.timeout = checked_timeout(timeout)
        self.bytes_sent = 0
        self._sequence = 0
        self._thread: int | None = None
        self._process = os.getpid()
        self._unusable = ""
        self._victim = False  # whether a call failed for a reason that the communicator found
        self._closed = False
        self._children: list[Communicator] = []

    @classmethod
    @abstractmethod
    def connect(cls, url: str, workers: int, timeout: float) -> Sequence[Self]:
        """Return the communicators of this process: as many as it has ranks.

        Parameters
        ----------
        url : str
            The communicator's name, or a URL that starts with it.
        workers : int
            Number of ranks asked for.
        timeout : float
            Deadline in seconds, of connecting and then of each collective.

        Raises
        ------
        ConfigError
            If `url` or `workers` is not what this communicator can do.
        BackendUnavailable
            If a package or library is missing.
        """

    @classmethod
    def ranks(cls, url: str, workers: int | None) -> int:
        """Return how many ranks `connect` would make, given how many were asked for, or None for what there is.

        Raises
        ------
        ConfigError
            If there cannot be so many.
        BackendUnavailable
            As ``connect``.
        """
        return 1 if workers is None else workers

    @abstractmethod
    def _alltoall(self, call: Call, parts: Sequence[memoryview]) -> Sequence[Received]:
        """Send ``parts[r]`` to each rank r and return what each sent here, in rank order.

        Carries `call` beside the parts and compares it on all ranks: if it differs anywhere,
        every rank raises `CollectiveMismatch`. The parts are the caller's memory: copy or send them.
        """

    @abstractmethod
    def _subset(self, members: Sequence[int]) -> Communicator | None:
        """Make the communicator of `members`, this one's ranks in the order of their new ranks.

        All ranks of this communicator call it together, each with the members of its own group,
        or with none to get None.
        """

    @abstractmethod
    def _close(self) -> None:
        """Leave in order; must not raise or wait."""

    @abstractmethod
    def _abort(self, reason: str) -> None:
        """Leave at once; pending and later calls of the others raise `PeerLost`. Must not raise or wait."""

    @property
    def usable(self) -> bool:
        """True if this thread may make a collective: nothing failed, and the thread is the owner."""
        mine = self._thread in (None, threading.get_ident()) and self._process == os.getpid()
        return mine and not self._unusable

    # ---- collectives

    def alltoall(self, parts: Sequence[Part]) -> Sequence[Received]:
        """Send ``parts[r]`` to each rank r, and return what each sent to this one, in rank order.

        Raises
        ------
        ConfigError
            If there is not one part per rank, or one is not C-contiguous.
        TypeError
            If a part is not a buffer.
        CommTimeout, PeerLost, CollectiveMismatch, CommClosed
            As for every collective: see the class.
        """
        if len(parts) != self.size:
            raise ConfigError(f"got {len(parts)} parts for {self.size} ranks; give one part for each rank")
        return self._exchange("alltoall", [as_bytes_view(part) for part in parts])

    def allgather(self, part: Part) -> Sequence[Received]:
        """Return the parts of all ranks, in rank order, on every rank. Raises as `alltoall` does."""
        return self._gather("allgather", as_bytes_view(part))

    def allgather_shared(self, part: Part) -> Sequence[Any]:
        """Return the parts of all ranks, in rank order, in place where the communicator can. Raises as `alltoall` does.

        A rank leaves its part as it is until its next collective has returned: only then nobody reads it any more.
        """
        return self.allgather(part)

    def broadcast(self, part: Part | None, root: int) -> Received:
        """Return the part of rank `root` on every rank; the parts of the others are ignored.

        Raises as `alltoall` does, and `ConfigError` if `root` is not a rank.
        """
        if not 0 <= root < self.size:
            raise ConfigError(f"root is {root}; allowed are the ranks 0 to {self.size - 1}")
        parts = [_EMPTY] * self.size
        if self.rank == root:
            if part is None:
                raise TypeError("the root of a broadcast must give a part; got None")
            parts = [as_bytes_view(part)] * self.size
        return self._exchange("broadcast", parts, root)[root]

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        self._gather("barrier", _EMPTY)

    def agree(self, ok: bool) -> bool:
        """Return on every rank whether `ok` is true on all of them."""
        return all(vote == b"\x01" for vote in self._gather("agree", memoryview(b"\x01" if ok else b"\x00")))

    def split(self, color: int | None, key: int = 0) -> Communicator | None:
        """Make a communicator for each colour, out of the ranks that gave it.

        Parameters
        ----------
        color : int or None
            The group of this rank; None for no group: then None is returned.
        key : int
            Ranks are ordered by key in their group, and by their rank here where the keys are the same.

        Returns
        -------
        Communicator or None
            Communicator of this rank's group; it may be used in turn with the communicator that was split. It
            starts with the same `timeout`, numbers its own ranks (in errors too), and is closed or aborted with the
            one that was split, if it was not before.
        """
        key, wanted = operator.index(key), None if color is None else operator.index(color)
        try:
            packed = _COLOR_AND_KEY.pack(wanted is not None, wanted or 0, key)
        except struct.error:
            raise ConfigError(f"color is {color} and key {key}; allowed are 64-bit integers") from None
        choices = [_COLOR_AND_KEY.unpack(part) for part in self._gather("split", memoryview(packed))]
        same = [(theirs[2], rank) for rank, theirs in enumerate(choices) if theirs[:2] == (True, wanted)]
        child = self._subset([rank for _, rank in sorted(same)])
        self._children = [other for other in self._children if not other._closed]
        if child is not None:
            self._children.append(child)
        return child

    def merge(self, contribution: Contribution, rule: Any) -> Any:
        """Merge the contributions of all ranks: each merges one slice in rank order, then all get all.

        Parameters
        ----------
        contribution : Contribution
            Cuts itself in slices, merges one slice of all ranks, and joins the merged slices. A rank that got the
            joined slices knows that all ranks brought theirs, not that all have joined them.
        rule : Any
            Merge rule, which is given to the contribution's `merge`.

        Returns
        -------
        Any
            The result of the contribution's `join`.
        """
        parts = self.alltoall(contribution.cut(self.size))
        return contribution.join(self.allgather(contribution.merge(parts, rule, self.rank, self.size)))

    def share(self, n_bytes: int) -> Sequence[memoryview] | None:
        """Return zeroed memory of all ranks, in rank order, that all of them can read, if there is such memory.

        A collective, for ranks in different processes that can see the same memory. None, on every rank, where they
        cannot, or where there is not enough; ranks of one process need none.

        Parameters
        ----------
        n_bytes : int
            Bytes that this rank needs: it alone writes to its own part.

        Returns
        -------
        sequence of memoryview, or None
            The own part can be written to. Valid until the communicator is closed; begins on a page.
        """
        return None

    def together(self) -> Together | None:
        """Return where compiled code of all ranks meets; None, on every rank, where it cannot. A collective."""
        return Together(Barrier(1)) if self.size == 1 else None

    # ---- the end

    def close(self) -> None:
        """Leave in order, after the last collective. Any number of times, from any thread.

        Ranks that still call a collective get `PeerLost`.
        """
        if self._end("closed"):
            for child in self._children:
                child.close()
            self._close()

    def abort(self, reason: str) -> None:
        """Leave at once because of a failure: pending and later calls of the others raise `PeerLost`.

        Any number of times, from any thread; nothing happens after ``close``.
        """
        if self._end(f"aborted: {reason}"):
            for child in self._children:
                child.abort(reason)
            self._abort(reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close, or abort if an exception is on its way."""
        if error is None:
            self.close()
        else:
            self.abort(described(error))

    # ---- for implementations

    def _exchange(self, operation: str, parts: Sequence[memoryview], root: int = -1) -> Sequence[Received]:
        call = self._begin(operation, root)
        try:
            received = self._alltoall(call, parts)
        except BaseException as error:
            self._fail(error)
            raise
        self.bytes_sent += sum(part.nbytes for part in parts) - parts[self.rank].nbytes
        return received

    def _gather(self, operation: str, part: memoryview) -> Sequence[Received]:
        """Give every rank the same part; for implementations that can do it better than `_alltoall`."""
        return self._exchange(operation, [part] * self.size)

    def _begin(self, operation: str, root: int = -1) -> Call:
        """Return the signature of a new collective; raise `CommClosed` if none is allowed."""
        if self._unusable or self._thread != threading.get_ident() or self._process != os.getpid():
            self._check_usable()
        self._sequence += 1
        return Call(operation, self._sequence, root)

    def _check_usable(self) -> None:
        name = f"rank {self.rank} of {self.size}"
        if self._unusable:
            raise CommClosed(f"{name} is {self._unusable}; connect again")
        if self._process != os.getpid():
            raise CommClosed(f"{name} was connected before a fork; connect in the process that uses it")
        if self._thread is None:
            self._thread = threading.get_ident()
        if self._thread != threading.get_ident():
            raise CommClosed(f"{name} belongs to the thread of its first call; give each thread its own")

    def _fail(self, error: BaseException) -> None:
        """Remember that a collective failed: nothing but ``close`` and ``abort`` is allowed any more."""
        self._victim = isinstance(error, CommError)
        self._unusable = self._unusable or f"unusable since a call failed ({described(error)})"

    def _end(self, how: str) -> bool:
        first, self._closed = not self._closed, True
        self._unusable = self._unusable or how
        return first


def checked_timeout(timeout: float) -> float:
    """Return `timeout` as a float, if it is a number of seconds above zero that clocks and sockets can count."""
    allowed = isinstance(timeout, Real) and not isinstance(timeout, bool) and 0 < timeout <= LONGEST_TIMEOUT
    if not allowed:
        huge = isinstance(timeout, int) and timeout.bit_length() > 1000  # too long to write out
        told = "a number of hundreds of digits" if huge else f"{timeout!r:.80}"
        raise ConfigError(
            f"timeout is {told}; it must be a number of seconds above zero and at most {LONGEST_TIMEOUT:g}"
        )
    return float(timeout)
