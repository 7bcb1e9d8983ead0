"""Fleets and workers that differ, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdq.cli import main

FLEET = ["cdq/CartPole-v0", "--fleet", "length=0.3", "--fleet", "length=0.9,masspole=0.2"]


def test_a_line_for_each_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", *FLEET, "--merge", "personal:100", "--steps", "2e4", "--seed", "0"]
    saved = tmp_path / "fleet.safetensors"
    assert main([*command, "--save", str(saved), "--json", str(tmp_path / "report.json")]) == 0
    shown = capsys.readouterr().out
    assert "worker 0" in shown
    assert "worker 1" in shown
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["workers"] == 2
    assert report["merge"] == {"kind": "Personal", "prior": 100.0, "memory": None}
    assert [report["agents"][name]["episodes_evaluated"] for name in ("0", "1")] == [1000, 1000]
    assert main(["evaluate", str(saved), "--episodes", "20"]) == 0
    assert "worker 1" in capsys.readouterr().out


def test_a_command_that_is_given_again_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", *FLEET, "--checkpoint", str(tmp_path / "run"), "--seed", "0", "--json", "-"]
    steps = []
    for more in ("1e4", "2e4"):
        assert main([*command, "--steps", more]) == 0
        steps.append(json.loads(capsys.readouterr().out)["steps"])
    assert steps[1] > steps[0]
    assert main([*command[:-4], "--steps", "3e4", "--federation", "0.5"]) == 2
    assert "--federation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fleet", "length"], "--fleet is 'length'; allowed: NAME=VALUE"),
        (["--fleet", "length=1,length=2"], "--fleet gives length twice"),
        (["--fleet", "weight=1"], "weight"),
        (["--merge", "personal:x"], "merge is 'personal:x'; allowed: personal:PRIOR"),
        (["--merge", "personal:-1"], "prior is -1.0"),
        (["--merge", "personal"], "give a list of environments"),
        (["--workers", "2", "--federation", "x"], "federation is 'x'"),
        (["--workers", "2", "--federation", "0"], "participation is 0"),
        (["--workers", "2", "--per-worker", "exploration:0.1"], "1 entries of exploration"),
        (["--workers", "2", "--per-worker", "exploration:0.1,x"], "per_worker['exploration'][1]"),
        (["--workers", "2", "--per-worker", "gamma:0.1,0.2"], "with the keys exploration, step_size"),
    ],
)
def test_wrong_arguments_are_a_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "cdq/CartPole-v0", *arguments, "--steps", "1000"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cdq: ")
    assert len(error.splitlines()) == 1
    assert said in error
