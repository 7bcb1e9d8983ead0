from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cdq.errors import FileError, TableError
from cdq.qfunctions.qtable import QTable
from cdq.storage.files import read_tensors, write_tensors

FINITE = {"allow_nan": False, "allow_infinity": False}
TABLES = st.sampled_from(["f4", "f8"]).flatmap(
    lambda kind: arrays.arrays(
        kind,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(width=int(kind[1]) * 8, **FINITE),
    )
)


@given(TABLES)
def test_what_is_read_off_a_table(values: Any) -> None:
    table = QTable(values)
    assert (table.n_states, table.n_actions) == values.shape
    policy = table.policy()
    for state, row in enumerate(values.tolist()):
        best = row.index(max(row))  # the lowest among equals
        assert table.greedy(state) == policy[state] == best
        assert table.state_values()[state] == max(row)
    assert not table.visits.any()
    assert table.visits.dtype == np.int64


@pytest.mark.parametrize("state", [-1, 2, 10**9])
def test_states_that_do_not_exist(state: int) -> None:
    with pytest.raises(TableError, match=f"state {state} does not exist; allowed: 0 to 1"):
        QTable(np.zeros((2, 3))).greedy(state)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(3),
        np.zeros((2, 2, 2)),
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        np.zeros((2, 2), int),
        [["a", "b"]],
    ]
    + [np.zeros((2, 2), kind) for kind in ("f2", "c8", "O", "?")],
)
def test_what_is_no_table_is_refused(values: Any) -> None:
    with pytest.raises(TableError, match="a table is float32 or float64 of shape"):
        QTable(values)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(value: float) -> None:
    values = np.zeros((3, 2))
    values[1, 1] = value
    with pytest.raises(
        TableError, match=f"the value of \\(state 1, action 1\\) is {value}; all must be finite"
    ):
        QTable(values)


@pytest.mark.parametrize("visits", [np.zeros((3, 2), int), np.zeros((2, 2)), np.zeros(4, int)])
def test_visits_of_another_shape_or_type_are_refused(visits: Any) -> None:
    with pytest.raises(TableError, match=r"visits are .*; allowed: integers of shape \(2, 2\)"):
        QTable(np.zeros((2, 2)), visits)


def test_negative_visits_are_refused() -> None:
    with pytest.raises(TableError, match="visits go down to -1"):
        QTable(np.zeros((2, 2)), np.full((2, 2), -1))


def test_the_digest_is_that_of_the_bytes() -> None:
    values, visits = np.arange(6.0).reshape(2, 3), np.arange(6).reshape(2, 3)
    expected = hashlib.sha256(values.tobytes() + visits.astype("<i8").tobytes()).hexdigest()
    assert QTable(values, visits).digest() == expected
    assert QTable(values, visits.astype(">i4")).digest() == expected
    assert QTable(np.asfortranarray(values), visits).digest() == expected
    assert QTable(values.astype("f4"), visits).digest() != expected


@given(TABLES)
def test_files_hold_every_bit(tmp_path_factory: Any, values: Any) -> None:
    path = tmp_path_factory.mktemp("tables") / "table.safetensors"
    visits = np.arange(values.size, dtype=np.int64).reshape(values.shape)
    QTable(values, visits, "Lake").save(path)
    table = QTable.load(path)
    assert table.values.dtype == values.dtype
    assert table.values.tobytes() == values.tobytes()
    assert table.visits.tolist() == visits.tolist()
    assert table.environment == "Lake"


