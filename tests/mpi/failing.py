"""Programs that end badly, or almost: ``python -m tests.mpi.failing NAME [TIMEOUT]`` on each rank of a job."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

from cdq.comm import registry
from cdq.comm.base import Communicator
from cdq.errors import CommTimeout

CULPRIT = 1


def say(line: str) -> None:
    """Print a line in one piece, which the others' lines do not fall into."""
    os.write(1, f"{line}\n".encode())


def work(comm: Communicator) -> None:
    """Make collectives for ever."""
    while True:
        comm.allgather(b"work")


def fails(comm: Communicator) -> None:
    """Fail on one rank while the others wait for it."""
    if comm.rank == CULPRIT:
        raise ValueError("the cause")
    work(comm)


def fails_in_a_block(comm: Communicator) -> None:
    """Fail on one rank in the block that ends the communicator."""
    with comm:
        fails(comm)


def fails_while_others_compute(comm: Communicator) -> None:
    """Fail on one rank while the others need nothing of it."""
    if comm.rank == CULPRIT:
        raise ValueError("the cause")
    time.sleep(60)


def exits(comm: Communicator) -> None:
    """Leave one rank's program by ``sys.exit``, which is no exception that a hook sees."""
    if comm.rank == CULPRIT:
        sys.exit(2)
    work(comm)


def is_interrupted(comm: Communicator) -> None:
    """Press Ctrl-C on one rank."""
    if comm.rank == CULPRIT:
        os.kill(os.getpid(), signal.SIGINT)
    work(comm)


def is_killed(comm: Communicator) -> None:
    """Kill one rank, which shares memory."""
    comm.share(1 << 20)
    if comm.rank == CULPRIT:
        os.kill(os.getpid(), signal.SIGKILL)
    work(comm)


def is_stopped(comm: Communicator) -> None:
    """Stop one rank."""
    if comm.rank == CULPRIT:
        os.kill(os.getpid(), signal.SIGSTOP)
    work(comm)


def is_stopped_in_a_long_part(comm: Communicator) -> None:
    """Stop one rank, by a thread of its own, while long parts are on the way."""
    if comm.rank == CULPRIT:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGSTOP)).start()
    part = bytes(1 << 20)
    while True:
        comm.alltoall([part] * comm.size)


def is_stopped_in_a_merge(comm: Communicator) -> None:
    """Stop one rank, by a thread of its own, while slices are on the way."""
    from tests.comm.mpi.test_slices import SlicedFold

    contribution = SlicedFold(np.ones(1 << 20))
    comm.barrier()
    if comm.rank == CULPRIT:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGSTOP)).start()
    while True:
        comm.merge(contribution, "sum")


def is_stopped_and_others_end(comm: Communicator) -> None:
    """Stop one rank, and end the others' programs in order, having seen that."""
    try:
        is_stopped(comm)
    except CommTimeout as error:
        say(f"missing: {error.missing}")


def calls_differ(comm: Communicator) -> None:
    """Make another call on one rank."""
    if comm.rank == CULPRIT:
        comm.agree(True)
    comm.barrier()


def leaves_it_open(comm: Communicator) -> None:
    """End after the last collective, without closing: nothing is wrong with that."""
    comm.barrier()


PROGRAMS: dict[str, Callable[[Communicator], None]] = {
    program.__name__: program
    for program in (
        fails,
        fails_in_a_block,
        fails_while_others_compute,
        exits,
        is_interrupted,
        is_killed,
        is_stopped,
        is_stopped_in_a_long_part,
        is_stopped_in_a_merge,
        is_stopped_and_others_end,
        calls_differ,
        leaves_it_open,
    )
}


if __name__ == "__main__":
    connected = registry.connect(timeout=float(sys.argv[2]))[0]
    say(f"pid: {os.getpid()}")
    connected.barrier()
    PROGRAMS[sys.argv[1]](connected)
