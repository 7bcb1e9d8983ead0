from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.errors import ConfigError
from cdq.windows import AutoWindow, FixedWindow, as_window, sweeps_of


def test_auto_windows_keep_the_mass() -> None:
    window = AutoWindow(mass=0.3, floor=100)
    assert window.next(1000.0, 0.3) == 1000.0
    assert window.next(1000.0, 0.4) == pytest.approx(750.0)
    assert window.next(1000.0, 0.2) == pytest.approx(1500.0)


@given(st.floats(1, 2**20), st.floats(0, 50), st.floats(0.01, 5), st.integers(1, 10**6))
def test_auto_windows_are_clipped(before: float, mass: float, aim: float, floor: int) -> None:
    after = AutoWindow(aim, floor).next(before, mass)
    factor = 2.0 if mass == 0 else min(max(aim / mass, 0.5), 2.0)
    assert after == min(max(before * factor, floor), max(floor, 2**20))
    assert floor <= after <= max(floor, 2**20)


def test_auto_windows_double_where_nothing_was_used_up_and_end_at_a_million() -> None:
    window = AutoWindow(floor=4000)
    length, lengths = float(window.floor), []
    for _ in range(12):
        length = window.next(length, 0.0)
        lengths.append(length)
    assert lengths[:3] == [8000, 16000, 32000]
    assert lengths[-1] == 2**20
    assert AutoWindow(floor=2**21).next(5.0, 9.0) == 2**21


def test_fixed_windows_stay() -> None:
    assert FixedWindow(77).floor == FixedWindow(77).next(77.0, 9.0) == 77


def test_what_a_window_may_be() -> None:
    assert as_window("auto") == AutoWindow() == AutoWindow(mass=0.3, floor=500)
    assert as_window(500) == FixedWindow(500)
    assert as_window(np.int64(500)) == FixedWindow(500)
    for window in (AutoWindow(1.0, 10), FixedWindow(3)):
        assert as_window(window) is window


@pytest.mark.parametrize("value", ["automatic", "", None, True, [4], np.array([4, 4])])
def test_what_is_no_window_is_refused(value: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"sync_every is .*; allowed: 'auto', a number of steps or cdq.AutoWindow"
    ):
        as_window(value)


@pytest.mark.parametrize("steps", [0, -5, 2**24 + 1, 1.5, math.nan, math.inf, 10**400])
def test_lengths_out_of_range_are_refused(steps: float) -> None:
    with pytest.raises(
        ConfigError, match="sync_every is .*; allowed: a whole number of at least 1 and at most 16"
    ):
        as_window(steps)


@pytest.mark.parametrize(
    ("mass", "floor"),
    [(0.0, 1), (-1.0, 1), (math.nan, 1), (math.inf, 1), (0.3, 0), (0.3, -4), (0.3, 2**24 + 1)],
)
def test_parts_out_of_range_are_refused(mass: float, floor: int) -> None:
    """Visits of a window are 32-bit counts, summed over the workers."""
    with pytest.raises(ConfigError, match="(mass|floor) of AutoWindow is .*; allowed: "):
        AutoWindow(mass, floor)


@pytest.mark.parametrize(
    ("window", "left", "size", "num_envs", "sweeps"),
    [
        (100, 10**6, 1, 1, 100),
        (100, 10**6, 4, 16, 7),  # windows are steps per worker, rounded up to sweeps
        (100, 10, 1, 1, 10),  # the last one is cut short
        (100, 10, 4, 16, 1),  # but to whole sweeps of all lanes
        (100, 129, 2, 32, 3),
        (0.5, 10, 1, 1, 1),
        (1.5, 10, 1, 1, 2),
    ],
)
def test_sweeps_of_a_window(window: float, left: int, size: int, num_envs: int, sweeps: int) -> None:
    assert sweeps_of(window, left, size, num_envs) == sweeps


@given(st.floats(1, 1e6), st.integers(1, 10**7), st.integers(1, 8), st.integers(1, 300))
def test_sweeps_use_up_what_is_left(window: float, left: int, size: int, num_envs: int) -> None:
    sweeps = sweeps_of(window, left, size, num_envs)
    assert sweeps >= 1
    assert (sweeps - 1) * num_envs < window
    assert (sweeps - 1) * num_envs * size < left
