"""Checkpoints of ranks in processes of their own: resumed there or on threads, the run is the same to the bit."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cdq.comm.base import Communicator
from tests import runs
from tests.mpi import pool

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
    for copy in (copies[0], copies[len(copies) // 2], copies[-2]):
        here = tmp_path / "here" / copy.name
        shutil.copytree(copy, here)
        runs.resume(here).learn()
        assert runs.differing(here, threads, ELSEWHERE) == [], f"{copy.name}, resumed on threads"
        returned(pool.run(size, partial(resume, copy)))
        assert runs.differing(copy, ranks) == [], f"{copy.name}, resumed on ranks"
