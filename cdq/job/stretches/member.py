"""A local worker's part: stretches of rounds, with the others of its machine."""

from __future__ import annotations

import json
import struct
import time
from typing import Any, NamedTuple

from cdq.comm.base import LONGEST_TIMEOUT
from cdq.comm.contribution import Received
from cdq.core.barrier import Barrier
from cdq.core.rounds import ENDED, INTERRUPTED, NO_MEMORY, Seat
from cdq.core.table.rows import Law
from cdq.errors import ConfigError
from cdq.job.handshake import Welcome
from cdq.job.job import Known, make_worker
from cdq.job.member import Member
from cdq.job.messages import open_window
from cdq.job.stretches.commons import ORDER, Commons
from cdq.qfunctions import rows_over
from cdq.schedules import build_law, from_config
from cdq.training import pace_with
from cdq.workers import Worker

_END = struct.Struct("<qqqdqd")
_NAMES = ORDER.names or ()
_AGAIN = 1.0  # seconds between two looks of a worker that waits for its end


class End(NamedTuple):
    """End of a stretch, as a worker tells it.

    Attributes
    ----------
    rounds, steps : int
        Rounds of the stretch; steps of all workers at its end.
    asked : int
        1 if a worker asked all to end, else 0.
    window : float
        Length of the next window.
    bytes_sent : int
        Bytes that this worker has exchanged in the call.
    began : float
        Moment at which the stretch began, by the machine's monotonic clock.
    """

    rounds: int
    steps: int
    asked: int
    window: float
    bytes_sent: int
    began: float

    def pack(self, lanes: bytes) -> bytes:
        """Return the end, and the worker's lanes, as bytes."""
        return _END.pack(*self) + lanes

    @classmethod
    def unpack(cls, payload: Received) -> tuple[End, memoryview]:
        """Return the end and the lanes; `ValueError` if it is none."""
        if len(payload) < _END.size:
            raise ValueError(f"{len(payload)} bytes are no end of a stretch")
        return cls(*_END.unpack_from(payload)), memoryview(payload)[_END.size :]


class StretchMember(Member):
    """A worker that plays rounds with those beside it, in memory that they share, until the hub is to look.

    Parameters
    ----------
    known : Known
        The way to make its task.
    file : int
        File of the memory that all share (`commons.Commons`).
    size : int
        Number of workers.
    """

    def __init__(self, known: Known, file: int, size: int) -> None:
        super().__init__(known)
        self._file, self._size = file, size
        self._commons: Commons
        self._seats: list[Seat] = []
        self._law: Law
        self._bytes_sent = 0

    def _make_worker(self, welcome: Welcome) -> Worker:
        if self._seats or welcome.rank >= self._size:
            raise ConfigError("a local worker takes part once; start the call again")
        commons = self._commons = Commons(self._file, welcome.merged, self._size)
        welcome.merged.visits[:] = commons.table["visits"]
        worker = make_worker(
            welcome.problem,
            welcome.merged,
            welcome.gamma,
            welcome.shape.num_envs,
            welcome.lanes,
            rank=welcome.rank,
            memory=commons.desks[welcome.rank].rows,
        )
        self._barrier = Barrier(self._size, commons.barrier)
        self._seats = [self._seat(worker, rank) for rank in range(self._size)]
        self._law = build_law(
            welcome.step_size, welcome.window.before, welcome.mass, str(welcome.shape.real), welcome.scale
        )
        return worker

    def _seat(self, worker: Worker, rank: int) -> Seat:
        """Return the place of the worker itself, or of another one."""
        desk, merged = self._commons.desks[rank], self._welcome.merged
        if rank != self._welcome.rank:
            return Seat.elsewhere_of(rank, rows_over(desk.rows, merged), desk.board)
        seat = worker.seat(rank, desk.records, desk.tallies, desk.board)
        if seat is None:
            raise ConfigError("this worker's environment is not the hub's; use the same cdq on both")
        return seat

    def learn(self) -> Received:
        """Play a stretch of rounds; return what there is to tell the hub of it."""
        order = dict(zip(_NAMES, self._commons.order[0].item(), strict=True))
        seat, began = self._seats[self._welcome.rank], time.perf_counter()
        status = self._play(seat, order)
        if status != ENDED:
            self._fail(status)
        self._worker.take_seat_back(merged=True)
        self.learnt += (seat.steps - order["steps"]) // self._size
        self._bytes_sent = seat.bytes_sent
        if seat.rank == 0:
            for name, array in self._commons.table.items():
                array[:] = getattr(self._welcome.merged, name)
        end = End(seat.rounds, seat.steps, int(seat.asked), seat.window, seat.bytes_sent, began)
        return end.pack(self._worker.lane_state)

    def _play(self, seat: Seat, order: dict[str, Any]) -> int:
        lengths = order.pop("mass"), order.pop("floor"), order.pop("longest")
        knows, at, text = order.pop("knows"), order.pop("at"), order.pop("text")
        exploration = from_config(json.loads(self._commons.text[:text].tobytes()))
        told = self._welcome
        return seat.play(
            self._seats,
            self._barrier,
            LONGEST_TIMEOUT,
            law=self._law,
            pace=pace_with(lengths, exploration, told.step_size, told.mass, told.scale),
            bytes_sent=self._bytes_sent,
            finish=self._commons.finish,
            look_at=at,
            known=self._commons.known[:knows] if knows else None,
            **order,
        )

    def _fail(self, status: int) -> None:
        """Raise why this worker cannot go on; where another one could not, wait for the hub to end all."""
        while status not in {INTERRUPTED, NO_MEMORY}:
            time.sleep(_AGAIN)
        self._barrier.break_()
        self._worker.check()
        raise MemoryError("no memory to merge")

    def settle(self, payload: Any) -> None:
        """Take over which steps come next: what to play is in the memory that all share."""
        try:
            self.window, _ = open_window(payload)
        except ValueError as error:
            raise ConfigError(f"the hub sent what is no result: {error}; use the same cdq on both") from None
