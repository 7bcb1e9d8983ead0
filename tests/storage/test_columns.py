"""Columns of figures: as CSV files, and as frames of pandas."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cdq.errors import FileError, PackageMissing
from cdq.storage.columns import to_pandas, write_csv

COLUMNS = {
    "steps": np.array([1, 2**62]),
    "gap": np.array([0.1 + 0.2, np.nan]),
    "name": np.array(["a,b", 'say "c"']),
}


def test_a_csv_file_holds_names_and_rows(tmp_path: Path) -> None:
    write_csv(tmp_path / "figures.csv", COLUMNS)
    with open(tmp_path / "figures.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["steps", "gap", "name"],
            ["1", "0.30000000000000004", "a,b"],
            ["4611686018427387904", "", 'say "c"'],
        ]
    assert os.listdir(tmp_path) == ["figures.csv"]


def test_what_is_written_is_read_back_to_the_bit(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    columns = {"x": random.standard_normal(25_000), "n": np.arange(25_000)}
    write_csv(tmp_path / "long.csv", columns)
    with open(tmp_path / "long.csv", newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [float(row["x"]) for row in read] == columns["x"].tolist()
    assert [int(row["n"]) for row in read] == columns["n"].tolist()


def test_infinities_are_kept(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", {"x": np.array([-np.inf, np.inf])})
    assert pd.read_csv(tmp_path / "x.csv")["x"].tolist() == [-np.inf, np.inf]


def test_without_rows_names_are_written(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", {"a": np.zeros(0), "b": np.zeros(0)})
    assert (tmp_path / "x.csv").read_text() == "a,b\n"


def test_a_place_that_cannot_be_written_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no directory"):
        write_csv(tmp_path / "nowhere" / "x.csv", COLUMNS)
    with pytest.raises(FileError, match="a directory"):
        write_csv(tmp_path, COLUMNS)


def test_a_frame_has_the_columns_and_is_a_copy() -> None:
    column = np.zeros(2)
    frame = to_pandas({"x": column, "y": np.array([1, 2])})
    frame.loc[0, "x"] = 5.0
    assert list(frame) == ["x", "y"]
    assert column.tolist() == [0.0, 0.0]


def test_without_pandas_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(PackageMissing, match=r'pip install "cdq\[pandas\]"; to_csv needs nothing'):
        to_pandas(COLUMNS)
