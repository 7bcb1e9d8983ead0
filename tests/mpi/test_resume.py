"""Checkpoints of ranks in processes of their own: resumed there or on threads, the run is the same to the bit."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import cdq
from cdq.comm.base import Communicator
from cdq.errors import CdqError, FileError
from tests import runs
from tests.mpi import jobs, pool
from tests.running import descendants

ELSEWHERE = "history.bytes"  # what travels depends on the communicator


def begin(directory: Path, way: str, copies: Path, comm: Communicator) -> list[Path]:
    with runs.copied(copies) as copied:
        runs.begin(directory, way, workers=comm.size, comm=comm)
    return copied


def resume(directory: Path, comm: Communicator) -> int:
    return runs.resume(directory, comm=comm).learn().steps


def returned(results: list[Any]) -> Any:
    """Return what rank 0 did, if no rank raised."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results[0]


@pytest.mark.parametrize("way", ["schedules", "automatic windows", "overlapped", "until a return"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_resumed_there_or_here_the_run_is_the_same(size: int, way: str, tmp_path: Path) -> None:
    ranks, threads = tmp_path / "ranks", tmp_path / "threads"
    copies = returned(pool.run(size, partial(begin, ranks, way, tmp_path / "copies")))
    runs.begin(threads, way, workers=size)
    assert runs.differing(ranks, threads, ELSEWHERE) == []
    for copy in (copies[0], copies[len(copies) // 2]):
        here = tmp_path / "here" / copy.name
        shutil.copytree(copy, here)
        runs.resume(here).learn()
        assert runs.differing(here, threads, ELSEWHERE) == [], f"{copy.name}, resumed on threads"
        returned(pool.run(size, partial(resume, copy)))
        assert runs.differing(copy, ranks) == [], f"{copy.name}, resumed on ranks"


# ---- what all ranks are told


def learn_in(directory: Path, comm: Communicator, **changes: Any) -> tuple[cdq.QLearner, list[str]]:
    """Return a learner, and what it raised when it was to learn."""
    agent = cdq.QLearner(runs.MODEL, num_envs=3, seed=5, comm=comm, checkpoint=directory, **changes)
    return agent, raised_by(agent)


def raised_by(agent: cdq.QLearner, steps: float | None = 6000) -> list[str]:
    try:
        agent.learn(steps)
    except CdqError as error:
        return [f"{type(error).__name__}: {error}"]
    return []


def is_refused(directory: Path, comm: Communicator) -> list[str]:
    return learn_in(directory, comm)[1]


def test_every_rank_is_told_that_the_directory_is_another_run_s(tmp_path: Path) -> None:
    runs.begin(tmp_path / "run", "alone")
    for errors in pool.run(3, partial(is_refused, tmp_path / "run")):
        assert len(errors) == 1
        assert errors[0].startswith(f"FileError: {tmp_path / 'run'} holds checkpoints of another run: ")


def has_no_room_for_a_while(directory: Path, comm: Communicator) -> tuple[list[str], str, int]:
    """Learn on a disk that is full at the fourth checkpoint, and then again on one that is not."""
    write, left = os.replace, [3]

    def full(*paths: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*paths)

    with mock.patch("os.replace", full):
        agent, errors = learn_in(directory, comm)
    return errors + raised_by(agent, None), agent.table.digest(), agent.steps


def test_after_a_full_disk_all_ranks_go_on(tmp_path: Path) -> None:
    errors, digests, steps = zip(
        *returned_by_all(pool.run(2, partial(has_no_room_for_a_while, tmp_path / "run"))), strict=True
    )
    assert [len(messages) for messages in errors] == [1, 1]
    assert errors[0][0].startswith("FileError: cannot write ")
    assert errors[1][0].startswith("PeerLost: ")
    assert "No space left on device" in errors[1][0]
    whole = cdq.QLearner(runs.MODEL, num_envs=3, seed=5, workers=2).learn(6000)
    assert set(digests) == {whole.table.digest()}
    assert set(steps) == {whole.steps}


def returned_by_all(results: list[Any]) -> list[Any]:
    returned(results)
    return results


def is_poked(directory: Path, culprit: int, comm: Communicator) -> list[str]:
    """Change a number of one rank's table while it learns; a value is made the same again once it is merged."""
    agent = cdq.QLearner(runs.MODEL, num_envs=3, seed=5, comm=comm, checkpoint=directory)
    join = agent._team.join

    def joined(*arguments: Any, **keywords: Any) -> Any:
        contribution = join(*arguments, **keywords)
        if comm.rank == culprit:
            agent._state.merged.visits[4, 2] += 1
        return contribution

    with mock.patch.object(agent._team, "join", joined):
        return raised_by(agent)


def test_every_rank_is_told_whose_table_differs(tmp_path: Path) -> None:
    for errors in pool.run(3, partial(is_poked, tmp_path / "run", 2)):
        assert len(errors) == 1
        assert errors[0].startswith("DivergenceError: the tables differ after ")
        assert "steps: rank 2 against the others" in errors[0]
    assert not (tmp_path / "run").exists()  # nothing was saved


def resume_and_hear(directory: Path, comm: Communicator) -> tuple[int, list[str]]:
    """Resume, and return what is warned of."""
    heard: list[str] = []
    with mock.patch("logging.Logger.warning", lambda _, text, *values: heard.append(text % values)):
        return resume(directory, comm), heard


def test_another_number_of_ranks_is_told_once(tmp_path: Path) -> None:
    with runs.copied(tmp_path / "copies") as copies:
        runs.begin(tmp_path / "run", "schedules")
    told = returned_by_all(pool.run(3, partial(resume_and_hear, copies[3])))
    warning = "the checkpoint is of 2 workers, this run has 3: its random streams begin anew"
    assert [warnings for _, warnings in told] == [[warning], [], []]
    assert all(0 <= steps - runs.STEPS < 9 for steps, _ in told)
    assert runs.kept(copies[3])["settings"]["workers"] == 3


def finds_nothing(directory: Path, comm: Communicator) -> None:
    resume(directory, comm)


def test_every_rank_is_told_that_there_is_nothing_to_resume(tmp_path: Path) -> None:
    for result in pool.run(3, partial(finds_nothing, tmp_path)):
        with pytest.raises(FileError, match="there is no checkpoint in"):
            raise result


# ---- whole jobs: the command line, kill -9, and SIGTERM

CDQ = ["-c", "import sys; from cdq.cli import main; sys.exit(main())"]
TRAIN = ["train", "FrozenLake-v1", "--seed", "0", "--checkpoint-every", "2e5"]


def wait_for_checkpoints(directory: Path, job: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30.0
    while len(names := sorted(directory.glob("checkpoint-*"))) < 3:
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < deadline, f"only {names}"
        time.sleep(0.01)


def test_a_job_that_is_killed_is_gone_on_with_from_the_command_line(tmp_path: Path) -> None:
    directory, files = tmp_path / "run", jobs.shared_files()
    job = jobs.start_job(2, [*CDQ, *TRAIN, "--steps", "2e7", "--checkpoint", str(directory)])
    try:
        wait_for_checkpoints(directory, job)
        for rank in descendants(job.pid):  # not mpiexec, which clears up after them
            os.kill(rank, signal.SIGKILL)
        job.wait(30)
    finally:
        if job.poll() is None:
            jobs.kill(job)
        job.communicate()
    assert job.returncode != 0
    done = jobs.run_job(2, [*CDQ, "train", "--resume", str(directory), "--json", "-"])
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    whole = cdq.QLearner("FrozenLake-v1", seed=0, workers=2).learn(2e7)
    assert (report["digest"], report["steps"]) == (whole.table.digest(), whole.steps)
    assert not jobs.left_over("", files)


@pytest.mark.parametrize("ranks", ["1", "0,1,2"])
def test_sigterm_to_one_rank_or_to_all_ends_the_job_with_a_checkpoint(ranks: str, tmp_path: Path) -> None:
    directory, files = tmp_path / "run", jobs.shared_files()
    done = jobs.run_job(3, [jobs.START, "tests.runs", "is_terminated", str(directory), ranks])
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("cdq: ")]
    steps = int(sorted(directory.glob("checkpoint-*"))[-1].stem.partition("-")[2])
    assert lines == [
        f"cdq: ended early after {steps:,} steps; go on with: "
        f"cdq train --resume {directory}, or cdq.QLearner.resume('{directory}').learn()"
    ]
    assert "Traceback" not in done.stderr, done.stderr
    assert not jobs.left_over(done.stdout, files)
