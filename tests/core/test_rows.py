from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq.core.rows import Law, Rows
from cdq.schedules import Constant, build_law
from tests.strategies import make_worker, random_model, touch, window_visits


def test_rows_hold_values_base_visits_and_clocks_side_by_side() -> None:
    worker = make_worker(random_model(3, 4, seed=0), "float32")
    worker.values[:], worker._base[:], worker.clock[:] = 1, 2, 4
    window_visits(worker)[:] = 3
    row = np.asarray(worker.rows.data)[1]
    assert len(row) == 64  # a cache line
    assert row[:32].view(np.float32).tolist() == [1] * 4 + [2] * 4
    assert row[32:].view(np.uint32).tolist() == [3] * 4 + [4] * 4


@pytest.mark.parametrize(("n_actions", "real_size", "log"), [(2, 8, 7), (2, 4, 7), (2, 4, 6), (3, 4, 7)])
def test_rows_refuse_memory_of_another_size(n_actions: int, real_size: int, log: int) -> None:
    data = np.zeros((3, 2 * (2 * 4 + 8)), np.uint8)
    if (n_actions, real_size, log) == (2, 4, 7):
        assert Rows(data, np.zeros(log, np.uint32), n_actions, real_size).touched == 0
        return
    with pytest.raises(ValueError, match="size of the table"):
        Rows(data, np.zeros(log, np.uint32), n_actions, real_size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rolling_back_restores_only_what_was_touched(dtype: str) -> None:
    worker = make_worker(random_model(4, 3, seed=0), dtype)
    touch(worker, [5, 11, 0])
    worker.values[:] = np.arange(12).reshape(4, 3)
    worker._base[:] = -1
    window_visits(worker)[:] = 7
    worker.rows.roll_back()
    touched = np.isin(np.arange(12), [5, 11, 0]).reshape(4, 3)
    assert (worker.values[touched] == -1).all()
    assert (window_visits(worker)[touched] == 0).all()
    assert (worker.values[~touched] == np.arange(12).reshape(4, 3)[~touched]).all()
    assert (window_visits(worker)[~touched] == 7).all()
    assert worker.rows.touched == 0


def test_the_log_lists_a_pair_once_at_its_first_touch() -> None:
    worker = make_worker(random_model(4, 3, seed=0))
    law = build_law(Constant(0.0), 0, 0.3, "float64")
    for state in (2, 1, 2, 0, 1):
        worker.values[:] = [1.0, 0.0, 0.0]
        worker._state[0] = state
        worker.run(law, 1, 0.0, 0.0)
    assert np.asarray(worker.rows.log)[: worker.rows.touched].tolist() == [6, 3, 0]


def test_a_law_has_the_entries_of_its_bits() -> None:
    arrays: list[Any] = [np.zeros(4 + 30 * 2, kind) for kind in ("f4", "f8", "f8", "u4")]
    assert Law(2, *arrays).real_size == 4
    for bits in (0, 1, 3):
        with pytest.raises(ValueError, match="entries"):
            Law(bits, *arrays)
    for index in range(4):
        wrong = [array[1:] if place == index else array for place, array in enumerate(arrays)]
        with pytest.raises(ValueError, match="has 64 entries"):
            Law(2, *wrong)
