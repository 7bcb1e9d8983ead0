"""A worker's part: stretches of rounds, with the others of its machine."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.comm.memory import reach
from cdq.core.barrier import Barrier
from cdq.core.rounds import ENDED, INTERRUPTED, NO_MEMORY, Seat
from cdq.core.table.rows import Law
from cdq.errors import ConfigError
from cdq.job.handshake import Welcome
from cdq.job.stretches.commons import Commons
from cdq.job.stretches.ending import End, pack_ending
from cdq.job.stretches.offers import Offer
from cdq.qfunctions import rows_over
from cdq.schedules import from_config
from cdq.training import pace_with
from cdq.workers import MOST_TALLIES, Worker

_DEADLINE = 3.0  # seconds that the others are waited for in a round: the hub may be gone, too


class Place(NamedTuple):
    """Place of a worker among those that play together.

    Attributes
    ----------
    commons : Commons
        The memory.
    rank, size : int
        Number of the worker among those that play together, and of these.
    patience : float
        Seconds that the others are waited for in a round.
    """

    commons: Commons
    rank: int
    size: int
    patience: float = _DEADLINE

    @property
    def rows(self) -> npt.NDArray[np.uint8]:
        """Memory of the worker's table."""
        return self.commons.desks[self.rank].rows

    def prove(self, token: bytes) -> None:
        """Show the hub that this is the memory that it offered."""
        self.commons.desks[self.rank].token[:] = np.frombuffer(token, np.uint8)


class Player:
    """A worker that plays rounds with those beside it, in memory that they share, until the hub is to look.

    Parameters
    ----------
    place : Place
        Place of the worker among those that play together.
    welcome : Welcome
        Start of the worker, as the hub sent it.
    worker : Worker
        The worker, whose table is in the memory.

    Attributes
    ----------
    learnt : int
        Steps that this worker learnt in the last stretch.
    """

    def __init__(self, place: Place, welcome: Welcome, worker: Worker) -> None:
        self._commons, self._rank, self._size, self._patience = place
        self._welcome, self._worker, self._merged = welcome, worker, welcome.merged
        self._barrier = Barrier(self._size, self._commons.barrier)
        self._seats = [self._seat(other) for other in range(self._size)]
        self._bytes_sent = self.learnt = 0

    def _seat(self, rank: int) -> Seat:
        """Return the place of the worker itself, or of another one."""
        desk = self._commons.desks[rank]
        if rank != self._rank:
            return Seat.elsewhere_of(rank, rows_over(desk.rows, self._merged), desk.board)
        seat = self._worker.seat(rank, desk.records, desk.tallies, desk.board)
        if seat is None:
            raise ConfigError("this worker's environment is not the hub's; use the same cdq on both")
        return seat

    def play(self, law: Law) -> bytes | None:
        """Play a stretch of rounds; return what there is to tell the hub of it.

        None if another worker is gone, or the order is none: all are to begin again.
        """
        try:
            order = self._order()
        except Exception:  # whatever is there, it is no order: somebody wrote over it
            self._barrier.break_()
            return None
        before, seat = order["steps"], self._seats[self._rank]
        self._merged.visits[:] = self._commons.visits
        self.learnt, status = 0, seat.play(self._seats, self._barrier, self._patience, law=law, **order)
        if status in {INTERRUPTED, NO_MEMORY}:
            self._barrier.break_()
            self._worker.check()
            raise MemoryError("no memory to merge")
        if status != ENDED:
            return None
        self._worker.take_seat_back(merged=True)
        self.learnt = (seat.steps - before) // self._size
        self._bytes_sent = seat.bytes_sent
        desk = self._commons.desks[self._rank]
        parts = min(int(desk.records["parts"][: seat.rounds].sum()), MOST_TALLIES)
        checksum = self._worker.checksum()
        end = End(seat.rounds, seat.steps, int(seat.asked), parts, seat.window, seat.bytes_sent, checksum)
        table = self._merged if self._rank == 0 else None
        return pack_ending(end, self._worker.lane_state, desk.records, desk.tallies, table)

    def _order(self) -> dict[str, Any]:
        """Return the arguments of `Seat.play` of which the hub has written the numbers."""
        order, told = self._commons.read(), self._welcome
        lengths = order.pop("mass"), order.pop("floor"), order.pop("longest")
        knows, exploration = order.pop("knows"), from_config(order.pop("exploration"))
        return {
            "pace": pace_with(lengths, exploration, told.step_size, told.mass, told.scale),
            "bytes_sent": self._bytes_sent,
            "finish": np.zeros(1, np.int32),
            "look_at": order.pop("at"),
            "known": self._commons.known[:knows] if knows else None,
            **order,
        }


def place_in(offer: Any, welcome: Welcome) -> tuple[Place, bytes] | None:
    """Return a worker's place in the memory that a hub offers, and the proof to give; None on another machine."""
    told = Offer.unpack(offer)
    if told is None or welcome.rank not in told.uids:
        return None
    size = len(told.uids)
    with contextlib.suppress(OSError, ValueError):
        commons = Commons(reach(told.address.encode(), writable=True), welcome.merged, size)
        return Place(commons, told.uids.index(welcome.rank), size), told.token
    return None
