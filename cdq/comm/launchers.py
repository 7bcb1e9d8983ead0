"""Who started this process, as the environment tells: needs no MPI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple


class Launch(NamedTuple):
    """A launcher and what it started.

    Parameters
    ----------
    launcher : str
        Its name, as in a message.
    size : int
        How many processes it started.
    rank : int
        Which of them this one is.
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


def started_by(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return the launcher that started this process as one of several or alone, None if there was none.

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
    for launcher, size, rank in _VARIABLES:
        numbers = environment.get(size, ""), environment.get(rank, "")
        if all(number.isdecimal() for number in numbers):
            return Launch(launcher, int(numbers[0]), int(numbers[1]))
    return None
