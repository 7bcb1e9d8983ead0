"""Commands whose standard output, or error, cannot be written: files first, one line, a status, no traceback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import cdq
from cdq.cli import main
from cdq.errors import FileError

PROGRAM = "import sys; from cdq.cli import main; sys.exit(main())"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cdq.__file__).parents[1])}
FULL = "cannot write to standard output: No space left on device"
CLOSED = "cannot write to standard output: Bad file descriptor"
QUIETLY = ("--progress", "0")
# Each writes to OUT.json, and to more files where it says so.
COMMANDS = {
    "train": "train FrozenLake-v1 --steps 2e4 --seed 0 --progress 0 --save OUT.learner --json OUT.json",
    "evaluate": "evaluate IN --episodes 50 --json OUT.json",
    "solve": "solve FrozenLake-v1 --json OUT.json",
    "bench": "bench list --json OUT.json",
}


def run(command: str, redirected: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell with its streams redirected."""
    words = shlex.join([sys.executable, "-c", PROGRAM, *command.split()])
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{words} {redirected}"],
        capture_output=True,
        encoding="utf-8",
        env=ENVIRONMENT,
        cwd=directory,
        timeout=60,
        check=False,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    cdq.QLearner("FrozenLake-v1", seed=0).save(tmp_path / "IN")
    return tmp_path


def assert_written(directory: Path, command: str) -> None:
    assert json.loads((directory / "OUT.json").read_text())
    if "--save" in command:
        assert cdq.QLearner.load(directory / "OUT.learner").steps == 20_000


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_files_are_written_whatever_standard_output_is(command: str, directory: Path) -> None:
    ended = run(command, ">/dev/full", directory)
    assert (ended.returncode, ended.stderr) == (2, f"cdq: {FULL}\n")
    assert_written(directory, command)
    (directory / "OUT.json").unlink()
    ended = run(command, ">&-", directory)
    assert (ended.returncode, ended.stderr) == (2, f"cdq: {CLOSED}\n")
    assert_written(directory, command)


@pytest.mark.parametrize("redirected", [">/dev/full 2>&1", ">&- 2>&-", ">&- 2>/dev/full", "<&- >&- 2>&-"])
def test_standard_error_may_be_closed_too(redirected: str, directory: Path) -> None:
    ended = run(COMMANDS["train"], redirected, directory)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "")
    assert_written(directory, COMMANDS["train"])


def test_a_reader_that_has_gone(directory: Path) -> None:
    """The status is that of a program which SIGPIPE ends."""
    ended = run(COMMANDS["train"], "| true", directory)
    assert (ended.returncode, ended.stdout, ended.stderr) == (141, "", "")
    assert_written(directory, COMMANDS["train"])
    ended = run("solve FrozenLake8x8-v1 --json -", "| head -c 1", directory)
    assert (ended.stdout, ended.stderr) == ("{", "")
    assert ended.returncode in (0, 141)  # the pipe may hold all of it


@pytest.mark.parametrize("command", ["--help", "train --help", "--version", "solve FrozenLake-v1 --json -"])
def test_what_only_prints(command: str, directory: Path) -> None:
    for redirected, said in ((">/dev/full", FULL), (">&-", CLOSED)):
        ended = run(command, redirected, directory)
        assert (ended.returncode, ended.stderr) == (2, f"cdq: {said}\n")


def test_a_mistake_with_standard_error_closed_is_still_status_2(directory: Path) -> None:
    ended = run("train Nowhere-v1", "2>&-", directory)
    assert (ended.returncode, ended.stdout) == (2, "")
    ended = run("train Nowhere-v1", "2>/dev/full", directory)
    assert (ended.returncode, ended.stdout) == (2, "")


def test_keys_are_made_before_it_is_said(directory: Path) -> None:
    ended = run("keygen keys", ">/dev/full", directory)
    assert (ended.returncode, ended.stderr) == (2, f"cdq: {FULL}\n")
    assert (directory / "keys" / "own.secret").is_file()


def test_no_file_gets_the_output_of_a_closed_stream(directory: Path) -> None:
    """A file that is opened while standard output is closed would get its number."""
    run(
        "train FrozenLake-v1 --steps 2e4 --seed 0 --checkpoint ck --json OUT.json",
        "0<&- 1>&- 2>&-",
        directory,
    )
    assert (directory / "ck" / "lock").read_bytes() == b""
    assert json.loads((directory / "OUT.json").read_text())["steps"] == 20_000


# ---- where files go


@pytest.mark.parametrize(
    ("save", "said"),
    [
        ("missing/a", "there is no directory missing"),
        (".", "it is a directory, not a regular file"),
        ("/dev/null", "it is not a regular file"),
        ("x" * 300, "File name too long"),
        ("IN/a", "there is no directory IN"),
        ("OUT.json", "--save and --json both name OUT.json; name two places"),
        ("./ck", "--save and --checkpoint both name ck"),
    ],
)
def test_a_path_that_cannot_be_written_is_told_before_learning(
    save: str, said: str, directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.setattr(cdq.QLearner, "learn", None)
    assert main(["train", "FrozenLake-v1", "--save", save, "--json", "OUT.json", "--checkpoint", "ck"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert sorted(path.name for path in directory.iterdir()) == ["IN"], "nothing is left of the attempt"


def test_a_file_that_cannot_be_written_at_last_takes_nothing_else_with_it(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)

    def full(*_: object) -> None:
        raise FileError("cannot write a: No space left on device")

    monkeypatch.setattr(cdq.QLearner, "save", full)
    assert (
        main(["train", "FrozenLake-v1", "--steps", "2e4", *QUIETLY, "--save", "a", "--json", "OUT.json"]) == 2
    )
    out, err = capsys.readouterr()
    assert err == "cdq: cannot write a: No space left on device\n"
    assert "mean return" in out
    assert json.loads((directory / "OUT.json").read_text())["steps"] == 20_000


def test_what_was_learnt_is_saved_where_a_checkpoint_fails(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)

    def full(*_: object) -> None:
        raise FileError("cannot write ck: No space left on device")

    command = [
        "train",
        "FrozenLake-v1",
        *QUIETLY,
        "--steps",
        "2e5",
        "--sync-every",
        "1000",
        "--seed",
        "0",
        "--checkpoint",
        "ck",
    ]
    monkeypatch.setattr("cdq.storage.directory.write_tensors", full)
    assert main([*command, "--save", "a"]) == 2
    said = "cannot write ck: No space left on device; what was learnt until the last round is in a"
    assert capsys.readouterr().err == f"cdq: {said}\n"
    assert 0 < cdq.QLearner.load("a").steps < 200_000
    monkeypatch.setattr(cdq.QLearner, "save", full)
    assert main([*command, "--save", "b"]) == 2
    assert "is lost: cannot write ck" in capsys.readouterr().err
