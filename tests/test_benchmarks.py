"""The program that runs all benchmarks: tables, kinds of processors, histories and pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cdq.cli import main
from tests.benchmarks import __main__ as everything
from tests.benchmarks import history, in_turn, mpi
from tests.benchmarks.history import Run
from tests.benchmarks.mirror import Mirror
from tests.benchmarks.parts import PARTS, Part
from tests.benchmarks.processor import kind_of
from tests.benchmarks.tables import Figure, Table, beside, figure, is_figure, line, put, spread, tables
from tests.shown import ROOT

SPEED = Table(
    "Speeds", ["windows", "part of it", "goal", "note"], [["10,000", "0.93 (0.91 - 0.96)", "0.9", "a"]]
)
PRINTED = f"""1e7 steps

Speeds

{line(SPEED.head)}
|---|---|---|---|
{line(SPEED.rows[0])}

| a table without a title |
|---|
| 1 |
"""


def cpuinfo(**told: object) -> str:
    return (
        "".join(f"{key.replace('_', ' ')}\t: {value}\n" for key, value in told.items()) + "\nprocessor\t: 1\n"
    )


def amd(family: int, model: int) -> str:
    return cpuinfo(processor=0, cpu_family=family, model=model, model_name="AMD X").replace(
        "cpu family", "vendor_id\t: AuthenticAMD\ncpu family"
    )


def run(kind: str, date: str, cell: str, title: str = "Speeds", column: str = "part of it") -> Run:
    table = Table(title, ["windows", column], [["10,000", cell]])
    return Run("fast", date, "abc", kind, f"{kind} 9000", 0.1, [table])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (amd(25, 1), "AMD Zen 3"),
        (amd(25, 0x11), "AMD Zen 4"),
        (amd(25, 0x61), "AMD Zen 4"),
        (amd(26, 2), "AMD Zen 5"),
        (amd(23, 49), "AMD Zen 2"),
        (amd(99, 2), "AMD X"),
        (
            cpuinfo(model=143).replace("model", "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel"),
            "Intel Sapphire Rapids",
        ),
        (cpuinfo(CPU_implementer="0x41", CPU_part="0xd40"), "Arm Neoverse V1"),
        (cpuinfo(CPU_implementer="0x61", CPU_part="0x022"), "Arm 0x61 0x22"),
        (cpuinfo(model_name="VIA Nano"), "VIA Nano"),
    ],
)
def test_the_kind_of_a_processor(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_a_system_without_cpuinfo_has_a_kind() -> None:
    assert kind_of("")


def test_tables_are_read_as_they_are_printed() -> None:
    assert tables(PRINTED) == [SPEED]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("**1.78** (1.67 - 1.86)", Figure(1.78, 1.67, 1.86)),
        ("-0.5 (-.6 - 1,200)", Figure(-0.5, -0.6, 1200.0)),
        ("28", None),
        ("0.8 - 0.9", None),
        ("100 of 100", None),
        ("12 (of 13 - 14)", None),
    ],
)
def test_figures_are_medians_with_their_range(cell: str, found: Figure | None) -> None:
    assert figure(cell) == found


def test_numbers_and_ranges_are_figures_too_and_words_are_none() -> None:
    assert (
        list(map(is_figure, ["28", "0.8 - 0.9", "1 (0 - 2)", "", "more than 900", "`x`"]))
        == [True] * 3 + [False] * 3
    )


def test_what_falls_short_is_bold() -> None:
    assert spread([1.0, 2.0, 4.0], goal=3) == "**2.00** (1.00 - 4.00)"
    assert spread([1.0, 2.0, 4.0], goal=3, most=True) == "2.00 (1.00 - 4.00)"


def test_kinds_stand_side_by_side_where_both_have_figures() -> None:
    given = Table("Speeds", ["windows", "part of it", "goal"], [["10,000", "0.79", "0.8"], ["gone", "1", ""]])
    assert beside(SPEED, {"AMD Zen 4": given}, "AMD Zen 5") == Table(
        "Speeds",
        ["windows", "part of it, AMD Zen 4", "part of it, AMD Zen 5", "goal", "note"],
        [["10,000", "0.79", "0.93 (0.91 - 0.96)", "0.9", "a"]],
    )
    assert beside(SPEED, {"AMD Zen 4": given._replace(rows=[["gone", "1", ""]])}, "AMD Zen 5") == SPEED


def test_a_page_takes_a_table_in_place_of_that_below_the_same_title() -> None:
    page = put("# Page\n\nSpeeds\n\n| old |\n|---|\n| 1 |\n\nWords.\n", SPEED)
    assert page is not None
    assert tables(page) == [SPEED]
    assert page.endswith("|\n\nWords.\n")
    assert put("# Page\n", SPEED) is None


def test_histories_are_read_as_they_were_written(tmp_path: Path) -> None:
    runs = [
        run("AMD Zen 4", "2026-01-01", "1"),
        run("AMD Zen 5", "2026-01-02", "2"),
        run("AMD Zen 4", "2026-01-03", "3"),
    ]
    for each in runs:
        history.append(tmp_path, each)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["amd-zen-4.jsonl", "amd-zen-5.jsonl"]
    assert history.read(tmp_path) == runs
    assert list(history.last(runs, "fast").items()) == [("AMD Zen 5", runs[1]), ("AMD Zen 4", runs[2])]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"part": 1}', '{"tables": [{"rows": 1}]}'])
def test_a_line_that_is_no_run_is_told(tmp_path: Path, text: str) -> None:
    history.append(tmp_path, run("AMD Zen 4", "2026-01-01", "1"))
    with (tmp_path / "amd-zen-4.jsonl").open("a") as file:
        file.write(f"{text}\n")
    with pytest.raises(ValueError, match=r"amd-zen-4\.jsonl, line 2 is no run of a benchmark"):
        history.read(tmp_path)


@pytest.mark.parametrize(
    ("column", "before", "now", "verdict"),
    [
        ("part of the loop", "0.90 (0.89 - 0.91)", "0.80 (0.79 - 0.81)", ["worse"]),
        ("part of the loop", "0.80 (0.79 - 0.81)", "0.90 (0.89 - 0.91)", ["better"]),
        ("ms", "10.0 (9.9 - 10.1)", "12.0 (11.9 - 12.1)", ["worse"]),
        ("million steps/s", "10.0 (9.9 - 10.1)", "12.0 (11.9 - 12.1)", ["better"]),
        ("Numba, phases", "10.0 (9.9 - 10.1)", "2.0 (1.9 - 2.1)", ["not of cdq"]),
        ("part of the loop", "0.90 (0.80 - 0.95)", "0.80 (0.75 - 0.81)", []),  # the ranges meet
        ("part of the loop", "0.90 (0.89 - 0.91)", "0.87 (0.86 - 0.88)", []),  # as machines drift
        ("part of the loop", "0.90", "0.50", []),  # nothing is known of their spread
    ],
)
def test_a_regression_is_seen(column: str, before: str, now: str, verdict: list[str]) -> None:
    runs = [run("AMD Zen 5", "2026-01-01", cell, column=column) for cell in (before, now)]
    assert [change.verdict for change in history.changes(*runs)] == verdict


def test_less_time_is_better_however_exact_an_answer_is() -> None:
    assert history.less_is_better("Speeds", "`solve` a model, gamma .95, to 1e-6, s", "figure")
    assert not history.less_is_better("Speeds", "two workers to 1", "figure")


def test_a_table_of_speeds_is_one_though_its_rows_name_times() -> None:
    assert not history.less_is_better("Overlap, million steps/s", "10,000 steps, 1 ms", "in turn")
    assert not history.less_is_better("A merge over ipc", "hub, all", "copy=False")  # of an echo's throughput


def fake(root: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> Part:
    """Let a program be the only benchmark, of a checkout with a page and no history."""
    (root / "tests/benchmarks/history").mkdir(parents=True)
    (root / "examples").mkdir()
    (root / "docs").mkdir()
    for path in ("start.py", "__init__.py"):
        (root / "tests" / path).symlink_to(ROOT / "tests" / path)
    (root / "docs/benchmarks.md").write_text("# Page\n\nRuns\n\n| a |\n|---|\n\nSpeeds\n\n| old |\n|---|\n")
    (root / "tests/benchmarks/fast.py").write_text(program)
    # A program of another text, as long and of the same second, is not told from the one that was compiled.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    part = Part("fast", "fast")
    monkeypatch.setattr(everything, "PARTS", {"fast": part})
    monkeypatch.setattr(everything, "ROOT", root)
    return part


def test_all_keeps_what_it_measures_and_tells_what_fell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = f"import sys; assert sys.argv[1:] == ['--repeats', '3']; print('''{PRINTED}''')"
    fake(tmp_path, monkeypatch, program)
    assert everything.run_all(["fast"], 3, False, tmp_path)
    (first,) = history.read(tmp_path / "tests/benchmarks/history")
    assert first.tables == [SPEED]
    runs, page = tables((tmp_path / "docs/benchmarks.md").read_text())
    assert page == SPEED
    assert runs.rows[0][:2] == ["`cdq bench all --only fast`", "`fast`"]
    (tmp_path / "tests/benchmarks/fast.py").write_text(
        program.replace("0.93 (0.91 - 0.96)", "0.53 (0.51 - 0.56)")
    )
    assert not everything.run_all(["fast"], 3, False, tmp_path)
    assert (
        "| fast: Speeds: 10,000, part of it | 0.93 (0.91 - 0.96) | 0.53 (0.51 - 0.56) | worse |"
        in capsys.readouterr().out
    )
    assert len(history.read(tmp_path / "tests/benchmarks/history")) == 2


def test_a_quick_run_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, f"print('''{PRINTED}''')")
    page = (tmp_path / "docs/benchmarks.md").read_text()
    assert everything.run_all(["fast"], None, True, tmp_path)
    assert not history.read(tmp_path / "tests/benchmarks/history")
    assert (tmp_path / "docs/benchmarks.md").read_text() == page


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('no')", "fast: .*status 1"),
        ("print('no table')", "fast: it printed no table below a title"),
        (
            f"print('''{PRINTED.replace(line(SPEED.rows[0]), (line(SPEED.rows[0]) + chr(10)) * 2)}''')",
            "the same name: 10,000",
        ),
        (f"print('''{PRINTED.replace('Speeds', 'Rates')}''')", "no title in docs/benchmarks.md: Rates"),
    ],
)
def test_a_benchmark_that_fails_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    program: str,
    message: str,
) -> None:
    fake(tmp_path, monkeypatch, program)
    assert not everything.run_all(["fast"], None, False, tmp_path)
    assert re.search(message, capfd.readouterr().err)


@pytest.mark.parametrize(
    ("title", "name", "column", "found"),
    [
        ("Rules", "lake, sarsa", "million steps/s", True),
        ("Rules", "lake, sarsa", "part of Q-learning's", False),
        ("Speeds", "two threads, M steps/s", "figure", True),
        ("Speeds", "two threads against one", "figure", False),
        ("Speeds, million steps/s", "64", "cdq", True),
        ("Speeds, million steps/s", "64", "Numba, phases", False),
        ("Speeds, million steps/s", "C loop, million plies/s", "figure", False),
        ("Merges", "all", "ms", True),
        ("Merges", "all", "to Allreduce of 64 MB", False),
        ("Merges", "Allreduce 64 MB", "ms", False),
        ("solve, CPU seconds", "grid, 0.1 astray to each side", "build", True),
        ("solve, CPU seconds", "grid", "both / QuantEcon", False),
        ("solve, CPU seconds", "grid", "goal", False),
    ],
)
def test_builds_are_compared_by_speeds_times_and_memory(
    title: str, name: str, column: str, found: bool
) -> None:
    assert in_turn.is_measure(title, name, column) == found


def test_two_builds_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = """
import os
from time import perf_counter
new = os.environ["BUILD"] == "new"
assert perf_counter.__name__ == "cpu_seconds" and perf_counter() < perf_counter() + 1
print(f"Speeds\\n\\n| what | M steps/s | ms |\\n|---|---|---|\\n| a | {90 + 5 * new} (1 - 2) | {30 - 20 * new} |")
"""
    monkeypatch.setattr(in_turn, "PARTS", {"fast": fake(tmp_path, monkeypatch, program)})
    for build in ("old", "new"):
        (tmp_path / build).write_text(f'#!/bin/sh\nBUILD={build} exec {sys.executable} "$@"\n')
        (tmp_path / build).chmod(0o755)
    monkeypatch.setattr(
        sys, "argv", ["", "--python", *(str(tmp_path / build) for build in ("new", "old")), "--cpu"]
    )
    with pytest.raises(SystemExit) as ended:
        in_turn.main()
    assert ended.value.code == 0
    *_, rows, slower = tables(capfd.readouterr().out)
    assert rows.rows == [
        ["fast: Speeds: a, M steps/s", "90", "**0.95** (0.95 - 0.95)"],
        ["fast: Speeds: a, ms", "30", "**0.33** (0.33 - 0.33)"],
    ]
    assert slower.rows == rows.rows


def test_pages_have_a_place_for_every_table_of_the_histories(tmp_path: Path) -> None:
    runs = history.read(ROOT / "tests/benchmarks/history")
    (tmp_path / "docs").mkdir()
    pages = {part.page: (ROOT / part.page).read_text() for part in PARTS.values()}
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    assert not everything.make_pages(tmp_path, runs)
    assert {name: (tmp_path / name).read_text() for name in pages} == pages  # and they are these


@pytest.mark.parametrize("part", PARTS)
def test_every_benchmark_is_a_module(part: str) -> None:
    for command in PARTS[part][:2]:
        assert (ROOT / "tests/benchmarks" / f"{command.split()[0]}.py").is_file()


def test_the_time_of_a_round_is_that_of_its_steps_however_many_rows_a_history_has() -> None:
    settings = SimpleNamespace(sync_every=SimpleNamespace(floor=100), workers=2)
    steps, learnt = np.arange(1, 9) * 50, list[int]()  # four rows a round
    history = SimpleNamespace(to_arrays=lambda: {"steps": steps, "seconds": 3.0 + steps / 400})
    agent: Any = SimpleNamespace(
        settings=settings, rank=0, history=history, learn=lambda n, verbose: learnt.append(n)
    )
    assert mpi.seconds_per_round(agent, 2) == pytest.approx(0.5)
    assert learnt == [400]


@pytest.mark.parametrize("share", [0.25, 1])
def test_a_rank_among_others_that_do_as_it_does(share: float) -> None:
    table = mpi.Table(Mirror(4), 5000, 4)
    pairs = np.arange(0, 20_000, round(1 / share), dtype=np.uint32)
    table.touch(pairs)
    slices, _ = table.comm.merge(table.by_messages, "mean")
    table.commit(slices)
    merged = table.merged.values.reshape(-1)
    assert len(slices) == 4
    assert (merged[pairs[pairs < 5000]] == 1).all()  # its own slice: the mean of what is equal


@pytest.mark.slow
def test_cdq_bench_all(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The rest takes longer, or needs packages that tests do not."""
    monkeypatch.chdir(ROOT)
    names = ["speeds", "merging", "tasks", "rules", "network", "checkpoint", "signals", "games", "many"]
    assert main(["bench", "all", "--quick", "--only", ",".join(names)]) == 0
    found = tables(capfd.readouterr().out)
    assert len(found) == len(names)
    assert all(any(figure(cell) for cell in row) for table in found for row in table.rows)


def test_what_is_no_benchmark(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["bench", "all", "--only", "nothing"]) == 2
    assert "unknown benchmark 'nothing'; known: speeds, " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["all"], "there is no .*__main__.py here; call it in a checkout's directory"),
        (["all", "--env", "Taxi-v4"], "--env does not belong to cdq bench all"),
        (["all", "--json", "x.json"], "--json does not belong to cdq bench all"),
        (["all", "--repeats", "0"], "at least 1"),
        (["rollout", "--quick"], "--quick does not belong to cdq bench rollout"),
        (["list", "--only", "rounds"], "--only does not belong to cdq bench list"),
    ],
)
def test_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    assert re.search(message, capsys.readouterr().err)
