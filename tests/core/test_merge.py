from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.core.merge import merge as core
from cdq.merges import NAMES
from cdq.schedules import Constant, Polynomial, RescaledLinear, build_law
from cdq.workers.contribution import PeerTable, Summary, WorkerContribution, peer_bytes
from cdq.workers.worker import Worker
from tests.reference import merge as reference
from tests.reference.schedules import Law
from tests.strategies import (
    DTYPES,
    Tables,
    base_of,
    clock_of,
    counts_of,
    learnt,
    make_worker,
    random_model,
    set_table,
    state_of,
    tables,
    touch,
    values_of,
)

MASS = 0.3
STEP_SIZES = [RescaledLinear(0.9), Polynomial(0.77), Polynomial(1.0), Constant(0.1), Constant(1.0)]
LAWS = {
    (place, dtype): (build_law(step_size, 0, MASS, dtype), Law(step_size, 0, MASS, dtype))
    for place, step_size in enumerate(STEP_SIZES)
    for dtype in DTYPES
}
laws = st.integers(0, len(STEP_SIZES) - 1)


def contributions_of(workers: list[Worker], law: Any) -> list[WorkerContribution]:
    result = [WorkerContribution(worker, needs_mass=True) for worker in workers]
    for rank, contribution in enumerate(result):
        contribution.law, contribution.summary = law, Summary(rank, 2, 3.0, 4, 0)
    return result


def merge_shared(contributions: list[WorkerContribution], rule: Any) -> list[bytearray]:
    for rank, one in enumerate(contributions):
        one.merge_shared(contributions, rule, rank)
    return [bytearray(part) for part in contributions[0].join_shared(contributions)[0]]


def merge_wire(contributions: list[WorkerContribution], rule: Any) -> list[bytearray]:
    parts = [contribution.cut(len(contributions)) for contribution in contributions]
    size = len(contributions)
    merged = [
        one.merge([own[rank] for own in parts], rule, rank, size) for rank, one in enumerate(contributions)
    ]
    return [bytearray(part) for part in contributions[0].join(merged)[0]]


def fresh(given: Tables) -> Worker:
    """Return a worker that has the base and took no step."""
    model = random_model(*given.base.shape, seed=0, most_outcomes=1)
    worker = make_worker(model, given.base.dtype)
    set_table(worker, given.base, given.clock)
    return worker


def expected_of(given: Tables, rule: str, law: Law) -> reference.MergedTable:
    workers = len(given.values)
    flat = given.values.reshape(workers, -1), given.visits.reshape(workers, -1)
    return reference.merge(rule, given.base.ravel(), *flat, given.clock.ravel(), law)


def check(given: Tables, rule: str, place: int) -> None:
    """Merge both ways, commit, and compare with the oracle to the bit."""
    law, reference_law = LAWS[place, str(given.base.dtype)]
    workers = given.workers()
    contributions = contributions_of(workers, law)
    expected = expected_of(given, rule, reference_law)
    n = int(expected.total.sum())
    for merge in (merge_shared, merge_wire):
        merged = merge(contributions, rule)
        worker = fresh(given)
        mass = worker.commit(merged)
        assert values_of(worker).tobytes() == base_of(worker).tobytes() == expected.values.tobytes()
        after = reference.clock_after(given.clock.ravel(), expected.gain).tobytes()
        assert clock_of(worker).tobytes() == counts_of(worker).tobytes() == after
        assert worker._merged.visits.ravel().tolist() == expected.total.tolist()
        assert mass == (expected.mass / 2**20 / n if n else 0.0)
    for other in workers:
        other.commit(merged)
        assert learnt(other) == learnt(worker)
        assert other.rows.touched == 0


@pytest.mark.parametrize("rule", reference.RULES)
@given(tables(), laws)
def test_rules_are_their_definition_to_the_bit(rule: str, given: Tables, place: int) -> None:
    check(given, rule, place)


@pytest.mark.parametrize("rule", reference.RULES)
@pytest.mark.parametrize(("n_states", "n_actions"), [(70, 4), (40, 9), (3, 256), (3, 300), (1, 1), (300, 1)])
def test_tables_of_several_blocks(rule: str, n_states: int, n_actions: int) -> None:
    random = np.random.default_rng(0)
    for share in (0.01, 0.2, 1.0):
        visits = random.integers(1, 9, (3, n_states, n_actions))
        visits = (visits * (random.random(visits.shape) < share)).astype(np.uint32)
        base = random.normal(size=(n_states, n_actions)).astype(np.float32)
        values = np.where(visits > 0, random.normal(size=visits.shape).astype(np.float32), base)
        check(Tables(base, random.integers(0, 50, base.shape).astype(np.uint32), values, visits), rule, 0)


