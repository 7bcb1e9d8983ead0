"""Completion: what a shell is told, and shells on a terminal that complete what is typed."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import pytest

import cdq
from cdq.cli import main
from cdq.cli.completion import SHELLS, SHIPPED, VARIABLE, environments
from cdq.envs import _SHIPPED
from tests.test_layout import loaded_by


def told_to(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    monkeypatch.setenv(VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cdq", "tr"], ["plain,train"]),
        (["cdq", "keys", ""], ["plain,allow"]),
        (["cdq", "train", "Fro"], ["plain,FrozenLake-v1", "plain,FrozenLake8x8-v1"]),
        (["cdq", "solve", "cdq/Ri"], ["plain,cdq/RiverSwim-v0"]),
        (["cdq", "hub", "--env", "Fro"], ["plain,FrozenLake-v1", "plain,FrozenLake8x8-v1"]),
        (["cdq", "train", "FrozenLake-v1", "--wor"], ["plain,--workers"]),
        (["cdq", "train", "--save", ""], ["file,"]),
        (["cdq", "evaluate", ""], ["file,"]),
        (["cdq", "trin", "--wor"], []),
        (["cdq", "train", "--nothing", "x", "--wor"], ["plain,--workers"]),
        (["cdq", "train", "Nothing"], []),
    ],
)
def test_what_completes_a_word(
    words: list[str],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert told_to(monkeypatch, capsys, *words) == expected


def test_every_command_completes_its_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in told_to(monkeypatch, capsys, "cdq", ""):
        name = word.removeprefix("plain,")
        assert "plain,--help" in told_to(monkeypatch, capsys, "cdq", name, "--"), name


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, f"{shell}_source")
    assert main([]) == 0
    assert f"{VARIABLE}={shell}_complete" in capsys.readouterr().out


@pytest.mark.parametrize("asked", ["tcsh_source", "bash", "bash_nothing", "1", "source"])
def test_a_shell_that_is_not_known(
    asked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, asked)
    assert main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_environments_are_those_that_a_table_learns() -> None:
    known = environments(None, None, "")  # type: ignore[arg-type]  # for any command
    assert set(SHIPPED) == set(_SHIPPED)
    assert {"FrozenLake-v1", "CartPole-v1", "Acrobot-v1", "cdq/CartPole-v0"} <= set(known)
    assert set(known) <= set(gymnasium.registry)
    assert not any("Continuous" in name or "Pendulum" in name for name in known)


def test_a_shell_does_not_wait_for_gymnasium() -> None:
    loaded = loaded_by(
        f"import os; os.environ.update({VARIABLE}='bash_complete', COMP_WORDS='cdq train Fro', COMP_CWORD='2')\n"
        "import contextlib, io; from cdq.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out: main([])\n"
        "assert 'FrozenLake8x8-v1' in out.getvalue()"
    )
    assert loaded.isdisjoint({"gymnasium", "numpy"})


# The command of a shell that reads no file of anybody's, and its lines that source what cdq prints.
ON_TERMINALS = {
    "bash": (["--norc", "--noprofile", "-i"], "source <(_CDQ_COMPLETE=bash_source cdq)"),
    "zsh": (["-f", "-i"], "autoload -Uz compinit; compinit -D; source <(_CDQ_COMPLETE=zsh_source cdq)"),
    "fish": (["--no-config", "-i"], "_CDQ_COMPLETE=fish_source cdq | source"),
}


@pytest.mark.parametrize("name", [name for name in SHELLS if shutil.which(name)])
def test_a_shell_on_a_terminal(name: str, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "cdq"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cdq "$@"\n')
    program.chmod(0o700)
    (tmp_path / "learnt.safetensors").touch()
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(cdq.__file__).parents[1]),
        "TERM": "dumb",
        "PS1": "$ ",
        "HOME": str(tmp_path),
    }
    options, source = ON_TERMINALS[name]
    own, its = pty.openpty()
    shell = subprocess.Popen(
        ["setsid", "--ctty", name, *options],  # fish leaves where it controls no terminal
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=tmp_path,
        env=environment,
    )
    os.close(its)
    try:
        os.write(own, f'{source}; echo rea""dy\n'.encode())
        shown_until(own, "ready")
        for typed, completed in [
            ("cdq eva", "cdq evaluate "),
            ("cdq solve FrozenLake8", "cdq solve FrozenLake8x8-v1 "),
            ("cdq train Taxi-v4 --exploratio", "--exploration "),
            ("cdq evaluate lea", "cdq evaluate learnt.safetensors "),
        ]:
            os.write(own, f"{typed}\t".encode())
            assert shown_until(own, completed)
            os.write(own, b"\x15")  # takes the line away
    finally:
        shell.kill()
        shell.wait()
        os.close(own)


def shown_until(terminal: int, text: str) -> str:
    """Read what a terminal shows until it has shown a text; return all of it."""
    shown, deadline = "", time.monotonic() + 60
    while text not in shown:
        assert time.monotonic() < deadline, shown
        shown += os.read(terminal, 4096).decode()
    return shown
