"""Processes that stay, and a hub for each call: they run functions that the tests send them, as the ranks of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cdq.comm.base import Communicator
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.ranks.relay import RelayMachine

START = str(Path(__file__).parents[2] / "start.py")  # runs a module of the tests
_START = 30.0  # seconds for a process to start, and again for it to end
_ANSWER = 120.0  # seconds for a function: what waits in it has a timeout of its own

_processes: list[tuple[subprocess.Popen[bytes], Connection]] = []


def run(
    size: int, function: Callable[[Communicator], Any], timeout: float = 10.0, url: str = ""
) -> list[Any]:
    """Call a function on each of `size` ranks, with a communicator of its own that is ended afterwards.

    Parameters
    ----------
    size : int
        Number of ranks, each a process; they stay for the later calls.
    function : callable
        Module-level, or a partial of such: it is pickled, as is what it returns.
    timeout : float
        The communicators' `timeout`.
    url : str
        Of the hub; a path by default.

    Returns
    -------
    list
        In rank order: what `function` returned there or, if it raised, the exception.
    """
    while len(_processes) < size:
        _start()
    try:
        with hub(size, url) as address:
            for rank in range(size):
                _processes[rank][1].send((address, rank, size, function, timeout))
            results = _answers(size)
    except BaseException:  # a rank that hangs or died, or Ctrl-C: the next test gets new ones
        kill()
        raise
    if any(isinstance(result, EOFError) for result in results):
        kill()
    return results


def _answers(size: int) -> list[Any]:
    results = []
    deadline = time.monotonic() + _ANSWER
    for rank, (_, connection) in enumerate(_processes[:size]):
        if not connection.poll(max(deadline - time.monotonic(), 0.0)):
            raise RuntimeError(f"rank {rank} does not answer")
        try:
            results.append(connection.recv())
        except EOFError as error:  # its process has ended
            results.append(error)
    return results


@contextmanager
def hub(size: int, url: str = "") -> Iterator[str]:
    """Run a hub of `size` ranks in a thread, and give its address."""
    folder = Path(tempfile.mkdtemp(prefix="cdq-zmq-"))
    ended = threading.Event()
    try:
        with Hub(url or f"zmq+ipc://{folder}/hub", RelayMachine(size, 1)) as shell:
            thread = threading.Thread(target=shell.run, args=(ended.is_set,), name="hub")
            thread.start()
            try:
                yield shell.url
            finally:
                ended.set()
                thread.join()
    finally:
        assert list(folder.iterdir()) == []
        shutil.rmtree(folder)


def _start() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cdq-zmq-"))  # nobody else may enter: no key is needed
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(folder / "door"))
        door.listen()
        door.settimeout(_START)
        process = subprocess.Popen(
            [sys.executable, START, "tests.comm.zmq.rank", str(folder / "door")],
            stdin=subprocess.DEVNULL,
        )
        try:
            _processes.append((process, Connection(door.accept()[0].detach())))
        except BaseException:
            process.kill()
            process.wait()
            raise
    shutil.rmtree(folder)


def close() -> None:
    """Let all processes end, and wait for them."""
    for _, connection in _processes:
        connection.send(None)
    for process, _ in _processes:
        try:
            process.wait(_START)
        except subprocess.TimeoutExpired:
            process.kill()
    kill()


def kill() -> None:
    """End all processes, at once."""
    while _processes:
        process, connection = _processes.pop()
        process.kill()
        process.wait()
        connection.close()
