"""Checks of what users give: Booleans, whole numbers, and how much of a value a message shows."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError, ModelError
from cdq.errors.checks import described, flags, is_flag, real, shown, whole

NO_FLAGS = ["False", "0", "", b"0", float("nan"), 0.5, 7, -1, None, object(), [], 1j, Decimal(2)]


class Column:
    """A column of pandas, as far as it matters here: it is made an array by a method of its own."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def to_numpy(self) -> Any:
        return self._values


@pytest.mark.parametrize(
    "given",
    [
        [False, True, True],
        [0, 1, 1],
        [0.0, 1.0, True],
        np.array([0, 1, 1], np.uint8),
        np.array([0, 1, 1], np.float32),
        np.array([False, 1, np.bool_(True)], object),
        Column(np.array([False, True, 1.0], object)),
        (0, Fraction(1), 1),
        np.ma.MaskedArray([0, 1, 1], [False, False, False]),
    ],
)
def test_booleans_and_the_numbers_0_and_1_are_flags(given: Any) -> None:
    found = flags("flag", given)
    assert found.dtype == np.bool_
    assert found.tolist() == [False, True, True]


@pytest.mark.parametrize("value", NO_FLAGS, ids=lambda value: repr(value).partition(" at 0x")[0])
def test_whatever_is_no_boolean_is_named(value: Any) -> None:
    column = np.array([True, False, True], object)
    column[1] = value
    with pytest.raises(ConfigError, match=r"flag 1 is .*; allowed: True and False, or 1 and 0"):
        flags("flag", column)
    assert not is_flag(value)


def test_masked_and_ragged_columns_are_refused() -> None:
    with pytest.raises(ConfigError, match="flag 1 is masked"):
        flags("flag", np.ma.MaskedArray([0, 1, 1], [False, True, False]))
    with pytest.raises(ConfigError, match="flag: it is no column"):
        flags("flag", [[0, 1], [1]])


TEXTS = ["True", "False", "False", "False"]


@pytest.mark.parametrize("ends", [TEXTS, [0, np.nan, 0, 0], [0, 0.5, 0, 0], [0, 7, 0, 0], [0, None, 0, 0]])
def test_models_take_no_other_flags(ends: Any) -> None:
    """Four outcomes: of two states and two actions, each to itself."""
    state, action, ones = [0, 0, 1, 1], [0, 1, 0, 1], [1.0] * 4
    named = r"terminated of (transition|outcome) [01] is .*; allowed: True and False, or 1 and 0"
    with pytest.raises(ModelError, match=named):
        cdq.MDP.from_samples(state, action, ones, state, ends, n_states=2, n_actions=2)
    with pytest.raises(ModelError, match=named):
        cdq.MDP.from_outcomes(state, action, state, ones, ones, ends)
    with pytest.raises(ModelError, match=named):
        cdq.MDP(2, 2, range(5), state, ones, ones, ends, [1.0, 0.0])  # type: ignore[arg-type]
    stay = [[[1.0, 0.0], [0.0, 1.0]]] * 2
    with pytest.raises(ModelError, match=r"terminated of state [01] is"):
        cdq.MDP.from_arrays(stay, [0.0, 1.0], terminated=np.array(ends[:2], object), layout="ASS")
    each = np.array([[[ends[0], 0], [0, ends[1]]]] * 2, object)
    with pytest.raises(ModelError, match=r"terminated of \(state, action, next state\) \([01], 0, [01]\) is"):
        cdq.MDP.from_arrays(stay, [0.0, 1.0], terminated=each, layout="ASS")


def test_numbers_0_and_1_end_a_model_s_outcomes() -> None:
    for ends in (
        [0.0, 1.0],
        [0, 1],
        [False, True],
        np.array([0, 1], np.uint8),
        np.array([0.0, True], object),
    ):
        model = cdq.MDP.from_samples([0, 0], [0, 0], [1, 2], [0, 0], ends, n_states=1, n_actions=1)
        assert model.terminated.tolist() == [False, True]


@pytest.mark.parametrize("value", [3, 3.0, 1e6, np.int64(3), np.uint8(3), np.float32(3), Fraction(3)])
def test_whole_numbers(value: Any) -> None:
    assert whole("steps", value, 1) == int(value)
    assert type(whole("steps", value, 1)) is int


@pytest.mark.parametrize(
    "value",
    [
        10**400,
        10**5000,
        2**63,
        np.inf,
        -np.inf,
        np.nan,
        -1,
        0.5,
        True,
        np.bool_(True),
        "5",
        None,
        [5],
        Decimal(5),
    ],
    ids=shown,
)
def test_what_is_no_whole_number_in_range_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="steps is .*; allowed: a whole number of at least 0"):
        whole("steps", value, 0)


@pytest.mark.parametrize("value", [10**400, np.inf, np.nan, "1", None, True, 1j, 1.5, -0.1], ids=shown)
def test_what_is_no_number_in_range_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="rate is .*; allowed: from 0 to 1"):
        real("rate", value, "from 0 to 1", 0.0, 1.0)
    assert real("rate", np.float32(0.5), "from 0 to 1", 0.0, 1.0) == 0.5


def test_long_values_are_cut_in_messages() -> None:
    assert shown("short") == "'short'"
    assert len(shown("x" * 10_000)) < 100
    assert "int" in shown(10**5000)


class Mute(Exception):
    """An error, or a value, that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("shop"), "KeyError: 'shop'"),
        (ValueError(), "ValueError"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (ValueError("\x1b[31mred\x00"), "ValueError: ?[31mred?"),
        (ValueError("a" * 10**6), f"ValueError: {'a' * 1000}"),
        (Mute(), "Mute: its text cannot be made"),
    ],
)
def test_an_exception_is_one_line_whatever_it_says(error: Exception, text: str) -> None:
    assert described(error) == text


def test_a_value_that_cannot_be_written_out_is_named_by_its_type() -> None:
    assert shown(Mute()) == "a Mute that cannot be written out"
    assert shown(10**5000) == "a number too long to write out, in int"
