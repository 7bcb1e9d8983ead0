"""Names of states and actions of logs: numbered, checked, and through bytes."""

from __future__ import annotations

import json
from enum import Enum, IntEnum
from typing import Any, NamedTuple

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.errors import ConfigError, FileError
from cdq.offline.names import Names, column

PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary())
NAMES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)),
    max_leaves=6,
)


class Place(NamedTuple):
    row: int
    column: int


class Move(Enum):
    LEFT = 1


class Number(IntEnum):
    ONE = 1


@given(st.lists(NAMES, min_size=1, unique=True), st.lists(NAMES, min_size=1, unique=True))
def test_names_survive_bytes(states: list[Any], actions: list[Any]) -> None:
    names = Names(states, actions)
    again = Names.from_bytes(names.to_bytes())
    assert (again.states, again.actions) == (names.states, names.actions)
    assert [*map(type, again.states)] == [*map(type, names.states)]
    assert again.fingerprint() == names.fingerprint()
    assert [names.number_of("state", name) for name in states] == list(range(len(states)))
    assert [names.number_of("action", name) for name in actions] == list(range(len(actions)))


def test_kinds_that_equal_plain_ones_come_back_as_these() -> None:
    names = Names([Place(1, 2), Number.ONE, np.str_("x")], [np.float64(0.5)])
    again = Names.from_bytes(names.to_bytes())
    assert again.states == ((1, 2), 1, "x")
    assert again.number_of("state", Place(1, 2)) == 0


@pytest.mark.parametrize(
    "name", [Move.LEFT, object(), 1j, range(3), 2**5000, (1, Move.LEFT)], ids=lambda n: str(type(n))
)
def test_other_kinds_need_pickle_and_are_not_written(name: Any) -> None:
    names = Names([name], [0])
    with pytest.raises(ConfigError, match="which a file cannot hold; name states and actions by text"):
        names.to_bytes()
    assert len(names.fingerprint()) == 64
    assert names.number_of("state", name) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"5",
        b"[]",
        b"{}",
        b'{"states": [1], "actions": []}',
        b'{"states": [1, 1], "actions": [0]}',
        b'{"states": [1, 1.0], "actions": [0]}',
        b'{"states": [[1]], "actions": [0]}',
        b'{"states": [{"other": 1}], "actions": [0]}',
        b'{"states": [{"tuple": 5}], "actions": [0]}',
        b'{"states": [{"tuple": [1], "bytes": ""}], "actions": [0]}',
        b'{"states": [{}], "actions": [0]}',
        b'{"states": [{"bytes": "xy"}], "actions": [0]}',
        b'{"states": 7, "actions": [0]}',
        b'{"states": ' + b"[" * 100_000 + b', "actions": [0]}',
        b'{"states": [' + b'{"tuple": [' * 20_000 + b"]}" * 20_000 + b'], "actions": [0]}',
        b"\xff",
        json.dumps({"states": ["1" * 5000], "actions": [0]}).replace('"', "").encode(),
    ],
    ids=range(18),
)
def test_bytes_that_are_no_names_are_refused(data: bytes) -> None:
    with pytest.raises(
        (FileError, ConfigError), match="names of states and actions cannot be read|allowed: one or more"
    ):
        Names.from_bytes(data)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (("a", None), ["a", None]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([1, 2]), [1, 2]),
        (np.array([[1, 2], [3, 4]]), [(1, 2), (3, 4)]),
        ([np.int64(1), np.array([1, 2])], [1, (1, 2)]),
        (pandas.Series(["a", "b"]), ["a", "b"]),
        (pandas.Series(["a", "b"], dtype="category"), ["a", "b"]),
        (pandas.DataFrame({"row": [1, 2], "name": ["a", "b"]}), [(1, "a"), (2, "b")]),
        (range(2), [0, 1]),
    ],
    ids=lambda values: type(values).__name__,
)
def test_columns_of_names(values: Any, expected: list[Any]) -> None:
    found = column("state", values, 2)
    assert found == expected
    assert [*map(type, found)] == [*map(type, expected)]


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (["a", float("nan")], "the state of transition 1 is nan, which is missing"),
        (["a", pandas.NA], "the state of transition 1 is <NA>, which is missing|no name"),
        (["a", [1]], r"the state of transition 1 is \[1\], which is no name, as it cannot be hashed"),
        ([{}, "a"], "the state of transition 0 is {}, which is no name"),
        (["a"], "there are 1 states; allowed: 2"),
        ("ab", "states are 'ab'; allowed: a column"),
        (5, "states are 5; allowed: a column"),
        (None, "states are None; allowed: a column"),
    ],
    ids=range(8),
)
def test_what_is_no_name_is_told(values: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        column("state", values, 2)


def test_names_are_in_the_order_of_the_log() -> None:
    names = Names.of_log(["b", "a", "b"], [1, 0, 1], ["c", "b", float("nan")], [False, 0, 1.0])
    assert (names.states, names.actions) == (("b", "a", "c"), (1, 0))
    with pytest.raises(ConfigError, match="'d' is no state of the log; its 3 are 'b', 'a', 'c'$"):
        names.number_of("state", "d")
    with pytest.raises(ConfigError, match=r"\[1\] is no action of the log"):
        names.number_of("action", [1])
