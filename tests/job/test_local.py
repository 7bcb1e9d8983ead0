"""comm="zmq": a hub and worker processes of its own, for one call of `learn`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.errors import ConfigError, PeerLost
from cdq.job import local
from tests import running, runs
from tests.job.jobs import MODEL

ARGUMENTS: dict[str, Any] = {"num_envs": 3, "seed": 5, "gamma": 0.9}


def learn(comm: str, **arguments: Any) -> cdq.QLearner:
    steps = arguments.pop("steps", 6000)
    until = arguments.pop("until", None)
    learner = cdq.QLearner(MODEL, comm=comm, **{**ARGUMENTS, **arguments})
    return learner.learn(steps, until=until)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    def held() -> dict[str, int]:
        children = len(running.children(os.getpid()))
        return {"files": running.open_files(), "threads": threading.active_count(), "children": children}

    learn("zmq", steps=3)  # what is kept from the first use on
    before = held()
    yield
    assert {name: number for name, number in held().items() if number > before[name]} == {}, before


def test_g17_nothing_is_left_of_a_run_that_is_interrupted(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor of any other run here: the fixture counts."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_path))  # other tests use the usual one meanwhile
    learner = cdq.QLearner(MODEL, comm="zmq", workers=2, sync_every=500, **ARGUMENTS)

    def interrupt(found: list[int]) -> None:
        end = time.monotonic() + 10
        while learner.steps == 0 and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        during(lambda: learner.learn(10**12), interrupt)
    assert workers() == []
    assert list(short_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_g1_processes_learn_the_table_of_threads(workers: int) -> None:
    one, other = (learn(comm, workers=workers) for comm in ("zmq", "inprocess"))
    assert one.table.digest() == other.table.digest()
    for name in ("steps", "rounds", "episodes"):
        assert one.history[name].tolist() == other.history[name].tolist()
    one.learn(2000), other.learn(2000)  # from where it stands
    assert one.table.digest() == other.table.digest()
    assert one.report()["comm"] == "zmq"


def test_g1_a_condition_ends_processes_after_the_same_round() -> None:
    until = cdq.OptimalWithin(0.05)
    one, other = (
        learn(comm, workers=2, sync_every=200, steps=400_000, until=until) for comm in ("zmq", "inprocess")
    )
    assert one.steps == other.steps < 400_000
    assert one.table.digest() == other.table.digest()


class Smallest(cdq.MergeRule):
    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        return values.min(axis=0)


def test_a_rule_of_ones_own_stays_here() -> None:
    one, other = (learn(comm, workers=2, merge=Smallest(), sync_every=100) for comm in ("zmq", "inprocess"))
    assert one.table.digest() == other.table.digest()


@pytest.mark.parametrize(("first", "then"), [("inprocess", "zmq"), ("zmq", "inprocess"), ("zmq", "zmq")])
def test_g8_a_run_goes_on_between_threads_and_processes(first: str, then: str, tmp_path: Path) -> None:
    way, whole = "automatic windows", tmp_path / "whole"
    runs.begin(whole, way)
    with runs.copied(tmp_path / "copies") as copies:
        runs.begin(tmp_path / "begun", way, comm=first)
    for copy in (copies[1], copies[len(copies) // 2]):
        runs.resume(copy, comm=then).learn()
        assert runs.differing(whole, copy, "settings", "history.bytes") == []


def workers() -> list[int]:
    """Return the process numbers of the workers that this process has started; tests have other children."""
    return [pid for pid in running.children(os.getpid()) if "cdq.job.join" in running.command(pid)]


def during(work: Callable[[], object], act: Callable[[list[int]], None]) -> None:
    """Learn, and do something to the workers once there are two of them."""

    def wait_and_act() -> None:
        end = time.monotonic() + 10
        while len(found := workers()) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.5)
        act(found)

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        work()
    finally:
        thread.join()


def test_g4_a_worker_that_dies_is_named() -> None:
    learner = cdq.QLearner(MODEL, comm="zmq", workers=2, sync_every=500, **ARGUMENTS)

    def die(found: list[str]) -> None:
        end = time.monotonic() + 10
        while learner.steps == 0 and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(found[1], signal.SIGKILL)

    with pytest.raises(
        PeerLost, match=r"worker \d of 2 \(process \d+\) ended by SIGKILL; learn may be called"
    ):
        during(lambda: learner.learn(10**12), die)
    steps = learner.steps
    assert int(learner.table.visits.sum()) == steps > 0
    other = cdq.QLearner(MODEL, comm="inprocess", workers=2, sync_every=500, **ARGUMENTS).learn(steps)
    assert other.table.digest() == learner.table.digest()
    assert learner.learn(1000).steps == steps + 1000 + -1000 % 6


def test_ctrl_c_keeps_the_last_whole_round() -> None:
    learner = cdq.QLearner(MODEL, comm="zmq", workers=2, sync_every=500, **ARGUMENTS)

    def interrupt(found: list[int]) -> None:
        end = time.monotonic() + 10
        while learner.steps == 0 and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        during(lambda: learner.learn(10**12), interrupt)
    assert int(learner.table.visits.sum()) == learner.steps > 0


def test_workers_end_with_the_process_that_started_them(short_path: Path) -> None:
    code = "import cdq; cdq.QLearner('FrozenLake-v1', comm='zmq', workers=2, sync_every=500).learn(1e12)"
    root = str(Path(cdq.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "TMPDIR": str(short_path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        end = time.monotonic() + 10
        while len(found := running.children(process.pid)) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.5)
    finally:
        process.kill()
        process.wait()
    assert len(found) == 2
    assert running.left(found) == []


def test_overlap_is_refused() -> None:
    with pytest.raises(ConfigError, match="overlap needs workers that stay"):
        learn("zmq", workers=2, overlap=True)


def test_a_worker_that_cannot_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.sys, "executable", "/bin/false")
    with pytest.raises(PeerLost, match="ended with status 1"):
        learn("zmq", workers=2)
