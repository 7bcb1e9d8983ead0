"""Jobs that end badly end soon, say why, and leave nothing."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.mpi import jobs

RANKS = 3


def run(program: str, timeout: float = 30.0, within: float = 5.0) -> subprocess.CompletedProcess[str]:
    """Run a program of `tests.mpi.failing`, which must end in time after the timeout of its calls."""
    files = jobs.shared_files()
    started = time.monotonic()
    done = jobs.run_job(RANKS, [jobs.START, "tests.mpi.failing", program, str(timeout)])
    seconds = time.monotonic() - started
    said = f"{program}: status {done.returncode} after {seconds:.1f} s\n{done.stdout}\n{done.stderr}"
    assert seconds < within + 15.0, (
        said
    )  # a job takes a second or two to start, and longer where cores are busy
    assert not jobs.left_over(done.stdout, files), said
    assert (done.returncode == 0) == (program == "leaves_it_open"), said
    return done


def last_traceback(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.rpartition("Traceback (most recent call last)")[2]


@pytest.mark.parametrize("program", ["fails", "fails_in_a_block", "fails_while_others_compute"])
def test_an_exception_ends_the_job_with_its_own_traceback_last(program: str) -> None:
    done = run(program)
    assert "ValueError: the cause" in last_traceback(done), done.stderr
    assert "PeerLost" not in done.stderr


def test_the_others_hear_of_a_rank_that_exits() -> None:
    done = run("exits")
    assert "rank 1: its program ended without closing the communicator" in done.stderr, done.stderr


def test_ctrl_c_ends_the_job() -> None:
    assert "KeyboardInterrupt" in last_traceback(run("is_interrupted"))


def test_a_killed_rank_ends_the_job() -> None:
    done = run("is_killed")
    assert done.returncode != 0, done.stdout


@pytest.mark.parametrize("program", ["is_stopped", "is_stopped_in_a_long_part", "is_stopped_in_a_merge"])
def test_a_stopped_rank_is_named(program: str) -> None:
    done = run(program, timeout=1.5)
    assert "CommTimeout: " in done.stderr, done.stderr
    assert "rank 1 did not come within 1.5 s" in done.stderr or "gave up waiting for rank 1" in done.stderr


def test_the_end_does_not_wait_for_a_stopped_rank() -> None:
    done = run("is_stopped_and_others_end", timeout=1.5)
    assert done.stdout.count("missing: (1,)") == RANKS - 1, done.stdout


def test_every_rank_tells_of_calls_that_differ() -> None:
    done = run("calls_differ")
    assert "rank 0: barrier (call 2); rank 1: agree (call 2); rank 2: barrier (call 2)" in done.stderr


def test_a_communicator_may_be_left_open() -> None:
    done = run("leaves_it_open")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("3 ranks on a node") <= 1
