"""MPI jobs that stay: their ranks run functions that the tests send them, each on a newly connected communicator."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from cdq.comm.base import Communicator
from tests.mpi import jobs

_START = 30.0  # seconds for a job to start, and again for it to end
_ANSWER = 120.0  # seconds for a function: what waits in it has a timeout of its own


class Job:
    """One mpiexec and the connections to its ranks.

    Parameters
    ----------
    size : int
        Number of ranks.
    """

    def __init__(self, size: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cdq-mpi-"))  # nobody else may enter: no key is needed
        self._log: IO[str] = (self._folder / "output").open("w+")
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(self._folder / "door"))
            door.listen(size)
            door.settimeout(0.1)
            self._process = self._start(size)
            try:
                self._ranks = self._welcome(door, size)
            except BaseException:
                self.kill()
                raise

    def _start(self, size: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *jobs.mpiexec(),
                "-n",
                str(size),
                sys.executable,
                jobs.START,
                "tests.mpi.rank",
                str(self._folder / "door"),
            ],
            env=jobs.environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _welcome(self, door: socket.socket, size: int) -> list[Connection]:
        ranks: dict[int, Connection] = {}
        deadline = time.monotonic() + _START
        while len(ranks) < size:
            try:
                connection = Connection(door.accept()[0].detach())
            except TimeoutError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the job of {size} ranks did not start: {self.said()}") from None
                continue
            ranks[connection.recv()] = connection
        return [ranks[rank] for rank in range(size)]

    def run(self, function: Callable[[Communicator], Any], timeout: float) -> list[Any]:
        """Return what the function returned or raised on each rank."""
        for rank in self._ranks:
            rank.send((function, timeout))
        results = []
        deadline = time.monotonic() + _ANSWER
        for number, rank in enumerate(self._ranks):
            if not rank.poll(max(deadline - time.monotonic(), 0.0)):
                raise RuntimeError(f"rank {number} does not answer: {self.said()}")
            results.append(rank.recv())
        return results

    def said(self) -> str:
        """Return what the job printed so far."""
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        """Let the ranks end, and wait for them."""
        for rank in self._ranks:
            rank.send(None)
        try:
            self._process.wait(_START)
        finally:
            self.kill()

    def kill(self) -> None:
        """End all that is left, at once."""
        if self._process.poll() is None:
            jobs.kill(self._process)
        for rank in getattr(self, "_ranks", []):
            rank.close()
        self._log.close()
        shutil.rmtree(self._folder)


_jobs: dict[int, Job] = {}


def run(size: int, function: Callable[[Communicator], Any], timeout: float = 10.0) -> list[Any]:
    """Call a function on each of `size` ranks of MPI, with a communicator of its own that is ended afterwards.

    Parameters
    ----------
    size : int
        Number of ranks. The first call with a size starts a job, which stays for the later ones.
    function : callable
        Module-level, or a partial of such: it is pickled, as is what it returns.
    timeout : float
        The communicators' `timeout`.

    Returns
    -------
    list
        In rank order: what `function` returned there or, if it raised, the exception.
    """
    if size not in _jobs:
        _jobs[size] = Job(size)
    try:
        return _jobs[size].run(function, timeout)
    except BaseException:  # a rank that hangs or died, or Ctrl-C: the next test gets a new job
        _jobs.pop(size).kill()
        raise


def close() -> None:
    """End all jobs."""
    while _jobs:
        _jobs.popitem()[1].close()
