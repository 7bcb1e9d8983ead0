"""The command under torchrun, in an indexed Job of Kubernetes and on AWS Batch."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import cdq
from cdq.cli import main
from cdq.comm.zmq.keys import keygen
from tests.comm.zmq.meetings import KINDS, Kind, aws_batch, end, free_port, start, torchrun

TRAIN = "import sys; from cdq.cli import main; sys.exit(main(['train', 'FrozenLake-v1', '--seed', '0', *sys.argv[1:]]))"


@pytest.mark.parametrize("kind", KINDS)
def test_one_report_of_all_processes(kind: Kind, tmp_path: Path) -> None:
    port, report = free_port(), tmp_path / "report.json"
    more = {"CDQ_KEYS": str(keygen(tmp_path / "keys", job=True).parent)} if kind is aws_batch else {}
    arguments = ("--steps", "100000", "--json", str(report))
    results = end([start(TRAIN, kind(rank, 3, port) | more, *arguments) for rank in range(3)])
    assert [status for status, _, _ in results] == [0, 0, 0], results
    assert ["mean return" in out for _, out, _ in results] == [True, False, False]
    table = cdq.QLearner("FrozenLake-v1", workers=3, seed=0).learn(100_000).table
    told = json.loads(report.read_text())
    assert (told["workers"], told["digest"]) == (3, table.digest())


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"RANK": "0"}, "cdq: WORLD_SIZE is not set, and RANK is; "),
        (
            {"RANK": "5", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"},
            "cdq: RANK is '5'; allowed: a whole number",
        ),
        (
            {"RANK": "0", "WORLD_SIZE": "2"},
            "cdq: MASTER_ADDR is not set, and RANK is 0 and WORLD_SIZE is 2; ",
        ),
        (
            torchrun(0, 2, 5555) | {"MASTER_ADDR": "10.0.0.1"},
            "reach rank 0 at 10.0.0.1: that needs keys of the job. ",
        ),
        (torchrun(1, 2, 5555) | {"CDQ_KEYS": "/nowhere"}, "/nowhere/own.secret cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(variables: dict[str, str], says: str) -> None:
    ((status, out, said),) = end([start(TRAIN, variables)])
    assert (status, out) == (2, "")
    assert said.startswith("cdq: ")
    assert says in said
    assert "Traceback" not in said


def test_a_notebook_with_a_world_of_one_is_one_worker(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    variables = {"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    ((status, _, _),) = end([start(TRAIN, variables, "--steps", "10000", "--json", str(report))])
    assert status == 0
    assert json.loads(report.read_text())["workers"] == 1


def test_the_keys_of_a_job_are_made_by_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "keys" / "job"
    assert main(["keygen", "--job", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder} is for the processes of the job alone: CDQ_KEYS={folder}\n"
    assert (folder / "own.secret").read_text().strip() not in out + err
    assert main(["keygen", "--job", str(folder)]) == 2
    assert "own.secret is there already; use another directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    "variables",
    [torchrun(1, 2, 5555), {"RANK": "0"}, {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}],
)
def test_what_was_learnt_is_looked_at_in_a_shell_of_a_rank(
    variables: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A pod's shell has the variables of its rank, and the others do not wait for it."""
    table, run = tmp_path / "table.safetensors", tmp_path / "run"
    learnt = [
        "train",
        "FrozenLake-v1",
        "--workers",
        "2",
        "--steps",
        "2000",
        "--seed",
        "0",
        "--save",
        str(table),
    ]
    assert main([*learnt, "--checkpoint", str(run)]) == 0
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["evaluate", str(table)]) == 0
    assert main(["plot", str(run), "--out", str(tmp_path / "run.svg")]) == 0
    assert main(["play", "cdq/TicTacToe-v0", "--table", str(table)]) == 2
    assert "FrozenLake" in capsys.readouterr().err
    assert "CDQ_COMM" not in os.environ
