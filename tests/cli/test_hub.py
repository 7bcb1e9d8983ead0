"""cdq hub, join, status and replay: a job of real processes, and what is said where something is wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.cli import main

PROGRAM = "import sys; from cdq.cli import main; sys.exit(main())"
# A hub that waits for workers that were killed more briefly than users can ask for.
BRIEF = (
    "from functools import partialmethod; from cdq.job import Hosting;"
    f"Hosting.__init__ = partialmethod(Hosting.__init__, grace=0.5); {PROGRAM}"
)
JOB = ("--env", "FrozenLake-v1", "--sync-every", "16000", "--seed", "0", "--workers", "2")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cdq.__file__).parents[1])}


class Processes:
    """Starts processes of the command line, and ends what is left of them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(self, *arguments: object, program: str = PROGRAM) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def processes() -> Iterator[Processes]:
    with ExitStack() as stack:
        yield Processes(stack)


@pytest.fixture
def url() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="cdq-")
    yield f"zmq+ipc://{folder}/hub"
    shutil.rmtree(folder)


def end(process: subprocess.Popen[str], seconds: float = 60.0) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def status(url: str, *arguments: str) -> dict[str, Any]:
    """Ask as users do, until the hub is there."""
    asked = subprocess.run(
        [sys.executable, "-c", PROGRAM, "status", url, "--json", "-", *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=True,
    )
    return dict(json.loads(asked.stdout))


def wait_for_rounds(directory: Path, count: int) -> None:
    journal, deadline = directory / "journal.jsonl", time.monotonic() + 30
    while not journal.exists() or journal.read_text().count('"round"') < count:
        assert time.monotonic() < deadline, "the workers bring nothing"
        time.sleep(0.02)


def digest_of_threads(steps: float) -> str:
    agent = cdq.QLearner("FrozenLake-v1", workers=2, sync_every=16_000, seed=0)
    return agent.learn(steps).table.digest()


# ---- a job


def test_a_job_of_two_workers_is_that_of_two_threads(processes: Processes, url: str, tmp_path: Path) -> None:
    hub = processes.start(
        *("hub", "--bind", url, *JOB, "--steps", "3.2e7", "--checkpoint", tmp_path / "job"),
        *("--log", "json", "--json", "-"),
    )
    workers = [processes.start("join", url) for _ in range(2)]
    wait_for_rounds(tmp_path / "job", 3)
    told = status(url)
    assert (told["generation"], told["members"], told["unreachable"]) == (1, [0, 1], [])
    assert 0 < told["service"]["rounds"] <= 1000
    ended, out, err = end(hub)
    assert ended == 0, err
    report = json.loads(out)
    assert (report["env"], report["steps"], report["rounds"]) == ("FrozenLake-v1", 32_000_000, 1000)
    assert report["digest"] == digest_of_threads(3.2e7)
    lines = [json.loads(line) for line in err.splitlines()]
    assert sorted(line["uid"] for line in lines if line["text"] == "worker joins") == [0, 1]
    ends = [end(worker) for worker in workers]
    assert [status for status, _, _ in ends] == [0, 0]
    for _, out, err in ends:  # how far the job is, and what this worker did for it
        _, first, *_, last, learnt = err.splitlines()
        assert re.match(r"cdq: FrozenLake-v1: \d+% of 32 M steps", first)
        assert re.match(r"cdq: FrozenLake-v1: 32 M steps done, .* steps/s", last)
        assert (out, "\x1b" in err, learnt) == ("", False, "16,000,000 steps were learnt here")


def test_hub_and_worker_say_now_and_then_where_the_job_is(
    processes: Processes, url: str, tmp_path: Path
) -> None:
    job = ("--env", "FrozenLake-v1", "--seed", "0", "--steps", "1e12", "--progress", "0.2")
    hub = processes.start("hub", "--bind", url, *job, "--checkpoint", tmp_path / "job")
    worker = processes.start("join", url, "--progress", "0.2")
    assert worker.stderr is not None
    seen = [worker.stderr.readline() for _ in range(4)]
    assert all(line.startswith("cdq: FrozenLake-v1: 0% of 1,000 G steps") for line in seen[1:])
    worker.terminate()
    assert re.fullmatch(r"[\d,]+ steps were learnt here", end(worker)[2].splitlines()[-1])
    hub.terminate()
    assert end(hub)[2].count("cdq: FrozenLake-v1: 0% of 1,000 G steps") > 1


def test_a_hub_that_is_killed_goes_on_by_the_same_command(
    processes: Processes, url: str, tmp_path: Path
) -> None:
    """And so does a worker, which any other one may replace."""
    job = tmp_path / "job"
    command = ("hub", "--bind", url, *JOB, "--steps", "9.6e6", "--checkpoint", job)
    hub = processes.start(*command, program=BRIEF)
    workers = [processes.start("join", url) for _ in range(2)]
    wait_for_rounds(job, 10)
    hub.send_signal(signal.SIGKILL)
    assert end(hub)[0] == -signal.SIGKILL
    hub = processes.start(*command, "--json", tmp_path / "hub.json", program=BRIEF)
    wait_for_rounds(job, 30)
    workers[0].send_signal(signal.SIGKILL)
    workers.append(processes.start("join", url))
    ended, out, err = end(hub)
    assert ended == 0, err
    assert "mean return" in out
    assert [end(worker)[0] for worker in workers] == [-signal.SIGKILL, 0, 0]
    assert main(["replay", str(job), "--json", str(tmp_path / "replay.json")]) == 0
    report, replayed = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("hub", "replay"))
    assert (replayed["digest"], replayed["env"]) == (report["digest"], "FrozenLake-v1")


