"""Teams: the workers of a process, the data that they share, and their lanes between two calls of `learn`."""

from __future__ import annotations

import logging
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.contracts import Task
from cdq.core.lanes import Lanes, widened
from cdq.errors import FileError
from cdq.qfunctions import MergedNetwork, MergedTable, Parameters
from cdq.schedules import POLICY
from cdq.settings import Settings
from cdq.settings.of_networks import averages
from cdq.training.course import Plan
from cdq.training.policies import acting_by
from cdq.training.state import State
from cdq.workers import NetworkContribution, PeerTable, Worker, WorkerContribution, peer_bytes

_log = logging.getLogger("cdq")

_OTHER_WORKERS = "the checkpoint is of %d workers, this run has %d: its random streams begin anew"


class Team:
    """The workers of a process.

    Attribute `lane_states` holds the state of each rank's environments between two calls of `learn`.

    Parameters
    ----------
    problem : Task
        The task that the workers learn.
    state : State
        The table, and the number of restarts of the run with fresh streams.
    settings : Settings
        Settings of the learner.
    stop : (1,) array of int32
        The flag that ends windows early.
    """

    def __init__(
        self,
        problem: Task,
        state: State,
        settings: Settings,
        stop: npt.NDArray[np.int32],
    ) -> None:
        self._problem, self._state, self._settings, self._stop = problem, state, settings, stop
        self.lane_states: dict[int, Any] = {}
        self._lanes = settings.num_envs * problem.lanes_each
        self._temporary = False
        self.workers: dict[int, Worker] = {}

    def go_on(self, lanes: npt.NDArray[np.uint8] | None, rank: int, *, comes_and_goes: bool) -> None:
        """Go on from the state of the lanes of all ranks, (workers, n) bytes; without them, restart the streams.

        Lanes of another number of workers are of no use: a warning, on *rank* 0, says that the streams restart.
        Where *comes_and_goes*, workers may join and leave, and each goes on with what there is of its number.

        Raises
        ------
        FileError
            If they are no lanes of what is learnt.
        """
        if lanes is not None:
            lanes = widened(lanes, self._lanes, self._problem.own_bytes)
            self._check(lanes)
        if lanes is not None and (comes_and_goes or len(lanes) == self._settings.workers):
            self.lane_states = dict(enumerate(lanes))
            return
        if lanes is not None and rank == 0:
            _log.warning(_OTHER_WORKERS, len(lanes), self._settings.workers)
        self._state.session += 1

    def _check(self, lanes: npt.NDArray[np.uint8]) -> None:
        """Raise unless lanes, of a file, are such that loops may go on from them."""
        problem = self._problem
        usual = Lanes(self._lanes, problem.own_bytes)
        if lanes.dtype != np.uint8 or lanes.ndim != 2 or lanes.shape[1] != usual.memory.nbytes:
            raise FileError(
                f"the lanes are {lanes.dtype} of shape {lanes.shape}; {self._lanes} of a worker "
                f"take {usual.memory.nbytes} bytes: use another checkpoint"
            )
        for row in lanes:
            usual.memory[:] = row
            if not problem.own_bytes and problem.n_rows and usual.state.max() >= problem.n_rows:
                raise FileError(
                    f"an environment is in state {usual.state.max()} of {problem.n_rows}; use another checkpoint"
                )
            if usual.elapsed.min() < 0:
                raise FileError(f"an episode has {usual.elapsed.min()} steps; use another checkpoint")

    def join(
        self, comm: Communicator, *, is_keeper: bool, plan: Plan
    ) -> WorkerContribution | NetworkContribution:
        """Return the contribution of the worker of *comm*'s rank; from the thread that uses the communicator.

        *is_keeper* says whether it is the one that keeps the process's table.
        """
        if isinstance(self._state.merged, MergedNetwork):
            return self._join_network(comm, is_keeper)
        segments = (
            None
            if plan.overlap or comm.size == 1 or self._state.merged.grows
            else comm.share(peer_bytes(self._state.merged, comm.size))
        )
        if segments is not None:
            if comm.rank in self.workers:  # the last call had no such memory
                self.lane_states[comm.rank] = self.workers[comm.rank].lane_state
            own = np.frombuffer(segments[comm.rank], np.uint8)
            worker = self._worker(comm.rank, self._state.merged, is_keeper, own)
            merged, size = self._state.merged, comm.size
            peers = [PeerTable(segment, merged, size, rank) for rank, segment in enumerate(segments)]
        else:
            apart = plan.overlap and not is_keeper  # the worker changes its base at its own time
            worker = self.workers.get(comm.rank) or self._worker(
                comm.rank, self._state.merged.copy() if apart else self._state.merged, is_keeper or apart
            )
            peers = []
        self.workers[comm.rank] = worker
        self._temporary = plan.overlap or segments is not None
        return WorkerContribution(worker, plan.needs_mass, peers, comm.rank)

    def _join_network(self, comm: Communicator, is_keeper: bool) -> NetworkContribution:
        worker = self.workers.get(comm.rank) or self._worker(comm.rank, self._state.merged, is_keeper)
        self.workers[comm.rank] = worker
        by_window = averages(self._settings)
        worker.exchange_by(None if by_window or comm.size == 1 else comm)
        return NetworkContribution(cast(Parameters, worker.rows), averages=by_window)

    def _worker(
        self, rank: int, merged: MergedTable, is_keeper: bool, memory: npt.NDArray[np.uint8] | None = None
    ) -> Worker:
        policies = (self._settings.per_worker or {}).get(POLICY)
        return Worker(
            acting_by(self._problem, rank, policies),
            merged,
            is_keeper=is_keeper,
            gamma=self._settings.gamma,
            seed=self._settings.seed,
            rank=rank,
            session=self._state.session,
            num_envs=self._lanes,
            stop=self._stop,
            lanes=self.lane_states.get(rank),
            memory=memory,
        )

    def leave(self, rank: int) -> None:
        """End a worker's part in a call, in its thread, where its table is of no use after it.

        A table in memory that ranks share ends with the communicator, and one with a base of its own may be behind
        the others after a failure. The lanes go on; where they cannot, as they are environments in Python, every call
        begins with new episodes, and so comes to the same wherever it is made.
        """
        if (self._temporary or not self._problem.resumable) and rank in self.workers:
            worker = self.workers.pop(rank)
            worker.roll_back()
            self.lane_states[rank] = worker.lane_state

    def take_back(self, comm: Communicator) -> None:
        """Note where the lanes of all ranks are, which end with a call; a collective, rank 0 brings nothing."""
        own = b"" if comm.rank == 0 else self._lanes_of(comm.rank)
        for rank, part in enumerate(comm.allgather(own)):
            if len(part):
                self.lane_states[rank] = np.frombuffer(bytes(part), np.uint8)

    def _lanes_of(self, rank: int) -> bytes:
        return self.workers[rank].lane_state if rank in self.workers else bytes(self.lane_states[rank])

    def forget_tables(self) -> None:
        """End all workers, as the table is about to change elsewhere; their lanes go on."""
        for rank in list(self.workers):
            self.lane_states[rank] = self.workers.pop(rank).lane_state

    def roll_back(self) -> None:
        """Undo the windows of all workers that were not committed, once all have ended."""
        for worker in self.workers.values():
            worker.roll_back()
