"""One worker: its lanes, its copy of the table, its random streams; it learns for a window at a time."""

from __future__ import annotations

import mmap
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.core.merge import commit, commit_alone
from cdq.core.model import Sampler
from cdq.core.rollout import Rollout
from cdq.core.rows import Law, Rows
from cdq.mdp import MDP

# What a spawn key starts with, so that no two uses of one seed share a stream.
LEARNING, EVALUATION = 0, 1

_HUGE_PAGE = 2 << 20


class Episodes(NamedTuple):
    """What ended in a window: episodes, their steps, and the sum of their undiscounted returns."""

    episodes: int
    length_sum: int
    return_sum: float


class Worker:
    """A learner with its own lanes of environments and its own copy of the table.

    Parameters
    ----------
    model : MDP
        The environment.
    sampler : Sampler
        The same, packed for the loop by `pack_model`; several workers may share one.
    gamma : float
        Discount.
    dtype : dtype
        float32 or float64.
    seed : int
        Entropy of the run; the streams are those of `SeedSequence(seed)` spawned per (rank, lane).
    rank, session : int
        The worker's number, and how often the run was begun anew (a loaded table goes on with fresh streams).
    num_envs : int
        Lanes.
    stop : (1,) array of int32
        A flag that ends a window early; shared with the thread that may set it.
    """

    def __init__(
        self,
        model: MDP,
        sampler: Sampler,
        *,
        gamma: float,
        dtype: npt.DTypeLike,
        seed: int,
        rank: int,
        session: int,
        num_envs: int,
        stop: npt.NDArray[np.int32],
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.num_envs = num_envs
        self._allocate_table(model.n_states, model.n_actions)
        self._allocate_lanes(num_envs)
        self._words[:] = streams(seed, (LEARNING, session, rank), num_envs)
        self._rollout = Rollout(
            self.rows,
            sampler,
            gamma,
            self._words,
            self._state,
            self._elapsed,
            self._returns,
            np.zeros(5 * num_envs, np.int64),
            stop,
        )
        self._rollout.reset()

    def _allocate_table(self, n_states: int, n_actions: int) -> None:
        size = self.dtype.itemsize
        row = n_actions * (2 * size + 8)
        data = allocate(n_states * row).reshape(n_states, row)
        self.rows = Rows(data, np.zeros(n_states * n_actions + 1, np.uint32), n_actions, size)

        def column(offset: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
            return data[:, offset : offset + n_actions * np.dtype(dtype).itemsize].view(dtype)

        self.values = column(0, self.dtype)
        self._base = column(n_actions * size, self.dtype)
        self.clock = column(n_actions * (2 * size + 4), np.uint32)

    def _allocate_lanes(self, n: int) -> None:
        # One block of memory, so that all that a window changes in the lanes is saved and restored by one copy.
        self._lanes = np.zeros(52 * n, np.uint8)
        self._words = self._lanes[: 32 * n].view(np.uint64).reshape(4, n)
        self._elapsed = self._lanes[32 * n : 40 * n].view(np.int64)
        self._returns = self._lanes[40 * n : 48 * n].view(np.float64)
        self._state = self._lanes[48 * n :].view(np.uint32)
        self._lanes_before = self._lanes.copy()

    def set_table(self, values: npt.ArrayLike, clock: npt.ArrayLike) -> None:
        """Make *values* and *clock* (arrays or numbers) the table and its base."""
        self.values[:] = values
        self._base[:] = values
        self.clock[:] = clock

    def run(self, law: Law, sweeps: int, explore_first: float, explore_last: float) -> Episodes | None:
        """Learn for *sweeps* steps of every lane; None if the stop flag ended it: roll back then."""
        self._lanes_before[:] = self._lanes
        completed, *ended = self._rollout.run(law, sweeps, explore_first, explore_last)
        return Episodes(*ended) if completed else None

    def roll_back(self) -> None:
        """Undo the window: table, lanes and streams are as after the last merge."""
        self.rows.roll_back()
        self._lanes[:] = self._lanes_before

    def commit(self, merged: list[bytearray], visits: npt.NDArray[np.int64] | None) -> float:
        """Make the merged slices the table; add all workers' visits to *visits* if this worker keeps them.

        Returns the round's pooled mass: the visit-weighted mean over the touched pairs.
        """
        flat = None if visits is None else visits.reshape(-1)
        mass, total = commit(self.rows, merged, flat)
        return mass / 2**20 / total if total else 0.0

    def commit_alone(self, visits: npt.NDArray[np.int64] | None) -> None:
        """Make the own table the merged one; a worker without peers."""
        commit_alone(self.rows, None if visits is None else visits.reshape(-1))


def pack_model(model: MDP, dtype: npt.DTypeLike) -> Sampler:
    """Return *model* as the loop samples it, for tables of *dtype*."""
    start = np.flatnonzero(model.start)
    return Sampler(
        model.n_states,
        model.n_actions,
        np.dtype(dtype).itemsize,
        model.offsets,
        model.next_state,
        model.probability,
        model.reward,
        model.terminated.view(np.uint8),
        start.astype(np.uint32),
        model.start[start],
        model.time_limit or 0,
    )


def streams(seed: int, key: tuple[int, ...], n: int) -> npt.NDArray[np.uint64]:
    """Return the first states of *n* random streams, (4, n): those of `SeedSequence(seed)` spawned by *key* and lane."""
    sequences = (np.random.SeedSequence(seed, spawn_key=(*key, lane)) for lane in range(n))
    return np.stack([sequence.generate_state(4, np.uint64) for sequence in sequences], axis=1)


def allocate(n_bytes: int) -> npt.NDArray[np.uint8]:
    """Return zeroed memory that begins on a page, on huge pages where it is large and the system has them."""
    memory = mmap.mmap(-1, n_bytes)
    if n_bytes >= _HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)
