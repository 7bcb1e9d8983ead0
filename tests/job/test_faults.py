"""G4, G6, G8: a hub or a worker that fails at any point of a round; the table is that of a run without faults."""

from __future__ import annotations

import signal
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.errors import CdqError, FileError
from cdq.job import faults
from cdq.job.replay import replay
from tests.job.processes import ENV, processes
from tests.job.test_chaos import assert_exact, end, until_member, until_rounds

STEPS = 24_000
JOB: dict[str, Any] = {
    "steps": STEPS,
    "sync_every": 500,
    "workers": 2,
    "checkpoint_every": 8000,
    "seen": True,
}
HOSTING = {"max_members": 2, "grace": 0.1}
HUB = [
    "before_apply",
    "before_write",
    "after_write",
    "after_fsync",
    "after_apply",
    "before_acknowledge",
    "before_checkpoint",
    "after_checkpoint",
]


@cache
def undisturbed() -> str:
    learner = cdq.QLearner(ENV, num_envs=4, seed=7, workers=2, sync_every=500, comm="inprocess")
    return learner.learn(STEPS).table.digest()


@pytest.mark.parametrize("way", ["kill", "raise"])
@pytest.mark.parametrize("point", HUB)
@pytest.mark.parametrize("seen", [True, False])
def test_g6_a_hub_that_fails_goes_on_where_it_was(seen: bool, point: str, way: str, tmp_path: Path) -> None:
    visit = 2 if "checkpoint" in point else 7 if seen else 4  # else the workers play rounds by themselves
    with processes(tmp_path, **{**JOB, "seen": seen}, hosting=HOSTING) as made:
        hub = made.hub(f"hub:{point}@{visit}:{way}")
        workers = [made.worker() for _ in range(2)]
        hub.communicate(timeout=20)
        assert hub.returncode == (-signal.SIGKILL if way == "kill" else 1)
        printed, said = made.hub().communicate(timeout=20)
        assert printed.split() == [undisturbed(), str(STEPS)], said
        for worker in workers:
            assert (worker.communicate(timeout=10)[1], worker.returncode) == ("", 0)
        assert_exact(made.directory)


@pytest.mark.parametrize(
    "point", ["before_apply", "before_write", "after_fsync", "after_apply", "before_acknowledge"]
)
def test_g6_a_hub_without_rounds_goes_on_where_it_was(point: str, tmp_path: Path) -> None:
    hosting = {**HOSTING, "asynchronous": True}
    with processes(tmp_path, **JOB, hosting=hosting) as made:
        hub = made.hub(f"hub:{point}@17:kill")
        for _ in range(2):
            made.worker()
        hub.communicate(timeout=20)
        assert hub.returncode == -signal.SIGKILL
        printed, said = made.hub().communicate(timeout=20)
        assert int(printed.split()[1]) >= STEPS, said
        assert_exact(made.directory)


@pytest.mark.parametrize(
    "fault", ["before_submit@5:kill", "after_submit@5:kill", "after_settle@5:kill", "submit@5:corrupt"]
)
def test_g5_a_worker_that_fails_counts_once_or_not_at_all(fault: str, tmp_path: Path) -> None:
    with processes(tmp_path, **JOB, hosting=HOSTING) as made:
        hub, lost, _ = made.hub(), made.worker(f"worker:{fault}"), made.worker()
        said = lost.communicate(timeout=20)[1]
        if "corrupt" in fault:
            assert "cdq: " in said
        else:
            assert lost.returncode == -signal.SIGKILL
        made.worker()
        printed, said = hub.communicate(timeout=20)
        assert printed.endswith(f" {STEPS}\n"), said
        members = {uid for entry in assert_exact(made.directory) for uid, _, _ in entry["members"]}
        assert members == {0, 1, 2}


@pytest.mark.parametrize("way", ["drop", "double", "corrupt"])
def test_g9_a_disk_that_lies_is_found_out(way: str, tmp_path: Path) -> None:
    with processes(tmp_path, **JOB, hosting=HOSTING) as made:
        hub = made.hub(f"hub:write@12:{way}")
        for _ in range(2):
            made.worker()
        hub.communicate(timeout=20)
        with pytest.raises(FileError, match=r"line 12|round \d+ should be|altered"):
            replay(made.directory)


def test_g5_a_stopped_worker_is_left_behind_and_comes_back(tmp_path: Path) -> None:
    job = {**JOB, "steps": 10**12, "workers": 1}
    with processes(tmp_path, **job, hosting={"round_timeout": 0.3, "grace": 0.1}) as made:
        hub, stopped, _ = made.hub(), made.worker(), made.worker()
        until_rounds(made.directory, 1)
        until_member(made.directory, 2)
        stopped.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        until_rounds(made.directory, 20)
        stopped.send_signal(signal.SIGCONT)
        until_member(made.directory, 2)
        end(made, hub)
        sizes = [len(entry["members"]) for entry in assert_exact(made.directory)]
        assert 1 in sizes[sizes.index(2) :], "nobody was left behind"


def test_a_worker_that_is_asked_to_leave_brings_its_window(tmp_path: Path) -> None:
    job = {**JOB, "steps": 10**12, "workers": 1}
    with processes(tmp_path, **job) as made:
        hub, leaving, _ = made.hub(), made.worker(), made.worker()
        until_rounds(made.directory, 1)
        until_member(made.directory, 2)
        leaving.send_signal(signal.SIGTERM)
        assert (leaving.communicate(timeout=10)[1], leaving.returncode) == ("", 0)
        until_rounds(made.directory, 20)  # nobody waits for it
        end(made, hub)
        assert [len(entry["members"]) for entry in assert_exact(made.directory)][-1] == 1


def test_a_hub_that_nobody_started(tmp_path: Path) -> None:
    with processes(tmp_path) as made:
        worker = made.worker(timeout=0.3)
        said = worker.communicate(timeout=10)[1]
        assert (worker.returncode, said) == (
            1,
            f"cdq: {made.url}: no hub answers within 0.3 s; is it running?\n",
        )


def test_a_fault_is_described_right() -> None:
    with pytest.raises(CdqError, match="write it as POINT@VISIT:WAY"):
        faults.parse("hub:after_write:explode")
