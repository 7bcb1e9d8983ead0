"""cdq watch: a page on a run of real processes, and what is said where something is wrong."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.cli import main
from cdq.comm.zmq.keys import allow, keygen
from tests.cli.test_hub import BRIEF, JOB, Processes, end, processes, wait_for_rounds

__all__ = ["processes"]

GRID = ("--env", "FrozenLake8x8-v1", *JOB[2:])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "lake"
    cdq.QLearner("FrozenLake-v1", seed=0, checkpoint=path).learn(20_000, verbose=0)
    return path


def url_of(process: subprocess.Popen[str]) -> str:
    """Return the address that the command prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert " is shown at http://127.0.0.1:" in line, end(process)
    return line.split(" is shown at ")[1].split()[0]


class Reader:
    """Reads the events of a page, as a browser does."""

    def __init__(self, url: str) -> None:
        self._stream = urllib.request.urlopen(f"{url}events", timeout=30)
        self.parts: dict[str, Any] = {}

    def until(self, holds: Callable[[dict[str, Any]], Any], seconds: float = 60.0) -> dict[str, Any]:
        """Return the parts as soon as something holds."""
        deadline = time.monotonic() + seconds
        while not ({"run"} <= set(self.parts) and holds(self.parts)):
            assert time.monotonic() < deadline, self.parts.get("events", self.parts)
            line = self._stream.readline().decode()
            if line.startswith("event: "):
                data = self._stream.readline().decode()
                self.parts[line[7:].strip()] = json.loads(data.removeprefix("data: "))
        return self.parts

    def close(self) -> None:
        self._stream.close()


@pytest.fixture
def reader() -> Iterator[Callable[[str], Reader]]:
    opened: list[Reader] = []

    def open_at(url: str) -> Reader:
        opened.append(Reader(url))
        return opened[-1]

    yield open_at
    for one in opened:
        one.close()


def states(parts: dict[str, Any]) -> dict[str, str]:
    """Return the states of workers by the names of their keys."""
    return {row["name"]: row["state"] for row in parts.get("workers", [])}


def told(parts: dict[str, Any]) -> list[str]:
    """Return what happened, the newest last."""
    return [text for _, text in parts.get("events", [])]


def test_a_run_afterwards(processes: Processes, lake: Path, reader: Callable[[str], Reader]) -> None:
    page = processes.start("watch", lake)
    url = url_of(page)
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert b"<title>cdq watch</title>" in answer.read()
    parts = reader(url).until(lambda parts: "table" in parts)
    assert (parts["run"]["state"], parts["table"]["grid"]) == ("ended", [4, 4])
    page.send_signal(signal.SIGINT)
    assert end(page, 20) == (0, "", "")


def test_a_run_that_goes_on(processes: Processes, tmp_path: Path, reader: Callable[[str], Reader]) -> None:
    run = tmp_path / "run"
    arguments = ("--steps", "1e11", "--checkpoint", run, "--checkpoint-every", "1e6", "--progress", "0")
    learner = processes.start("train", "FrozenLake-v1", "--seed", "0", *arguments)
    while not run.exists():
        assert learner.poll() is None
        time.sleep(0.02)
    page = processes.start("watch", run)
    seen = reader(url_of(page))
    first = seen.until(lambda parts: "curves" in parts)["curves"]["bytes"][0][-1]
    seen.until(lambda parts: parts["curves"]["bytes"][0][-1] > first)
    assert seen.parts["run"]["says"] == f"The run goes on, in process {learner.pid}."
    learner.kill()
    assert (
        f"Process {learner.pid}, " in seen.until(lambda parts: parts["run"]["state"] == "gone")["run"]["says"]
    )
    page.send_signal(signal.SIGINT)
    assert end(page, 20)[0] == 0
    for path in run.glob(".checkpoint-*"):  # half written when it was killed; the next run clears it away
        path.unlink()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_workers_join_are_killed_and_others_come(
    processes: Processes, tmp_path: Path, reader: Callable[[str], Reader]
) -> None:
    keys, job = tmp_path / "keys", tmp_path / "job"
    keygen(keys / "hub")
    for name in ("north", "south", "east", "west"):
        allow(keys / "hub", keygen(keys / name), name)
        (keys / name / "hub.public").write_text((keys / "hub" / "own.public").read_text())
    url = f"zmq+curve://127.0.0.1:{free_port()}"
    command = ("hub", "--bind", url, "--keys", keys / "hub", *GRID, "--steps", "1e12", "--checkpoint", job)
    hub = processes.start(*command, "--progress", "0", program=BRIEF)
    workers = {
        name: processes.start("join", url, "--keys", keys / name) for name in ("north", "south", "east")
    }
    wait_for_rounds(job, 20)
    pages = [processes.start("watch", url, "--keys", keys / "west"), processes.start("watch", job)]
    seen, afar = reader(url_of(pages[0])), reader(url_of(pages[1]))
    seen.until(lambda parts: states(parts) == dict.fromkeys(workers, "learning"))
    assert seen.parts["table"]["grid"] == [8, 8]
    assert {"mean_return", "window", "bytes"} <= set(seen.parts["curves"])
    workers["east"].kill()
    seen.until(lambda parts: states(parts)["east"] == "lost")
    workers["west"] = processes.start("join", url, "--keys", keys / "west")
    seen.until(lambda parts: states(parts).get("west") == "learning")
    assert states(seen.parts)["east"] == "lost"
    seen.until(lambda parts: "(west on " in told(parts)[-1])
    assert any("(east on " in text and "was lost" in text for text in told(seen.parts))
    workers["east"] = processes.start("join", url, "--keys", keys / "east")
    seen.until(lambda parts: states(parts)["east"] == "learning")
    assert len(afar.until(lambda parts: len(parts.get("workers", [])) == 4)["workers"]) == 4
    hub.kill()
    seen.until(lambda parts: parts["run"]["state"] == "gone")
    assert set(states(seen.parts).values()) == {"unknown"}
    hub = processes.start(*command, "--progress", "0", program=BRIEF)
    seen.until(lambda parts: parts["run"]["state"] == "running" and "learning" in states(parts).values())
    seen.until(lambda parts: "the hub is back" in told(parts))
    hub.terminate()
    assert end(hub, 30)[0] == 0
    assert (
        "To go on: start the same cdq hub"
        in afar.until(lambda parts: parts["run"]["state"] == "stopped")["run"]["says"]
    )
    for page in pages:
        page.send_signal(signal.SIGINT)
        assert end(page, 20) == (0, "", "")
    for worker in workers.values():
        worker.terminate()
        end(worker, 20)


