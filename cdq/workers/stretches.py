"""Stretches: rounds that are played one after another in compiled code, as nobody looks in between.

A round of Python code takes as long as a thousand steps. What each round would have said is recorded, and read when the
stretch is over.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.comm.together import Together
from cdq.core.merge.merge import RULES
from cdq.core.rounds import ENDED, GROWN, INTERRUPTED, NO_MEMORY, Pace, Seat
from cdq.core.table.rows import Law
from cdq.errors.checks import MOST_STEPS
from cdq.workers.contribution import PeerTable, WorkerContribution
from cdq.workers.rounds import Interrupted, Round, merge_window
from cdq.workers.tallies import LOG_BYTES, MOST_PARTS, RECORD, TALLY_WIDTH, Tallies, log_over
from cdq.workers.worker import Episodes, Worker


class Look(NamedTuple):
    """Moments at which rank 0 must look at a run.

    Attributes
    ----------
    at : int
        Steps from which on there is something to do after a round.
    seconds : float
        Seconds after which there is; 0 for never.
    steps_per_look, most_rows : int
        Steps between two looks at the table: at least so many, and one of so many parts of all steps; 0 for no look.
    unseen : bool
        True if it was never looked at.
    seen : int
        Number of known pairs that are known to be visited.
    known : (n_pairs,) array of uint8, optional
        Pairs whose visits are counted: 1, else 0; all by default.
    counts : bool
        True if clocks are added up.
    """

    at: int = MOST_STEPS
    seconds: float = 0.0
    steps_per_look: int = 0
    most_rows: int = 1
    unseen: bool = False
    seen: int = 0
    known: npt.NDArray[np.uint8] | None = None
    counts: bool = False


class Stretch(NamedTuple):
    """Rounds that were played without Python in between; the arrays are memory of the next stretch.

    Attributes
    ----------
    records : list of (n,) arrays
        Records of each worker's rounds; moments and clocks in those of rank 0.
    tallies : list of (m, 8) arrays of float64
        Tallies of each worker's windows, one round after another.
    began : float
        Moment at which the stretch began (`time.perf_counter`).
    """

    records: list[npt.NDArray[Any]]
    tallies: list[Tallies]
    began: float


class Stretches:
    """Stretches of rounds of a worker.

    Parameters
    ----------
    worker : Worker
        The worker.
    comm : Communicator
        Communicator to the others.
    together : Together
        Place where compiled code of all ranks meets (`Communicator.together`).
    peers : sequence of PeerTable
        Workers of all ranks, where those are processes that share memory.
    rule : str
        Name of the merge rule.
    law : Law
        Step sizes of all windows.
    needs_mass : bool
        True if the length of the next window depends on the round's pooled mass.
    pace : Pace
        Lengths of windows and exploration rates.
    target : int
        Steps of all workers at which to end.
    finish : (1,) array of int32
        A flag that asks all to end after the round in hand.
    """

    def __init__(
        self,
        worker: Worker,
        comm: Communicator,
        together: Together,
        peers: Sequence[PeerTable],
        *,
        rule: str,
        law: Law,
        needs_mass: bool,
        pace: Pace,
        target: int,
        finish: npt.NDArray[np.int32],
    ) -> None:
        self._worker, self._comm, self._together, self._peers = worker, comm, together, peers
        log = peers[comm.rank].log if peers else np.zeros(LOG_BYTES, np.uint8)
        self.records, self.tallies = log_over(log)
        self._rule = rule
        self._take_seat()
        self._fixed: dict[str, Any] = {
            "law": law,
            "rule": RULES[rule],
            "needs_mass": needs_mass,
            "pace": pace,
            "target": target,
            "finish": finish,
        }

    def _take_seat(self) -> None:
        """Take the worker's place, again where its table may have moved."""
        rank = self._comm.rank
        shared = self._peers[rank].board if self._peers else None
        self._seat = self._worker.seat(rank, self.records, self.tallies, shared)

    @staticmethod
    def can_play(worker: Worker) -> bool:
        """Return whether the loop and the table of a worker can do without Python."""
        return worker.seat(0, np.zeros(1, RECORD), np.zeros((MOST_PARTS, TALLY_WIDTH))) is not None

    @property
    def possible(self) -> bool:
        """True if this worker's loop and table can do without Python."""
        return self._seat is not None

    @property
    def seat(self) -> Seat:
        """Place of the worker among the others."""
        assert self._seat is not None
        return self._seat

    def _bring(self, own: Stretches | PeerTable | None) -> list[Stretches | PeerTable] | None:
        """Return the places of all workers, in rank order; None where one of them does not play on. A collective."""
        stand_ins: Sequence[Stretches | PeerTable] = self._peers
        places = self._together.bring(own, stand_ins)
        found = [place for place in places if place is not None]
        return found if len(found) == len(places) else None

    def play(self, steps: int, window: float, look: Look | None) -> tuple[int, Seat, Stretch] | None:
        """Play rounds from *steps* and a *window* on, until somebody must look; a collective.

        Returns how it ended, for `end`, and where, and what there is to say of it, which is whole on rank 0; None where
        a rank, which has no *look*, wants no more.
        """
        comm = self._comm
        others = self._bring(self if look is not None else None)
        if look is None or others is None:
            return None
        when: dict[str, Any] = dict(zip(Look._fields[1:], look[1:], strict=True))
        seat, began = self.seat, time.perf_counter()
        status = seat.play(
            [other.seat for other in others],
            self._together.barrier,
            comm.timeout,
            steps=steps,
            window=window,
            bytes_sent=comm.bytes_sent,
            look_at=look.at,
            **self._fixed,
            **when,
        )
        comm.bytes_sent = seat.bytes_sent
        self._worker.take_seat_back(merged=status == ENDED)
        return status, seat, self._said(others, began)

    def _said(self, places: Sequence[Stretches | PeerTable], began: float) -> Stretch:
        n = self.seat.rounds
        m = int(self.records["parts"][:n].sum())
        return Stretch(
            [other.records[:n] for other in places], [other.tallies[:m] for other in places], began
        )

    def merge(self, contribution: WorkerContribution, request: int) -> tuple[Round, int]:
        """Merge the window in hand, of new states, for which workers have to agree on rows; return it and its steps."""
        record, made = self.records[self.seat.rounds], int(self.records["parts"][: self.seat.rounds].sum())
        tallies = self.tallies[made : made + int(record["parts"])]
        steps, episodes, length_sum = tallies[:, :3].sum(axis=0).astype(np.int64).tolist()
        ended = Episodes(episodes, length_sum, float(record["return_sum"]), tallies.tobytes())
        played = merge_window(
            self._worker, contribution, self._comm, rule=self._rule, ended=ended, request=request
        )
        assert played is not None  # nobody has met a condition since all played together
        self._take_seat()
        return played, steps

    def end(self, status: int) -> None:
        """Raise unless a stretch ended as it should: what failed, `Interrupted`, `MemoryError` or a communicator's."""
        if status == GROWN:
            return
        if status == INTERRUPTED:
            self._worker.check()
            raise Interrupted
        if status == NO_MEMORY:
            raise MemoryError("no memory to merge")
        self._together.leave(status, f"merge by {self._rule}")