@pytest.mark.parametrize("rule", reference.RULES)
@given(tables(), laws)
def test_rules_are_their_formulas(rule: str, given: Tables, place: int) -> None:
    expected = expected_of(given, rule, LAWS[place, str(given.base.dtype)][1])
    workers = len(given.values)
    values, visits = given.values.reshape(workers, -1), given.visits.reshape(workers, -1)
    law = LAWS[place, str(given.base.dtype)][1]
    logs = reference.log_keeps(visits, given.clock.ravel(), [law] * workers)
    logs = logs.astype(given.base.dtype)
    tolerance = 1e-12 if given.base.dtype == np.float64 else 2e-5
    for i, base in enumerate(given.base.ravel()):
        exact = reference.formula(rule, base, values[:, i], visits[:, i].tolist(), logs[:, i])
        size = float(np.abs(values[:, i].astype(float)).sum() + abs(float(base)))
        assert abs(expected.values[i] - exact) <= tolerance * size


@given(tables(), laws, st.sampled_from(reference.RULES))
def test_unvisited_pairs_keep_the_base_and_sole_visitors_their_value(
    given: Tables, place: int, rule: str
) -> None:
    worker = fresh(given)
    contributions = contributions_of(given.workers(), LAWS[place, str(given.base.dtype)][0])
    worker.commit(merge_shared(contributions, rule))
    visitors = (given.visits > 0).sum(axis=0)
    nobody = visitors == 0
    assert values_of(worker)[nobody].tobytes() == given.base[nobody].tobytes()
    assert clock_of(worker)[nobody].tobytes() == given.clock[nobody].tobytes()
    if rule in reference.SOLE_VISITOR_COUNTS:
        who = given.visits.argmax(axis=0)
        own = np.take_along_axis(given.values, who[None], axis=0)[0]
        assert values_of(worker)[visitors == 1].tobytes() == own[visitors == 1].tobytes()


# ---- phi


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 2e-6)])
def test_phi_is_accurate(dtype: str, tolerance: float) -> None:
    """The oracle's phi, which the kernel's equals to the bit (above)."""
    x = np.concatenate(
        (-np.logspace(-300, 3, 4000), -np.linspace(0, 60, 4000), [-45.0, -45.0000001, -44.99999])
    )
    x = x.astype(dtype)
    values = reference.phi(x)
    errors = [reference.phi_error(float(at), float(value)) for at, value in zip(x, values, strict=True)]
    assert max(errors) < tolerance


# ---- extremes


def two_by_one(values: Any, visits: Any, base: float = 0.0, clock: int = 0, dtype: str = "float64") -> Tables:
    values, visits = np.array(values, dtype).reshape(-1, 1, 1), np.array(visits, np.uint32).reshape(-1, 1, 1)
    return Tables(np.full((1, 1), base, dtype), np.full((1, 1), clock, np.uint32), values, visits)


