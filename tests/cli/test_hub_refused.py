"""cdq hub, join, status and keygen: numbers and paths with which nothing could begin."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from cdq.cli import main

JOB = ("--env", "FrozenLake-v1", "--workers", "2")


@pytest.mark.parametrize(
    "options",
    [
        ("--mode", "async", "--staleness", "-1"),
        ("--mode", "async", "--staleness", str(10**23)),
        *(("--round-timeout", seconds) for seconds in ("0", "-1", "nan", "inf", "1e-9")),
    ],
)
def test_a_hub_that_would_refuse_everything_does_not_start(
    options: tuple[str, ...], short_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "hub",
                "--bind",
                f"zmq+ipc://{short_path}/hub",
                *JOB,
                "--checkpoint",
                str(tmp_path / "job"),
                *options,
            ]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "; allowed: " in error
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize("seconds", ["1e400", "inf", "1e300", "nan", "0", "-1"])
@pytest.mark.parametrize("command", ["join", "status"])
def test_a_timeout_that_no_clock_counts(
    command: str, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "tcp://127.0.0.1:1", "--timeout", seconds]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cdq: timeout is ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [("keygen", ""), ("keys", "allow", "", "x"), ("hub", "--bind", "tcp://127.0.0.1:0", "--checkpoint", "")],
)
def test_an_empty_path_is_not_the_working_directory(
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(list(arguments)) == 2
    assert "is empty; give it a value" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["open to all", "taken", "elsewhere", "no keys", "keys that cannot be read"])
def test_a_hub_that_is_refused_neither_says_that_it_is_up_nor_leaves_a_job(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job"
    keys = ["--keys", str(tmp_path / "keys")]
    assert main(["keygen", str(tmp_path / "keys")]) == 0
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        url, more = {
            "open to all": ("tcp://*:0", []),
            "taken": (f"tcp://127.0.0.1:{door.getsockname()[1]}", []),
            "elsewhere": ("zmq+curve://192.0.2.1:0", keys),
            "no keys": ("zmq+curve://127.0.0.1:0", ["--keys", str(tmp_path)]),
            "keys that cannot be read": ("zmq+curve://127.0.0.1:0", keys),
        }[case]
        if case == "keys that cannot be read":
            (tmp_path / "keys" / "allowed").write_text("")
        command = ["hub", "--env", "FrozenLake-v1", "--steps", "1e5", "--checkpoint", str(job)]
        capsys.readouterr()
        assert main([*command, "--bind", url, *more]) == 2
    said = capsys.readouterr().err
    assert said.startswith("cdq: ")
    assert said.count("\n") == 1
    assert not job.exists() or {path.name for path in job.iterdir()} <= {"lock"}


@pytest.mark.parametrize(
    "options",
    [
        ("--bind", "zmq+tcp://0.0.0.0:5599"),
        ("--env", "CartPole-v1", "--network", "8", "--mode", "async"),
        ("--env", "CartPole-v1", "--mode", "async"),
        ("--rule", "hysteretic:0.1", "--mode", "async"),
        ("--metrics", "0.0.0.0:9464"),
        ("--steps", "-1"),
        ("--until-return", "nan"),
        ("--env", "CartPole-v0", "--network", "8"),
        ("--env", "CartPole-v1", "--until-optimal", "0.1"),
    ],
)
def test_a_hub_that_is_refused_leaves_nothing(
    options: tuple[str, ...], short_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--bind", f"zmq+ipc://{short_path}/hub", "--checkpoint", str(tmp_path / "job"))
    assert main(["hub", *where, *JOB, *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_hub_whose_port_is_taken_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = ("--bind", f"tcp://127.0.0.1:{taken.getsockname()[1]}", "--checkpoint", str(tmp_path / "job"))
        assert main(["hub", *where, *JOB, "--progress", "0"]) == 2
    assert "cannot be bound" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
