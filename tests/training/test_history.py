from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from cdq.errors import ConfigError
from cdq.training.history import History
from cdq.training.played import MOST_ROWS, Row


def rows(n: int) -> list[Row]:
    return [Row(100 * i, 0.5 * i, float(i), 3 * i, i, 8 * i, math.nan) for i in range(1, n + 1)]


def same(left: Iterable[Row], right: Iterable[Row]) -> bool:
    """Compare rows, in which NaN is NaN."""
    return [repr(row) for row in left] == [repr(row) for row in right]


def test_a_history_is_a_sequence_of_rows() -> None:
    history, given = History(), rows(4)
    assert len(history) == 0
    assert list(history) == []
    for row in given:
        history.append(row)
    assert len(history) == 4
    assert same(history, given)
    assert same(reversed(history), reversed(given))
    assert same([history[0]], given[:1])
    assert same([history[-1]], given[-1:])
    assert type(history[-1].steps) is int
    assert type(history[-1].seconds) is float
    with pytest.raises(IndexError):
        history[4]
    with pytest.raises(IndexError):
        history[-5]


def test_columns_are_arrays() -> None:
    history = History()
    for row in rows(3):
        history.append(row)
    assert history["steps"].tolist() == history.column("steps").tolist() == [100, 200, 300]
    assert history["steps"].dtype.kind == "i"
    assert np.isnan(history["gap"]).all()
    assert History()["rounds"].tolist() == []


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000])
def test_a_history_survives_arrays(n: int) -> None:
    history = History()
    for row in rows(n):
        history.append(row)
    arrays = history.to_arrays()
    kinds = ["<i8", "<f8", "<f8", "<i8", "<i8", "<i8", *["<f8"] * (len(Row._fields) - 6)]
    assert [(name, array.dtype.str) for name, array in arrays.items()] == [
        *zip(Row._fields, kinds, strict=True)
    ]
    again = History.from_arrays(arrays)
    assert same(again, history)
    again.append(Row(1, 2.0, 3.0, 4, 5, 6, 7.0))
    assert len(again) == n + 1
    assert again[n][:7] == (1, 2.0, 3.0, 4, 5, 6, 7.0)
    assert all(math.isnan(figure) for figure in again[n][7:])
    assert len(history) == n
    assert not arrays["steps"].flags.writeable


def test_arrays_that_are_no_history_are_refused() -> None:
    arrays = History().to_arrays()
    wrong = [
        {},
        {name: array for name, array in arrays.items() if name != "gap"},
        {name: array for name, array in arrays.items() if name != "steps"},
        {**arrays, "more": arrays["gap"]},
        {**arrays, "gap": np.zeros(1)},
        {name: np.zeros((2, 2)) for name in arrays},
        {name: np.zeros(()) for name in arrays},
    ]
    for changed in wrong:
        with pytest.raises(ConfigError, match="a history has the columns steps, .* of one length; got"):
            History.from_arrays(changed)


def test_unknown_columns_are_named() -> None:
    with pytest.raises(ConfigError, match="unknown column 'step'.*Did you mean 'steps'"):
        History()["step"]


def long_history(n: int, every: int = 0) -> tuple[History, list[Row]]:
    """Return a history of *n* rounds, with a gap *every* so many, and the rows that were appended."""
    history, random, steps, episodes, given = History(), np.random.default_rng(0), 0, 0, []
    for i in range(1, n + 1):
        steps, ended = steps + int(random.integers(1, 500)), int(random.integers(0, 3))
        episodes += ended
        gap = 1.0 / i if every and i % every == 0 else math.nan
        given.append(
            Row(steps, 0.5 * i, float(random.normal()) if ended else math.nan, episodes, i, 8 * i, gap)
        )
        history.append(given[-1])
    return history, given


