from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.core.merge import merge as core
from cdq.core.merge.overlap import hand_over, take_back
from cdq.core.table.rows import Rows
from cdq.workers.worker import Worker
from tests.core.test_merge import (
    LAWS,
    break_header,
    contributions_of,
    expected_of,
    laws,
    merge_shared,
    merge_wire,
)
from tests.reference.merge import RULES, clock_after
from tests.reference.overlap import rebased
from tests.strategies import (
    Tables,
    base_of,
    clock_of,
    counts_of,
    make_worker,
    random_model,
    seeds,
    state_of,
    tables,
    touch,
    values_of,
)

TOUCHED = np.uint32(1 << 31)


def go_on(worker: Worker, seed: int, most: int = 40) -> Any:
    """Learn a window from where the worker is: visits of some pairs, and values of any magnitude; return the visits."""
    random, values, counts = np.random.default_rng(seed), values_of(worker), counts_of(worker)
    visits = random.integers(1, most + 1, values.shape) * (
        random.random(values.shape) < random.choice([0.1, 0.6])
    )
    before, counts_before, lanes = values.copy(), counts.copy(), worker._lanes.memory.copy()
    touch(worker, random.permutation(np.flatnonzero(visits)))
    worker._lanes.memory[:] = lanes
    news = random.normal(size=values.shape) * 10.0 ** random.integers(-8, 9, values.shape)
    values[:] = np.where(visits > 0, news, before)
    counts[:] = (counts_before + visits.astype(np.uint32)) | np.where(visits > 0, TOUCHED, np.uint32(0))
    return visits.astype(np.uint32)


def hand_over_all(workers: list[Worker]) -> list[Rows]:
    handed = []
    for worker in workers:
        data = np.asarray(worker.rows.data)
        other = worker.second_table()
        # The worker's window is open already; its second table is to be at the base.
        n_actions, size = base_of(worker).shape[1], base_of(worker).itemsize
        there = np.asarray(other.data)
        there[:] = data
        there[:, : n_actions * size].view(base_of(worker).dtype)[:] = base_of(worker)
        there[:, n_actions * size : n_actions * (size + 4)].view(np.uint32)[:] = clock_of(worker)
        hand_over(worker.rows, other)
        handed.append(other)
    return handed


@pytest.mark.parametrize("rule", RULES)
@given(tables(), laws, laws, seeds)
def test_a_merge_that_comes_late_is_its_definition_to_the_bit(
    rule: str, given: Tables, place: int, place_since: int, seed: int
) -> None:
    law, reference_law = LAWS[place, str(given.base.dtype)]
    law_since, reference_since = LAWS[place_since, str(given.base.dtype)]
    expected = expected_of(given, rule, reference_law)
    after = clock_after(given.clock.ravel(), expected.gain)
    came = expected.total > 0
    for merge in (merge_shared, merge_wire):
        workers = given.workers()
        handed = hand_over_all(workers)
        contributions = contributions_of(workers, law)
        for contribution, rows in zip(contributions, handed, strict=True):
            contribution.rows = rows
        slices = merge(contributions, rule)
        for rank, worker in enumerate(workers):
            since = go_on(worker, seed + rank)
            now, log = values_of(worker).copy(), np.asarray(worker.rows.log)[: worker.rows.touched].tolist()
            counts = given.clock + given.visits[rank]
            worker.rebase(slices, handed[rank], law_since)
            flat = given.values[rank].ravel(), now.ravel(), counts.ravel(), since.ravel()
            moved = rebased(expected.values, *flat, reference_since)
            assert values_of(worker).tobytes() == np.where(came, moved, now.ravel()).tobytes()
            local = np.where(came, after, counts.ravel()) + since.ravel()
            flags = np.where(since.ravel() > 0, TOUCHED, np.uint32(0))
            assert counts_of(worker).tobytes() == (local.astype(np.uint32) | flags).tobytes()
            assert base_of(worker).tobytes() == expected.values.tobytes()
            assert clock_of(worker).tobytes() == after.tobytes()
            assert worker._merged.visits.ravel().tolist() == expected.total.tolist()
            assert np.asarray(worker.rows.log)[: worker.rows.touched].tolist() == log
            assert handed[rank].touched == 0
            worker._open = True
            worker.roll_back()
            assert np.asarray(handed[rank].data).tobytes() == np.asarray(worker.rows.data).tobytes()


