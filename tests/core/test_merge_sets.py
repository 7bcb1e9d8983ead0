"""Merges of large tables, which are streamed and tabulate their law, and by each instruction set."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.core.merge import merge as core
from cdq.core.table.rows import Law, Rows
from cdq.qfunctions import MergedTable
from tests.core.test_merge import LAWS, expected_of
from tests.reference import merge as reference
from tests.strategies import DTYPES, Tables

START = str(Path(__file__).parents[1] / "start.py")  # runs a module of the tests
ROWS, ACTIONS, WORKERS, TOUCHED = 60, 7, 3, np.uint32(1 << 31)
# Share of the pairs that is touched, largest count, share that one worker alone touches.
CASES = [(1.0, 100, 0.5), (0.1, 4096, 0.0), (0.9, 50_000, 0.0), (0.04, 100, 1.0)]


def drawn(share: float, dtype: Any, largest: int, lone: float = 0.0) -> Tables:
    """Return tables of which a share is touched, or a *lone* share by one worker; counts are up to *largest*."""
    random = np.random.default_rng(0)
    shape = (WORKERS, ROWS, ACTIONS)
    touched = random.random(shape) < share
    alone = random.random((ROWS, ACTIONS)) < lone
    touched &= ~alone | (random.integers(0, WORKERS, (ROWS, ACTIONS)) == np.arange(WORKERS)[:, None, None])
    visits = (random.integers(1, 1 + largest // 4, shape) * touched).astype(np.uint32)
    base = random.normal(size=shape[1:]).astype(dtype)
    clock = random.integers(0, largest // 2, shape[1:]).astype(np.uint32)
    return Tables(base, clock, np.where(touched, random.normal(size=shape).astype(dtype), base), visits)


def repeated(given: Tables, times: int) -> tuple[list[Rows], MergedTable]:
    """Return the workers' rows after a window on tables that repeat, and what they share."""
    n_states, n_actions = len(given.base) * times, given.base.shape[1]
    merged = MergedTable(n_states, n_actions, given.base.dtype, 0.0)
    merged.values[:], merged.clock[:] = np.tile(given.base, (times, 1)), np.tile(given.clock, (times, 1))
    found, end = [], given.base.itemsize * n_actions
    for values, visits in zip(given.values, given.visits, strict=True):
        rows = merged.new_rows()
        data = np.asarray(rows.data)
        data[:, :end].view(given.base.dtype)[:] = np.tile(values, (times, 1))
        counts = (given.clock + visits) | np.where(visits > 0, TOUCHED, np.uint32(0))
        data[:, end : end + 4 * n_actions].view(np.uint32)[:] = np.tile(counts, (times, 1))
        pairs = np.flatnonzero(np.tile(visits.ravel() > 0, times)).astype(np.uint32)
        np.asarray(rows.log)[: pairs.size] = pairs
        rows.touched = pairs.size
        found.append(rows)
    return found, merged


def merge_tables(found: list[Rows], rule: str, law: Law) -> list[bytearray]:
    parts = [bytearray() for _ in found]
    for rank, part in enumerate(parts):
        core.merge_tables(found, rank, rule, law, True, part)
    return parts


def merge_messages(found: list[Rows], rule: str, law: Law) -> list[bytearray]:
    out, merged = [], bytearray()
    for rank in range(len(found)):
        first, last = core.slice_bounds(found[0], rank, len(found))
        logs = [np.sort(np.asarray(rows.log)[: rows.touched]) for rows in found]
        own = [log[(log >= first) & (log < last)] for log in logs]
        parts = [core.pack(rows, pairs, first, last) for rows, pairs in zip(found, own, strict=True)]
        core.merge_slices(found[rank], parts, first, last, rule, law, True, merged)
        out.append(bytearray(merged))
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", reference.RULES)
def test_large_tables_are_many_small_ones(rule: str, dtype: str) -> None:
    """Parts of over 2^17 pairs of a table, which go past the caches, to the bit of the definition."""
    law, reference_law = LAWS[0, dtype]
    for (share, largest, lone), times in zip(CASES, (1000, 200, 1000, 1000), strict=True):
        given = drawn(share, dtype, largest, lone)
        expected = expected_of(given, rule, reference_law)
        after = reference.clock_after(given.clock.ravel(), expected.gain)
        for merge in (merge_tables, merge_messages):
            found, table = repeated(given, times)
            mass, total = core.commit(found[0], merge(found, rule, law), table.visits.reshape(-1))
            assert table.values.tobytes() == expected.values.tobytes() * times
            assert table.clock.tobytes() == after.tobytes() * times
            assert table.visits.ravel().tolist() == expected.total.tolist() * times
            assert (mass, total) == (expected.mass * times, int(expected.total.sum()) * times)