@pytest.mark.parametrize(
    ("n", "every"), [(1023, 0), (1024, 0), (5000, 0), (5000, 7), (5000, 1), (40_000, 100)]
)
def test_a_long_history_is_thinned(n: int, every: int) -> None:
    history, given = long_history(n, every)
    by_round = {row.rounds: row for row in given}
    assert len(history) < MOST_ROWS
    assert len(history) >= min(n, MOST_ROWS // 4)
    assert same([history[-1]], given[-1:])
    for row in history:  # all but the returns are what was appended
        assert repr(row._replace(mean_return=0.0)) == repr(by_round[row.rounds]._replace(mean_return=0.0))
    parts = np.diff(history["steps"], prepend=0)
    assert parts.max() <= 2 * given[-1].steps / (MOST_ROWS // 4)
    episodes = np.diff(history["episodes"], prepend=0)
    total = np.nansum(episodes * history["mean_return"])
    before = np.diff([row.episodes for row in given], prepend=0)
    assert total == pytest.approx(np.nansum(before * [row.mean_return for row in given]))


def test_gaps_come_first() -> None:
    history, given = long_history(3000, 300)
    assert [row.gap for row in history if not math.isnan(row.gap)] == [
        row.gap for row in given if not math.isnan(row.gap)
    ]


def test_a_history_that_goes_through_arrays_is_thinned_the_same() -> None:
    """Runs that were interrupted have the history of those that were not."""
    straight, given = long_history(3000, 50)
    resumed = History()
    for i, row in enumerate(given):
        if i % 700 == 0:
            resumed = History.from_arrays(resumed.to_arrays())
        resumed.append(row)
    assert same(resumed, straight)


def test_longer_histories_of_older_files_are_thinned() -> None:
    _, given = long_history(9000, 50)
    arrays = {
        name: np.array(column) for name, column in zip(Row._fields, zip(*given, strict=True), strict=True)
    }
    history = History.from_arrays(arrays)
    assert MOST_ROWS // 4 < len(history) < MOST_ROWS
    assert same([history[-1]], given[-1:])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", -1),
        ("rounds", 2**63 - 1),
        ("episodes", -5),
        ("seconds", math.nan),
        ("bytes", 0),
        ("steps", 1.5),
    ],
)
def test_counts_that_cannot_be_are_refused(name: str, value: float) -> None:
    arrays = {name: array.copy() for name, array in long_history(5)[0].to_arrays().items()}
    arrays[name] = np.array([*arrays[name][:2], *[value] * 3])
    with pytest.raises(ConfigError, match=f"{name} of a history"):
        History.from_arrays(arrays)


def test_columns_are_read_only() -> None:
    history, _ = long_history(3)
    for column in (history["steps"], history.column("gap"), *history.to_arrays().values()):
        with pytest.raises(ValueError, match="read-only"):
            column[:] = 5


def test_a_history_that_is_read_meanwhile_is_never_torn() -> None:
    """A thread shows the progress while another one appends."""
    history, failed, over = History(), [], threading.Event()

    def read() -> None:
        while not over.is_set():
            rounds = [row.rounds for row in history]
            if rounds != sorted(rounds) or (len(history) and history[-1].rounds < 1):
                failed.append(rounds)

    reader = threading.Thread(target=read)
    reader.start()
    for row in rows(20_000):
        history.append(row)
    over.set()
    reader.join()
    assert not failed


@pytest.mark.parametrize("growth", [0, 1, 2, 511, 512, 513, 2**40])
@pytest.mark.parametrize("measured", [False, True])
def test_histories_are_bounded_whatever_their_steps_are(growth: int, measured: bool) -> None:
    history = History()
    for i in range(1, 4000):
        history.append(Row(growth * i, 0.0, 1.0, i, i, 0, 0.5 if measured else math.nan))
        assert len(history) < MOST_ROWS
    assert history[-1].rounds == 3999
    assert len(history) > MOST_ROWS // 4


def test_a_history_is_a_frame_and_a_file(tmp_path: Path) -> None:
    history = History()
    for row in rows(3):
        history.append(row)
    frame = history.to_pandas()
    assert list(frame) == list(Row._fields)
    assert frame["steps"].tolist() == [100, 200, 300]
    history.to_csv(tmp_path / "run.csv")
    lines = (tmp_path / "run.csv").read_text().splitlines()
    assert lines[0] == ",".join(Row._fields)
    assert lines[1] == "100,0.5,1.0,3,1,8" + "," * (len(Row._fields) - 6)  # nothing else was measured
    assert len(lines) == 4
    with pytest.raises(ConfigError, match="allowed: a path"):
        history.to_csv("")


def test_an_empty_history_is_an_empty_frame() -> None:
    assert History().to_pandas().shape == (0, len(Row._fields))


