"""Outcomes in order: the kernel against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.core.planning import outcomes as core
from tests.reference.outcomes import gathered
from tests.strategies import seeds

KINDS = (np.int64, np.int32, np.float64, np.float64, np.bool_)


def gather(columns: Any, n: tuple[int, int], least: float = -1e-12) -> Any:
    wrong, rising, offsets = core.count(*columns[:5], *n, least)
    if wrong >= 0:
        return wrong
    memory = core.place(*columns[:5], columns[5].view(np.uint8), n[1], offsets)
    core.tidy(offsets, *memory)
    arrays = [np.frombuffer(part, kind) for part, kind in zip((offsets, *memory), KINDS, strict=True)]
    places = (columns[0].astype(np.int64) * n[1] + columns[1]) * n[0] + columns[2]
    assert rising == bool((np.diff(places) > 0).all() and (columns[3] > 0.0).all())
    return [arrays[0], *(array[: arrays[0][-1]] for array in arrays[1:])]


def random_outcomes(seed: int, n: tuple[int, int], length: int, kind: Any) -> list[Any]:
    random = np.random.default_rng(seed)
    indices = [random.integers(0, size, length).astype(kind) for size in (*n, n[0])]
    if random.random() < 0.5:
        order = np.lexsort(indices[::-1])
        indices = [array[order] for array in indices]
    probability = random.choice([0.0, 0.25, 0.5, 1.0], length)
    reward, terminated = random.choice([-1.0, 0.0, 2.0], length), random.random(length) < 0.3
    return [*indices, probability, reward, terminated]


@given(
    seeds, st.integers(1, 5), st.integers(1, 3), st.integers(1, 300), st.sampled_from([np.int32, np.int64])
)
def test_outcomes_in_order_are_the_definition(
    seed: int, n_states: int, n_actions: int, length: int, kind: Any
) -> None:
    """Few pairs and many outcomes: those of one pair go beyond what is sorted in place."""
    n = n_states, n_actions
    columns = random_outcomes(seed, n, length, kind)
    before = [column.copy() for column in columns]
    for ours, theirs in zip(gather(columns, n), gathered(*columns, n), strict=True):
        assert ours.tolist() == list(theirs)
    assert all(np.array_equal(one, other) for one, other in zip(before, columns, strict=True))


def test_equal_outcomes_add_up_in_the_order_given() -> None:
    chances = np.random.default_rng(0).random(1000)
    columns = [np.zeros(1000, np.int64)] * 3 + [chances, np.zeros(1000), np.zeros(1000, bool)]
    total = 0.0
    for chance in chances:
        total += chance
    assert gather(columns, (1, 1))[2].tolist() == [total]


@pytest.mark.parametrize(
    ("column", "value"),
    [(0, 3), (0, -1), (1, 2), (1, -1), (2, 3), (2, -1), (3, -1e-9), (3, np.nan), (4, np.nan), (4, np.inf)],
)
def test_the_first_outcome_that_is_none_is_returned(column: int, value: Any) -> None:
    columns = random_outcomes(0, (3, 2), 20, np.int64)
    columns[column][[7, 11]] = value
    assert gather(columns, (3, 2)) == 7


def test_what_rounding_leaves_of_zero_is_zero() -> None:
    columns = random_outcomes(0, (3, 2), 20, np.int64)
    columns[3][4] = 0.0
    expected = gather(columns, (3, 2))
    columns[3][4] = -2.8e-17
    assert [array.tolist() for array in gather(columns, (3, 2))] == [array.tolist() for array in expected]


@given(seeds, st.integers(1, 2000))
def test_long_rows_are_scaled_to_1(seed: int, length: int) -> None:
    values = np.random.default_rng(seed).random(length) + 0.1
    offsets = np.array([0, length, length], np.int64)
    scaled = bytes(bytearray(values.tobytes()))
    changed, off = core.scale_rows(offsets.tobytes(), scaled, 1e9, 1e9)
    assert changed == (values.sum() != 1.0)
    assert off == pytest.approx(abs(values.sum() - 1.0))
    assert np.frombuffer(scaled).sum() == pytest.approx(1.0, abs=1e-14)


def test_rows_beyond_the_limit_are_left() -> None:
    values = np.array([0.5, 0.6, 0.5, 0.5001]).tobytes()
    copy = bytes(bytearray(values))
    assert core.scale_rows(np.array([0, 2, 4], np.int64).tobytes(), copy, 1e-2, 1.0)[0] == 1
    assert np.frombuffer(copy)[:2].tolist() == [0.5, 0.6]
    assert np.frombuffer(copy)[2:].sum() == 1.0


def test_rows_of_few_entries_may_be_off_by_less() -> None:
    offsets, rows = np.array([0, 2, 6], np.int64), np.array([0.5, 0.51, 0.25, 0.25, 0.25, 0.26])
    memory = rows.tobytes()
    assert core.scale_rows(offsets.tobytes(), memory, 1.0, 0.002)[0] == 1
    assert np.frombuffer(memory)[:2].tolist() == [0.5, 0.51]
    assert np.frombuffer(memory)[2:].sum() == 1.0