def test_a_job_that_is_done_is_reported_again(
    processes: Processes, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["hub", "--bind", url, "--env", "FrozenLake-v1", "--steps", "1e5", "--seed", "0"]
    command += ["--checkpoint", str(tmp_path / "job"), "--json", "-"]
    hub = processes.start(*command)
    worker = processes.start("join", url)
    first = json.loads(end(hub)[1])
    assert end(worker)[0] == 0
    assert main(command) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["stepping_reason"] == "P is what step of Gymnasium's FrozenLakeEnv draws from"
    assert again == first
    assert main([*command, "--gamma", "0.9"]) == 2
    assert "--gamma: the job in the directory has something else" in capsys.readouterr().err


def test_sigterm_ends_a_hub_and_a_worker_in_order(processes: Processes, url: str, tmp_path: Path) -> None:
    job = tmp_path / "job"
    hub = processes.start("hub", "--bind", url, *JOB, "--steps", "1e12", "--checkpoint", job)
    workers = [processes.start("join", url) for _ in range(2)]
    wait_for_rounds(job, 3)
    hub.terminate()
    assert end(hub, 20)[0] == 0
    for worker in workers:
        worker.terminate()
        assert end(worker, 10)[0] in {0, -signal.SIGTERM}  # it may have left already


def test_sigterm_ends_a_hub_that_waits_for_workers(processes: Processes, url: str, tmp_path: Path) -> None:
    hub = processes.start("hub", "--bind", url, *JOB, "--steps", "1e12", "--checkpoint", tmp_path / "job")
    worker = processes.start("join", url)  # of two
    assert status(url)["members"] == []
    hub.terminate()
    assert end(hub, 10)[0] == 0
    worker.kill()


def test_a_worker_that_was_started_with_ctrl_c_ignored_ignores_it(
    processes: Processes, url: str, tmp_path: Path
) -> None:
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); " + PROGRAM
    job = tmp_path / "job"
    hub = processes.start("hub", "--bind", url, *JOB, "--steps", "8e6", "--checkpoint", job)
    workers = [processes.start("join", url, program=ignoring) for _ in range(2)]
    wait_for_rounds(job, 3)
    workers[0].send_signal(signal.SIGINT)
    assert end(hub)[0] == 0
    for worker in workers:
        ended, _, err = end(worker, 20)
        assert ended == 0, err
    assert cdq.QTable.load(max(job.glob("checkpoint-*"))).digest() == digest_of_threads(8e6)


# ---- keys


@pytest.fixture
def curve(tmp_path: Path) -> str:
    """Keys of a hub and of a worker that knows it, and an address."""
    for name in ("hub", "worker"):
        assert main(["keygen", str(tmp_path / name)]) == 0
    shutil.copy(tmp_path / "hub/own.public", tmp_path / "worker/hub.public")
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        return f"zmq+curve://127.0.0.1:{door.getsockname()[1]}"


def test_only_keys_that_are_allowed_may_join(processes: Processes, curve: str, tmp_path: Path) -> None:
    """Allowing one takes effect while the hub runs."""
    command = ("hub", "--bind", curve, "--keys", tmp_path / "hub", "--env", "FrozenLake-v1", "--steps", "1e5")
    hub = processes.start(*command, "--checkpoint", tmp_path / "job")
    join = ("join", curve, "--keys", tmp_path / "worker", "--timeout")
    refused, _, err = end(processes.start(*join, 2.0), 20)
    assert refused == 2
    assert "is this process's key allowed there?" in err
    assert main(["keys", "allow", str(tmp_path / "hub"), str(tmp_path / "worker/own.public")]) == 0
    assert end(processes.start(*join, 20), 40)[0] == 0
    assert end(hub)[0] == 0


def test_keys_that_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["join", "zmq+curve://127.0.0.1:5555", "--keys", str(tmp_path)]) == 2
    assert "own.secret cannot be read: No such file" in capsys.readouterr().err
    assert main(["keys", "allow", str(tmp_path), str(tmp_path / "own.public")]) == 2
    assert f"make them: cdq keygen {tmp_path}" in capsys.readouterr().err


def test_keys_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", str(tmp_path / "keys")]) == 0
    assert (tmp_path / "keys/own.secret").stat().st_mode & 0o777 == 0o600
    secret = (tmp_path / "keys/own.secret").read_text()
    assert main(["keygen", str(tmp_path / "keys")]) == 2
    out, err = capsys.readouterr()
    assert "is there already" in err
    assert secret.strip() not in out + err
    assert (tmp_path / "keys/own.secret").read_text() == secret


