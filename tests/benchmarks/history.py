"""Histories of figures: a file for each kind of processor, a line of JSON for each run of a benchmark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.tables import Figure, Table, figure

# A figure is better the more or the less it is by its column's name, or its row's, or its table's.
_MORE = re.compile(
    r"/s\b|\bpart of\b|\bthroughput\b|\bmillion\b|\bagainst one\b|/ this\b|\bto \d(?!e)|^copy="
)
_LESS = re.compile(r"\b(?:ms|us|ns|s|seconds|microseconds|MiB|MB|GB|bytes)\b")
# Rows and columns of other programs, beside which cdq is measured.
_OTHERS = re.compile(
    r"(?:.*, )?(?:NumPy|TensorFlow|Numba(?! chain)|QuantEcon|C\b|echo|Allreduce|dd|bare|a fused mean|limit)"
)
WORSE = "worse"
_DRIFT = 0.05  # between runs of one build, beyond what repeats show


class Run(NamedTuple):
    """Run of a benchmark: when, of which version, on a processor of which kind, its tables, and repeats asked for."""

    part: str
    date: str
    version: str
    kind: str
    processor: str
    load: float | None
    tables: list[Table]
    repeats: int | None = None


class Change(NamedTuple):
    """Figure that is beyond its spread, and beyond what machines drift, from that of the run before."""

    where: str
    before: str
    now: str
    verdict: str


def file_of(folder: Path, kind: str) -> Path:
    """Return the file of a kind of processor."""
    return folder / f"{re.sub(r'[^a-z0-9]+', '-', kind.lower()).strip('-')}.jsonl"


def append(folder: Path, run: Run) -> None:
    """Add a run to the history of its kind."""
    text = json.dumps(
        {**run._asdict(), "tables": [table._asdict() for table in run.tables]}, ensure_ascii=False
    )
    with file_of(folder, run.kind).open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def read(folder: Path) -> list[Run]:
    """Return the runs of all kinds, the oldest first; raise ValueError for a line that is none."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                found.append(_run(json.loads(text)))
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{path}, line {number} is no run of a benchmark: {error}") from error
    return sorted(found, key=lambda run: run.date)


def _run(told: dict[str, Any]) -> Run:
    return Run(**{**told, "tables": [Table(**table) for table in told["tables"]]})


def last(runs: Iterable[Run], part: str) -> dict[str, Run]:
    """Return the last run of a part on each kind of processor, the newest last."""
    found: dict[str, Run] = {}
    for run in runs:
        if run.part == part:
            found.pop(run.kind, None)
            found[run.kind] = run
    return found


def changes(before: Run, now: Run) -> list[Change]:
    """Return the figures of which the ranges of both runs are apart, by more than machines drift."""
    known = {table.title: table for table in before.tables}
    found = []
    for table in now.tables:
        if table.title not in known:
            continue
        for name, *cells in table.rows:
            for column, cell in zip(table.head[1:], cells, strict=True):
                old = known[table.title].cell(name, column)
                one, other = figure(old), figure(cell)
                if one and other and apart(one, other):
                    where = f"{now.part}: {table.title}: {name}, {column}"
                    found.append(Change(where, old, cell, verdict(one, other, table.title, name, column)))
    return found


def apart(one: Figure, other: Figure) -> bool:
    """Return True if neither range has anything of the other, drift counted in."""
    low, high = sorted((one, other), key=lambda each: each.median)
    return low.greatest + _DRIFT * abs(low.median) < high.least


def verdict(before: Figure, now: Figure, title: str, row: str, column: str) -> str:
    """Return whether a figure, by its names, is worse than before, better, or another program's."""
    if is_of_others(row, column):
        return "not of cdq"
    return WORSE if (now.median > before.median) == less_is_better(title, row, column) else "better"


def is_of_others(row: str, column: str) -> bool:
    """Return whether a row or a column is of another program, beside which cdq is measured."""
    return bool(_OTHERS.match(row) or _OTHERS.match(column))


def less_is_better(title: str, row: str, column: str) -> bool:
    """Return True unless a name says that more is better: that of the column, else of the table, else of the row."""
    for name in (column, title, row):
        if _MORE.search(name):
            return False
        if _LESS.search(name):
            return True
    return True
