"""Whole MPI jobs: the mpiexec beside this Python, its options and environment, and running a script under it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.running import descendants, read, runs

START = str(Path(__file__).parents[1] / "start.py")  # runs a module of the tests
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "PYTHONUNBUFFERED": "1",
}


@cache
def mpiexec() -> tuple[str, ...]:
    """Return the command that starts ranks, without their number; skip where there is none."""
    command = Path(sys.executable).with_name("mpiexec")
    if not command.exists():
        pytest.skip(f"no mpiexec beside {sys.executable}; pip install 'cdq[test]'")
    says = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=30, check=False)
    return (str(command), "--oversubscribe") if "Open MPI" in says.stdout else (str(command),)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a job: this process's, what Open MPI needs, and `extra`."""
    return {**os.environ, **ENVIRONMENT, **(extra or {})}


def start_job(
    ranks: int,
    arguments: Sequence[str],
    extra: Mapping[str, str] | None = None,
    program: Sequence[str] = (sys.executable,),
) -> subprocess.Popen[str]:
    """Start Python, or another program, with `arguments` on each rank, in a session of its own, its output in pipes."""
    return subprocess.Popen(
        [*mpiexec(), "-n", str(ranks), *program, *arguments],
        env=environment(extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_job(
    ranks: int,
    arguments: Sequence[str],
    timeout: float = 30.0,
    extra: Mapping[str, str] | None = None,
    program: Sequence[str] = (sys.executable,),
) -> subprocess.CompletedProcess[str]:
    """Run Python with `arguments` (a script, or ``-c`` and code) on each rank, to its end.

    Parameters
    ----------
    ranks : int
        How many.
    arguments : sequence of str
        What follows ``python``.
    timeout : float
        In seconds: a job that takes longer is killed, and the test fails with what it had printed.
    extra : mapping of str to str, optional
        More environment variables.
    program : sequence of str
        What stands before the arguments.
    """
    job = start_job(ranks, arguments, extra, program)
    try:
        out, err = job.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill(job)
        out, err = job.communicate()
        pytest.fail(f"{arguments} on {ranks} ranks did not end within {timeout:g} s\n{out}\n{err}")
    return subprocess.CompletedProcess(job.args, job.returncode, out, err)


def kill(job: subprocess.Popen[str]) -> None:
    """Kill mpiexec and every process that it started."""
    for process in [*descendants(job.pid), job.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    job.wait()


def left_over(printed: str, files: set[str]) -> list[str]:
    """Return what a job left: processes that printed ``pid: NUMBER``, and shared memory that nobody uses.

    MPICH itself leaves a file when a job is aborted; that is removed, and not counted.

    Parameters
    ----------
    printed : str
        The job's output.
    files : set of str
        What `shared_files` returned before the job.
    """
    processes = [
        word for line in printed.splitlines() if line.startswith("pid: ") for word in line.split()[1:]
    ]
    deadline = time.monotonic() + 2.0  # mpiexec does not wait for those that it kills
    left = before = _left_now(processes, files)
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left, before = _left_now(processes, files), left
    return sorted(left & before)  # a file that a job beside this one has just made is used soon


def _left_now(processes: Sequence[str], files: set[str]) -> set[str]:
    used = "".join(read(folder / "maps") for folder in Path("/proc").glob("[0-9]*"))
    unused = {name for name in shared_files() - files if name not in used}
    of_mpich = {name for name in unused if Path(name).name.startswith("mpich_shm_")}
    for name in of_mpich:
        Path(name).unlink(missing_ok=True)
    return {process for process in processes if runs(int(process))} | (unused - of_mpich)


def shared_files() -> set[str]:
    """Return the files of shared memory."""
    return {str(path) for path in Path("/dev/shm").glob("*")}
