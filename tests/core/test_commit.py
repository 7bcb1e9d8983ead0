"""Commits of merged slices, some rows at a time."""

from __future__ import annotations

import numpy as np
import pytest

from tests.core.test_merge import check
from tests.strategies import DTYPES, Tables


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n_states", "n_actions"), [(210, 1), (120, 4), (90, 6), (60, 7), (6, 65)])
@pytest.mark.parametrize("beyond", [0.0, 0.5, 0.9])
def test_rows_in_a_row_that_nobody_visited_stay(
    dtype: str, n_states: int, n_actions: int, beyond: float
) -> None:
    """All is committed some rows at a time: those are left alone here, and there some pairs of a row."""
    random = np.random.default_rng(0)
    visits = random.integers(1, 9, (2, n_states, n_actions)) * (random.random((2, n_states, 1)) < 0.8)
    visits[:, n_states // 3 : 2 * n_states // 3] = 0
    visits = (visits * (random.random(visits.shape) >= beyond / 2)).astype(np.uint32)
    base = random.normal(size=(n_states, n_actions)).astype(dtype)
    base.flat[:: n_actions + 2] = -0.0
    values = np.where(visits > 0, random.normal(size=visits.shape).astype(dtype), base)
    check(Tables(base, random.integers(0, 50, base.shape).astype(np.uint32), values, visits), "mean", 0)
