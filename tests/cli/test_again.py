"""A command with --checkpoint that is given again goes on; with --new it begins anew."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import cdq
from cdq.cli import main
from tests.cli.test_cli import run_json
from tests.cli.test_resume import KEYS, LONG, QUICK, signalled


def kept(directory: Path) -> list[int]:
    return [int(path.stem.partition("-")[2]) for path in sorted(directory.glob("checkpoint-*"))]


def test_a_command_that_was_killed_is_given_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = run_json(capsys, *QUICK, *LONG, "--checkpoint", str(tmp_path / "whole"))
    command = [*QUICK, *LONG, "--checkpoint", str(tmp_path / "killed")]
    for after in (3, 20):
        assert signalled(command, tmp_path / "killed", signal.SIGKILL, after)[0] == -signal.SIGKILL
    for _ in range(2):  # once it has finished, it reports
        report = run_json(capsys, *command)
        assert {name: report[name] for name in KEYS} == {name: expected[name] for name in KEYS}


def test_steps_are_those_of_the_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*QUICK, "--checkpoint", str(tmp_path / "run")]
    assert run_json(capsys, *command, "--steps", "1e5")["steps"] < 1e5 + 100
    assert 2e5 <= run_json(capsys, *command, "--steps", "2e5")["steps"] < 2e5 + 100
    assert 2e5 <= run_json(capsys, *command, "--steps", "1e5")["steps"] < 2e5 + 100
    assert 2e5 <= run_json(capsys, *command)["steps"] < 2e5 + 100


def test_a_condition_that_was_met_is_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*QUICK, "--checkpoint", str(tmp_path / "run"), "--steps", "5e6", "--until-optimal", "0.05"]
    first = run_json(capsys, *command)
    assert (first["until_reached"], first["steps"] < 5e6) == (True, True)
    again = run_json(capsys, *command)
    assert (again["digest"], again["steps"]) == (first["digest"], first["steps"])
    closer = run_json(capsys, *command[:-1], "0.01")
    assert closer["gap"] <= 0.01
    assert closer["steps"] > first["steps"]


def test_new_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "run"
    command = ["train", "FrozenLake-v1", "--checkpoint", str(directory)]
    run_json(capsys, *command, "--seed", "0", "--steps", "1e5")
    report = run_json(capsys, *command, "--seed", "1", "--steps", "2e4", "--new")
    assert report["digest"] == cdq.QLearner("FrozenLake-v1", seed=1).learn(2e4).table.digest()
    assert max(kept(directory)) < 1e5
    assert run_json(capsys, *command)["digest"] == report["digest"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ["--seed", "1"],
            "--seed: the run in the directory has something else (seed 0); leave it out to go on with",
        ),
        (["--gamma", "0.9"], "--gamma: the run in the directory has something else (gamma 0.99)"),
        (["--exploration", "0.2"], '(exploration {"kind": "constant", "value": 0.1})'),
        (["--sync-every", "1000", "--merge", "mean"], "--merge, --sync-every: the run"),
        (["--overlap"], "--overlap: the run in the directory has something else (overlap false)"),
        (["--stepping", "model"], "--stepping: the run in the directory has something else (FrozenLake-v1)"),
        (["--env-arg", "success_rate=0.9"], "whose model differs"),
    ],
)
def test_another_run_is_refused(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "FrozenLake-v1", "--checkpoint", str(tmp_path / "run")]
    run_json(capsys, *command, "--seed", "0", "--steps", "1e4")
    before = kept(tmp_path / "run")
    assert main([*command, *more]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert kept(tmp_path / "run") == before
    assert main(["train", "Taxi-v4", "--checkpoint", str(tmp_path / "run")]) == 2
    assert "whose model differs from that of Taxi-v4" in capsys.readouterr().err


def test_arguments_of_the_environment_are_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    firm = ["train", "FrozenLake-v1", "--env-arg", "is_slippery=false", "--checkpoint", str(tmp_path / "run")]
    first = run_json(capsys, *firm, "--seed", "0", "--steps", "1e4")
    assert run_json(capsys, *firm)["digest"] == first["digest"]
    assert main(["train", "FrozenLake-v1", "--checkpoint", str(tmp_path / "run")]) == 2
    assert "--env-arg: the run in the directory has something else" in capsys.readouterr().err


def test_other_workers_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "FrozenLake-v1", "--seed", "0", "--checkpoint", str(tmp_path / "run")]
    run_json(capsys, *command, "--steps", "1e4", "--workers", "2")
    report = run_json(capsys, *command, "--steps", "2e4", "--workers", "1")
    assert (report["workers"], report["steps"] >= 2e4) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["FrozenLake-v1", "--new"], "--new belongs to --checkpoint"),
        (["--resume", "run", "--new"], "--new cannot be given with --resume"),
    ],
)
def test_new_is_for_checkpoints(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_new_deletes_nothing_before_the_command_is_sound(tmp_path: Path) -> None:
    command = ["train", "FrozenLake-v1", "--checkpoint", str(tmp_path / "run"), "--steps", "1e4"]
    assert main(command) == 0
    before = kept(tmp_path / "run")
    assert main([*command, "--new", "--gamma", "2"]) == 2
    assert main([*command, "--new", "--save", str(tmp_path / "no" / "where")]) == 2
    assert kept(tmp_path / "run") == before
