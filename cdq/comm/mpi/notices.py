"""Notices between the ranks of an MPI communicator, beside its collectives: ranks that are here or lost.

They are short, so MPI delivers them also when the sender computes or ends: no call of it is needed any more.
"""

from __future__ import annotations

import struct
from typing import Any

from cdq.comm.mpi.library import LOCK

HERE = 0  # waits in a step
GAVE_UP = 1  # waited in a step for others, not for those that get this, to no end
CLOSED = 2  # leaves in order, and sends nothing any more
FAILED = 3  # leaves because of a failure of its own
LOST = 4  # leaves because of another rank, which is to be named instead

_TAG = 7
_NOTICE = struct.Struct("<iq240s")  # kind, step, why

_sent: list[tuple[Any, bytes]] = []  # requests, with the memory that they send from


class Notices:
    """Notices between ranks: those that this rank received from the others, and those that it sends.

    A step is one waiting of a rank for the others. All ranks take the same steps, so their numbers compare.

    Parameters
    ----------
    mpi : module
        The module ``mpi4py.MPI``.
    channel : MPI.Intracomm
        Carries collectives too, which MPI keeps apart from messages.

    Attributes
    ----------
    gone : dict of int to (int, str)
        The first step that each rank did not complete, and why it left, of those that said so.
    gave_up : dict of int to (int, str)
        Step in which each rank gave up waiting, with a text that names the ranks it waited for, this one not among
        them.
    ended : dict of int to bool
        The ranks that will do nothing more here, and whether they closed in order.
    """

    def __init__(self, mpi: Any, channel: Any) -> None:
        self.gone: dict[int, tuple[int, str]] = {}
        self.gave_up: dict[int, tuple[int, str]] = {}
        self.ended: dict[int, bool] = {}
        self._mpi = mpi
        self._channel = channel
        self._rank: int = channel.Get_rank()
        self._here = [0] * channel.Get_size()  # the last step that each rank said it was in
        self._status = mpi.Status()
        self._incoming = bytearray(_NOTICE.size)
        self._receive: Any = None
        self._post()

    def _post(self) -> None:
        self._receive = self._channel.Irecv([self._incoming, self._mpi.BYTE], self._mpi.ANY_SOURCE, _TAG)

    def read(self) -> None:
        """Take in what has come."""
        while self._receive.Test(self._status):
            kind, step, why = _NOTICE.unpack(self._incoming)
            self._take(self._status.Get_source(), kind, step, why.rstrip(b"\0").decode(errors="replace"))
            self._post()

    def _take(self, source: int, kind: int, step: int, why: str) -> None:
        if kind == HERE:
            self._here[source] = max(self._here[source], step)
            return
        if kind == GAVE_UP:
            self.gave_up[source] = step, why
        elif kind != LOST:
            self.gone[source] = step, why
        self.ended[source] = kind == CLOSED

    def asked(self, step: int) -> bool:
        """Return whether another rank has said that it waits in this step."""
        return max(self._here) >= step

    def missing(self, step: int) -> list[int]:
        """Return the ranks that have not said that they came to this step."""
        return [rank for rank, last in enumerate(self._here) if last < step]

    def say_here(self, step: int) -> None:
        """Tell all others that this rank is in a step; once is enough."""
        if self._here[self._rank] < step:
            self._here[self._rank] = step
            self._send(range(len(self._here)), HERE, step)

    def say_gave_up(self, step: int, why: str) -> None:
        """Send a notice to all: to those that came to a step that it failed, to the others that this rank is lost."""
        missing = self.missing(step)
        self._send([rank for rank in range(len(self._here)) if rank not in missing], GAVE_UP, step, why)
        self._send(missing, FAILED, step, why)

    def say_end(self, kind: int, step: int, why: str = "") -> None:
        """Tell all others that this rank ends, and that `step` is the first that it does not complete."""
        self._send(range(len(self._here)), kind, step, why)

    def _send(self, ranks: Any, kind: int, step: int, why: str = "") -> None:
        notice = _NOTICE.pack(kind, step, why.encode()[:240])
        with LOCK:
            _sent[:] = [sent for sent in _sent if not sent[0].Test()]
            for rank in ranks:
                if rank != self._rank:
                    request = self._channel.Isend([notice, self._mpi.BYTE], rank, _TAG)
                    _sent.append((request, notice))

    def stop(self) -> None:
        """Take no more notices: the channel is about to be freed."""
        self._receive.Cancel()
        self._receive.Wait()
