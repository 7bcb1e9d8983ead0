"""Tables of figures as Markdown: benchmarks print them, pages and histories hold them.

A table stands below its title and an empty line. The first cell of a row names it. A figure is a median with the least
and the greatest of its repeats, `1.78 (1.67 - 1.86)`, a range, `0.80 - 0.93`, or a number; everything else is text.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_NUMBER = r"-?(?:\d[\d,]*)?\.?\d+"
_FIGURE = re.compile(rf"(?P<median>{_NUMBER})(?: \((?P<least>{_NUMBER}) - (?P<greatest>{_NUMBER})\))?")
_RANGE = re.compile(rf"(?P<least>{_NUMBER}) - (?P<greatest>{_NUMBER})")
_TABLE = re.compile(r"^(?P<title>[^|\n].*)\n\n(?P<rows>(?:\|.*\n)+)", re.MULTILINE)

GOALS = ("goal", "at least", "at most")  # columns that hold what is asked for, on every processor the same


class Table(NamedTuple):
    """Title, names of the columns, and rows of cells."""

    title: str
    head: list[str]
    rows: list[list[str]]

    def cell(self, row: str, column: str) -> str:
        """Return a cell, or nothing where there is none."""
        if column in self.head:
            for cells in self.rows:
                if cells[0] == row:
                    return cells[self.head.index(column)]
        return ""


class Figure(NamedTuple):
    """Median of repeats with the least and the greatest."""

    median: float
    least: float
    greatest: float


def spread(figures: Iterable[float], form: str = ".2f", goal: float | None = None, most: bool = False) -> str:
    """Return median, least and greatest as a cell; bold if the median falls short of a goal, the least or the most."""
    found = list(figures)
    median = statistics.median(found)
    short = goal is not None and (median > goal if most else median < goal)
    mark = "**" if short else ""
    return f"{mark}{median:{form}}{mark} ({min(found):{form}} - {max(found):{form}})"


def begin(title: str, *head: str) -> None:
    """Print the title of a table and its head."""
    print(f"\n{title}\n\n{line(head)}\n{line(['---'] * len(head))}", flush=True)


def row(*cells: str) -> None:
    """Print a row."""
    print(line(cells), flush=True)


def line(cells: Iterable[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def tables(text: str) -> list[Table]:
    """Return the tables in a text that have a title."""
    found = []
    for match in _TABLE.finditer(text):
        head, _, *rows = (
            [cell.strip() for cell in row[1:-1].split("|")] for row in match["rows"].splitlines()
        )
        found.append(Table(match["title"], head, rows))
    return found


def figure(cell: str) -> Figure | None:
    """Return the figure in a cell, if there is one that was repeated."""
    match = _FIGURE.fullmatch(cell.replace("**", ""))
    if match is None or match["least"] is None:
        return None
    return Figure(*(float(match[name].replace(",", "")) for name in Figure._fields))


def number(cell: str) -> float | None:
    """Return the number in a cell, or the median of one that was repeated; None where there is none."""
    match = _FIGURE.fullmatch(cell.replace("**", ""))
    return float(match["median"].replace(",", "")) if match else None


def is_figure(cell: str) -> bool:
    """Return True for a number, a range, or a median with its range."""
    plain = cell.replace("**", "")
    return bool(_FIGURE.fullmatch(plain) or _RANGE.fullmatch(plain))


def beside(shown: Table, others: Mapping[str, Table], own: str) -> Table:
    """Return a table with the figures of other processors beside its own: a column for each that has any."""
    columns = [_columns(shown, column, {own: shown, **others}, own) for column in shown.head]
    head, *rows = zip(*(column for group in columns for column in group), strict=True)
    return Table(shown.title, list(head), [list(cells) for cells in rows])


def _columns(shown: Table, column: str, known: Mapping[str, Table], own: str) -> list[list[str]]:
    names = [cells[0] for cells in shown.rows]
    found = {kind: [table.cell(name, column) for name in names] for kind, table in known.items()}
    printed = [column, *(cells[shown.head.index(column)] for cells in shown.rows)]
    if column == shown.head[0] or column in GOALS or not any(map(is_figure, found[own])):
        return [printed]
    kinds = sorted(kind for kind, cells in found.items() if any(map(is_figure, cells)))
    if kinds == [own]:
        return [printed]
    return [[f"{column}, {kind}" if column else kind, *found[kind]] for kind in kinds]


def put(page: str, table: Table) -> str | None:
    """Return a page with a table in place of that below the same title, or None where it has no such title."""
    lines = [line(cells) for cells in (table.head, ["---"] * len(table.head), *table.rows)]
    new = "".join(f"{each}\n" for each in (table.title, "", *lines))
    found, n = re.subn(rf"(?m)^{re.escape(table.title)}\n\n(\|.*\n)+", lambda _: new, page)
    return found if n else None


def duplicates(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the names that more than one row has."""
    names = [cells[0] for cells in rows]
    return sorted({name for name in names if names.count(name) > 1})
