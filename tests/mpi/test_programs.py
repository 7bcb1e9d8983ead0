"""Ranks that call MPI themselves, start processes, or have several learners."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cdq
from tests.mpi import jobs


def run(ranks: int, program: str) -> subprocess.CompletedProcess[str]:
    return jobs.run_job(ranks, [jobs.START, "tests.mpi.programs", program], timeout=60.0)


@pytest.fixture(scope="module")
def alone() -> str:
    """Return the digest of what two workers learn without MPI."""
    return cdq.QLearner("FrozenLake-v1", seed=0, workers=2).learn(2000).table.digest()


both = pytest.mark.parametrize("ranks", [1, 3])


@both
@pytest.mark.parametrize("program", ["finalises", "finalises_at_exit", "initialises_itself"])
def test_a_program_may_end_mpi_itself(program: str, ranks: int) -> None:
    done = run(ranks, program)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "MPI_" not in done.stderr, done.stderr


@both
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("finalises_and_fails", "ValueError: the cause"),
        (
            "finalises_and_makes_a_learner",
            "MPI has been finalised in this process; learn before MPI.Finalize()",
        ),
        ("finalises_and_learns", "MPI has been finalised in this process; learn before MPI.Finalize()"),
        (
            "is_not_initialised",
            "MPI is not initialised, as mpi4py.rc.initialize is False; call MPI.Init_thread()",
        ),
        ("is_single", "on the level 'single', and workers are threads, one at a time in MPI; set mpi4py.rc"),
        (
            "is_funneled",
            "on the level 'funneled', and workers are threads, one at a time in MPI; set mpi4py.rc",
        ),
    ],
)
def test_what_mpi_cannot_do_is_said_in_one_line(program: str, said: str, ranks: int) -> None:
    done = run(ranks, program)
    assert done.returncode == 1, done.stderr
    assert said in done.stderr.rpartition("Traceback")[2], done.stderr
    assert "Signal" not in done.stderr, done.stderr


@pytest.mark.parametrize("program", ["crosses_two_learners", "crosses_a_learner_and_a_log"])
def test_learners_in_crossed_order_are_found_out(program: str) -> None:
    done = run(3, program)
    said = "CollectiveMismatch: the ranks call learn of different learners"
    assert said in done.stderr, done.stderr
    assert (
        "rank 0: learner 1; rank 1: learner 2; rank 2: learner 2; call them in the same order" in done.stderr
    )
    assert run(1, program).returncode == 0


@both
def test_a_program_that_a_rank_starts_is_no_rank(ranks: int, alone: str) -> None:
    done = run(ranks, "starts_a_program")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"alone: {alone}\n") == ranks, done.stdout
    assert done.stdout.count("started this process, which is no rank itself; let it learn alone") == ranks


@both
@pytest.mark.parametrize(("program", "learnt"), [("spawns_a_pool", 4), ("forks_a_pool_first", 2)])
def test_a_rank_may_have_a_pool(program: str, learnt: int, ranks: int, alone: str) -> None:
    done = run(ranks, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"alone: {alone}\n") == learnt * ranks, done.stdout


@both
def test_a_fork_of_mpi_is_refused_in_words(ranks: int) -> None:
    done = run(ranks, "forks_a_pool_of_mpi")
    assert "ConfigError: this process is a fork of an MPI rank whose MPI is up" in done.stderr, done.stderr
    assert "get_context('spawn')" in done.stderr
    assert "Signal" not in done.stderr, done.stderr


SAYS_RANKS = "import cdq; print('ranks:', cdq.QLearner('FrozenLake-v1').settings.workers)"


@pytest.mark.parametrize(
    "wrapper",
    [("sh", "-c", '"$0" "$@"; exit $?'), ("env", "A=1"), ("nice", "-n", "1", "sh", "-c", '"$@"', "-")],
)
def test_a_rank_may_be_started_by_a_wrapper(wrapper: tuple[str, ...]) -> None:
    """A shell, env and their like do no more than start the process that is the rank."""
    done = jobs.run_job(2, [sys.executable, "-c", SAYS_RANKS], program=wrapper)
    assert done.stdout.count("ranks: 2\n") == 2, done.stderr


@pytest.mark.parametrize("imports", ["import cdq", "import cdq.errors", "import os"])
@pytest.mark.parametrize("between", [[], ["sh", "-c", '"$@"; exit $?', "-"], ["env", "A=1"]])
def test_a_program_that_a_rank_starts_before_it_has_a_learner_is_no_rank(
    imports: str, between: list[str]
) -> None:
    command = [*between, sys.executable, "-c", SAYS_RANKS]
    code = f"{imports}\nimport subprocess\nsubprocess.run({command!r}, check=True)"
    done = jobs.run_job(3, ["-c", code])
    assert done.stdout.count("ranks: 1\n") == 3, done.stdout + done.stderr


def test_workers_without_a_launcher_are_told_so() -> None:
    code = "import cdq; cdq.QLearner('FrozenLake-v1', comm='mpi', workers=2)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=jobs.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "workers is 2, but no launcher started this process" in done.stderr, done.stderr
    assert "mpiexec -n 2 python script.py" in done.stderr


def test_the_advice_leaves_out_a_variable_that_is_set() -> None:
    code = "import cdq; cdq.QLearner('FrozenLake-v1')"
    many = len(__import__("os").sched_getaffinity(0)) + 1
    for value, there in (("1", False), ("0", True)):
        done = jobs.run_job(many, ["-c", code], extra={"OMPI_MCA_mpi_yield_when_idle": value})
        assert "they take turns" in done.stderr, done.stderr
        if "--oversubscribe" in jobs.mpiexec():
            assert ("set OMPI_MCA_mpi_yield_when_idle=1" in done.stderr) == there, done.stderr


def test_local_processes_of_a_rank(tmp_path: Path) -> None:
    """A rank may have processes of the learner's own: they inherit a launcher's variables, and are no ranks."""
    script = tmp_path / "script.py"
    script.write_text(
        "import cdq\nagent = cdq.QLearner('Blackjack-v1', workers=2, comm='zmq', seed=0).learn(2000)\n"
        "print('steps:', agent.steps)\n"
    )
    for ranks in (1, 3):
        done = jobs.run_job(ranks, [str(script)], timeout=60.0)
        assert done.stdout.count("steps: 2000\n") == ranks, done.stderr