# ---- what is wrong is said in one line


def mistake(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    started = time.monotonic()
    assert main(list(map(str, arguments))) == 2
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("cdq: ")]
    assert len(lines) == 1, err
    assert time.monotonic() - started < 10
    return lines[0]


@pytest.mark.parametrize("command", ["join", "status"])
def test_a_hub_that_cannot_be_reached(url: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = mistake(capsys, command, url, "--timeout", 0.3)
    assert said == f"cdq: {url}: no hub answers within 0.3 s; is it running?"


@pytest.mark.parametrize("command", ["join", "status"])
def test_an_address_that_is_none(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no address of a hub; allowed are zmq+ipc:" in mistake(capsys, command, "http://there")


def hub_at(url: str, directory: Path, *more: str) -> tuple[str, ...]:
    directory.mkdir(exist_ok=True)
    return ("hub", "--bind", url, "--env", "FrozenLake-v1", "--checkpoint", str(directory / "job"), *more)


def test_a_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        url = f"tcp://127.0.0.1:{door.getsockname()[1]}"
        assert "is another hub there already?" in mistake(capsys, *hub_at(url, tmp_path))


def test_a_directory_that_others_may_enter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="cdq-"))
    folder.chmod(0o755)
    assert "others may enter" in mistake(capsys, *hub_at(f"zmq+ipc://{folder}/hub", tmp_path))
    folder.rmdir()


def test_a_directory_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only root can give a directory away; anybody can be somebody else than its owner."""
    folder, owner = Path(tempfile.mkdtemp(prefix="cdq-")), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    said = mistake(capsys, *hub_at(f"zmq+ipc://{folder}/hub", tmp_path))
    assert f"belongs to user {owner}; use a directory of your own" in said
    assert not any(folder.iterdir())
    folder.rmdir()


def test_plain_tcp_is_for_loopback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "use zmq+curve and keys" in mistake(capsys, *hub_at("tcp://0.0.0.0:0", tmp_path))


def test_insecure_warns(processes: Processes, tmp_path: Path) -> None:
    hub = processes.start(*hub_at("tcp://0.0.0.0:0", tmp_path, "--insecure"))
    line = ""
    while "is insecure" not in line:
        line = hub.stderr.readline() if hub.stderr else ""
        assert line, "the hub ended without a warning"
    job, deadline = tmp_path / "job", time.monotonic() + 30
    while (
        not any(job.glob("checkpoint-*")) and time.monotonic() < deadline
    ):  # else what it is writing would be left
        time.sleep(0.02)
    hub.kill()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--durability", "often"], "unknown durability 'often'; known: applied, durable"),
        (["--mode", "fast"], "unknown mode 'fast'; known: async, sync"),
        (["--log", "xml"], "unknown log format 'xml'; known: json, plain"),
        (["--workers", "0"], "workers is 0"),
    ],
)
def test_options_that_are_not_allowed(
    url: str, tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in mistake(capsys, *hub_at(url, tmp_path, *options))


def test_a_directory_without_a_job(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = mistake(capsys, "hub", "--bind", url, "--checkpoint", tmp_path / "job")
    assert "holds no job, and no environment was given: name one with --env" in said
    assert "cannot read" in mistake(capsys, "replay", tmp_path)


def test_a_worker_of_another_version(processes: Processes, url: str, tmp_path: Path) -> None:
    processes.start(*hub_at(url, tmp_path))
    other = "import cdq.job.handshake as d; d.__version__ = '0.0'; " + PROGRAM
    ended, _, err = end(processes.start("join", url, "--timeout", 20, program=other), 30)
    assert ended == 2
    assert "the worker has cdq '0.0', the hub has" in err


def test_a_worker_of_another_job(processes: Processes, url: str, tmp_path: Path) -> None:
    """Its hub was replaced by one with another job: it must not mix them."""
    first = processes.start(*hub_at(url, tmp_path / "a", "--steps", "1e12"))
    worker = processes.start("join", url, "--timeout", 20)
    wait_for_rounds(tmp_path / "a/job", 2)
    first.kill()
    first.wait()
    processes.start(*hub_at(url, tmp_path / "b"))
    ended, _, err = end(worker, 30)
    assert ended == 2
    assert "this hub has another job" in err


def test_the_next_hub_may_learn_something_else(
    processes: Processes, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of a hub that was refused stands in its way."""
    command = ("hub", "--steps", "1e5", "--checkpoint", tmp_path / "job")
    assert main(list(map(str, [*command, "--bind", "tcp://*:0", "--env", "FrozenLake-v1"]))) == 2
    hub = processes.start(*command, "--bind", url, "--env", "CliffWalking-v1", "--gamma", "0.9")
    worker = processes.start("join", url)
    ended, out, err = end(hub)
    assert ended == 0, err
    assert "CliffWalking-v1" in out
    assert end(worker)[0] == 0
    capsys.readouterr()
