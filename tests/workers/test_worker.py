from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq.mdp.model import MDP
from cdq.qfunctions.merged import MergedTable, allocate
from cdq.schedules import Constant, RescaledLinear, build_law
from cdq.workers.worker import EVALUATION, LEARNING, Episodes, streams
from tests.core.test_merge import contributions_of, merge_shared
from tests.strategies import (
    DTYPES,
    base_of,
    clock_of,
    counts_of,
    make_worker,
    random_model,
    state_of,
    values_of,
    visits_of,
)

MODEL = random_model(6, 3, seed=1, time_limit=12)
LAW = build_law(RescaledLinear(0.9), 0, 0.3, "float64")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_new_worker_has_a_zero_table_and_lanes_that_started(dtype: str) -> None:
    worker = make_worker(MODEL, dtype, num_envs=200)
    for array in (
        values_of(worker),
        counts_of(worker),
        base_of(worker),
        clock_of(worker),
        worker._merged.visits,
    ):
        assert array.shape == (6, 3)
        assert not array.any()
    assert values_of(worker).dtype == base_of(worker).dtype == dtype
    assert (MODEL.start[worker._lanes.state] > 0).all()
    assert not worker._lanes.elapsed.any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_worker_starts_from_what_is_merged(dtype: str) -> None:
    merged = MergedTable(6, 3, dtype, 2.5)
    assert (merged.values == 2.5).all()
    assert merged.values.dtype == dtype
    merged.values[2], merged.clock[4] = np.arange(3), 7
    worker = make_worker(MODEL, dtype, merged=merged)
    assert values_of(worker).tobytes() == merged.values.tobytes()
    assert counts_of(worker).tobytes() == merged.clock.tobytes()
    worker.run(build_law(RescaledLinear(0.9), 0, 0.3, dtype), 50, 1.0, 1.0)
    assert values_of(worker).tobytes() != merged.values.tobytes()
    worker.roll_back()
    assert values_of(worker).tobytes() == merged.values.tobytes()
    assert counts_of(worker).tobytes() == merged.clock.tobytes()


def test_a_worker_alone_commits_its_own_table() -> None:
    worker = make_worker(MODEL, num_envs=3)
    merged = worker._merged
    for steps in (150, 300):
        assert isinstance(worker.run(LAW, 50, 0.5, 0.5), Episodes)
        learnt, own = values_of(worker).copy(), visits_of(worker)
        before = merged.visits.copy()
        worker.commit_alone()
        assert (values_of(worker) == learnt).all()
        assert (merged.values == learnt).all()
        assert (merged.visits == before + own).all()
        assert (merged.clock == merged.visits).all()
        assert (counts_of(worker) == merged.clock).all()
        assert merged.visits.sum() == steps
        assert worker.rows.touched == 0


def test_a_committed_window_is_not_rolled_back() -> None:
    worker = make_worker(MODEL, num_envs=3)
    worker.roll_back()  # nor is there anything before the first
    worker.run(LAW, 50, 0.5, 0.5)
    worker.commit_alone()
    before = state_of(worker)
    worker.roll_back()
    assert state_of(worker) == before


def test_only_the_worker_that_keeps_them_changes_what_is_shared() -> None:
    merged = MergedTable(6, 3, "float64", 0.0)
    keeper, other = (make_worker(MODEL, merged=merged, is_keeper=rank == 0, rank=rank) for rank in range(2))
    for worker in (keeper, other):
        worker.run(LAW, 50, 0.5, 0.5)
    slices = merge_shared(contributions_of([keeper, other], LAW), "pooled")
    other.commit(slices)
    assert not merged.values.any()
    assert not merged.clock.any()
    keeper.commit(slices)
    assert merged.visits.sum() == 100
    for worker in (keeper, other):
        assert (values_of(worker) == merged.values).all()
        assert (counts_of(worker) == merged.clock).all()


def test_committing_returns_the_mean_mass_of_the_touched_pairs() -> None:
    """Each of three workers visits each pair about n times at step size .1: mass -3 n ln .9."""
    model = MDP.from_outcomes([0], [0], [0], [1.0], [0.0])
    law = build_law(Constant(0.1), 0, 0.3, "float64")
    workers = [make_worker(model, rank=rank) for rank in range(3)]
    for sweeps, worker in enumerate(workers, 4):
        worker.run(law, sweeps, 0.0, 0.0)
    merged = merge_shared(contributions_of(workers, law), "pooled")
    assert workers[0].commit(merged) == pytest.approx(-15 * np.log(0.9), abs=2**-19)
    assert workers[0]._merged.visits.tolist() == [[15]]


def test_committing_nothing_has_no_mass() -> None:
    worker = make_worker(MODEL)
    before = state_of(worker)
    assert worker.commit(merge_shared(contributions_of([worker], LAW), "pooled")) == 0.0
    assert state_of(worker) == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"rank": 1}, {"session": 1}])
def test_other_seeds_ranks_and_sessions_go_other_ways(change: dict[str, Any]) -> None:
    first, second, other = make_worker(MODEL), make_worker(MODEL), make_worker(MODEL, **change)
    for worker in (first, second, other):
        worker.run(LAW, 100, 0.5, 0.5)
    assert state_of(first) == state_of(second)
    assert not (first._lanes.words == other._lanes.words).any()
    assert (values_of(first) != values_of(other)).any()


def test_lanes_go_their_own_ways_whatever_their_number() -> None:
    few, many = make_worker(MODEL, num_envs=2), make_worker(MODEL, num_envs=5)
    assert (few._lanes.words == many._lanes.words[:, :2]).all()
    assert len({tuple(column) for column in many._lanes.words.T.tolist()}) == 5


def test_streams_of_learning_and_evaluation_differ() -> None:
    assert not (streams(3, (LEARNING, 0, 0), 4) == streams(3, (EVALUATION, 0, 0), 4)).any()


@pytest.mark.parametrize("n_bytes", [1, 4096, (2 << 20) + 5])
def test_memory_is_zero_and_begins_on_a_page(n_bytes: int) -> None:
    memory = allocate(n_bytes)
    assert memory.shape == (n_bytes,)
    assert memory.flags.writeable
    assert not memory.any()
    assert memory.ctypes.data % 4096 == 0


def test_memory_of_a_table_is_what_it_should_be() -> None:
    """At most 32 bytes a pair in float32."""
    worker = make_worker(MODEL, "float32")
    merged = worker._merged
    arrays = worker.rows.data, worker.rows.log, merged.values, merged.clock, merged.visits
    assert sum(np.asarray(array).nbytes for array in arrays) == 18 * 28 + 4
