"""Checkpoints of a run: when they are due, the check that the directory is the run's own, and how to resume."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cdq.comm.base import Communicator
from cdq.errors import ConfigError, FileError
from cdq.errors.checks import path_of, whole
from cdq.storage import Checkpoint, CheckpointDirectory, Tensors, pack_tensors, parse_tensors
from cdq.training.agreement import from_rank_0

# In a call of `learn`, unless told otherwise.
_IN_A_CALL = 20
# File of a directory that a hub's job has; its rounds would not fit checkpoints that are written without it.
JOURNAL = "journal.jsonl"


class Checkpoints:
    """The checkpoints of a run; none are written where there is no directory.

    Parameters
    ----------
    directory : path or None
        Directory of the checkpoints.
    every : float or None
        Steps between two; None: a twentieth of each call of `learn`.

    Raises
    ------
    ConfigError
        If *every* is no whole number, or given without a directory.
    """

    def __init__(self, directory: str | os.PathLike[str] | None, every: float | None) -> None:
        if every is not None and directory is None:
            raise ConfigError(
                f"checkpoint_every is {every!r}, but there is no checkpoint directory; name one"
            )
        self._every = None if every is None else whole("checkpoint_every", every, 1)
        # The run goes on there wherever the program changes to.
        where = None if directory is None else Path(path_of("the checkpoint directory", directory)).absolute()
        self._directory = None if where is None else CheckpointDirectory(where)
        self._last: Path | None = None  # the newest by name, as this run has seen it

    @property
    def path(self) -> Path | None:
        """The directory."""
        return None if self._directory is None else self._directory.path

    def every(self, steps: int) -> int:
        """Return how many steps are between two checkpoints in a call of *steps*; 0 where none are written."""
        if self._directory is None:
            return 0
        return self._every or max(1, -(-steps // _IN_A_CALL))

    @contextlib.contextmanager
    def held(self, comm: Communicator | None, *, by_hub: bool = False) -> Iterator[None]:
        """Keep the directory for rank 0, or for a hub, while the context lasts; a collective.

        Raises
        ------
        FileError
            On every rank, if another process has it, or it holds checkpoints of another run, or those of a hub's job
            and this is none.
        """
        with contextlib.ExitStack() as stack:
            hold = partial(self._hold, stack, by_hub)
            if comm is None:  # the ranks are threads of this process
                hold()
            else:
                from_rank_0(comm, hold)
            yield

    def _hold(self, stack: contextlib.ExitStack, by_hub: bool) -> bytes:
        if self._directory is not None:
            stack.enter_context(self._directory.lock())
            if not by_hub and (self._directory.path / JOURNAL).exists():
                raise FileError(
                    f"{self._directory.path} holds the job of a hub, whose journal has every round: go on with it by "
                    "cdq hub --checkpoint, or use another directory"
                )
            if self._directory.last_path() not in (None, self._last):
                raise FileError(
                    f"{self._directory.path} holds checkpoints of another run: go on with that run "
                    "(cdq.QLearner.resume, cdq train --resume) or use another directory"
                )
        return b""

    def write(self, steps: int, tensors: Tensors, header: Mapping[str, Any]) -> None:
        """Write a checkpoint; the directory must be held."""
        if self._directory is not None:
            try:
                self._directory.write(steps, tensors, header)
            finally:  # what fails after the file was put in its place leaves it there
                self._last = self._directory.last_path()

    def newest(self, comm: Communicator | None) -> Checkpoint:
        """Return the newest checkpoint that is whole, which rank 0 reads for all; a collective.

        Raises
        ------
        FileError
            If there is none.
        """
        if comm is None:
            return self._read()
        data = from_rank_0(comm, self._read_bytes)
        path = self._directory.path if self._directory is not None else Path()
        return Checkpoint(path, *parse_tensors(data, str(path)))

    def _read_bytes(self) -> bytes:
        newest = self._read()
        return pack_tensors(newest.tensors, newest.header)  # the file itself may be deleted by now

    def _read(self) -> Checkpoint:
        assert self._directory is not None
        newest = self._directory.newest()
        if newest is None:
            path = self._directory.path
            if path.exists() and not path.is_dir():
                raise FileError(
                    f"there is no checkpoint in {path}; it is not a directory: name the one that holds them"
                )
            raise FileError(f"there is no checkpoint in {path}; begin a run with this directory")
        self._last = self._directory.last_path()
        return newest

    def how_to_resume(self) -> str:
        """Return in words how the run goes on."""
        path = "" if self._directory is None else str(self._directory.path)
        return f"go on with: cdq train --resume {shlex.quote(path)}, or cdq.QLearner.resume({path!r}).learn()"
