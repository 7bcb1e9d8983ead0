"""What tests ask of processes: an answer of "it has ended" must not come of asking wrongly."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from tests import running


def test_a_process_that_runs_is_left_and_one_that_ended_is_not() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert process.pid in running.children(os.getpid())
        assert process.pid in running.descendants(os.getpid())
        assert running.left(iter([process.pid]), 0.1) == [process.pid]
        process.kill()
        assert running.left(iter([process.pid])) == []  # though nobody has asked how it ended
    finally:
        process.kill()
        process.communicate()
    assert not running.runs(process.pid)
    assert running.command(process.pid) == ""


def test_open_files_are_counted() -> None:
    before = running.open_files()
    with contextlib.ExitStack() as held:
        for _ in range(20):
            held.enter_context(open(os.devnull))
        assert running.open_files() > before + 10  # others of earlier tests may be closed meanwhile