def test_who_has_no_key_sees_nothing(processes: Processes, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    for name in ("hub", "stranger"):
        keygen(keys / name)
    (keys / "hub" / "allowed").mkdir(mode=0o700)
    (keys / "stranger" / "hub.public").write_text((keys / "hub" / "own.public").read_text())
    url = f"zmq+curve://127.0.0.1:{free_port()}"
    hub = processes.start(
        "hub", "--bind", url, "--keys", keys / "hub", *GRID, "--checkpoint", tmp_path / "job"
    )
    page = processes.start("watch", url, "--keys", keys / "stranger", "--timeout", "1")
    ended, out, err = end(page, 60)
    assert (ended, out) == (2, "")
    assert err.startswith(f"cdq: {url}: ")
    hub.terminate()
    end(hub, 20)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere does not exist; name a directory of checkpoints, or the URL of a hub"),
        (["http://127.0.0.1:1"], "is no address of a hub"),
        (["tcp://127.0.0.1"], "give a host and a port"),
        (["tcp://*:5555"], "is for hubs"),
        (["tcp://127.0.0.1:1", "--timeout", "0.2"], "no hub answers within 0.2 s"),
        (["tcp://127.0.0.1:1", "--timeout", "0"], "timeout is 0"),
        (["tcp://127.0.0.1:1", "--keys", "nowhere"], None),
        (["tcp://127.0.0.1:1", "--env", "FrozenLake-v1"], "--env belongs to a directory"),
        (["LAKE", "--keys", "keys"], "--keys are those for a hub"),
        (["LAKE", "--env", "Taxi-v4"], "is not the environment"),
        (["LAKE", "--timeout", "nan"], "timeout is nan"),
        (
            ["LAKE", "--port", "65536"],
            "--port is 65536; allowed: a whole number of at least 0 and at most 65,535",
        ),
        (["LAKE", "--port", "-1"], "--port is -1"),
        (["LAKE", "--port", "x"], "'x' is no whole number"),
        (["LAKE", "more"], "unexpected extra argument"),
        (["LAKE", "--prot", "1"], "Did you mean '--port'?"),
        ([""], "an argument is empty"),
        ([], "cdq watch needs arguments"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_served(
    arguments: list[str],
    said: str | None,
    lake: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cdq.job.web.Site.__enter__", lambda _: pytest.fail("it was served"))
    assert main(["watch", *(str(lake) if text == "LAKE" else text for text in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cdq: ")
    assert len(error.splitlines()) == 1
    assert said is None or said in error


def test_a_port_that_is_taken_is_said(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["watch", str(lake), "--port", str(port)]) == 2
    assert f"the page cannot be at 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


def test_a_browser_is_opened_where_that_is_asked_for(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("time.sleep", interrupted)
    assert main(["watch", str(lake)]) == 0
    assert opened == []
    assert main(["watch", str(lake), "--open"]) == 0
    assert opened[0] in capsys.readouterr().out
