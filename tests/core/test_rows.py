from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq.core.table.rows import Law, Rows, row_size
from cdq.schedules import Constant, build_law
from tests.strategies import (
    DTYPES,
    base_of,
    clock_of,
    counts_of,
    make_worker,
    random_model,
    set_table,
    touch,
    values_of,
)


def test_rows_hold_values_and_counts_side_by_side() -> None:
    worker = make_worker(random_model(3, 4, seed=0), "float32")
    values_of(worker)[:], counts_of(worker)[:] = 1, 3
    row = np.asarray(worker.rows.data)[1]
    assert len(row) == row_size(4, 4) == 32  # two to a cache line
    assert row[:16].view(np.float32).tolist() == [1] * 4
    assert row[16:].view(np.uint32).tolist() == [3] * 4


@pytest.mark.parametrize("n_actions", range(1, 12))
@pytest.mark.parametrize("real_size", [4, 8])
def test_every_row_begins_aligned(n_actions: int, real_size: int) -> None:
    size = row_size(n_actions, real_size)
    assert size % real_size == 0
    assert 0 <= size - n_actions * (real_size + 4) < real_size


def test_rows_refuse_memory_of_another_size() -> None:
    sizes = {"data": (3, row_size(2, 4)), "log": (7,), "base": (6,), "clock": (6,)}
    kinds = {"data": "u1", "log": "u4", "base": "f4", "clock": "u4"}
    right = {name: np.zeros(shape, kinds[name]) for name, shape in sizes.items()}
    assert Rows(*right.values(), 2).touched == 0
    for name, shape in sizes.items():
        for change in (-1, 1):
            wrong = {**right, name: np.zeros((*shape[:-1], shape[-1] + change), kinds[name])}
            with pytest.raises(ValueError, match="size of the table"):
                Rows(*wrong.values(), 2)
    with pytest.raises(ValueError, match="size of the table"):
        Rows(*right.values(), 3)
    with pytest.raises(ValueError, match="size of the table"):
        Rows(*{**right, "base": np.zeros(6)}.values(), 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rolling_back_restores_only_what_was_touched(dtype: str) -> None:
    worker = make_worker(random_model(4, 3, seed=0), dtype)
    touch(worker, [5, 11, 0])
    values = np.arange(12).reshape(4, 3)
    set_table(worker, -1, 5)
    values_of(worker)[:], counts_of(worker)[:] = values, 12
    worker.rows.roll_back()
    touched = np.isin(np.arange(12), [5, 11, 0]).reshape(4, 3)
    assert (values_of(worker)[touched] == -1).all()
    assert (counts_of(worker)[touched] == 5).all()
    assert (values_of(worker)[~touched] == values[~touched]).all()
    assert (counts_of(worker)[~touched] == 12).all()
    assert (base_of(worker) == -1).all()
    assert (clock_of(worker) == 5).all()
    assert worker.rows.touched == 0


def test_the_log_lists_a_pair_once_at_its_first_touch() -> None:
    worker = make_worker(random_model(4, 3, seed=0))
    law = build_law(Constant(0.0), 0, 0.3, "float64")
    for state in (2, 1, 2, 0, 1):
        values_of(worker)[:] = [1.0, 0.0, 0.0]
        worker._lanes.state[0] = state
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
