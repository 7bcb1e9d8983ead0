from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.core.loops.parts import fill_moments
from cdq.schedules import Constant, ExponentialDecay, RescaledLinear
from cdq.training.figures import Figures
from cdq.training.history import History, _thinned
from cdq.training.played import COLUMNS, FIRST_ROW, Played, Row, empty_rows, numbers_of
from cdq.training.rows import rows_of as rows_of_block
from cdq.training.rows import together
from cdq.workers.contribution import Summary
from tests.reference import rows as reference

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


def rows_of(row: Row, before: Row, summaries: list[Summary]) -> list[Row]:
    block = together([Played(row, summaries)])
    assert block.of.tolist() == [0] * len(block.steps)
    rows = rows_of_block(before, block)
    return list(map(Row._make, rows.tolist()))


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


class Table:
    """A table whose clocks and pairs change as a run goes on, and a state that holds it."""

    def __init__(self) -> None:
        self.merged, self.clock, self.seen = self, np.zeros(4, np.uint32), math.nan


class Rounds:
    """Rounds of a run one after another, and the rows that they have by definition."""

    def __init__(self, seed: int, step_size: Any) -> None:
        self.random, self.table = np.random.default_rng(seed), Table()
        self.exploration, self.step_size = ExponentialDecay(1.0, 0.1, 1e5), step_size
        self.figures = Figures(self.table, self.exploration, step_size, 1.0, lambda: self.table.seen)  # type: ignore[arg-type]
        self.row, self.expected, self.appended = FIRST_ROW, list[Row](), list[Row]()
        self.longest = int(self.random.choice([30, 3000, 300_000]))

    def parts(self, n: int) -> Summary:
        """Return the summary of a worker's window of *n* parts."""
        chances = self.random.random(n)
        lists = [
            [(int(self.random.integers(1, 9)), float(self.random.normal())) for _ in range(int(3 * chance))]
            for chance in chances
        ]
        return summary(*((self.steps // n, ended) for ended in lists))

    def play(self) -> Played:
        """Play a round; add the rows that it should have to `expected`."""
        self.steps = 16 * int(self.random.integers(1, self.longest))
        n, workers = int(self.random.choice([1, 2, 8, 16])), int(self.random.integers(1, 4))
        summaries = [self.parts(n) for _ in range(workers)]
        if self.random.random() < 0.1:
            summaries[-1] = summaries[-1]._replace(tallies=b"")
        if self.random.random() < 0.1:
            self.table.clock = np.append(self.table.clock, np.ones(64, np.uint32))
        if self.random.random() < 0.5:
            self.table.seen = float(self.random.random())
        self.table.clock += 1
        return self.note(summaries, self.steps * workers)

    def note(self, summaries: list[Summary], steps: int) -> Played:
        before, ended = self.row, sum(one.episodes for one in summaries)
        total = sum(one.return_sum for one in summaries)
        n_bytes = before.bytes + int(self.random.integers(0, 100))
        if self.expected:
            self.expected[-1] = self.expected[-1]._replace(bytes=n_bytes)
        self.row = Row(
            before.steps + steps,
            before.seconds + 0.25,
            total / ended if ended else math.nan,
            before.episodes + ended,
            before.rounds + 1,
            n_bytes,
            0.5 if self.random.random() < 0.05 else math.nan,
        )
        pairs, clock = self.table.clock.size, self.table.clock
        mean_clock = int(clock.sum(dtype="i8")) / np.count_nonzero(clock)
        size = RescaledLinear.of(self.step_size, mean_clock) if hasattr(self.step_size, "of") else math.nan
        newest = self.expected[-1] if self.expected else FIRST_ROW
        for row in reference.rows_of(self.row, newest, summaries):
            look = size, self.table.seen
            newest = reference.complete(row, newest, pairs, look, self.exploration, self.step_size)
            self.expected.append(newest)
        step_size, visited = self.figures.look(self.row.steps)
        return Played(self.row._replace(step_size=step_size, visited=visited), summaries, pairs)


seeds = st.integers(0, 2**32)
laws = st.sampled_from([RescaledLinear(0.9), Constant(0.25)])


@given(seeds, laws, st.integers(1, 40))
def test_rows_of_many_rounds_are_those_of_one_after_another(seed: int, law: Any, n: int) -> None:
    rounds = Rounds(seed, law)
    played = [rounds.play() for _ in range(n)]
    rows = rounds.figures.rows_of(FIRST_ROW, played)
    for name in Row._fields:
        expected = [getattr(row, name) for row in rounds.expected]
        if name in {"mean_return", "seconds"}:  # sums whose order is free
            assert rows[name].tolist() == pytest.approx(expected, rel=1e-12, nan_ok=True)
        else:
            assert same(rows[name], expected), name


@given(seeds, laws, st.integers(0, 3))
def test_rows_do_not_depend_on_when_somebody_looks(seed: int, law: Any, look: int) -> None:
    quiet, looked_at, rounds = History(), History(), Rounds(seed, law)
    for i in range(200):
        played = rounds.play()
        for history in (quiet, looked_at):
            history.add_round(played, rounds.figures.rows_of)
        if look and rounds.random.random() < 0.3:
            assert looked_at[-1].rounds == i + 1
            if look > 1:  # as a run that goes on from a file does
                looked_at = History.from_arrays(looked_at.to_arrays())
                rounds.figures.go_on(looked_at[-1])
    assert quiet == looked_at
    assert quiet[-1].rounds == 200


def test_a_table_that_was_visited_throughout_is_not_looked_at_again() -> None:
    table, looks = Table(), []

    def visited() -> float:
        looks.append(table.clock.size)
        return table.seen

    figures = Figures(table, None, Constant(0.5), 1.0, visited)  # type: ignore[arg-type]
    steps = iter(range(1000, 10_000, 1000))
    table.seen = 0.5
    assert figures.look(next(steps)) == (pytest.approx(math.nan, nan_ok=True), 0.5)
    table.seen = 1.0
    assert [figures.look(next(steps))[1] for _ in range(3)] == [1.0] * 3
    assert looks == [4, 4]
    table.clock, table.seen = np.zeros(6, np.uint32), 0.75  # rows were added
    assert figures.look(next(steps))[1] == 0.75
    figures.go_on(FIRST_ROW)
    assert figures.look(next(steps))[1] == 0.75
    assert looks == [4, 4, 6, 6]


def random_rows(seed: int, n: int) -> Any:
    """Return rows of a run, of which some are close together, some have no episodes and some were measured."""
    random = np.random.default_rng(seed)
    rows = np.full((n, len(Row._fields)), np.nan).view(COLUMNS).reshape(n)
    rows["steps"] = np.cumsum(random.integers(1, 10 ** random.integers(1, 6, n)))
    ended = random.integers(0, 4, n) * (random.random(n) < 0.7)
    rows["episodes"], rows["rounds"], rows["bytes"] = np.cumsum(ended), np.arange(n), 0
    rows["seconds"] = np.cumsum(random.random(n))
    for name in (
        "mean_return",
        "mean_length",
        *(name for name in Row._fields if "least" in name or "great" in name),
    ):
        rows[name] = np.where(ended > 0, random.normal(size=n), np.nan)
    for name in ("gap", "greedy_return"):
        rows[name] = np.where(random.random(n) < 0.02, random.random(n), np.nan)
    return rows


@given(seeds, st.sampled_from([2, 3, 600, 1024, 5000]), st.sampled_from([1, 40]))
def test_fewer_rows_are_those_of_the_definition(seed: int, n: int, gather: int) -> None:
    rows = random_rows(seed, n)
    rows["steps"][: n // 2] //= gather  # many in one part
    kept, expected = _thinned(rows), reference.thinned(rows)
    for name in Row._fields:
        if name in {"mean_return", "mean_length"}:  # sums whose order is free
            assert kept[name].tolist() == pytest.approx(
                expected[name].tolist(), rel=1e-9, abs=1e-12, nan_ok=True
            )
        else:
            assert np.array_equal(kept[name], expected[name], equal_nan=True), name


@pytest.mark.parametrize("workers", [1, 3])
def test_rounds_are_those_of_the_records_of_all_workers(workers: int) -> None:
    random, n = np.random.default_rng(7), 20
    records = np.zeros((workers, n, 9), np.int64)
    records[:, :, [0, 1, 2, 4]] = random.integers(0, 3, (workers, n, 4)).cumsum(axis=1)
    returns = records[:, :, 3].view(np.float64)
    returns[:] = random.normal(size=(workers, n))
    before, rows = FIRST_ROW._replace(seconds=2.5, episodes=10, rounds=7, bytes=100), empty_rows(n)
    fill_moments(list(records), numbers_of(rows), numbers_of(np.array([before], COLUMNS)))
    episodes = records[:, :, 2].sum(axis=0)
    assert rows["steps"].tolist() == records[0, :, 0].tolist()
    assert rows["seconds"].tolist() == (2.5 + 1e-9 * records[0, :, 1]).tolist()
    assert rows["episodes"].tolist() == (10 + episodes.cumsum()).tolist()
    assert rows["rounds"].tolist() == list(range(8, 8 + n))
    assert rows["bytes"].tolist() == (100 + records[:, :, 4].sum(axis=0)).tolist()
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(episodes > 0, sum(returns) / episodes, np.nan)
    assert np.array_equal(rows["mean_return"], means, equal_nan=True)


@pytest.mark.parametrize("shape", [(3, 8), (4, 9)])
def test_records_that_are_not_of_the_rows_are_refused(shape: tuple[int, int]) -> None:
    rows = numbers_of(empty_rows(3))
    with pytest.raises(ValueError, match=f"records are {shape[0]} x {shape[1]}, not 3 x 9"):
        fill_moments([np.zeros(shape, np.int64)], rows, rows[:1])
    with pytest.raises(ValueError, match="no worker"):
        fill_moments([], rows, rows[:1])


def test_rows_of_rounds_that_there_are_not_are_refused() -> None:
    block = together([Played(row(1100), [summary((100, []))])])
    with pytest.raises(ValueError, match="in their order"):
        rows_of_block(BEFORE, block._replace(of=np.ones(1, np.int64)))
    with pytest.raises(ValueError, match="size"):
        rows_of_block(BEFORE, block._replace(pairs=np.ones(2, np.int64)))
