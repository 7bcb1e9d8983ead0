from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.errors import ConfigError
from cdq.training.progress import Speed, amount, is_for_a_person, watched_by

SLOW = """
import sys, cdq
class Wait(cdq.Callback):
    def on_round(self, run):
        import time
        time.sleep(0.03)
        return run.steps > {most}
cdq.QLearner("FrozenLake-v1", seed=0, sync_every=100).learn(20_000, callbacks=[Wait()], **{more})
"""
PLACE = {"PYTHONPATH": str(Path(cdq.__file__).parents[1])}


def program(most: float = 8000, **more: Any) -> list[str]:
    return [sys.executable, "-c", SLOW.format(most=most, more=more)]


def on_a_terminal(command: list[str], **environment: str) -> str:
    """Run a program whose standard error is a terminal; return what it showed there."""
    own, its = pty.openpty()
    with subprocess.Popen(
        command, stderr=its, stdin=subprocess.DEVNULL, env={**os.environ, **PLACE, **environment}
    ) as process:
        os.close(its)
        shown = b""
        while True:
            try:
                part = os.read(own, 4096)
            except OSError:  # nobody has the other end open any more
                break
            if not part:
                break
            shown += part
        assert process.wait(60) == 0
    os.close(own)
    return shown.decode()


def through_a_pipe(command: list[str]) -> str:
    done = subprocess.run(
        command, stderr=subprocess.PIPE, env={**os.environ, **PLACE}, text=True, timeout=60, check=True
    )
    return done.stderr


def test_a_terminal_shows_a_bar_that_is_removed() -> None:
    shown = on_a_terminal(program(), TERM="xterm", COLUMNS="120", NO_COLOR="")
    frames = shown.split("\r\x1b[K")
    assert len(frames) > 2
    assert "━" in frames[1]
    assert re.search(
        r"\d+% of 20,000 steps, [\d,]+ steps/s, \d+ s left, return \S+ \(exploring\)",
        frames[2],
    )
    assert frames[-1] == ""
    assert "\n" not in shown


@pytest.mark.parametrize(
    "environment",
    [
        {"TERM": "dumb"},
        {"TERM": "xterm", "NO_COLOR": "1"},
        {"TERM": ""},
        {"TERM": "xterm", "OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0", "CDQ_COMM": "inprocess"},
    ],
)
def test_a_terminal_of_no_person_gets_plain_lines(environment: dict[str, str]) -> None:
    shown = on_a_terminal(program(), **environment)
    assert "\x1b" not in shown
    lines = shown.splitlines()
    assert len(lines) == 2
    assert re.match(r"cdq: FrozenLake-v1: \d+% of 20,000 steps, ", lines[0])
    assert re.match(r"cdq: FrozenLake-v1: [\d,]+ steps done, ", lines[1])


def test_a_pipe_gets_plain_lines() -> None:
    lines = through_a_pipe(program()).splitlines()
    assert [line.startswith("cdq: FrozenLake-v1: ") for line in lines] == [True, True]
    assert through_a_pipe(program(verbose=0)) == ""
    assert through_a_pipe(program(most=0)) == ""  # a short call says nothing


