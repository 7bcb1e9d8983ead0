"""cdq launch: local processes are ranks, end together, and leave nothing."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.cli import main
from cdq.comm.zmq.ranks import launch
from tests.running import open_files, runs

COMMAND = [sys.executable, "-c", "import sys; from cdq.cli import main; sys.exit(main())", "launch"]
# The command, which gives processes that do not hear it half a second in place of three.
HASTY = [*COMMAND[:2], f"import cdq.comm.zmq.ranks.launch as it; it._GRACE = 0.5; {COMMAND[2]}", *COMMAND[3:]]
RANKS = """
import sys
from cdq.comm.registry import connect
comm = connect("auto", timeout=20)[0]
sys.stdout.write(f"{comm.allgather(bytes([comm.rank]))[-1][0]} {sys.argv[1:]}\\n")
comm.close()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for scripts and for what the command leaves behind, which must be nothing."""
    temporary = Path(tempfile.mkdtemp(dir="/tmp", prefix="launch-"))  # a socket's path must be short
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("PYTHONPATH", str(Path(cdq.__file__).parents[1]))
    yield tmp_path
    assert list(temporary.iterdir()) == []
    temporary.rmdir()


def script(folder: Path, text: str) -> str:
    (folder / "script.py").write_text(text)
    return str(folder / "script.py")


def start(*arguments: str, command: list[str] = COMMAND) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )


def run(*arguments: str, command: list[str] = COMMAND) -> tuple[int, str, str]:
    with start(*arguments, command=command) as process:
        said = process.communicate(timeout=60)
    return process.returncode, *said


def wait_for_lines(path: Path, count: int) -> list[int]:
    """Return the process ids that processes have written, once there are so many."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        lines = path.read_text().split() if path.exists() else []
        if len(lines) >= count:
            return [int(line) for line in lines]
        time.sleep(0.02)
    raise AssertionError(f"{path} has not {count} lines")


def test_processes_are_ranks(folder: Path) -> None:
    status, out, err = run("-n", "3", script(folder, RANKS), "--steps", "5")
    assert (status, err) == (0, "")
    assert out == "2 ['--steps', '5']\n" * 3


def test_ranks_may_connect_once_more(folder: Path) -> None:
    """The hub begins anew when all ranks have left."""
    again = RANKS + "import time; time.sleep(0.5)\n" + RANKS
    status, out, err = run("-n", "2", script(folder, again))
    assert (status, out, err) == (0, "1 []\n" * 4, "")


def test_a_program_that_is_no_rank_may_be_launched(folder: Path) -> None:
    status, out, _ = run("-n", "2", "sh", "-c", "echo $CDQ_RANK of $CDQ_SIZE")
    assert (status, sorted(out.splitlines())) == (0, ["0 of 2", "1 of 2"])


def test_the_first_failure_ends_all_others(folder: Path) -> None:
    notes = folder / "pids"
    text = f"echo $$ >> {notes}; [ $CDQ_RANK = 1 ] && sleep 0.2 && exit 7; sleep 100"
    started = time.monotonic()
    status, _, err = run("-n", "3", "sh", "-c", text)
    assert (status, err) == (7, "cdq: rank 1 ended with status 7\n")
    assert time.monotonic() - started < 10
    assert [pid for pid in wait_for_lines(notes, 3) if runs(pid)] == []


def test_a_process_that_does_not_want_to_end_is_killed(folder: Path) -> None:
    """And so is what it has started."""
    notes = folder / "pids"
    text = (
        f"trap '' TERM; sleep 100 & echo $! >> {notes}; echo $$ >> {notes};"
        " [ $CDQ_RANK = 0 ] && kill -KILL $$; while :; do sleep 1; done"
    )
    started = time.monotonic()
    status, _, err = run("-n", "2", "sh", "-c", text, command=HASTY)
    assert (status, err) == (137, "cdq: rank 0 ended with status 137\n")
    assert time.monotonic() - started < 15
    assert [pid for pid in wait_for_lines(notes, 4) if runs(pid)] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_once(folder: Path, number: signal.Signals) -> None:
    notes = folder / "pids"
    text = f"""
import os, signal, sys, time
heard = []
signal.signal({int(number)}, lambda *_: heard.append(1))
open({str(notes)!r}, "a").write(f"{{os.getpid()}}\\n")
while not heard:
    time.sleep(0.01)
time.sleep(0.5)
sys.stdout.write(str(len(heard)) + "\\n")
sys.exit(3)
"""
    with start("-n", "2", script(folder, text)) as process:
        pids = wait_for_lines(notes, 2)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (3, "1\n1\n")
    assert re.fullmatch(r"cdq: rank \d ended with status 3\n", err)
    assert [pid for pid in pids if runs(pid)] == []


