"""Local processes as ranks beside this one, for calls of `learn` whose environments are stepped in Python."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

from cdq.comm.base import Communicator
from cdq.comm.registry import connect
from cdq.comm.zmq.address import temporary_address
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.ranks.relay import RelayMachine
from cdq.job import hand_over, processes

RANK = ("-m", "cdq.learner.rank")
_LOOK = 0.01  # seconds between two looks at processes that are ending
_LEAVE = 5.0  # seconds that processes have to end
_JOINED = 60.0  # seconds that processes have to join, once all are ready


@contextlib.contextmanager
def beside(size: int, parcel: bytes, begin: bytes, timeout: float) -> Iterator[Communicator]:
    """Start *size* - 1 processes, and give the communicator of rank 0; they end with the context.

    Parameters
    ----------
    size : int
        Number of ranks, this one included.
    parcel : bytes
        Bytes from which the other ranks make the environment (`cdq.learner.parcel`).
    begin : bytes
        Bytes that the other ranks get first (`cdq.learner.rank`).
    timeout : float
        Deadline of each collective, in seconds.

    Raises
    ------
    ConfigError, UnsupportedEnvironment
        If one of them cannot make the environment, or makes another one.
    PeerLost
        If one of them ends before it has joined; it has said why on standard error.
    """
    with temporary_address() as url:
        programs = [[*RANK, url, str(rank), str(size), str(timeout)] for rank in range(1, size)]
        with _relay(url, size), _started(programs, parcel) as started:
            with connect(url, size, _JOINED)[0] as comm:
                comm.timeout = timeout
                comm.broadcast(begin, 0)
                yield comm
            # They are about to end; one that is killed before it has said so would be taken for lost.
            deadline = time.monotonic() + _LEAVE
            while any(process.poll() is None for process in started) and time.monotonic() < deadline:
                time.sleep(_LOOK)


@contextlib.contextmanager
def _started(programs: Sequence[Sequence[str]], parcel: bytes) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start processes, each with an end of a socket pair as standard input, and give them the parcel."""
    with contextlib.ExitStack() as stack:
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in programs]
        started = stack.enter_context(processes(programs, [theirs for _, theirs in pairs]))
        for _, theirs in pairs:
            theirs.close()
        hand_over(parcel, [own for own, _ in pairs], started)
        yield started


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
