from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import cdq
from cdq.errors import ConfigError, TableError
from cdq.merges import NAMES, MergeRule, resolve
from cdq.schedules import Constant, Polynomial, build_law
from cdq.workers.worker import LEARNING, streams
from tests.core.test_merge import contributions_of, fresh, merge_shared, merge_wire
from tests.reference import rollout as reference
from tests.reference.schedules import Law
from tests.strategies import (
    DTYPES,
    Tables,
    clock_of,
    make_worker,
    random_model,
    set_table,
    state_of,
    tables,
    values_of,
)


class Visits(MergeRule):
    """The rule "visits", by hand, in the same order of operations."""

    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        merged = np.zeros_like(base)
        for value, n in zip(values, visits, strict=True):
            merged = merged + n.astype(base.dtype) * value
        return merged / np.maximum(visits.sum(axis=0), 1).astype(base.dtype)


class Smallest(MergeRule):
    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        return values.min(axis=0)


class ExactCounts(MergeRule):
    """The sample average of all workers' targets, for the step size 1 / n."""

    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        own = clock + visits.astype(float)
        total = clock + visits.sum(axis=0, dtype=float)
        return base + (own * (values - base)).sum(axis=0) / np.maximum(total, 1.0)


class Returns(MergeRule):
    def __init__(self, result: Any) -> None:
        self.result = result

    def combine(self, base: Any, *others: Any) -> Any:
        return self.result(base) if callable(self.result) else self.result


# ---- names


def test_there_are_seven_rules() -> None:
    assert NAMES == ("affine", "importance", "max", "mean", "pooled", "sum", "visits")
    for name in NAMES:
        assert resolve(name) == name


@pytest.mark.parametrize("merge", ["poled", "", None, 3, ("mean",)])
def test_what_is_no_rule_is_refused(merge: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown merge .*known: affine, gradient, importance, max, mean, pooled, sum"
    ):
        resolve(merge)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'pooled'"):
        resolve("poled")


def test_a_rule_without_its_function_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        MergeRule()  # type: ignore[abstract]


# ---- rules of the user's own


@given(tables())
def test_a_rule_of_ones_own_gives_what_a_built_in_one_does(given: Tables) -> None:
    """But for pairs of a sole visitor, whose value a division would round."""
    law = build_law(Constant(0.1), 0, 0.3, given.base.dtype)
    contributions = contributions_of(given.workers(), law)
    results = []
    for merge in (merge_shared, merge_wire):
        for rule in ("visits", resolve(Visits())):
            worker = fresh(given)
            worker.commit(merge(contributions, rule))
            results.append(worker)
    several = (given.visits > 0).sum(axis=0) != 1
    for worker in results[1:]:
        assert values_of(worker)[several].tobytes() == values_of(results[0])[several].tobytes()
        assert clock_of(worker).tobytes() == clock_of(results[0]).tobytes()
    assert state_of(results[1]) == state_of(results[3])


@given(tables())
def test_a_rule_sees_what_is_documented(given: Tables) -> None:
    """Base where a worker did not come, counts as of the window's start, and arrays of the table's type."""
    law = build_law(Constant(0.1), 0, 0.3, given.base.dtype)
    seen: list[Any] = []

    class Recorder(MergeRule):
        def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
            assert base.dtype == values.dtype == log_keep.dtype == given.base.dtype
            assert visits.dtype == clock.dtype == np.uint32
            assert values.shape == visits.shape == log_keep.shape == (len(given.values), len(base))
            assert (values == np.where(visits > 0, values, base)).all()
            np.testing.assert_allclose(log_keep, visits * np.log1p(-0.1), rtol=1e-5, atol=1e-9)
            seen.append((visits.sum(axis=0).copy(), clock.copy()))
            return base

    worker = fresh(given)
    worker.commit(merge_shared(contributions_of(given.workers(), law), resolve(Recorder())))
    assert values_of(worker).tobytes() == given.base.tobytes()
    assert sum(int(total.sum()) for total, _ in seen) == given.visits.sum()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("result", "match"),
    [
        (lambda base: base * np.nan, r"Returns returned shape .* with \d+ values not finite"),
        (lambda base: base + np.inf, "values not finite; it must return"),
        (lambda base: base[:-1], r"returned shape \(\d+,\)"),
        (lambda base: base[None], r"returned shape \(1, \d+\)"),
        (1.0, r"returned shape \(\)"),
    ],
)
def test_wrong_results_are_refused(result: Any, match: str, dtype: str) -> None:
    random = np.random.default_rng(0)
    visits = random.integers(1, 5, (2, 5, 3)).astype(np.uint32)
    given = Tables(np.zeros((5, 3), dtype), np.zeros((5, 3), np.uint32), visits.astype(dtype), visits)
    law = build_law(Constant(0.1), 0, 0.3, dtype)
    for merge in (merge_shared, merge_wire):
        workers = given.workers()
        before = [state_of(worker) for worker in workers]
        with pytest.raises(TableError, match=match):
            merge(contributions_of(workers, law), resolve(Returns(result)))
        assert [state_of(worker) for worker in workers] == before


@pytest.mark.parametrize("result", [None, "text", {}])
def test_results_that_are_no_numbers_are_refused(result: Any) -> None:
    given = Tables(*(np.ones(shape, kind) for shape, kind in (((2, 2), "f8"), ((2, 2), "u4"))), *_ones())
    law = build_law(Constant(0.1), 0, 0.3, "float64")
    with pytest.raises((TableError, TypeError, ValueError)):
        merge_shared(contributions_of(given.workers(), law), resolve(Returns(result)))


