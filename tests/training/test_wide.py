"""Several tasks on wide rows, against their definition; to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cdq
from cdq import schedules
from cdq.mdp.model import MDP
from cdq.qfunctions import MergedTable, SoleTable
from cdq.training import ModelTask, WideTask
from cdq.workers.worker import LEARNING, Worker, streams
from tests.reference import tasks as reference
from tests.reference.schedules import Law
from tests.strategies import DTYPES, models, seeds


def task_of(model: MDP, kind: str, n: int, dtype: str, seed: int) -> tuple[WideTask, Any]:
    """Return tasks of a model as a learner has them, and by definition."""
    random = np.random.default_rng(seed)
    if kind == "goals":
        states = random.choice(model.n_states, min(n, model.n_states), replace=False).tolist()
        tasks: Any = cdq.Goals(states)
        wanted: Any = reference.Goals(states)
    elif kind == "rewards":
        paid = random.integers(-2, 3, (model.n_outcomes, n)).astype(float)
        tasks = cdq.Rewards([f"task {i}" for i in range(n)], lambda *_: paid)
        wanted = reference.Rewards(paid)
    else:
        features, weights = random.normal(size=(model.n_outcomes, 3)), random.normal(size=(n, 3))
        tasks = cdq.Weights(weights, lambda *_: features)
        wanted = reference.Weights(features, weights)
    return WideTask(ModelTask(model, dtype), tasks, dtype, str), wanted


def worker_of(
    task: WideTask, dtype: str, lanes: int, rank: int, seed: int, kind: Any = MergedTable
) -> Worker:
    """Return a worker that learns tasks."""
    return Worker(
        task,
        kind(task.n_rows, task.columns, dtype, 0.0),
        is_keeper=True,
        gamma=0.9,
        seed=seed,
        rank=rank,
        session=0,
        num_envs=lanes,
        stop=np.zeros(1, np.int32),
    )


def compare(
    model: MDP, kind: str, dtype: str, *, n: int, lanes: int, rank: int, seed: int, table: Any
) -> None:
    """Learn two windows by both, and compare values, counts and lanes after each."""
    task, wanted = task_of(model, kind, n, dtype, seed)
    worker, step_size = worker_of(task, dtype, lanes, rank, seed, table), schedules.RescaledLinear(0.9)
    words = streams(seed, (LEARNING, 0, rank), lanes)
    other = reference.Learner(model, wanted, 0.9, dtype, words, rank=rank)
    for sweeps, rates in ((7, (1.0, 0.3)), (12, (0.3, 0.0))):
        ours = worker.run(schedules.build_law(step_size, 0, 0.3, dtype), sweeps, *rates)
        theirs = other.run(Law(step_size, 0, 0.3, dtype), sweeps, *rates)
        assert ours is not None
        assert ours[:2] == (theirs.episodes, theirs.length_sum)
        assert ours[2] == pytest.approx(theirs.return_sum, rel=1e-12)
        worker.commit_alone()
        other.commit()
        merged = worker._merged
        assert merged.values.tobytes() == other.values.tobytes()
        shape = (model.n_states, model.n_actions, -1)
        assert (merged.visits.reshape(shape) == other.clock[..., None]).all()  # one count for all columns
        assert worker._lanes.words.T.tolist() == [lane.stream.words for lane in other.lanes]
        assert worker._lanes.apart()[1].tolist() == other.turns


@given(
    models(),
    st.sampled_from(["goals", "rewards", "features"]),
    st.sampled_from(DTYPES),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 3),
    seeds,
    st.sampled_from([MergedTable, SoleTable]),
)
def test_windows_are_those_of_the_definition(
    model: MDP, kind: str, dtype: str, n: int, lanes: int, rank: int, seed: int, table: Any
) -> None:
    compare(model, kind, dtype, n=n, lanes=lanes, rank=rank, seed=seed, table=table)


@given(models(), st.sampled_from(["goals", "rewards", "features"]), seeds)
def test_a_window_can_be_undone(model: MDP, kind: str, seed: int) -> None:
    for table in (MergedTable, SoleTable):
        task, _ = task_of(model, kind, 3, "float64", seed)
        worker = worker_of(task, "float64", 2, 0, seed, table)
        law = schedules.build_law(schedules.Constant(0.5), 0, 0.3, "float64")
        worker.run(law, 5, 1.0, 1.0)
        worker.commit_alone()
        before, lanes = worker.digest(), worker.lane_state
        checksum = worker.checksum()
        worker.run(law, 5, 1.0, 1.0)
        worker.roll_back()
        assert (worker.digest(), worker.lane_state, worker.checksum()) == (before, lanes, checksum)
        first = worker.run(law, 5, 1.0, 1.0)
        worker.roll_back()
        assert worker.run(law, 5, 1.0, 1.0) == first