def test_all_is_shown_on_request(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0, checkpoint=tmp_path, checkpoint_every=10_000)
    agent.learn(20_000, verbose=2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "cdq: FrozenLake-v1: 0% of 20,000 steps"
    assert "20,000 steps done" in lines[-1]
    assert "gap" in lines[-1]
    assert len(lines) >= 4
    agent.learn(1000, callbacks=[cdq.EvalCallback(500)], verbose=2)
    assert re.search(r"return \S+ \(greedy\)", capsys.readouterr().err)


def test_lines_that_were_asked_for_begin_at_the_start() -> None:
    stream = io.StringIO()
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(8000, callbacks=[cdq.ProgressBar(stream=stream)])
    first, last = stream.getvalue().splitlines()
    assert first == "cdq: FrozenLake-v1: 0% of 8,000 steps"
    assert re.match("cdq: FrozenLake-v1: 8,000 steps done, ", last)
    agent.learn(8000, callbacks=[cdq.ProgressBar(stream=stream)])  # what was learnt before counts, too
    assert re.match("cdq: FrozenLake-v1: 50% of 16,000 steps", stream.getvalue().splitlines()[2])


def test_a_speed_that_grows_is_that_of_the_later_half() -> None:
    speed, steps = Speed(0.0, 0), 0
    for second in range(1, 9):
        steps += 1000 * second**2  # windows grow
        found = speed.lately(second, steps)
    assert found > 1000 * 6**2
    assert speed.overall(8.0, steps) == (steps - 1000) / 7


def test_the_speed_of_a_single_round_is_that_of_the_whole() -> None:
    """A hub waits before its first round; where there is no second, nobody knows for how long."""
    speed = Speed(0.0, 0)
    for look in (1.0, 2.0):
        assert speed.lately(look, 0) == 0.0
    assert speed.lately(3.0, 150) == speed.overall(3.0, 150) == 50.0
    assert speed.lately(4.0, 300) == 150.0
    assert [speed.seconds_for(1500, now) for now in (4.0, 5.0, 6.0)] == [
        10.0,
        9.0,
        8.0,
    ]  # it counts down in a round


def test_a_speed_takes_the_same_memory_for_good() -> None:
    speed = Speed(0.0, 0)
    for n in range(1, 20_000):
        speed.note(n / 1000, n)
    assert speed.lately(20.0, 20_000) == pytest.approx(1000, rel=0.01)
    assert len(speed._seen) < 30


def test_what_is_not_allowed() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    for verbose in (3, True, "1", None):
        with pytest.raises(ConfigError, match="verbose is"):
            agent.learn(1000, verbose=verbose)  # type: ignore[arg-type]
    for seconds in (0, -1, float("nan"), "x"):
        with pytest.raises(ConfigError, match="seconds is"):
            cdq.ProgressBar(seconds)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="verbose is"):
        cdq.ProgressBar(verbose=0)
    assert agent.steps == 0


def test_one_bar_in_the_main_thread() -> None:
    own, found = cdq.ProgressBar(), list[Any]()
    assert watched_by([own], 1) == [own]
    assert watched_by([], 0) == []
    assert [type(one) for one in watched_by([], 1)] == [cdq.ProgressBar]
    thread = threading.Thread(target=lambda: found.append(watched_by([], 1)))
    thread.start()
    thread.join()
    assert found == [[]]


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [Closed(), None])
def test_nobody_need_look(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    agent.learn(2000, callbacks=[cdq.ProgressBar(verbose=2, stream=stream)])
    assert agent.steps == 2000


def test_amounts() -> None:
    assert [amount(n) for n in (0, 0.5, 3, 999_999, 1e6, 1.25e9, 1e12, 5e13)] == [
        "0",
        "0.5",
        "3",
        "999,999",
        "1 M",
        "1.25 G",
        "1,000 G",
        "50,000 G",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_persons() -> None:
    assert is_for_a_person(Terminal(), {"TERM": "xterm"}) is True
    assert is_for_a_person(io.StringIO(), {"TERM": "xterm"}) is False
    assert is_for_a_person(Terminal(), {}) is False


class ZMQInteractiveShell:
    pass


def test_a_notebook_shows_a_bar_by_its_own_display(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Handle:
        def update(self, what: Any) -> None:
            shown.append(what)

    def display(what: Any, *, display_id: bool) -> Handle:
        shown.append(what)
        return Handle()

    shell, module = type(sys)("IPython"), type(sys)("IPython.display")
    shell.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    cdq.QLearner("FrozenLake-v1", seed=0).learn(2000, verbose=2)
    assert len(shown) >= 2
    assert "2,000 steps done" in shown[-1]._repr_mimebundle_([], [])["text/html"]


def test_the_command_line_shows_lines_as_often_as_it_is_told() -> None:
    train = [sys.executable, "-m", "cdq", "train", "FrozenLake-v1", "--stepping", "python", "--seed", "0"]
    train = [*train, "--steps", "600000"]
    often = [line for line in through_a_pipe([*train, "--progress", "0.01"]).splitlines() if "cdq: " in line]
    assert len(often) > 2
    assert all(line.startswith("cdq: FrozenLake-v1: ") for line in often)
    assert "cdq: " not in through_a_pipe([*train, "--progress", "0"])
    refused = subprocess.run(
        [*train, "--progress", "-1"], capture_output=True, text=True, env={**os.environ, **PLACE}, check=False
    )
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--progress is -1" in refused.stderr


def test_a_report_has_no_codes_where_progress_has_none() -> None:
    train = [sys.executable, "-m", "cdq", "train", "FrozenLake-v1", "--seed", "0", "--steps", "20000"]
    own, its = pty.openpty()
    environment = {**os.environ, **PLACE, "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(
        train, stdout=its, stderr=its, stdin=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.wait(60) == 0
    os.close(its)
    shown = os.read(own, 1 << 16)
    os.close(own)
    assert b"mean return" in shown
    assert b"\x1b" not in shown
