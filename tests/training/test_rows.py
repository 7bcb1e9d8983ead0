from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.training.history import Row
from cdq.training.rows import rows_of
from cdq.workers.contribution import Summary

Episode = tuple[int, float]


def tally(steps: int, ended: list[Episode]) -> list[float]:
    """Return the figures of a part of a window, by their definition."""
    if not ended:
        return [steps, 0, 0, 0, 0, 0, 0, 0]
    lengths, returns = zip(*ended, strict=True)
    sums = [len(ended), sum(lengths), sum(returns)]
    return [steps, *sums, min(lengths), max(lengths), min(returns), max(returns)]


def summary(*parts: tuple[int, list[Episode]]) -> Summary:
    tallies = np.array([tally(*part) for part in parts])
    episodes, length_sum = map(int, tallies[:, 1:3].sum(axis=0))
    return Summary(episodes, length_sum, float(tallies[:, 3].sum()), 0, 0, tallies.tobytes())


BEFORE = Row(1000, 2.0, 0.5, 70, 9, 400, 0.1)


def row(steps: int, episodes: int = 0, mean_return: float = math.nan) -> Row:
    return Row(steps, 3.0, mean_return, BEFORE.episodes + episodes, 10, 500, math.nan)


def same(left: Any, right: Any) -> bool:
    return bool(np.array_equal(np.array(left, float), np.array(right, float), equal_nan=True))


def test_a_short_window_is_one_row() -> None:
    both = [summary((50, [(10, 1.0), (30, -2.0)])), summary((50, []))]
    rows = rows_of(row(1100, 2, -0.5), BEFORE, both)
    expected = row(1100, 2, -0.5)._replace(
        mean_length=20.0,
        least_return=-2.0,
        greatest_return=1.0,
        least_length=10.0,
        greatest_length=30.0,
        window=50.0,
    )
    assert same(rows, [expected])


def test_a_long_window_is_several_rows() -> None:
    one = summary((1000, [(5, 1.0)]), (1000, []), (2000, [(7, 0.0), (9, 4.0)]))
    other = summary((1000, []), (1000, []), (2000, [(400, -1.0)]))
    first, second, last = rows_of(row(9000, 4, 1.0), BEFORE, [one, other])
    assert (first.steps, second.steps, last.steps) == (3000, 5000, 9000)
    assert (first.seconds, second.seconds, last.seconds) == (2.25, 2.5, 3.0)
    assert (first.episodes, second.episodes, last.episodes) == (71, 71, 74)
    assert (first.rounds, second.rounds, last.rounds) == (9, 9, 10)
    assert (first.mean_return, last.mean_return, last.mean_length) == (1.0, 1.0, 416 / 3)
    assert math.isnan(second.mean_return)
    assert math.isnan(second.least_length)
    assert (last.least_return, last.greatest_return, last.least_length, last.greatest_length) == (
        -1,
        4,
        7,
        400,
    )
    assert {first.window, second.window, last.window} == {4000.0}


def test_parts_that_are_closer_than_rows_should_be_are_put_together() -> None:
    """After 2**20 steps a row is of 4096 at least, and a window of 1000 is no more than its own."""
    begun = BEFORE._replace(steps=2**20)
    parts = [(100, [(10, float(i))]) for i in range(10)]
    rows = rows_of(row(2**20 + 1000, 10, 4.5), begun, [summary(*parts)])
    assert [one.steps for one in rows] == [2**20 + 1000]
    assert (rows[0].least_return, rows[0].greatest_return, rows[0].mean_return) == (0.0, 9.0, 4.5)


@pytest.mark.parametrize(
    "summaries",
    [
        [Summary(2, 30, 1.0, 0, 0)],
        [Summary(2, 30, 1.0, 0, 0), summary((100, []))],
        [summary((100, [])), summary((50, []), (50, []))],
    ],
)
def test_summaries_without_the_same_tallies_leave_the_row_as_it_is(summaries: list[Summary]) -> None:
    rows = rows_of(row(1100, 2, 0.5), BEFORE, summaries)
    assert same(rows, [row(1100, 2, 0.5)._replace(window=100.0 / len(summaries))])


episodes = st.lists(st.tuples(st.integers(1, 50), st.sampled_from([-1.5, 0.0, 0.25, 3.0])), max_size=3)


@given(st.lists(st.lists(episodes, min_size=4, max_size=4), min_size=1, max_size=3), st.integers(1, 3000))
def test_rows_have_all_episodes_between_them(workers: list[list[list[Episode]]], steps: int) -> None:
    ended = sum(len(part) for worker in workers for part in worker)
    end = BEFORE.steps + 4 * steps * len(workers)
    mean = math.nan if not ended else sum(r for w in workers for part in w for _, r in part) / ended
    summaries = [summary(*((steps, part) for part in worker)) for worker in workers]
    rows = rows_of(row(end, ended, mean), BEFORE, summaries)
    assert (rows[-1].steps, rows[-1].episodes) == (end, BEFORE.episodes + ended)
    before, done = BEFORE.episodes, 0
    for one in rows:
        last = (one.steps - BEFORE.steps) // (steps * len(workers))
        there = [episode for worker in workers for part in worker[done:last] for episode in part]
        assert one.episodes - before == len(there)
        expected = tally(0, there)[1:]
        if there:
            assert one.mean_return == pytest.approx(expected[2] / len(there))
            assert one.mean_length == expected[1] / len(there)
            assert [one.least_length, one.greatest_length, one.least_return, one.greatest_return] == expected[
                3:
            ]
        else:
            assert math.isnan(one.mean_return)
            assert math.isnan(one.least_return)
        before, done = one.episodes, last
