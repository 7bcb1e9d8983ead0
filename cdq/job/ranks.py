"""Local processes as ranks beside this one: those of a call of `learn` whose environments are stepped in Python."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cdq.comm.base import Communicator
from cdq.comm.registry import connect
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.relay import RelayMachine
from cdq.job.local import processes, require_alive

RANK = ("-m", "cdq.rank")
_LOOK = 0.01  # seconds between two looks at processes that are starting
_LEAVE = 5.0  # seconds that processes have to end
_JOINED = 60.0  # seconds that processes have to join, once all have started


@contextlib.contextmanager
def beside(size: int, begin: bytes, timeout: float) -> Iterator[Communicator]:
    """Start *size* - 1 processes, and give the communicator of rank 0; they end with the context.

    Parameters
    ----------
    size : int
        How many ranks there are.
    begin : bytes
        What the others are told first (`cdq.rank`).
    timeout : float
        Deadline of each collective, in seconds.

    Raises
    ------
    PeerLost
        If one of them ends before it has joined; it has said why on standard error.
    """
    with tempfile.TemporaryDirectory(prefix="cdq-") as folder:  # 0700
        url = f"zmq+ipc://{folder}/hub"
        signs = [Path(folder, f"rank-{rank}") for rank in range(1, size)]
        programs = [
            [*RANK, url, str(rank), str(size), str(timeout), str(sign)] for rank, sign in enumerate(signs, 1)
        ]
        with _relay(url, size), processes(programs) as started:
            # A rank that does not come would be waited for until the deadline.
            while not all(sign.exists() for sign in signs):
                require_alive(started)
                time.sleep(_LOOK)
            with connect(url, size, _JOINED)[0] as comm:
                comm.timeout = timeout
                comm.broadcast(begin, 0)
                yield comm
            # They are about to end; one that is killed before it has said so would be taken for lost.
            deadline = time.monotonic() + _LEAVE
            while any(process.poll() is None for process in started) and time.monotonic() < deadline:
                time.sleep(_LOOK)


@contextlib.contextmanager
def _relay(url: str, size: int) -> Iterator[None]:
    """Be the hub of the ranks, in a thread, while the context lasts."""
    stop = threading.Event()
    with Hub(url, RelayMachine(size, secrets.randbits(63) | 1)) as hub:
        thread = threading.Thread(target=hub.run, args=(stop.is_set,), name="cdq-relay")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
