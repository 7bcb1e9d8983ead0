"""All benchmarks of the pages by two builds of cdq in turn: figure by figure, how much faster the new build is.

    python -m tests.benchmarks.in_turn --python OLD/bin/python NEW/bin/python [--only rules,tasks] [--pairs 3] [--cpu]

Both interpreters run the benchmarks of this checkout, each in a process of its own, in turn; which one begins changes
from pair to pair. A figure that is a speed, a time or memory gets a row: what the new build makes, and how many times
better that is, above 1 where the new build is better, by the median of the pairs with the least and the greatest.
Ratios and differences that a benchmark forms itself, such as parts of another loop's speed, and figures of other
programs get none. At the end stand the rows below `SLOWER`, which are in bold.

With `--cpu` programs measure CPU time, of themselves and of the processes that they have waited for, where they would
look at the clock: other work on the machine changes it least. Benchmarks that sleep, wait for messages or write to a
disk want the clock, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.__main__ import output_of
from tests.benchmarks.history import is_of_others, less_is_better
from tests.benchmarks.parts import PARTS
from tests.benchmarks.tables import GOALS, begin, number, row, tables

SLOWER = 0.97
Figures = dict[str, tuple[float, bool]]  # by what they are of: the figure, and whether less of it is better

_UNIT = re.compile(r"/s\b|\b(?:ms|us|ns|s|seconds|microseconds|million|MiB|GB|bytes)\b")
# Ratios, differences, which are more noise than what they are of, and counts: by a column's name, or any name.
_NO_COLUMN = re.compile(
    r"\b(?:added|difference|above|beside|to|times|switches|forced|at most)\b|/ \w|of 32 MB|copy="
)
_NO_MEASURE = re.compile(r"\bpart of\b|\bagainst one")

# What Python runs as it starts, where it finds it: the clock of benchmarks becomes one of CPU time.
_CPU_CLOCK = """
import resource, time
def cpu_seconds():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
time.perf_counter = cpu_seconds
"""


def figures(printed: str) -> Figures:
    """Return the measured figures in the tables that a benchmark prints."""
    found = {}
    for table in tables(printed):
        for name, *cells in table.rows:
            for column, cell in zip(table.head[1:], cells, strict=True):
                value = number(cell)
                if value and is_measure(table.title, name, column):
                    where = f"{table.title}: {name}, {column}"
                    found[where] = value, less_is_better(table.title, name, column)
    return found


def is_measure(title: str, name: str, column: str) -> bool:
    """Return whether a figure is a speed, a time or memory of cdq, by the names of its column, row and table."""
    if column in GOALS or is_of_others(name, column) or _NO_COLUMN.search(column):
        return False
    for each in (column, name, title):
        if _NO_MEASURE.search(each):
            return False
        if _UNIT.search(each):
            return True
    return False


def better(old: Figures, new: Figures) -> dict[str, float]:
    """Return, of each figure that both builds have, how many times better the new one is."""
    common = [where for where in new if where in old]
    return {
        where: old[where][0] / new[where][0] if new[where][1] else new[where][0] / old[where][0]
        for where in common
    }


def in_turn(
    command: Sequence[str], pythons: Sequence[str], pairs: int, environment: dict[str, str]
) -> Iterator[tuple[Figures, Figures]]:
    """Run a benchmark by both builds, *pairs* times."""
    for i in range(pairs):
        first = i % 2  # of the interpreters
        found = [figures(output_of(command, pythons[each], environment)) for each in (first, 1 - first)]
        yield found[first], found[1 - first]


def compare(part: str, pairs: Iterable[tuple[Figures, Figures]]) -> list[list[str]]:
    """Return the rows of a benchmark."""
    done = list(pairs)
    ratios = [better(old, new) for old, new in done]
    rows = []
    for where in ratios[0]:
        found = [each[where] for each in ratios if where in each]
        middle = f"{median(found):.2f}"
        mark = "**" if median(found) < SLOWER else ""
        value = median(new[where][0] for _, new in done if where in new)
        rows.append(
            [f"{part}: {where}", f"{value:g}", f"{mark}{middle}{mark} ({min(found):.2f} - {max(found):.2f})"]
        )
    return rows


def run_all(names: Iterable[str], command: argparse.Namespace, environment: dict[str, str]) -> bool:
    """Compare benchmarks, and print what they come to; return whether all ran."""
    found, failed = list[list[str]](), list[str]()
    for name in names:
        part = PARTS[name]
        words = [*(part.quick if command.quick else part.command).split()]
        words += ["--repeats", str(command.repeats)] if command.repeats else []
        try:
            rows = compare(name, in_turn(words, command.python, command.pairs, environment))
        except subprocess.CalledProcessError as error:
            failed.append(f"{name}: {error}")
            continue
        show(f"{name}, by two builds in turn", rows)
        found += rows
    show(f"Below {SLOWER}", [cells for cells in found if "**" in cells[-1]])
    for line in failed:
        print(line, file=sys.stderr)
    return not failed


def show(title: str, rows: Iterable[Sequence[str]]) -> None:
    """Print rows."""
    begin(title, "figure", "new build", "times better than the old one")
    for cells in rows:
        row(*cells)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", nargs=2, required=True, metavar=("OLD", "NEW"), help="interpreters")
    parser.add_argument("--only", default=",".join(PARTS), metavar="NAMES", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--pairs", type=int, default=3, help="times that both run a benchmark")
    parser.add_argument(
        "--repeats", type=int, metavar="N", help="within a run; default: that of each benchmark"
    )
    parser.add_argument("--quick", action="store_true", help="on little")
    parser.add_argument("--cpu", action="store_true", help="measure CPU time")
    given = parser.parse_args()
    if unknown := [name for name in given.only.split(",") if name not in PARTS]:
        parser.error(f"unknown benchmarks: {', '.join(unknown)}; known: {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(_CPU_CLOCK if given.cpu else "")
        sys.exit(not run_all(given.only.split(","), given, {**os.environ, "PYTHONPATH": folder}))


if __name__ == "__main__":
    main()
