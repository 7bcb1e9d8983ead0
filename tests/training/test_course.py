"""The reason for which a call of learn ends, as each rank knows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq.comm.base import Communicator
from cdq.comm.inprocess import connect
from cdq.qfunctions.merged import MergedTable
from cdq.schedules import Constant
from cdq.schedules.windows import FixedWindow
from cdq.testing.threads import run_in_threads
from cdq.training.course import Course, Ended, Plan, Progress, Watch, learn_rounds, watch_nothing
from cdq.training.interrupts import INTERRUPTED, TERMINATED
from cdq.workers.contribution import WorkerContribution
from tests.strategies import make_worker, random_model

MODEL = random_model(30, 4, seed=8, time_limit=50)
WINDOW = 100


def ends(
    size: int,
    *,
    rounds: int = 4,
    overlap: bool = False,
    finish: tuple[int, ...] = (),
    watch: Watch = watch_nothing,
) -> list[Ended]:
    """Let ranks play that are as in processes of their own, each with a flag *finish*; rank 0 has the watch."""
    plan = Plan(Constant(0.1), Constant(1.0), "pooled", FixedWindow(WINDOW), "float64", overlap)

    def rank(comm: Communicator) -> Ended:
        merged = MergedTable(MODEL.n_states, MODEL.n_actions, "float64", 0.0)
        worker = make_worker(MODEL, merged=merged, rank=comm.rank)
        course = Course(
            plan=plan,
            progress=Progress(0, float(WINDOW)),
            target=rounds * WINDOW * size,
            size=size,
            num_envs=1,
            watch=watch if comm.rank == 0 else watch_nothing,
            finish=np.array(finish[comm.rank : comm.rank + 1] or [0], np.int32),
        )
        contribution = WorkerContribution(worker, plan.needs_mass)
        ended = learn_rounds(worker, contribution, comm, plan=plan, course=course)
        assert merged.visits.sum() == ended.steps
        return ended

    return run_in_threads(connect(size, 20.0), rank)


def after(rounds: int) -> Watch:
    """Return a watch that has seen enough after so many rounds."""
    seen: list[Any] = []

    def watch(steps: int, played: Any) -> bool:
        seen.append(steps)
        return len(seen) == rounds

    return watch


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3])
class TestEnded:
    def test_its_steps_are_done(self, size: int, overlap: bool) -> None:
        assert ends(size, overlap=overlap) == [Ended(4 * WINDOW * size, False, False, 0)] * size

    @pytest.mark.parametrize("rounds", [1, 3])
    def test_the_condition_is_met(self, size: int, overlap: bool, rounds: int) -> None:
        """All ranks know, with the table of that round, though rank 0 alone has looked."""
        found = ends(size, overlap=overlap, watch=after(rounds))
        assert found == [Ended(rounds * WINDOW * size, True, False, 0)] * size

    def test_the_condition_is_met_at_the_last_step(self, size: int, overlap: bool) -> None:
        found = ends(size, overlap=overlap, watch=after(4))
        assert found == [Ended(4 * WINDOW * size, rank == 0, False, 0) for rank in range(size)]

    @pytest.mark.parametrize("signal", [INTERRUPTED, TERMINATED])
    def test_a_signal_on_one_rank_ends_all(self, size: int, overlap: bool, signal: int) -> None:
        found = ends(size, overlap=overlap, finish=(0,) * (size - 1) + (signal,))
        rounds = 2 if overlap and size > 1 else 1  # the window in hand is merged
        others = [Ended(rounds * WINDOW * size, False, True, TERMINATED)] * (size - 1)
        assert found == [*others, Ended(rounds * WINDOW * size, False, True, signal)]