def test_columns_that_older_files_lack_are_not_numbers() -> None:
    history, _ = long_history(5)
    old = {name: history[name] for name in Row._fields[:7]}
    again = History.from_arrays({**old, "window": np.arange(5.0)})
    assert all(np.array_equal(again[name], column, equal_nan=True) for name, column in old.items())
    assert again["window"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert np.isnan(again["visited"]).all()
    with pytest.raises(ConfigError, match="window of a history are int64"):
        History.from_arrays({**old, "window": np.arange(5)})


def full_row(steps: int, episodes: int, returns: list[float]) -> Row:
    """Return a row of episodes with these returns, each ten steps longer than the one before."""
    lengths = [10.0 * (i + 1) for i in range(len(returns))]
    least, greatest = (min(returns), max(returns)) if returns else (math.nan, math.nan)
    return Row(
        steps,
        0.0,
        float(np.mean(returns)) if returns else math.nan,
        episodes,
        steps,
        0,
        math.nan,
        mean_length=float(np.mean(lengths)) if lengths else math.nan,
        least_return=least,
        greatest_return=greatest,
        least_length=min(lengths, default=math.nan),
        greatest_length=max(lengths, default=math.nan),
        epsilon=1.0 / steps,
        window=float(steps),
    )


def test_thinned_rows_have_the_episodes_of_those_left_out() -> None:
    history, random = History(), np.random.default_rng(1)
    given: list[list[float]] = []
    episodes = 0
    for steps in range(1, 3 * MOST_ROWS):
        given.append(random.normal(size=random.integers(0, 3)).tolist())
        episodes += len(given[-1])
        history.append(full_row(steps, episodes, given[-1]))
    before = 0
    for row in history:
        returns = [figure for some in given[before : row.steps] for figure in some]
        lengths = [10.0 * (i + 1) for some in given[before : row.steps] for i in range(len(some))]
        before = row.steps
        expected = full_row(row.steps, row.episodes, returns)
        assert row.mean_return == pytest.approx(expected.mean_return, nan_ok=True)
        assert row.mean_length == pytest.approx(np.mean(lengths) if lengths else math.nan, nan_ok=True)
        assert repr(row[8:10]) == repr(expected[8:10])
        assert row.least_length == pytest.approx(min(lengths, default=math.nan), nan_ok=True)
        assert row.greatest_length == pytest.approx(max(lengths, default=math.nan), nan_ok=True)
        assert (row.epsilon, row.window) == (1.0 / row.steps, row.steps)


def test_rows_without_episodes_have_none_of_their_figures() -> None:
    history = History()
    for steps in range(1, MOST_ROWS + 1):
        history.append(full_row(steps, 0, []))
    assert len(history) < MOST_ROWS
    for name in ("mean_return", "mean_length", "least_return", "greatest_length"):
        assert np.isnan(history[name]).all()


def test_measured_returns_are_kept() -> None:
    history = History()
    for steps in range(1, 3000):
        history.append(full_row(steps, 0, [])._replace(greedy_return=0.5 if steps % 300 == 0 else math.nan))
    assert history["steps"][~np.isnan(history["greedy_return"])].tolist() == [*range(300, 3000, 300)]


def test_a_history_as_json_has_no_nan() -> None:
    history = History()
    history.append(full_row(1, 0, []))
    history.append(full_row(2, 1, [0.5]))
    told = json.loads(json.dumps(history.to_json(), allow_nan=False))
    assert list(told) == list(Row._fields)
    assert (told["steps"], told["mean_return"], told["gap"]) == ([1, 2], [None, 0.5], [None, None])


def test_a_history_says_what_it_holds() -> None:
    history = History()
    assert repr(history) == "History without rows"
    history.append(Row(1000, 0.1, 0.25, 2, 1, 0, float("nan")))
    assert repr(history) == "History of 1 row up to 1,000 steps, mean_return 0.25"
    history.append(Row(2000, 0.1, -12345.6, 2, 1, 0, 3.3e-11))
    assert repr(history) == "History of 2 rows up to 2,000 steps, mean_return -12,350, gap 3.3e-11"


def test_rows_may_be_taken_by_slices() -> None:
    history = History()
    for n in range(1, 5):
        history.append(Row(n, 0.1, 0.0, n, n, 0, float("nan")))
    assert [row.steps for row in history[1:3]] == [2, 3]
    assert history[10:] == []