def test_tables_that_are_not_contiguous_are_written_as_they_look(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(4, 6)[::2, ::3]
    QTable(values).save(tmp_path / "table")
    assert QTable.load(tmp_path / "table").values.tolist() == values.tolist()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot read .*nothing-here"):
        QTable.load(tmp_path / "nothing-here")


def test_a_repr_says_what_it_is() -> None:
    table = QTable(np.zeros((16, 4), "f4"), environment="FrozenLake-v1")
    assert repr(table) == "QTable of FrozenLake-v1: 16 states, 4 actions, float32"
    assert repr(QTable(np.zeros((1, 1)))) == "QTable: 1 states, 1 actions, float64"


# ---- actions that states do not have

MASK = np.array([[True, False, True], [False, True, False]])


def masked(kind: str = "f8") -> QTable:
    values = np.array([[1.0, 9.0, 3.0], [np.nan, -5.0, np.inf]], kind)
    return QTable(values, np.arange(6).reshape(2, 3), "own", actions=MASK)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_actions_that_states_do_not_have_are_worth_minus_infinity(kind: str, tmp_path: Path) -> None:
    table = masked(kind)
    assert table.values.tolist() == [[1.0, -np.inf, 3.0], [-np.inf, -5.0, -np.inf]]
    assert table.values.dtype == kind
    assert table.policy().tolist() == [2, 1]
    assert [table.greedy(state) for state in range(2)] == [2, 1]
    assert table.state_values().tolist() == [3.0, -5.0]
    table.save(tmp_path / "table")
    assert np.isfinite(read_tensors(tmp_path / "table")[0]["values"]).all()
    again = QTable.load(tmp_path / "table")
    assert again.actions is not None
    assert again.actions.tolist() == MASK.tolist()
    assert again.values.tobytes() == table.values.tobytes()
    assert again.digest() == table.digest()


def test_a_digest_says_nothing_of_pairs_that_there_are_not() -> None:
    other = QTable(np.array([[1.0, 0.0, 3.0], [0.0, -5.0, 0.0]]), np.arange(6).reshape(2, 3), actions=MASK)
    assert other.digest() == masked().digest()


def test_values_of_pairs_that_there_are_must_be_finite() -> None:
    with pytest.raises(TableError, match=r"the value of \(state 0, action 2\) is nan"):
        QTable(np.array([[np.nan, np.nan, np.nan]]), actions=[[False, False, True]])


@pytest.mark.parametrize(
    "actions", [np.ones((2, 3), int), np.ones((3, 2), bool), ~MASK[:1], [[True] * 3, [False] * 3]]
)
def test_masks_of_another_shape_or_type_are_refused(actions: Any) -> None:
    with pytest.raises(
        TableError, match=r"actions are .*; allowed: bool of shape \(2, 3\), with a True in every row"
    ):
        QTable(np.zeros((2, 3)), actions=actions)


def test_files_without_a_table_are_refused(tmp_path: Path) -> None:
    values, visits = np.zeros((2, 2)), np.zeros((2, 2), np.int64)
    for tensors, header in (
        ({}, {}),
        ({"values": values}, {}),
        ({"visits": visits}, {}),
        ({"values": values, "visits": visits}, {"environment": 5}),
    ):
        write_tensors(tmp_path / "table", tensors, {"kind": "table", **header})
        with pytest.raises(FileError, match=r"holds no table: .*; use another file"):
            QTable.load(tmp_path / "table")


# ---- as an array, a frame and a file of figures


def test_a_table_is_an_array() -> None:
    values = np.array([[0.0, 1.0], [2.0, -1.0], [3.0, 3.0]])
    table = QTable(values)
    assert table.shape == np.shape(table) == (3, 2)
    assert (np.asarray(table) == values).all()
    assert not np.asarray(table).flags.writeable
    assert np.array(table).flags.writeable
    assert np.asarray(table, np.float32).dtype == np.float32
    assert np.max(table) == 3.0
    assert table[1].tolist() == [2.0, -1.0]
    assert table[1, 0] == 2.0
    assert table[-1].tolist() == [3.0, 3.0]
    assert table[:, 1].tolist() == [1.0, -1.0, 3.0]
    assert len(table) == 3
    assert [row.tolist() for row in table] == values.tolist()


def test_a_table_cannot_be_written_to_by_index() -> None:
    with pytest.raises(ValueError, match="read-only"):
        QTable(np.zeros((2, 2)))[0][0] = 1.0


def test_a_state_that_does_not_exist_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        QTable(np.zeros((2, 2)))[2]


def test_an_array_of_another_type_needs_a_copy() -> None:
    table = QTable(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="without a copy"):
        table.__array__(np.float32, copy=False)
    assert table.__array__(copy=False).dtype == np.float64


@pytest.mark.parametrize("keys", [None, np.array([7, 2**64 - 1], np.uint64)])
def test_a_table_is_a_frame_and_a_file(keys: Any, tmp_path: Path) -> None:
    actions = np.array([[True, False], [True, True]])
    table = QTable(np.array([[0.5, 9.0], [1.0, 2.0]]), np.array([[3, 0], [4, 5]]), keys=keys, actions=actions)
    frame = table.to_pandas()
    names = ["value_0", "value_1", "visits_0", "visits_1", "action"]
    assert list(frame) == names if keys is None else ["key", *names]
    assert frame["value_1"].tolist() == [-np.inf, 2.0]
    assert frame["visits_1"].tolist() == [0, 5]
    assert frame["action"].tolist() == [0, 1]
    table.to_csv(tmp_path / "table.csv")
    first, *lines = (tmp_path / "table.csv").read_text().splitlines()
    assert first == ",".join(["state", *frame])
    assert lines[1].split(",")[0] == "1"
    assert lines[1].endswith(",1.0,2.0,4,5,1")


def test_files_of_something_else_name_their_reader(tmp_path: Path) -> None:
    many = {f"tensor.{number}": np.zeros(1) for number in range(48)}
    for kind, reader in (
        ("learner", "cdq.QLearner.load"),
        ("checkpoint", "cdq.QLearner.resume"),
        ("model", "cdq.MDP.load"),
    ):
        write_tensors(tmp_path / "file", many, {"kind": kind})
        with pytest.raises(FileError, match=f"holds a {kind}, not a table; .*{reader}"):
            QTable.load(tmp_path / "file")
    write_tensors(tmp_path / "file", many, {"kind": "table"})
    with pytest.raises(
        FileError, match="holds no table: tensor.0, tensor.1, tensor.10 and more; use another file$"
    ):
        QTable.load(tmp_path / "file")