def test_ctrl_c_that_the_shell_has_ignored_stays_ignored(folder: Path) -> None:
    """By the command and by what it starts, as in the background of a script or under nohup."""
    notes = folder / "pids"
    text = f"import os, sys, time; open({str(notes)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(1)\n"
    text += "sys.stdout.write('whole\\n')"  # at once: print may write in parts, and the other comes between
    command = shlex.join([*COMMAND, "-n", "2", script(folder, text)])
    with subprocess.Popen(["sh", "-c", f"trap '' INT; exec {command}"], stdout=subprocess.PIPE) as process:
        wait_for_lines(notes, 2)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, b"whole\nwhole\n")


@pytest.mark.parametrize("stuck", ["trap '' INT; sleep 100 & wait; sleep 100", "kill -STOP $$"])
def test_the_second_ctrl_c_ends_who_does_not_hear_it(folder: Path, stuck: str) -> None:
    notes = folder / "pids"
    with start("-n", "2", "sh", "-c", f"echo $$ >> {notes}; {stuck}", command=HASTY) as process:
        pids = wait_for_lines(notes, 2)
        time.sleep(0.2)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        started = time.monotonic()
        process.communicate(timeout=20)
    assert process.returncode == 137
    assert time.monotonic() - started < 10
    assert [pid for pid in pids if runs(pid)] == []


def test_ranks_that_fail_alike_say_so_once(folder: Path) -> None:
    text = "import sys; from cdq.cli import main; sys.exit(main(['solve', 'FrozenLak-v1']))"
    status, _, err = run("-n", "3", script(folder, text))
    assert status == 2
    assert err.count("unknown environment") == 1


def test_a_command_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "-n", "2", "/nowhere/program"]) == 2
    assert capsys.readouterr().err.startswith("cdq: cannot start /nowhere/program: No such file")


@pytest.mark.parametrize("size", ["0", "-1", "100000"])
def test_a_number_of_processes_that_is_none(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "-n", size, "train.py"]) == 2
    assert f"-n is {size}; it must be" in capsys.readouterr().err


def test_nothing_is_left_in_this_process(folder: Path) -> None:
    files, handler = open_files(), signal.getsignal(signal.SIGTERM)
    assert main(["launch", "-n", "2", "true"]) == 0
    assert open_files() <= files
    assert signal.getsignal(signal.SIGTERM) == handler


def test_learners_may_follow_each_other(folder: Path) -> None:
    text = """
import sys
import cdq
for seed in range(2):
    sys.stdout.write(cdq.QLearner("FrozenLake-v1", seed=seed).learn(2000).table.digest() + "\\n")
"""
    status, out, err = run("-n", "2", script(folder, text))
    assert (status, err) == (0, "")
    alone = [
        cdq.QLearner("FrozenLake-v1", seed=seed, workers=2).learn(2000).table.digest() for seed in range(2)
    ]
    assert sorted(out.split()) == sorted(2 * alone)


def test_a_signal_that_comes_while_a_rank_is_started_is_passed_on_to_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rank may run before the process that starts it has taken note of it."""
    processes = launch.Processes()
    popen = subprocess.Popen

    def slow(*arguments: Any, **named: Any) -> Any:
        started = popen(*arguments, **named)
        processes.pass_on(signal.SIGTERM)
        return started

    monkeypatch.setattr(launch.subprocess, "Popen", slow)
    processes.start([sys.executable, "-c", "import time; time.sleep(60)"], os.environ)
    deadline = time.monotonic() + 20
    while not processes.have_ended() and time.monotonic() < deadline:
        time.sleep(0.01)
    processes.kill()
    assert processes.failed == (0, 128 + signal.SIGTERM)
