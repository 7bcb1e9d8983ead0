"""What the ranks of a pool's job learn, and the ways in which they merge; threads learn the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest import mock

import numpy as np

import cdq
from cdq.comm.base import Communicator
from cdq.comm.mpi import records, slices
from cdq.comm.mpi.communicator import MPICommunicator
from cdq.merges import MergeRule
from cdq.workers.contribution import WorkerContribution
from cdq.workers.stretches import Stretches

ROUNDS = 20
IN_TURN = "in turn"
AT_ONCE, SHARED, SLICES, PIECES = "at once", "in shared memory", "by slices", "by slices in pieces"
COMPILED = "in compiled code"

_SPARSE, _DENSE = 320, 8000  # steps of each worker in a window


class InTurn(MergeRule):
    """Each worker in turn moves the value to its own, by its share of the visits so far: the order matters."""

    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        merged, seen = base, np.ones_like(base)
        for value, n in zip(values, visits.astype(base.dtype), strict=True):
            seen = seen + n
            merged = merged + (value - merged) * (n / seen)
        return merged


@dataclass(frozen=True)
class Case:
    """What to learn.

    Parameters
    ----------
    merge : str
        The name of a rule, or `IN_TURN` for one that is not cdq's own.
    dtype : str
        Of the table.
    dense : bool
        Whether each worker touches all of a small table in each window, or little of a large one.
    overlap : bool
        As for `cdq.QLearner`.
    automatic : bool
        Whether windows follow from what was merged; else there are `ROUNDS` of one length.
    masked : bool
        Whether states do not have every action.
    """

    merge: str
    dtype: str = "float64"
    dense: bool = False
    overlap: bool = False
    automatic: bool = False
    masked: bool = False

    @property
    def steps(self) -> int:
        """Steps of each worker in a window."""
        return _DENSE if self.dense else _SPARSE


@dataclass
class Outcome:
    """What came of a case, on one rank or in one process of threads.

    Attributes
    ----------
    table, everything : str
        Digests: of values and visits, and of the clocks too.
    rounds : int
        How many were played; 0 but on rank 0.
    touched : list of float
        The parts of the table that were brought to the merges.
    ways : set of str
        How they were merged.
    """

    table: str
    everything: str
    rounds: int
    touched: list[float] = field(default_factory=list)
    ways: set[str] = field(default_factory=set)


def learn_on(case: Case, way: str, comm: Communicator) -> Outcome:
    """Learn a case as a rank, merging in a way of the communicator of MPI."""
    with forced(way):
        return learn(case, comm=comm)


def learn(case: Case, **how: Any) -> Outcome:
    """Learn a case, from values of 1e-8 to 1e8; `how` says with whom."""
    agent = cdq.QLearner(
        model(case.dense, case.masked),
        gamma=0.9,
        seed=7,
        merge=InTurn() if case.merge == IN_TURN else case.merge,
        dtype=case.dtype,
        overlap=case.overlap,
        exploration=0.5,
        sync_every="auto" if case.automatic else case.steps,
        **how,
    )
    values, random = agent._state.merged.values, np.random.default_rng(5)
    values[:] = random.normal(size=values.shape) * 10.0 ** random.integers(-8, 9, values.shape)
    with observed() as (touched, ways):
        agent.learn(ROUNDS * case.steps * agent.settings.workers)
    everything = agent._state.merged.digest().hex()
    rounds = agent.history[-1].rounds if len(agent.history) else 0  # rank 0 keeps the history
    return Outcome(agent.table.digest(), everything, rounds, touched, ways)


@cache
def model(dense: bool, masked: bool) -> cdq.MDP:
    """Return a small table that a window covers, or one that it hardly touches."""
    if not (dense or masked):
        return cdq.MDP.garnet(8000, 4, branching=2, seed=3)
    from tests.strategies import random_model  # its hypothesis would be imported in vain by most ranks

    if dense:
        return random_model(24, 8, seed=0, most_outcomes=16, masked=masked)
    return random_model(8000, 4, seed=3, most_outcomes=2, masked=True)


# ---- the ways of merging


@contextmanager
def forced(way: str) -> Iterator[None]:
    """Make the communicators that are made meanwhile merge contributions of a few KiB as they would larger ones."""
    with ExitStack() as changes:
        if way != COMPILED:
            changes.enter_context(mock.patch.object(MPICommunicator, "together", return_value=None))
        if way not in (AT_ONCE, COMPILED):
            changes.enter_context(mock.patch.object(records, "LARGEST_ROOM", 0))
        if way in (SLICES, PIECES):
            changes.enter_context(mock.patch.object(MPICommunicator, "share", return_value=None))
        if way == PIECES:
            changes.enter_context(mock.patch.object(slices, "PIECE", 1 << 8))
        yield


@contextmanager
def observed() -> Iterator[tuple[list[float], set[str]]]:
    """Take note of what is merged, and how."""
    touched: list[float] = []
    ways: set[str] = set()
    merge_into, merge_shared = WorkerContribution.merge_into, WorkerContribution.merge_shared
    play = Stretches.play

    def note(contribution: WorkerContribution, way: str) -> None:
        touched.append(contribution.rows.touched / (len(contribution.rows.log) - 1))
        ways.add(way)

    def of_parts(self: Any, parts: Any, rule: Any, index: int, of: int, out: Any) -> int:
        if index * len(parts) % of == 0:
            note(self, AT_ONCE if of == 1 else SLICES)
        elif of > len(parts):
            ways.add(PIECES)
        return merge_into(self, parts, rule, index, of, out)

    def of_tables(self: Any, contributions: Any, rule: Any, rank: int) -> None:
        note(self, SHARED)
        merge_shared(self, contributions, rule, rank)

    def of_rounds(self: Any, *arguments: Any) -> Any:
        ways.add(COMPILED)
        return play(self, *arguments)

    with (
        mock.patch.multiple(WorkerContribution, merge_into=of_parts, merge_shared=of_tables),
        mock.patch.object(Stretches, "play", of_rounds),
    ):
        yield touched, ways


ON_32 = Case("pooled")

if __name__ == "__main__":
    sys.stdout.write(learn(ON_32).everything + "\n")  # at once: print writes the end of the line on its own