def _ones() -> tuple[Any, Any]:
    return np.ones((2, 2, 2)), np.ones((2, 2, 2), np.uint32)


# ---- frozen targets: what merging gives is what one worker would learn from all data, one after another


def experience(rule: Any, step_size: Any, workers: int, rounds: int) -> tuple[Any, dict[int, list[float]]]:
    """Learn where every outcome terminates; return the table, and each pair's targets in rank order."""
    model = random_model(5, 2, seed=4)
    ends = dataclasses.replace(model, terminated=np.ones(model.n_outcomes, np.bool_))
    law, reference_law = build_law(step_size, 0, 1e9, "float64"), Law(step_size, 0, 1e9, "float64")
    own = [make_worker(ends, rank=rank, num_envs=2) for rank in range(workers)]
    others = [
        reference.Learner(ends, 0.9, "float64", streams(0, (LEARNING, 0, k), 2)) for k in range(workers)
    ]
    for worker in own:
        set_table(worker, 3.0, 0)
    targets: dict[int, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for worker, other in zip(own, others, strict=True):
            other.values[:], other.clock[:], other.visits[:] = values_of(worker), clock_of(worker), 0
            worker.run(law, 15, 0.5, 0.5)
            for pair, target in other.run(reference_law, 15, 0.5, 0.5).targets:
                targets[pair].append(float(target))
            assert (values_of(worker) == other.values).all()
        merged = merge_shared(contributions_of(own, law), rule)
        for worker in own:
            worker.commit(merged)
    return values_of(own[0]).ravel(), targets


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("rounds", [1, 3])
def test_exact_counts_are_the_average_of_all_data(workers: int, rounds: int) -> None:
    values, targets = experience(resolve(ExactCounts()), Polynomial(1.0), workers, rounds)
    for pair, value in enumerate(values):
        expected = np.mean(targets[pair]) if targets[pair] else 3.0
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("rounds", [1, 3])
def test_affine_is_one_worker_after_another(workers: int, rounds: int) -> None:
    values, targets = experience("affine", Constant(0.1), workers, rounds)
    for pair, value in enumerate(values):
        expected = 3.0
        for target in targets[pair]:
            expected += 0.1 * (target - expected)
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
def test_pooled_leaves_on_the_base_what_one_worker_would(workers: int) -> None:
    """With targets of 0 the table is the base times the product of (1 - alpha) over all visits."""
    visits = np.arange(1, 2 * workers + 1).reshape(workers, 2, 1).astype(np.uint32)
    given = Tables(np.full((2, 1), 3.0), np.zeros((2, 1), np.uint32), 3.0 * 0.9**visits, visits)
    law = build_law(Constant(0.1), 0, 0.3, "float64")
    worker = fresh(given)
    worker.commit(merge_shared(contributions_of(given.workers(), law), "pooled"))
    assert values_of(worker) == pytest.approx(3.0 * 0.9 ** visits.sum(axis=0), rel=1e-12)


class TooFew(MergeRule):
    def combine(self, base: Any, values: Any) -> Any:  # type: ignore[override]
        return values.mean(axis=0)


class TooMany(MergeRule):
    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any, more: Any) -> Any:  # type: ignore[override]
        return values.mean(axis=0)


class ByName(MergeRule):
    def combine(self, *, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:  # type: ignore[override]
        return values.mean(axis=0)


class Later(MergeRule):
    async def combine(self, *columns: Any) -> Any:  # type: ignore[override]
        return columns[1].mean(axis=0)


class Alike:
    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        return values.mean(axis=0)


@pytest.mark.parametrize(
    ("merge", "match"),
    [
        (
            lambda *columns: columns[1].mean(axis=0),
            "merge is <lambda>, which is no merge rule; allowed: affine, .*combine",
        ),
        (np.mean, "merge is mean, which is no merge rule"),
        (Visits, r"merge is the class Visits; give an instance: merge=Visits\(\)"),
        (Alike(), "merge is Alike, which is no merge rule; .*derived from cdq.MergeRule"),
        (Alike, "merge is Alike, which is no merge rule"),
        (
            TooFew(),
            r"combine of merge rule TooFew does not take .*combine\(self, base, values, visits, clock, log_keep",
        ),
        (TooMany(), "combine of merge rule TooMany does not take .*'more'"),
        (ByName(), "combine of merge rule ByName does not take"),
        (Later(), "combine of merge rule Later is a generator or coroutine"),
        (5, "unknown merge 5"),
        (["mean"], r"unknown merge \['mean'\]"),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0],
)
def test_what_is_no_rule_is_told_before_anything_is_made(merge: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        cdq.QLearner(random_model(5, 2, seed=0), merge=merge, workers=2)


@pytest.mark.parametrize("result", ["high", [1, 2], None, {}, 3.0], ids=str)
def test_results_that_are_none_are_told(result: Any) -> None:
    class Wrong(MergeRule):
        def combine(self, *columns: Any) -> Any:
            return result

    agent = cdq.QLearner(random_model(5, 2, seed=0), merge=Wrong(), workers=2)
    with pytest.raises(TableError, match="merge rule Wrong returned"):
        agent.learn(1000)
    assert agent.steps == 0
