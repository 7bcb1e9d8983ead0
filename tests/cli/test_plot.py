"""cdq plot: pictures as files."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib import image

import cdq
from cdq.cli import main, pictures
from cdq.cli.plot import KINDS


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    path = tmp_path / "lake.safetensors"
    cdq.QLearner("FrozenLake-v1", workers=2, seed=0).learn(100_000).save(path)
    return path


@pytest.mark.parametrize("kind", ["auto", "curve", "gap", "bytes", "values", "visits", "table"])
def test_a_file_becomes_a_picture(kind: str, lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(lake), "--kind", kind]) == 0
    picture = lake.with_suffix(".png")
    assert capsys.readouterr().out == f"{'values' if kind == 'auto' else kind}: {picture}\n"
    assert min(image.imread(picture).shape[:2]) > 300
    assert sorted(os.listdir(lake.parent)) == ["lake.png", "lake.safetensors"]


def test_svg_is_written_and_the_same_each_time(lake: Path) -> None:
    pictures = []
    for name in ("a.svg", "b.svg"):
        assert main(["plot", str(lake), "--out", str(lake.parent / name)]) == 0
        pictures.append((lake.parent / name).read_text())
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith("<?xml")


def test_runs_that_differ_in_the_seed_are_a_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for merge in ("mean", "pooled"):
        for seed in range(2):
            names.append(str(tmp_path / f"{merge}-{seed}"))
            cdq.QLearner("FrozenLake-v1", merge=merge, seed=seed).learn(20_000).save(names[-1])
    drawn: list[Any] = []

    def curve(runs: Any) -> Any:
        drawn.append(runs)
        return cdq.plot.learning_curve(runs)

    monkeypatch.setitem(pictures.OF_RUNS, "curve", curve)
    assert main(["plot", *names]) == 0
    assert {name: len(runs) for name, runs in drawn[0].items()} == {"mean-0": 2, "pooled-0": 2}
    assert main(["plot", *names[:2]]) == 0
    assert len(drawn[1]) == 2


def test_checkpoints_tables_and_solutions_are_drawn(tmp_path: Path) -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0, checkpoint=tmp_path / "run").learn(20_000)
    agent.table.save(tmp_path / "table")
    cdq.solve("FrozenLake-v1", 0.9).save(tmp_path / "solution")
    assert main(["plot", str(tmp_path / "run")]) == 0
    assert main(["plot", str(tmp_path / "table")]) == 0
    assert main(["plot", str(tmp_path / "solution"), "--kind", "values", "--env", "FrozenLake-v1"]) == 0
    assert {"run.png", "table.png", "solution.png"} <= set(os.listdir(tmp_path))


def test_speed_up_is_drawn_of_files_of_several_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        cdq.QLearner("FrozenLake-v1", workers=workers, seed=0).learn(5_000).save(tmp_path / str(workers))
    assert main(["plot", str(tmp_path / "1"), str(tmp_path / "2"), "--kind", "speedup"]) == 0
    assert (tmp_path / "1.png").exists()


def test_mountain_car_is_a_surface(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cdq.QLearner("MountainCar-v0", seed=0).learn(2_000).save(tmp_path / "car")
    assert main(["plot", str(tmp_path / "car")]) == 0
    assert capsys.readouterr().out.startswith("surface: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "vals"], "unknown kind of picture 'vals'; known: .* Did you mean 'values'?"),
        (["--out", "picture.pdf"], "the picture is picture.pdf; allowed: a name that ends with .png or .svg"),
        (["--out", "nowhere/picture.png"], "there is no directory nowhere"),
        (["nothing"], "cannot read nothing"),
        (["rows.csv"], "rows.csv is a log, which table programs draw; give a file of cdq train --save"),
        (["LAKE", "--kind", "values"], "2 files for values, a picture of one; give one, or --kind curve"),
        (["--kind", "surface"], "has no values of vectors"),
        (["--kind", "speedup"], "give two or more"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(lake) if argument == "LAKE" else argument for argument in arguments]
    assert main(["plot", str(lake), *given]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert os.listdir(lake.parent) == ["lake.safetensors"]


def test_without_matplotlib_the_command_says_what_to_install(
    lake: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["plot", str(lake)]) == 2
    assert 'pip install "cdq[plot]"' in capsys.readouterr().err


def test_the_help_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert (*pictures.OF_RUNS, *pictures.OF_RESULTS) == KINDS
    assert main(["plot", "--help"]) == 0
    assert "FILE..." in capsys.readouterr().out
