from __future__ import annotations

import pytest

from cdq.comm.launchers import Launch, started_by


@pytest.mark.parametrize(
    ("environment", "launch"),
    [
        ({}, None),
        ({"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2"}, ("the mpiexec of Open MPI", 3, 2)),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, ("the mpiexec of MPICH or Intel MPI", 1, 0)),
        ({"MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"}, ("an mpiexec of the MPICH family", 2, 1)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"}, ("srun", 8, 5)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # python in a batch script
        ({"PMI_SIZE": "4"}, None),
        ({"PMI_SIZE": "four", "PMI_RANK": "0"}, None),
    ],
)
def test_launchers_are_known_by_their_variables(
    environment: dict[str, str], launch: tuple[str, int, int] | None
) -> None:
    assert started_by(environment) == launch


def test_helpers_that_slurm_started_do_not_hide_mpiexec() -> None:
    environment = {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_PROCID": "1",
        "OMPI_COMM_WORLD_SIZE": "16",
        "OMPI_COMM_WORLD_RANK": "9",
    }
    assert started_by(environment) == Launch("the mpiexec of Open MPI", 16, 9)