@pytest.mark.parametrize("place", [3, 4])
def test_constant_step_sizes_tabulate_as_well(place: int) -> None:
    given, (law, reference_law) = drawn(0.5, "float32", 9000), LAWS[place, "float32"]
    expected = expected_of(given, "pooled", reference_law)
    found, table = repeated(given, 200)
    core.commit(found[0], merge_tables(found, "pooled", law), table.visits.reshape(-1))
    assert table.values.tobytes() == expected.values.tobytes() * 200


def of_any_size(dtype: Any) -> list[Tables]:
    """Return tables that stand behind each other: pairs with few visits, more, too many to tabulate, few again."""
    pieces = [drawn(1.0, dtype, largest) for largest in (12, 100, 50_000, 30, 600, 4090, 12)]
    late = drawn(1.0, dtype, 12)
    late.clock[:] += np.uint32(4090)  # counts before and behind the end of the table
    return [*pieces, late]


def behind_each_other(pieces: list[Tables], times: int) -> Tables:
    """Return tables that are a number of others, each so many times, and all of that once for each worker."""

    def joined(rows: list[Any], axis: int) -> Any:
        once = np.concatenate([np.concatenate([each] * times, axis) for each in rows], axis)
        return np.concatenate([once] * WORKERS, axis)

    return Tables(
        joined([each.base for each in pieces], 0),
        joined([each.clock for each in pieces], 0),
        joined([each.values for each in pieces], 1),
        joined([each.visits for each in pieces], 1),
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_visits_are_pooled_alike_however_many(dtype: str) -> None:
    """Changes are tabulated for the visits that occur, anew where there are more, and computed beyond the table."""
    (law, reference_law), pieces, times = LAWS[0, dtype], of_any_size(dtype), 25
    expected = [expected_of(piece, "pooled", reference_law) for piece in pieces]
    for merge in (merge_tables, merge_messages):
        found, table = repeated(behind_each_other(pieces, times), 1)
        mass, _ = core.commit(found[0], merge(found, "pooled", law), table.visits.reshape(-1))
        values = b"".join(each.values.tobytes() * times for each in expected)
        assert table.values.tobytes() == values * WORKERS
        assert mass == sum(each.mass for each in expected) * times * WORKERS


def test_counts_below_the_clock_are_merged_alike_in_large_tables() -> None:
    """Messages of others may hold any counts: none is looked up where it has no entry."""

    def values(times: int) -> bytes:
        found, table = repeated(drawn(1.0, "float32", 100), times)
        table.clock[:, ::3] += np.uint32(900)
        merged = merge_messages(found, "pooled", LAWS[0, "float32"][0])
        core.commit(found[0], merged, table.visits.reshape(-1))
        return table.values.tobytes()

    assert values(700) == values(1) * 700


def merged() -> str:
    """Return a hash of what all rules merge."""
    result = hashlib.sha256()
    for dtype in DTYPES:
        for case in [*CASES, (1.0, 1 << 29, 0.0)]:
            for times in (1, 150):
                found, _ = repeated(drawn(*case[:1], dtype, *case[1:]), times)
                for rule in reference.RULES:
                    for part in merge_tables(found, rule, LAWS[0, dtype][0]):
                        result.update(part)
        found, _ = repeated(behind_each_other(of_any_size(dtype), 25), 1)
        for part in merge_tables(found, "pooled", LAWS[0, dtype][0]):
            result.update(part)
    return result.hexdigest()


@pytest.mark.parametrize(("lesser", "names"), [("1", {"baseline"}), ("avx2", {"avx2", "baseline"})])
def test_all_instruction_sets_give_the_same_bits(lesser: str, names: set[str]) -> None:
    """CDQ_BASELINE takes the kernels of every processor, or of those with AVX2, where this one has others."""
    environment = {**os.environ, "CDQ_BASELINE": lesser, "PYTHONPATH": str(Path(cdq.__file__).parents[1])}
    told = subprocess.run(
        [sys.executable, START, "tests.core.test_merge_sets"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=environment,
    )
    name, digest = told.stdout.split()
    assert name in names
    assert digest == merged()


if __name__ == "__main__":
    sys.stdout.write(f"{core.KERNELS} {merged()}")
