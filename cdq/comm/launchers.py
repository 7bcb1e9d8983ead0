"""Launchers that may have started this process, as environment variables tell; this needs no MPI."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import NamedTuple


class Launch(NamedTuple):
    """A launcher, and the processes that it started.

    Parameters
    ----------
    launcher : str
        Name of the launcher, as in a message.
    size : int
        Number of processes that it started.
    rank : int
        Rank of this process among them.
    """

    launcher: str
    size: int
    rank: int


# In this order: Open MPI and Hydra start their own helpers by srun in a Slurm job, so its variables are there too.
# SLURM_NTASKS is not asked: a batch script and everything in it has that as well.
_VARIABLES = (
    ("the mpiexec of Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("the mpiexec of MPICH or Intel MPI", "PMI_SIZE", "PMI_RANK"),
    ("an mpiexec of the MPICH family", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
# Variables that srun sets for a terminal (--pty), and the step of a shell that salloc starts: programs are typed there.
_TERMINAL, _STEP, _INTERACTIVE = "SLURM_PTY_PORT", "SLURM_STEP_ID", "4294967290"
# Variables that tell one start of a rank from another.
_IDENTITY = ("PMIX_NAMESPACE", "PMI_PORT", "PMI_FD", "PMI_ID", "SLURM_JOB_ID", "SLURM_STEP_ID")
# Set in a process that a launcher started, for its children: they inherit the launcher's variables, and are no ranks.
MARK = "CDQ_RANK_PROCESS"


def started_by(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return the launcher that started this process as one of several or alone, None if there was none.

    A process that such a one started, as a pool of `multiprocessing` does, was not started by the launcher. Where it
    left no mark, a Python among the ancestors that has the same variables tells so, on Linux.

    Parameters
    ----------
    environment : mapping of str to str, optional
        The environment variables; those of this process by default.

    Examples
    --------
    >>> started_by({"PMI_SIZE": "4", "PMI_RANK": "1"})
    Launch(launcher='the mpiexec of MPICH or Intel MPI', size=4, rank=1)
    >>> started_by({"SLURM_NTASKS": "4"}) is None
    True
    """
    launch = _named(environment)[0]
    return None if launch is None or _is_child(environment, launch) else launch


def parent_rank(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return the rank that started this process, which is none itself; None if it was started otherwise."""
    launch = _named(environment)[0]
    return launch if launch is not None and _is_child(environment, launch) else None


def variables(environment: Mapping[str, str] = os.environ) -> str:
    """Return the variables by which a launcher was recognised, as a message names them."""
    return " and ".join(_named(environment)[1])


def is_forked() -> bool:
    """Return whether this process is a fork of one that had imported this module."""
    return os.getpid() != _PROCESS


def _named(environment: Mapping[str, str]) -> tuple[Launch | None, tuple[str, ...]]:
    for launcher, size, rank in _VARIABLES:
        numbers = environment.get(size, ""), environment.get(rank, "")
        if all(number.isdecimal() for number in numbers):
            terminal = _TERMINAL in environment or environment.get(_STEP) == _INTERACTIVE
            if launcher != "srun" or not terminal:
                return Launch(launcher, int(numbers[0]), int(numbers[1])), (size, rank)
    return None, ()


def _is_child(environment: Mapping[str, str], launch: Launch) -> bool:
    """Return whether this process is a child of the one that was launched."""
    process, _, of = environment.get(MARK, "").partition(" ")
    if of == _identity(environment, launch):
        return process != str(os.getpid())
    # Not imported there: its own children of multiprocessing are told apart all the same.
    multiprocessing = sys.modules.get("multiprocessing.process")
    of_a_pool = multiprocessing is not None and (
        multiprocessing.parent_process() is not None
        or getattr(multiprocessing.current_process(), "_inheriting", False)
    )
    return of_a_pool or any(
        _is_python(process) and _was_launched(process, _identity(environment, launch))
        for process in _ancestors()
    )


def _ancestors() -> Iterator[Path]:
    """Return the directories in /proc of the processes that this one descends from; none where there is no /proc."""
    process = os.getppid()
    while process > 1:
        directory = Path(f"/proc/{process}")
        yield directory
        try:
            # The name, which is in parentheses, may hold anything; the state and the parent follow it.
            process = int((directory / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            return


def _is_python(process: Path) -> bool:
    """Return whether a process is an interpreter: shells, env, nice and their like stand between launcher and rank."""
    try:
        program = os.readlink(process / "exe")
        return program == os.readlink("/proc/self/exe") or Path(program).name.startswith(("python", "pypy"))
    except OSError:  # it has ended, or is another user's
        return False


def _was_launched(process: Path, identity: str) -> bool:
    """Return whether a process was given the variables of the rank *identity* when it was started."""
    try:
        told = os.fsdecode((process / "environ").read_bytes()).split("\0")
    except OSError:
        return False
    environment = dict(entry.split("=", 1) for entry in told if "=" in entry)
    launch = _named(environment)[0]
    return launch is not None and _identity(environment, launch) == identity


def _identity(environment: Mapping[str, str], launch: Launch) -> str:
    told = [environment.get(name, "") for name in _IDENTITY]
    return f"{launch.rank}/{launch.size}:{','.join(told)}"


def mark(environment: MutableMapping[str, str] = os.environ) -> None:
    """Mark this process as the one that was launched, if it is."""
    launch = started_by(environment)
    if launch is not None:
        environment[MARK] = f"{os.getpid()} {_identity(environment, launch)}"


_PROCESS = os.getpid()
mark()
