from __future__ import annotations

import math

import numpy as np
import pytest

from cdq.errors import ConfigError
from cdq.history import History, Row


def rows(n: int) -> list[Row]:
    return [Row(100 * i, 0.5 * i, float(i), 3 * i, i, 8 * i, math.nan) for i in range(1, n + 1)]


def test_a_history_is_a_sequence_of_rows() -> None:
    history, given = History(), rows(4)
    assert len(history) == 0
    assert list(history) == []
    for row in given:
        history.append(row)
    assert len(history) == 4
    assert list(history) == given
    assert history[0] == given[0]
    assert history[-1] is given[-1]
    with pytest.raises(IndexError):
        history[4]


def test_columns_are_arrays() -> None:
    history = History()
    for row in rows(3):
        history.append(row)
    assert history["steps"].tolist() == history.column("steps").tolist() == [100, 200, 300]
    assert history["steps"].dtype.kind == "i"
    assert np.isnan(history["gap"]).all()
    assert History()["rounds"].tolist() == []


def test_unknown_columns_are_named() -> None:
    with pytest.raises(ConfigError, match="unknown column 'step'.*Did you mean 'steps'"):
        History()["step"]
