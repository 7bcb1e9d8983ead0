"""All benchmarks of the pages, each in a process of its own, one after the other, on the machine at hand.

    cdq bench all [--only rounds,merging] [--repeats 5] [--quick]

Tables are printed, added to the history of this kind of processor, `tests/benchmarks/history/KIND.jsonl`, and put into
the pages, beside those of other kinds. Figures that are beyond their spread from those of the run before, on the same
kind, are listed; the status is 1 if any of them is worse. With `--quick` each benchmark runs once, on little: that
shows that it works, and nothing is kept. With `--only none` nothing is measured, and the pages are made again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import cdq
from cdq.storage.files import replacing
from tests.benchmarks import history
from tests.benchmarks.history import WORSE, Change, Run
from tests.benchmarks.parts import PARTS, Part
from tests.benchmarks.processor import cpuinfo, kind_of, name_of
from tests.benchmarks.tables import Table, begin, beside, duplicates, put, row, tables

ROOT = Path(__file__).parents[2]
_MADE_BY = "Runs"  # the table that tells of which runs a page's tables are


def output_of(
    command: Sequence[str], python: str = sys.executable, environment: Mapping[str, str] | None = None
) -> str:
    """Run a module of the benchmarks where cdq is the installed one; print and return its output."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tests", "examples"):
            (Path(folder) / name).symlink_to(ROOT / name)
        whole = [python, "-m", f"tests.benchmarks.{command[0]}", *command[1:]]
        with subprocess.Popen(
            whole, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, whole)
    return "".join(lines)


def measure(name: str, part: Part, repeats: int | None, quick: bool) -> Run:
    """Run a benchmark; return its tables, and what they are of."""
    load, told = os.getloadavg()[0], cpuinfo()
    again = 1 if quick else repeats
    printed = output_of(
        [*(part.quick if quick else part.command).split(), *(["--repeats", str(again)] if again else [])]
    )
    found = tables(printed)
    if not found:
        raise ValueError("it printed no table below a title")
    for table in found:
        if twice := duplicates(table.rows):
            raise ValueError(f"rows of {table.title!r} have the same name: {', '.join(twice)}")
    date = datetime.now(timezone.utc).isoformat(timespec="minutes")
    return Run(name, date, version(), kind_of(told), name_of(told), round(load, 1), found, again)


def version() -> str:
    """Return the commit that is measured, or the version where there is no repository."""
    commit, changed = (
        subprocess.run(
            ["git", *command], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()
        for command in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--", "cdq"))
    )
    return (commit or cdq.__version__) + (", changed" if changed else "")


def make_pages(root: Path, runs: Sequence[Run]) -> list[str]:
    """Put the last tables of all parts into the pages; return the titles that have no place in them."""
    missing = []
    for name in sorted({part.page for part in PARTS.values()}):
        path = root / name
        page = path.read_text(encoding="utf-8")
        shown = [part for part in PARTS if PARTS[part].page == name]
        for table in [runs_table(runs, shown), *(t for part in shown for t in tables_of(runs, part))]:
            new = put(page, table)
            missing += [f"{name}: {table.title}"] if new is None else []
            page = page if new is None else new
        with replacing(path) as file:
            file.write(page.encode())
    return missing


def tables_of(runs: Iterable[Run], part: str) -> list[Table]:
    """Return the tables of a part's newest run, with figures of other kinds beside its own."""
    last = history.last(runs, part)
    if not last:
        return []
    own = next(reversed(last))
    return [beside(table, _others(last, table.title), own) for table in last[own].tables]


def _others(last: dict[str, Run], title: str) -> dict[str, Table]:
    """Return the table of a title as other kinds than the newest run's have it."""
    *others, _ = last.values()
    return {run.kind: table for run in others for table in run.tables if table.title == title}


def runs_table(runs: Sequence[Run], shown: Iterable[str]) -> Table:
    """Return the table of which runs on which processors a page shows."""
    found = {part: history.last(runs, part) for part in shown}
    kinds = sorted({kind for last in found.values() for kind in last})
    rows = [
        [
            f"`cdq bench all --only {part}`",
            f"`{PARTS[part].command}`",
            *(said(last.get(kind)) for kind in kinds),
        ]
        for part, last in found.items()
        if last
    ]
    return Table(_MADE_BY, ["command", "which runs, behind `python -m tests.benchmarks.`", *kinds], rows)


def said(run: Run | None) -> str:
    """Return when a run was, of which version, and what else the machine did."""
    if run is None:
        return ""
    load = "" if run.load is None else f", load {run.load:g}"
    repeats = "" if run.repeats is None else f", {run.repeats} repeats"
    return f"{run.date[:10]}, {run.version}{load}{repeats}"


def show_changes(found: Sequence[Change]) -> None:
    """Print which figures changed."""
    begin("Beyond their spread since the run before on this kind of processor", "figure", "before", "now", "")
    for change in found:
        row(change.where, change.before, change.now, change.verdict)


def run_all(names: Iterable[str], repeats: int | None, quick: bool, root: Path = ROOT) -> bool:
    """Run benchmarks; keep and compare what they print. Return True if all ran and nothing is worse."""
    folder, found, failed = root / "tests/benchmarks/history", list[Change](), list[str]()
    history.read(folder)  # what is wrong with it is told before anything is measured
    for name in names:
        print(f"\n{name}: {PARTS[name].command}", flush=True)
        try:
            run = measure(name, PARTS[name], repeats, quick)
        except (subprocess.CalledProcessError, ValueError) as error:
            failed.append(f"{name}: {error}")
            continue
        if quick:
            continue
        before = history.last(history.read(folder), name).get(run.kind)
        found += history.changes(before, run) if before else []
        history.append(folder, run)
        make_pages(root, history.read(folder))  # as the next one may take long, or be interrupted
    if not quick:
        failed += [f"no title in {title}" for title in make_pages(root, history.read(folder))]
    if found:
        show_changes(found)
    for line in failed:
        print(line, file=sys.stderr)
    return not failed and not any(change.verdict == WORSE for change in found)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), metavar="NAMES", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=int, metavar="N", help="default: that of each benchmark")
    parser.add_argument("--quick", action="store_true", help="once, on little; nothing is kept")
    given = parser.parse_args()
    names = [name for name in given.only.split(",") if name != "none"]
    for name in names:
        if name not in PARTS:
            parser.error(f"unknown benchmark {name!r}; known: {', '.join(PARTS)}")
    told = cpuinfo()
    print(f"{kind_of(told)} ({name_of(told)}), {os.cpu_count()} cores, {version()}")
    try:
        sys.exit(not run_all(names, given.repeats, given.quick))
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:  # what was measured whole is kept
        sys.exit(130)


if __name__ == "__main__":
    main()
