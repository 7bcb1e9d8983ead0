from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from cdq.errors import ConfigError
from cdq.history import History, Row


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
    kinds = ["<i8", "<f8", "<f8", "<i8", "<i8", "<i8", "<f8"]
    assert [(name, array.dtype.str) for name, array in arrays.items()] == [
        *zip(Row._fields, kinds, strict=True)
    ]
    again = History.from_arrays(arrays)
    assert same(again, history)
    again.append(Row(1, 2.0, 3.0, 4, 5, 6, 7.0))
    assert len(again) == n + 1
    assert again[n] == (1, 2.0, 3.0, 4, 5, 6, 7.0)
    assert len(history) == n
    arrays["steps"][:] = -1
    assert -1 not in again["steps"]


def test_arrays_that_are_no_history_are_refused() -> None:
    arrays = History().to_arrays()
    wrong = [
        {},
        {name: array for name, array in arrays.items() if name != "gap"},
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
