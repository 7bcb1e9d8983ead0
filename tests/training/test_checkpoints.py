"""The checkpoints of a run, where the directory is somebody's, and what all ranks hear of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cdq.comm.base import Communicator
from cdq.comm.inprocess import connect
from cdq.errors import ConfigError, FileError
from cdq.storage.directory import CheckpointDirectory
from cdq.testing.threads import run_in_threads
from cdq.training.checkpoints import Checkpoints

TENSORS = {"values": np.arange(6.0)}


def on_ranks(function: Callable[[Communicator], Any]) -> list[Any]:
    return run_in_threads(connect(3, 20.0), function)


@pytest.mark.parametrize(
    ("every", "steps", "expected"),
    [(None, 100, 5), (None, 101, 6), (None, 1, 1), (None, 0, 1), (7, 100, 7), (1e6, 10, 10**6)],
)
def test_how_many_steps_are_between_two(
    every: float | None, steps: int, expected: int, tmp_path: Path
) -> None:
    assert Checkpoints(tmp_path, every).every(steps) == expected
    assert Checkpoints(None, None).every(steps) == 0


def test_without_a_directory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints(None, None)
    with checkpoints.held(None):
        checkpoints.write(5, TENSORS, {})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="checkpoint_every is 5"):
        Checkpoints(None, 5)


def test_what_was_written_is_read_on_every_rank(tmp_path: Path) -> None:
    def rank(comm: Communicator) -> Any:
        checkpoints = Checkpoints(tmp_path, None)
        with checkpoints.held(comm):
            if comm.rank == 0:
                checkpoints.write(5, TENSORS, {"steps": 5})
        comm.barrier()
        return Checkpoints(tmp_path if comm.rank == 0 else "elsewhere", None).newest(comm)

    for newest in on_ranks(rank):
        assert newest.tensors["values"].tolist() == TENSORS["values"].tolist()
        assert newest.header["steps"] == 5
    assert Checkpoints(tmp_path, None).newest(None).header["steps"] == 5


def test_only_rank_0_needs_to_reach_the_directory(tmp_path: Path) -> None:
    def rank(comm: Communicator) -> None:
        with Checkpoints(tmp_path / "run" if comm.rank == 0 else "/nowhere/run", None).held(comm):
            comm.barrier()

    assert on_ranks(rank) == [None] * 3


@pytest.mark.parametrize("trouble", ["in use", "another run", "missing", "unreadable"])
def test_every_rank_hears_of_trouble_with_the_directory(trouble: str, tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path / "run")
    with directory.lock():
        if trouble != "in use":
            (directory.path / f"checkpoint-{5:020d}.safetensors").write_bytes(b"not one")
        if trouble == "in use":
            messages = [str(result) for result in on_ranks(lambda comm: enter(directory.path, comm))]
    if trouble == "another run":
        messages = [str(result) for result in on_ranks(lambda comm: enter(directory.path, comm))]
    elif trouble in ("missing", "unreadable"):
        path = tmp_path / "no run" if trouble == "missing" else directory.path
        results = on_ranks(lambda comm: Checkpoints(path, None).newest(comm))
        assert all(isinstance(result, FileError) for result in results)
        messages = [str(result) for result in results]
    expected = {
        "in use": f"is in use by process {os.getpid()}",
        "another run": "holds checkpoints of another run",
        "missing": "there is no checkpoint in",
        "unreadable": "can be read; use another copy",
    }
    assert len(messages) == 3
    assert all(expected[trouble] in message for message in messages), messages


def enter(path: Path, comm: Communicator) -> None:
    with Checkpoints(path, None).held(comm):
        pass


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", None)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), checkpoints.held(None):
            raise ZeroDivisionError
    with pytest.raises(FileError, match="its lock is not held"):
        checkpoints.write(5, TENSORS, {})


def test_how_to_resume_can_be_pasted(tmp_path: Path) -> None:
    said = Checkpoints(tmp_path / "it's", None).how_to_resume()
    assert said.startswith("go on with: cdq train --resume '")
    assert """it'"'"'s', or cdq.QLearner.resume(\"""" in said
