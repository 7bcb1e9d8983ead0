"""One round as a transaction: contribution, communicator, staged table, agreement, swap."""

from __future__ import annotations

from typing import NamedTuple

from cdq.comm.base import Communicator
from cdq.core.table.rows import Law
from cdq.workers.contribution import Rule, Summary, WorkerContribution
from cdq.workers.network import NetworkContribution
from cdq.workers.worker import Episodes, Worker

# Requests of a worker to all: to go on, to end before the window that it contributes, or after it.
GO_ON, STOP_BEFORE, STOP_AFTER = 0, 1, 2


class Interrupted(Exception):
    """The stop flag ended a window early."""


class Apart(NamedTuple):
    """Differences of a worker from the others, in one window.

    Attributes
    ----------
    clock_law : Law
        Law by which clocks go on, the same for all.
    laws : list of Law or None
        Laws of all workers, in rank order; None for one whose window is not merged.
    arrives : bool
        False: the window is lost, and only the environments have moved on.
    added : float
        Number that is added to each value that the worker learnt.
    """

    clock_law: Law
    laws: list[Law | None]
    arrives: bool
    added: float


class Step(NamedTuple):
    """A window to learn: the law of its step sizes, steps of each lane, exploration rates at its start and end.

    `apart` says where the worker differs from the others, if workers do.
    """

    law: Law
    sweeps: int
    rates: tuple[float, float]
    apart: Apart | None = None


class Round(NamedTuple):
    """Result of a round, the same on every rank."""

    summaries: list[Summary]
    mass: float


def play(
    worker: Worker,
    contribution: WorkerContribution | NetworkContribution,
    comm: Communicator,
    *,
    rule: Rule,
    step: Step,
    request: int,
) -> Round | None:
    """Learn for a window, merge with the others, and swap the merged table in.

    Where a worker's *request* is STOP_BEFORE, the window is thrown away on all of them, and None is returned. (What
    was found of the table when somebody decided to stop is true of the table as it was then.)

    Raises
    ------
    Interrupted
        If the window was ended early.
    CommError
        If the merge failed. Whenever nothing was swapped in, `Worker.roll_back` makes everything as it was before the
        round, once all workers of the process have ended.
    """
    apart = step.apart
    contribution.law, contribution.laws = (apart.clock_law, apart.laws) if apart else (step.law, None)
    ended = worker.run(step.law, step.sweeps, *step.rates)
    if ended is None:
        raise Interrupted
    return merge_window(worker, contribution, comm, rule=rule, ended=ended, request=request, apart=apart)


def merge_window(
    worker: Worker,
    contribution: WorkerContribution | NetworkContribution,
    comm: Communicator,
    *,
    rule: Rule,
    ended: Episodes,
    request: int,
    apart: Apart | None = None,
) -> Round | None:
    """Merge a window that was learnt, in which episodes *ended*, by the law of the contribution; else as `play`."""
    worker.align_rows(comm)
    if apart and apart.added:
        worker.shift(apart.added)
    contribution.summary = Summary.of(ended, comm.bytes_sent, request)
    if comm.size == 1:
        worker.commit_alone()
        return Round([contribution.summary], 0.0)
    slices, summaries = comm.merge(contribution, rule)
    if any(summary.request == STOP_BEFORE for summary in summaries):
        return None
    if apart and not apart.arrives:
        worker.forget_window()
    return Round(summaries, worker.commit(slices))