@given(tables(workers=st.just(1)), seeds)
def test_what_was_handed_over_can_be_taken_back(given: Tables, seed: int) -> None:
    worker = given.workers()[0]
    lanes = worker._lanes_before.copy()
    (handed,) = hand_over_all([worker])
    assert handed.touched == np.count_nonzero(given.visits)
    assert worker.rows.touched == 0
    assert not (counts_of(worker) & TOUCHED).any()
    go_on(worker, seed)
    worker.take_back(handed, lanes)
    assert values_of(worker).tobytes() == given.base.tobytes()
    assert counts_of(worker).tobytes() == given.clock.tobytes()
    assert np.asarray(handed.data).tobytes() == np.asarray(worker.rows.data).tobytes()
    assert worker.rows.touched == handed.touched == 0
    assert worker._lanes.memory.tobytes() == lanes.tobytes()


# ---- what is refused


@pytest.fixture
def worker() -> Worker:
    """Return a worker of 6 x 2 pairs that came to two of them."""
    worker = make_worker(random_model(6, 2, seed=0))
    touch(worker, [9, 2])
    return worker


LAW = LAWS[0, "float64"][0]


def test_a_window_is_handed_over_to_a_free_table_at_the_same_base(worker: Worker) -> None:
    other = make_worker(random_model(6, 2, seed=0))
    before = state_of(worker)
    with pytest.raises(ValueError, match="to a table at the same base"):
        hand_over(worker.rows, other.rows)
    assert state_of(worker) == before
    (handed,) = hand_over_all([worker])
    touch(worker, [3])
    with pytest.raises(ValueError, match="that nobody has touched"):
        hand_over(worker.rows, handed)
    with pytest.raises(ValueError, match="without an open window"):
        take_back(worker.rows, handed)
    with pytest.raises(ValueError, match="by the table that handed it over"):
        take_back(other.rows, handed)


def test_malformed_merged_slices_change_nothing(worker: Worker) -> None:
    (handed,) = hand_over_all([worker])
    slices = [bytearray()]
    part = core.pack(handed, np.array([2, 9], np.uint32), 0, 12)
    core.merge_slices(worker.rows, [part], 0, 12, "mean", LAW, True, slices[0])
    touch(worker, [9, 4])
    before, visits = state_of(worker) + np.asarray(handed.data).tobytes(), np.zeros(12, np.int64)
    for broken in (slices[0][:-4], break_header(slices[0], 1, 3), break_header(slices[0], 0, 12)):
        with pytest.raises(ValueError, match="slice"):
            core.commit(worker.rows, [slices[0], broken], visits, handed, LAW)
    elsewhere = make_worker(random_model(6, 2, seed=0)).rows
    for law, sums, then in ((None, visits, handed), (LAW, None, handed), (LAW, visits, elsewhere)):
        with pytest.raises(ValueError, match="takes the law, the visits and"):
            core.commit(worker.rows, slices, sums, then, law)
    assert state_of(worker) + np.asarray(handed.data).tobytes() == before
    assert not visits.any()


@pytest.mark.parametrize("start", [2**30 - 3, 2**30])
def test_counts_stay_below_the_flag_at_the_clock_limit(start: int) -> None:
    given = Tables(
        np.zeros((1, 1)),
        np.full((1, 1), start, np.uint32),
        np.full((1, 1, 1), 5.0),
        np.full((1, 1, 1), 7, np.uint32),
    )
    (worker,) = given.workers()
    (handed,) = hand_over_all([worker])
    contribution = contributions_of([worker], LAW)
    contribution[0].rows = handed
    slices = merge_wire(contribution, "pooled")
    since = int(go_on(worker, seed=0, most=2**24)[0, 0])
    assert since > 0
    worker.rebase(slices, handed, LAW)
    assert clock_of(worker).tolist() == [[2**30]]
    assert counts_of(worker).tolist() == [[2**30 + since + 2**31]]
