"""cdq status and the metrics of a hub: what a person, a program and a scraper see of a job."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cdq.cli import main
from cdq.cli.status import figures
from cdq.cli.troubles import troubles
from cdq.comm.zmq.keys import allow, keygen
from cdq.errors import CommTimeout
from tests.cli.test_hub import (
    ENVIRONMENT,
    JOB,
    PROGRAM,
    Processes,
    end,
    processes,
    status,
    url,
    wait_for_rounds,
)
from tests.job.test_metrics import TOLD, WORKERS, parsed

__all__ = ["processes", "url"]

module = sys.modules["cdq.cli.status"]  # the package has the command by that name
# As it comes from the hub.
STATE: dict[str, Any] = json.loads(json.dumps(TOLD))


def changed(**changes: Any) -> dict[str, Any]:
    service = {**STATE["service"], **changes.pop("service", {})}
    return {**STATE, "service": service, **changes}


def test_a_job_for_a_person() -> None:
    shown = dict(figures(STATE))
    assert shown["environment"] == "Taxi-v4"
    assert shown["steps"] == "2,500 of 10,000 (25%)"
    assert shown["speed"] == "125.5 steps/s, 100 on average"
    assert shown["time left"] == "1 min 0 s"
    assert shown["mean return"] == "-3.25, exploring"
    assert "gap" not in shown
    assert shown["workers"] == "2 learn, 1 cannot be reached, 2 are needed, 1 wait"
    assert dict(figures(changed(unreachable=[])))["workers"] == "3 learn, 2 are needed, 1 wait"
    assert shown["worker 0"] == "north on node-1, delivered, 60.5 steps/s, seen 0.2 s ago"
    assert shown["worker 2"].endswith("on two lines, unreachable, nothing brought yet, not heard yet")
    assert shown["refused"] == "STALE 4, a key 2"


def test_who_is_away_has_no_speed() -> None:
    worker = {**WORKERS[0], "state": "unreachable", "seen": 8.5}
    assert (
        dict(figures(changed(workers=[worker])))["worker 0"] == "north on node-1, unreachable, seen 8.5 s ago"
    )


@pytest.mark.parametrize(
    ("members", "least", "sentences"),
    [
        (
            [0, 2, 3],
            2,
            ["Worker 2 cannot be reached: rounds go on without it, it may come back at any time."],
        ),
        (
            [0, 2],
            2,
            [
                "1 worker is here, and a round needs 2: start 1 more with cdq join.",
                "Worker 2 cannot be reached: it may come back at any time.",
            ],
        ),
        (
            [2],
            1,
            [
                "No workers are here, and a round needs 1: start 1 more with cdq join.",
                "Worker 2 cannot be reached: it may come back at any time.",
            ],
        ),
    ],
)
def test_rounds_go_on_without_who_is_away_where_enough_are_left(
    members: list[int], least: int, sentences: list[str]
) -> None:
    away = {
        "members": members,
        "unreachable": [2],
        "waiting": [],
        "least": least,
        "workers": [{**WORKERS[1]}],
    }
    assert troubles(changed(**{**QUIET, **away})) == sentences


@pytest.mark.parametrize(
    ("service", "left"),
    [
        ({"steps": 10_000}, "none, the job is done"),
        ({"finished": True}, "none, the job is done"),
        ({"speed": 0.0}, "not known, as nothing was learnt in the last seconds"),
        ({"speed": 0.01}, "8 d 16 h"),
    ],
)
def test_the_time_left(service: dict[str, Any], left: str) -> None:
    assert dict(figures(changed(service=service)))["time left"] == left


def test_what_a_worker_says_of_itself_does_not_move_the_cursor() -> None:
    worker = {**WORKERS[0], "host": "evil\x1b[2J", "name": "\x07"}
    assert dict(figures(changed(workers=[worker])))["worker 0"].startswith("? on evil?[2J, ")


QUIET = {"counts": {}, "unreachable": [], "delivered": [], "workers": [{**WORKERS[0], "state": "learning"}]}


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"members": [], "waiting": []}, "Nobody learns: start 2 workers with cdq join."),
        (
            {"members": [], "waiting": [5]},
            "1 worker is here, and a round needs 2: start 1 more with cdq join.",
        ),
        (
            {"members": [0], "waiting": []},
            "1 worker is here, and a round needs 2: start 1 more with cdq join.",
        ),
        ({"workers": [{**WORKERS[1]}]}, "Worker 2 cannot be reached"),
        (
            {"delivered": [1], "workers": [{**WORKERS[0], "state": "learning", "seen": 31.4}]},
            "Everybody waits for worker 0, which was seen 31 s ago.",
        ),
        ({"counts": {"evicted": 2}}, "2 workers did not deliver in time, and rounds closed without them."),
        ({"counts": {"refused REPLACED": 3}}, "3 times: two workers use the same key"),
        (
            {"counts": {"refused a message of a key that is not allowed": 1}},
            "1 times: a key that is not allowed",
        ),
    ],
)
def test_what_is_wrong_in_plain_words(state: dict[str, Any], sentence: str) -> None:
    assert troubles(changed(**QUIET)) == []
    (said,) = troubles(changed(**{**QUIET, **state}))
    assert said.startswith(sentence)


def test_a_job_that_is_done_lacks_nobody() -> None:
    assert troubles(changed(**{**QUIET, "members": []}, service={"finished": True})) == []


def test_hubs_of_ranks_have_no_job() -> None:
    told = {"size": 2, "ranks": [0], "counts": {"frames": 3}}
    assert troubles(told) == []
    assert figures(told)[0] == ("ranks", "1 of 2 are here: 0")


# ---- looking again and again


def watch(monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> int:
    """Watch a hub that answers so, and then not at all."""
    left = iter(answers)

    def ask(*_: Any) -> Any:
        answer = next(left, None)
        if answer is None:
            raise CommTimeout("tcp://127.0.0.1:1: the hub does not answer within 10 s")
        return answer

    monkeypatch.setattr("cdq.job.membership.connection.status", ask)
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    return main(["status", "tcp://127.0.0.1:1", "--watch"])


def test_watching_ends_with_the_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states = [STATE, changed(service={"steps": 5000}), changed(service={"steps": 10_000, "finished": True})]
    assert watch(monkeypatch, states) == 0
    shown = capsys.readouterr().out
    assert [f"({share}%)" in shown for share in (25, 50, 100)] == [True, True, True]
    assert "\x1b" not in shown  # no terminal


@pytest.mark.parametrize(
    ("environment", "clears"),
    [
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
)
def test_only_a_persons_terminal_is_cleared(
    environment: dict[str, str],
    clears: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    assert watch(monkeypatch, [STATE, changed(service={"steps": 10_000, "finished": True})]) == 0
    assert ("\x1b[H\x1b[2J" in capsys.readouterr().out) == clears


def test_a_hub_that_ended_between_two_looks_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch(monkeypatch, [changed(service={"steps": 10_000})]) == 0


def test_a_hub_that_is_gone_too_soon_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert watch(monkeypatch, [STATE]) == 2
    assert capsys.readouterr().err == "cdq: tcp://127.0.0.1:1: the hub does not answer within 10 s\n"


def test_a_hub_of_another_version_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {name: value for name, value in STATE.items() if name != "least"}
    assert watch(monkeypatch, [old]) == 2
    assert "the hub does not tell its 'least': it has another cdq" in capsys.readouterr().err


def test_watching_and_json_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "tcp://127.0.0.1:1", "--watch", "--json", "-"]) == 2
    assert "leave one of them out" in capsys.readouterr().err


# ---- of a job of real processes


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def scraped_with_workers(where: str, count: int) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return the samples of the first page that tells steps of *count* workers: a page is up to a second old."""
    deadline = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(f"http://{where}/metrics", timeout=10) as answer:
            found = parsed(answer.read().decode())
        if len(found.get("cdq_worker_steps_total", {})) == count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_a_job_is_seen_by_a_person_a_program_and_a_scraper(processes: Processes, tmp_path: Path) -> None:
    hub_keys, job = tmp_path / "keys" / "hub", tmp_path / "job"
    keygen(hub_keys)
    for name in ("north", "south"):
        public = keygen(tmp_path / "keys" / name)
        allow(hub_keys, public, name)
        (tmp_path / "keys" / name / "hub.public").write_text((hub_keys / "own.public").read_text())
    port, where = free_port(), f"127.0.0.1:{free_port()}"
    url = f"zmq+curve://127.0.0.1:{port}"
    hub = processes.start(
        *("hub", "--bind", url, "--keys", hub_keys, *JOB, "--steps", "1e12", "--checkpoint", job),
        *("--metrics", where),
    )
    workers = [processes.start("join", url, "--keys", tmp_path / "keys" / n) for n in ("north", "south")]
    wait_for_rounds(job, 20)
    own = ("--keys", str(tmp_path / "keys" / "north"))
    told = status(url, *own)
    assert sorted(worker["name"] for worker in told["workers"]) == ["north", "south"]
    assert {worker["host"] for worker in told["workers"]} == {socket.gethostname()[:64]}
    assert told["service"]["speed"] > 0
    paces = told["service"]["speeds"]
    assert sum(pace["steps"] for pace in paces.values()) == told["service"]["steps"]
    asked = subprocess.run(
        [sys.executable, "-c", PROGRAM, "status", url, *own],
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=True,
    )
    assert "north on " in asked.stdout
    assert "of 1,000,000,000,000 (0%)" in asked.stdout
    found = scraped_with_workers(where, 2)
    names = {dict(labels)["name"] for labels in found["cdq_worker_steps_total"]}
    assert names == {"north", "south"}
    assert found["cdq_workers_needed"] == {(): 2.0}
    hub.terminate()
    assert end(hub, 20)[0] == 0
    for worker in workers:
        worker.terminate()
        end(worker, 10)


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "localhost:9464", "9464x"])
def test_addresses_of_metrics_are_checked_before_anything_begins(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["hub", "--bind", "tcp://127.0.0.1:0", "--env", "FrozenLake-v1", "--metrics", address]
    assert main([*command, "--checkpoint", str(tmp_path / "job")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cdq: ")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "job").exists()
