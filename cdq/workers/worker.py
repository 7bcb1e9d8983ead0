"""One worker: its lanes, its copy of the table, its random streams; it learns for a window at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.contracts import Loop, WorkerTask
from cdq.core.lanes import Lanes
from cdq.core.loops.windows import Windows
from cdq.core.merge.merge import commit
from cdq.core.merge.overlap import hand_over, take_back
from cdq.core.rounds import Seat
from cdq.core.table.rows import Law, Rows
from cdq.errors import EnvironmentFailure
from cdq.qfunctions import DivergenceGuard, MergedTable, Trained
from cdq.workers.tallies import TALLY_WIDTH, parts_of

# First numbers of spawn keys, so that no two uses of one seed share a stream.
LEARNING, EVALUATION, PREDICTION = 0, 1, 2


class Episodes(NamedTuple):
    """Episodes that ended in a window: their number, their steps, and the sum of their undiscounted returns.

    `tallies` are the bytes of such figures of each part of the window (`cdq.workers.tallies`).
    """

    episodes: int
    length_sum: int
    return_sum: float
    tallies: bytes


class Worker:
    """A learner with its own lanes of environments and its own copy of the table.

    Parameters
    ----------
    problem : WorkerTask
        The task to learn; several workers may share one.
    gamma : float
        Discount.
    merged : MergedTable
        The table that the workers of this process share; the worker starts from it.
    is_keeper : bool
        True for the one worker of the process that writes the merged table.
    seed : int
        Entropy of the run; the streams are those of `SeedSequence(seed)` spawned per (rank, lane).
    rank, session : int
        Number of the worker, and of restarts of the run (a loaded table goes on with fresh streams).
    num_envs : int
        Number of lanes.
    stop : (1,) array of int32
        Flag that ends a window early; shared with the thread that may set it.
    lanes : bytes-like, optional
        State of the lanes of a former worker (its attribute `lane_state`), from which to go on.
    memory : (n,) array of uint8, optional
        Zeroed memory of `table_bytes` for the table, which others may read; private memory by default.
    """

    def __init__(
        self,
        problem: WorkerTask,
        merged: MergedTable,
        *,
        is_keeper: bool,
        gamma: float,
        seed: int,
        rank: int,
        session: int,
        num_envs: int,
        stop: npt.NDArray[np.int32],
        lanes: Any = None,
        memory: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        self.num_envs, self._rank = num_envs, rank
        self._merged, self._is_keeper = merged, is_keeper
        self._open = False
        self.rows = merged.new_rows(memory)
        self._lanes = Lanes(num_envs, problem.own_bytes, rank)
        if lanes is None:
            self._lanes.words[:] = streams(seed, (LEARNING, session, rank), num_envs)
        else:
            self._lanes.memory[:] = np.frombuffer(lanes, np.uint8)
        self._lanes_before = self._lanes.memory.copy()
        self._loop = problem.loop(self.rows, self._lanes, gamma, stop)
        if lanes is None or not problem.resumable:
            self._loop.reset()

    @property
    def lane_state(self) -> bytes:
        """State of all lanes as bytes: states, random streams, episodes. After `roll_back`, that of the last merge."""
        return self._lanes.memory.tobytes()

    def exchange_by(self, comm: Communicator | None) -> None:
        """Average the gradients of every minibatch with the others of a communicator from now on; None: with nobody."""
        assert isinstance(self._loop, Trained)
        self._loop.comm = comm

    def digest(self) -> bytes:
        """Return the SHA-256 of the merged table."""
        return self._merged.digest()

    def checksum(self) -> int:
        """Return the CRC-32 of the own table, values and then clocks; no window may be open."""
        return self._merged.checksum(self.rows)

    def run(self, law: Law, sweeps: int, explore_first: float, explore_last: float) -> Episodes | None:
        """Learn for *sweeps* steps of every lane; None if the stop flag ended it: roll back then."""
        self._lanes_before[:] = self._lanes.memory
        self._open = True
        parts = np.zeros((parts_of(sweeps * self.num_envs), TALLY_WIDTH))
        try:
            completed, episodes, length_sum, return_sum = self._loop.run(
                law, sweeps, explore_first, explore_last, parts
            )
        except EnvironmentFailure as error:
            error.worker = self._rank
            raise
        return Episodes(episodes, length_sum, return_sum, parts.tobytes()) if completed else None

    def seat(
        self,
        rank: int,
        records: npt.NDArray[Any],
        tallies: npt.NDArray[np.float64],
        shared: npt.NDArray[np.uint8] | None = None,
    ) -> Seat | None:
        """Return the place from which compiled code plays rounds (`cdq.workers.stretches`); None if it cannot.

        *rank* is that among the workers that merge; *records* and *tallies* get what there is to say of rounds.
        *shared* is memory in which workers of other processes find what this one tells them and merges, if there are.
        """
        merged, loop = self._merged, _stepping(self._loop)
        if not (isinstance(loop, Windows) and loop.plain) or merged.own_rows:
            return None
        visits = merged.counters if self._is_keeper else None
        columns = records.view(np.int64).reshape(len(records), -1)
        lanes = self._lanes.memory, self._lanes_before
        return Seat(rank, loop, self.rows, *lanes, visits, columns, tallies, shared)

    def check(self) -> None:
        """Raise the error that ended a window which compiled code played, if there is one."""
        try:
            loop = _stepping(self._loop)
            if isinstance(loop, Windows):
                loop.check()
            if isinstance(self._loop, DivergenceGuard):
                self._loop.check()
        except EnvironmentFailure as error:
            error.worker = self._rank
            raise

    def take_seat_back(self, *, merged: bool) -> None:
        """Go on from where compiled code came to; *merged* says whether all that it learnt is."""
        self._open = not merged

    def roll_back(self) -> None:
        """Undo a window that was not committed: table, lanes and streams are as after the last merge.

        No other worker of the process may be in `commit` meanwhile.
        """
        if self._open:
            self._merged.undo(self.rows)
            self._lanes.memory[:] = self._lanes_before
            self._open = False

    def forget_window(self) -> None:
        """Undo what the open window has learnt for all; its steps stay made, and lanes and streams are where they are.

        Another worker of the process may be in `commit`, and so change what this reads of pairs that were merged: the
        commit of this worker must follow, which sets them.
        """
        self.rows.forget_merged()

    def shift(self, number: float) -> None:
        """Add a number to every value that the open window has changed, and that others will see."""
        touched = np.asarray(self.rows.log)[: self.rows.touched]
        merged = self._merged.values
        n_actions, dtype = merged.shape[1], merged.dtype
        values = np.asarray(self.rows.data)[:, : n_actions * dtype.itemsize].view(dtype)
        values[touched // n_actions, touched % n_actions] += number

    def align_rows(self, comm: Communicator) -> None:
        """Make the rows of all workers the same ones before they are merged; a collective where rows are added."""
        self._merged.align_rows(self.rows, comm)

    def commit(self, slices: list[Any]) -> float:
        """Make the merged slices of all ranks the table.

        Returns the round's pooled mass: the visit-weighted mean over the touched pairs.
        """
        self._merged.accept(self.rows)
        mass = self._merged.commit(self.rows, slices, keep=self._is_keeper)
        self._open = False
        return mass

    def commit_alone(self) -> None:
        """Make the own table the merged one; a worker without peers."""
        self._merged.accept(self.rows)
        self._merged.close_window(self.rows)
        self._open = False

    # ---- windows that are merged while the next one is learnt (`cdq.workers.overlap`)

    def second_table(self) -> Rows:
        """Return another table at the same base, for windows that are handed over."""
        return self._merged.new_rows()

    def hand_over(self, handed: Rows) -> npt.NDArray[np.uint8]:
        """Move the window that was learnt to *handed*, a table at the same base; the next one goes on from here.

        Returns the lanes as they were before it, for `take_back`.
        """
        hand_over(self.rows, handed)
        self._open = False
        return self._lanes_before.copy()

    def rebase(self, slices: list[Any], handed: Rows, law: Law) -> float:
        """Make the merged slices of the window that was handed over the base of the one learnt since under *law*.

        The worker must be the only one on its base. Returns the pooled mass of the round, as `commit`.
        """
        mass, total = commit(self.rows, slices, self._merged.visits.reshape(-1), handed, law)
        return mass / 2**20 / total if total else 0.0

    def take_back(self, handed: Rows, lanes: npt.NDArray[np.uint8]) -> None:
        """Return to the state after the last merge: undo the window that was handed over, and all learnt since."""
        self.roll_back()
        take_back(self.rows, handed)
        self._lanes.memory[:] = lanes


def _stepping(loop: Loop) -> Loop:
    """Return the loop that steps the environments, of one that looks at what it has learnt."""
    return loop.loop if isinstance(loop, DivergenceGuard) else loop


def streams(seed: int, key: tuple[int, ...], n: int) -> npt.NDArray[np.uint64]:
    """Return the first states of *n* streams, (4, n): those of `SeedSequence(seed)` spawned by *key* and lane."""
    sequences = (np.random.SeedSequence(seed, spawn_key=(*key, lane)) for lane in range(n))
    return np.stack([sequence.generate_state(4, np.uint64) for sequence in sequences], axis=1)
