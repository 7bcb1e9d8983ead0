"""Learning that goes wrong on one rank ends the job soon, says why, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import cdq
from tests.mpi import jobs

RANKS = 3
SHORT_OF_TIME = "mpi://?timeout=3"


def run(program: str, url: str = "mpi", waits: float = 0.0) -> subprocess.CompletedProcess[str]:
    """Run a program of `tests.mpi.failing_learners`: it must end soon after what happens, and that waiting."""
    files = jobs.shared_files()
    done = jobs.run_job(RANKS, [jobs.START, "tests.mpi.failing_learners", program, url], timeout=60.0)
    ended = time.time()
    events = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("event: ")]
    said = f"{program}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert len(events) == 1, said
    assert ended - events[0] < waits + 20.0, f"{ended - events[0]:.1f} s; {said}"
    assert done.returncode != 0, said
    assert not jobs.left_over(done.stdout, files), said
    return done


def open_mpi() -> bool:
    return "--oversubscribe" in jobs.mpiexec()


def last_traceback(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.rpartition("Traceback (most recent call last)")[2]


@pytest.mark.parametrize(
    "program",
    [
        "fails_before_it_learns",
        "fails_in_a_merge",
        "fails_in_an_overlapped_merge",
        "fails_after_it_learnt",
        "fails_while_others_have_ended",
    ],
)
def test_the_traceback_of_the_rank_that_failed_comes_last(program: str) -> None:
    done = run(program)
    assert "ValueError: the cause" in last_traceback(done), done.stderr
    assert "PeerLost" not in done.stderr, done.stderr


def test_a_rank_that_fails_before_it_loads_mpi() -> None:
    """The launcher sees to that; MPICH's leaves the others to wait in MPI_Init."""
    if not open_mpi():
        pytest.skip("the mpiexec of MPICH waits for a rank that fails before MPI_Init")
    assert "ValueError: the cause" in run("fails_before_it_connects").stderr


def test_a_rank_that_cannot_make_a_learner_ends_the_job() -> None:
    done = run("fails_before_its_learner_is_made")
    assert "UnsupportedEnvironment: unknown environment 'NoSuchLake-v1'" in last_traceback(done), done.stderr


def test_a_rank_that_exits_is_named() -> None:
    done = run("exits")
    assert "rank 1: its program ended without closing the communicator" in done.stderr, done.stderr


def test_a_killed_rank_ends_the_job() -> None:
    done = run("is_killed")
    assert done.returncode != 0, done.stdout


def test_a_stopped_rank_is_named() -> None:
    done = run("is_stopped", SHORT_OF_TIME, waits=3.0)
    assert "CommTimeout: merge by pooled" in done.stderr, done.stderr
    assert "rank 1 did not come within 3 s" in done.stderr, done.stderr


def test_ctrl_c_ends_the_wait_for_a_rank_that_is_stopped() -> None:
    done = run("is_interrupted_while_another_is_stopped", waits=2.0)
    assert "KeyboardInterrupt" in last_traceback(done), done.stderr


def test_a_rank_that_learns_alone_hears_that_the_others_ended() -> None:
    done = run("learns_once_more")
    assert "its program ended without closing the communicator" in last_traceback(done), done.stderr


def test_a_rank_that_makes_another_learner_is_found_out_at_once() -> None:
    done = run("makes_another_learner", SHORT_OF_TIME)
    assert "CollectiveMismatch: the ranks made different calls" in done.stderr, done.stderr


def test_every_rank_tells_of_settings_that_differ() -> None:
    done = run("has_other_settings")
    assert "ConfigError: gamma is 0.99 on rank 0 and 0.9 on rank 1" in done.stderr, done.stderr
    assert "PeerLost" not in done.stderr, done.stderr


def test_a_launcher_that_is_not_the_library_s_is_named() -> None:
    """What starts a rank alone, as one of four, would otherwise have four of them learn the same."""
    other, size, rank = (
        ("MPICH or Intel MPI", "PMI_SIZE", "PMI_RANK")
        if open_mpi()
        else ("Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")
    )
    done = subprocess.run(
        [sys.executable, "-c", "import cdq; cdq.QLearner('FrozenLake-v1')"],
        # A process of Open MPI that no mpiexec started leaves its segment in /dev/shm, if it makes one.
        env=jobs.environment({size: "4", rank: "0", "OMPI_MCA_btl": "^sm"}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert f"BackendUnavailable: communicator 'mpi': the mpiexec of {other} started 4" in done.stderr
    assert (
        f"If no launcher started this process: unset {size} and {rank}, or give comm='inprocess'"
        in done.stderr
    )


def test_learners_may_follow_each_other_and_be_left_open() -> None:
    """MPI ends after Python's modules: nothing may then come into memory that is gone."""
    code = """
import cdq, sys
for seed in range(2):
    agent = cdq.QLearner("FrozenLake-v1", seed=seed).learn(2000)
    sys.stdout.write(f"{agent.rank} {agent.table.digest()}\\n")  # in one piece: the ranks share a pipe
"""
    alone = [
        cdq.QLearner("FrozenLake-v1", seed=seed, workers=2).learn(2000).table.digest() for seed in range(2)
    ]
    for _ in range(3):
        done = jobs.run_job(2, ["-c", code])
        assert (done.returncode, "Signal" in done.stderr) == (0, False), done.stderr
        assert sorted(done.stdout.split()[1::2]) == sorted(2 * alone)
