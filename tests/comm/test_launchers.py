from __future__ import annotations

import os

import pytest

from cdq.comm.launchers import MARK, Launch, mark, parent_rank, started_by, variables


@pytest.mark.parametrize(
    ("environment", "launch"),
    [
        ({}, None),
        ({"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2"}, ("the mpiexec of Open MPI", 3, 2)),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, ("the mpiexec of MPICH or Intel MPI", 1, 0)),
        ({"MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"}, ("an mpiexec of the MPICH family", 2, 1)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"}, ("srun", 8, 5)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # python in a batch script
        # python in a shell: srun -n 4 --pty bash, and salloc where it starts a step for it
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_PTY_PORT": "4711"}, None),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_ID": "4294967290"}, None),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0"}, ("srun", 4, 0)),
        # mpiexec in such a shell
        (
            {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2", "SLURM_PTY_PORT": "4711"},
            ("the mpiexec of Open MPI", 3, 2),
        ),
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


RANK = {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2", "PMIX_NAMESPACE": "job-1"}


def test_a_child_inherits_the_mark_and_is_no_rank() -> None:
    environment = dict(RANK)
    mark(environment)
    assert started_by(environment) == Launch("the mpiexec of Open MPI", 3, 2)
    assert parent_rank(environment) is None
    child = {**environment, MARK: environment[MARK].replace(str(os.getpid()), "1")}
    assert started_by(child) is None
    assert parent_rank(child) == Launch("the mpiexec of Open MPI", 3, 2)
    before = dict(child)
    mark(child)
    assert child == before


def test_a_job_that_a_rank_starts_has_ranks_of_its_own() -> None:
    environment = dict(RANK)
    mark(environment)
    inherited = environment[MARK].replace(str(os.getpid()), "1")
    for changes in (
        {"PMIX_NAMESPACE": "job-2"},
        {"OMPI_COMM_WORLD_RANK": "0"},
        {"OMPI_COMM_WORLD_SIZE": "5"},
    ):
        assert started_by({**environment, MARK: inherited, **changes}) is not None


def test_no_launcher_leaves_no_mark() -> None:
    environment: dict[str, str] = {}
    mark(environment)
    assert environment == {}
    assert variables(environment) == ""
    assert variables(RANK) == "OMPI_COMM_WORLD_SIZE and OMPI_COMM_WORLD_RANK"
