"""Ctrl-C ends a call of learn whatever it waits for: a process that is stopped, a step that never returns."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import running

START = str(Path(__file__).parents[1] / "start.py")
_SOON = 20.0  # seconds, on a machine that is busy


@contextmanager
def stuck(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `tests.stuck` until a rank is stuck; give the program, and the process that is."""
    program = subprocess.Popen(
        [sys.executable, START, "tests.stuck", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        assert line.startswith("stuck: "), line + program.stdout.read()
        time.sleep(0.2)  # until it sleeps
        yield program, int(line.split()[1])
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("how", ["", "-stop"])
@pytest.mark.parametrize("where", ["step", "reset", "init"])
def test_one_ctrl_c_ends_the_wait_for_a_process_and_the_process(where: str, how: str) -> None:
    with stuck(where + how, "1", "workers=2") as (program, process):
        program.send_signal(signal.SIGINT)
        assert "interrupted\n" in output_until_interrupted(program)
        assert not running.runs(process)


def output_until_interrupted(program: subprocess.Popen[str]) -> str:
    """Return what the program says up to the line that says so; a program that does not is killed."""
    assert program.stdout is not None
    said, killer = "", threading.Timer(_SOON, program.kill)
    killer.start()
    for line in program.stdout:
        said += line
        if line == "interrupted\n":
            break
    killer.cancel()
    return said


@pytest.mark.parametrize(
    "arguments",
    [
        ("step", "0", "workers=2"),
        ("step", "0", "workers=1"),
        ("step", "0", "workers=2", "overlap=true"),
        ("merge", "0", 'env="FrozenLake-v1"', "workers=2"),
    ],
)
def test_a_call_that_never_returns_is_left_behind(arguments: tuple[str, ...]) -> None:
    with stuck(*arguments) as (program, _):
        program.send_signal(signal.SIGINT)
        out, _ = program.communicate(timeout=_SOON)
        assert "interrupted\na worker was interrupted in a step or a reset" in out, out
        assert program.returncode == 0  # nobody waits for the thread


def test_a_graceful_run_ends_with_the_second_ctrl_c(tmp_path: Path) -> None:
    with stuck("step", "1", "workers=2", f'checkpoint="{tmp_path}"') as (program, process):
        program.send_signal(signal.SIGINT)
        time.sleep(1.0)
        assert program.poll() is None  # the round in hand
        program.send_signal(signal.SIGINT)
        assert "interrupted\n" in output_until_interrupted(program)
        assert not running.runs(process)