def merged_value(given: Tables, rule: str, step_size: Any) -> float:
    law = build_law(step_size, 0, MASS, given.base.dtype)
    worker = fresh(given)
    worker.commit(merge_shared(contributions_of(given.workers(), law), rule))
    return float(values_of(worker)[0, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_importance_does_not_overflow(dtype: str) -> None:
    """0.9 ** -7000 is beyond float64; the busier worker takes it all."""
    given = two_by_one([1.0, 2.0], [7000, 100], dtype=dtype)
    assert merged_value(given, "importance", Constant(0.1)) == 1.0
    given = two_by_one([1.0, 2.0], [7000, 7000], dtype=dtype)
    assert merged_value(given, "importance", Constant(0.1)) == 1.5
    given = two_by_one([1.0, 2.0], [7000, 6999], dtype=dtype)
    expected = (1 / 0.9 * 1.0 + 2.0) / (1 / 0.9 + 1)
    assert merged_value(given, "importance", Constant(0.1)) == pytest.approx(
        expected, rel=1e-10 if dtype == "float64" else 1e-3
    )


@pytest.mark.parametrize("rule", reference.RULES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [1.0, 1 - 1e-16, 0.5, 1e-3, 1e-15])
def test_extreme_step_sizes_stay_finite(rule: str, dtype: str, alpha: float) -> None:
    value = merged_value(two_by_one([1.0, 2.0, 0.0], [7000, 3, 0], dtype=dtype), rule, Constant(alpha))
    assert 0.0 <= value <= 3.0
    if rule == "pooled" and alpha == 1.0:  # each target counts by its visits
        assert value == pytest.approx((7000 * 1 + 3 * 2) / 7003, rel=1e-6)


def test_pooled_is_a_convex_combination_of_base_and_targets() -> None:
    for alpha in (0.01, 0.5, 1.0):
        for visits in ([1, 1], [5, 900], [7000, 7000]):
            value = merged_value(two_by_one([1.0, 1.0], visits, base=0.0), "pooled", Constant(alpha))
            assert merged_value(two_by_one([1.0, 1.0], visits, base=1.0), "pooled", Constant(alpha)) == 1.0
            assert 1.0 - 1e-12 <= value <= 1.0 / min(alpha, 1.0)


@pytest.mark.parametrize("rule", ["pooled", "mean", "visits", "importance", "affine", "sum"])
def test_sums_run_in_rank_order(rule: str) -> None:
    values, visits = [1e16, 1.0, -1e16, 3.0], [4, 4, 4, 4]
    found = {
        merged_value(two_by_one(np.roll(values, shift), np.roll(visits, shift)), rule, Constant(0.1))
        for shift in range(4)
    }
    assert len(found) > 1


# ---- clocks


@pytest.mark.parametrize(
    ("visits", "clock", "gain"),
    [
        ([1, 1, 1], 0, 1),  # ceil(0.3 / alpha(1)) = 1
        ([1, 1, 1], 1000, 3),  # all visits: 0.3 / alpha = 30.3
        ([20, 20, 0], 1000, 31),
        ([50, 20, 7], 1000, 50),  # never less than one worker alone
        ([0, 0, 0], 1000, 0),
    ],
)
def test_the_clock_gains_what_pooling_may_use_up(visits: list[int], clock: int, gain: int) -> None:
    """max(max n, min(sum n, ceil(c / alpha))) with alpha = 1 / (1 + 0.1 n)."""
    given = two_by_one([0.0] * 3, visits, clock=clock)
    law = build_law(RescaledLinear(0.9), 0, 0.3, "float64")
    for merge in (merge_shared, merge_wire):
        worker = fresh(given)
        worker.commit(merge(contributions_of(given.workers(), law), "pooled"))
        assert clock_of(worker)[0, 0] == clock + gain


def test_merged_clocks_stop_at_their_limit() -> None:
    given = two_by_one([1.0, 2.0], [5, 5], clock=2**30 - 3)
    worker = fresh(given)
    law = build_law(RescaledLinear(0.9), 0, 0.3, "float64")
    worker.commit(merge_shared(contributions_of(given.workers(), law), "pooled"))
    assert clock_of(worker)[0, 0] == 2**30


# ---- what travels


def pack(worker: Worker, pairs: list[int], first: int, last: int) -> bytearray:
    return core.pack(worker.rows, np.array(pairs, np.uint32), first, last)


@pytest.fixture
def worker() -> Worker:
    """Return a worker of 6 x 2 pairs that came to two of them."""
    worker = make_worker(random_model(6, 2, seed=0))
    touch(worker, [9, 2])
    return worker


LAW = LAWS[0, "float64"][0]


def merge(worker: Worker, parts: list[Any], rank: int = 0) -> bytearray:
    out = bytearray()
    bounds = core.slice_bounds(worker.rows, rank, len(parts))
    core.merge_slices(worker.rows, parts, *bounds, "mean", LAW, True, out)
    return out


def test_a_slice_is_sparse_where_that_is_smaller(worker: Worker) -> None:
    header = np.frombuffer(pack(worker, [2, 9], 0, 12), np.int64)[:2].tolist()
    assert header == [-1, 2]
    assert np.frombuffer(pack(worker, list(range(12)), 0, 12), np.int64)[:2].tolist() == [0, 12]
    assert np.frombuffer(pack(worker, [], 4, 4), np.int64)[1] == 0
    bounds = [core.slice_bounds(worker.rows, rank, 4) for rank in range(4)]
    assert bounds == [(0, 2), (2, 6), (6, 8), (8, 12)]  # between rows, one after another


def break_header(part: bytearray, place: int, value: int) -> bytearray:
    broken = bytearray(part)
    broken[8 * place : 8 * place + 8] = int(value).to_bytes(8, "little", signed=True)
    return broken


def broken_slices(part: bytearray) -> dict[str, bytearray]:
    broken = {f"cut at {n}": part[:n] for n in (0, 1, 31, 32, len(part) - 1)}
    broken["longer"] = part + b"\0\0\0\0"
    for count in (-1, 0, 3, 13, 2**40, 2**63 - 1, -(2**63)):
        broken[f"count {count}"] = break_header(part, 1, count)
    for first in (1, 11, 12, 2**62):
        broken[f"first {first}"] = break_header(part, 0, first)
    pairs = np.frombuffer(part, np.uint32)[-2:]
    for wrong in ([9, 2], [2, 2], [2, 12], [2, 2**32 - 1]):
        broken[f"pairs {wrong}"] = part[:-8] + bytearray(np.array(wrong, np.uint32).tobytes())
    assert pairs.tolist() == [2, 9]
    return broken


def test_malformed_contributions_are_refused(worker: Worker) -> None:
    part = pack(worker, [2, 9], 0, 12)
    before = state_of(worker)
    assert len(merge(worker, [part])) > 0
    for broken in broken_slices(part).values():
        with pytest.raises(ValueError, match="slice"):
            merge(worker, [broken])
    assert state_of(worker) == before


def test_malformed_merged_slices_change_nothing(worker: Worker) -> None:
    """Also those that come after good ones."""
    good = merge(worker, [pack(worker, [2, 9], 0, 12)])
    before, visits = state_of(worker), np.zeros(12, np.int64)
    # MergedTable slices may come in the order of a log, and an unsorted one is no harm.
    for what, broken in broken_slices(good).items():
        if what in ("pairs [9, 2]", "pairs [2, 2]"):
            continue
        with pytest.raises(ValueError, match="slice"):
            core.commit(worker.rows, [good, broken], visits)
        assert state_of(worker) == before
        assert not visits.any()


@pytest.mark.parametrize("pairs", [[0, 1, 2, 3, 4, 5], [1]])
def test_contributions_of_another_ranks_slice_are_refused(worker: Worker, pairs: list[int]) -> None:
    """A dense one (of all six pairs) would be read before its begin, a sparse one merged out of place."""
    for own, other in ((0, 1), (1, 0)):
        first, last = core.slice_bounds(worker.rows, other, 2)
        part = pack(worker, [first + pair for pair in pairs], first, last)
        right = pack(worker, [], *core.slice_bounds(worker.rows, own, 2))
        with pytest.raises(ValueError, match="slice"):
            merge(worker, [part, right], own)


def test_a_rule_that_raises_hands_its_error_on(worker: Worker) -> None:
    def fails(*arguments: Any) -> None:
        raise KeyError("mine")

    before = state_of(worker)
    with pytest.raises(KeyError, match="mine"):
        core.merge_tables([worker.rows], 0, fails, LAW, True, bytearray())
    with pytest.raises(KeyError, match="mine"):
        core.merge_slices(worker.rows, [pack(worker, [2, 9], 0, 12)], 0, 12, fails, LAW, True, bytearray())
    assert state_of(worker) == before


# ---- memory that processes share


def merge_as_processes(workers: list[Worker], rule: Any, law: Any) -> list[bytearray]:
    """Merge as if each worker were in a process of its own and saw the others' memory alone."""
    size = len(workers)
    segments = [memoryview(bytearray(peer_bytes(worker._merged, size))) for worker in workers]
    contributions = []
    for rank, worker in enumerate(workers):
        given = np.frombuffer(segments[rank], np.uint8)
        table, log = np.asarray(worker.rows.data).reshape(-1), np.asarray(worker.rows.log).view(np.uint8)
        given[: table.size], given[table.size : table.size + log.size] = table, log
        readable = [part if other == rank else part.toreadonly() for other, part in enumerate(segments)]
        peers = [PeerTable(part, worker._merged, size, other) for other, part in enumerate(readable)]
        contribution = WorkerContribution(worker, True, peers, rank)
        contribution.law, contribution.summary = law, Summary(rank, 2, 3.0, 4, 0)
        contributions.append(contribution)
    for rank, one in enumerate(contributions):
        one.merge_shared(one.peers([other.describe() for other in contributions]), rule, rank)
    slices, summaries = one.join_shared(one.peers([other.describe() for other in contributions]))
    assert [summary.episodes for summary in summaries] == list(range(size))
    return [bytearray(part) for part in slices]


@given(tables(), st.sampled_from(NAMES), laws)
def test_memory_of_other_processes_gives_the_same_bits(given: Tables, rule: str, place: int) -> None:
    law = LAWS[place, str(given.base.dtype)][0]
    workers = given.workers()
    assert merge_as_processes(workers, rule, law) == merge_shared(contributions_of(workers, law), rule)
