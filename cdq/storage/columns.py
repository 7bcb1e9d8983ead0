"""Columns of figures: as a CSV file, and as a frame of pandas."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cdq.errors import PackageMissing
from cdq.storage.files import check_replaceable, replacing

Columns = Mapping[str, npt.NDArray[Any]]

_ROWS = 10_000  # that are written at a time


def to_pandas(columns: Columns) -> Any:
    """Return a `pandas.DataFrame` of columns of one length.

    Raises
    ------
    PackageMissing
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise PackageMissing(
            f'a frame needs pandas ({error}): pip install "cdq[pandas]"; to_csv needs nothing'
        ) from None
    return pandas.DataFrame({name: column.copy() for name, column in columns.items()})


def in_digits(value: float, digits: int = 4) -> str:
    """Return a number for people, in so many significant digits: an exponent is for what is next to 0 alone.

    Examples
    --------
    >>> in_digits(0.54321), in_digits(-123456.7), in_digits(120.0, 2), in_digits(3.3e-11, 2)
    ('0.5432', '-123,500', '120', '3.3e-11')
    """
    rounded = float(f"{value:.{digits}g}")
    if not 1 <= abs(rounded) < 1e16:
        return f"{rounded:.{digits}g}"
    return f"{rounded:,.{max(digits, len(str(int(abs(rounded)))))}g}"


def write_csv(path: str | os.PathLike[str], columns: Columns) -> None:
    """Write columns of one length to a CSV file, atomically: names first, then a line per row.

    Numbers are written so that reading them back gives the same to the bit; NaN is an empty field.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    where = Path(path)
    check_replaceable(where)
    n = min((len(column) for column in columns.values()), default=0)
    with replacing(where) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(columns)
        for first in range(0, n, _ROWS):
            parts = (column[first : first + _ROWS].tolist() for column in columns.values())
            rows.writerows(map(_field, row) for row in zip(*parts, strict=True))
        text.detach()


def _field(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value
