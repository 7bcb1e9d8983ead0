"""What each rank of a pool's job does: ``python tests/start.py tests.mpi.rank SOCKET``."""

from __future__ import annotations

import socket
import sys
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from cdq.comm import registry
from cdq.comm.base import Communicator
from cdq.comm.launchers import started_by


def outcome(function: Callable[[Communicator], Any], timeout: float) -> Any:
    """Return what the function returns on a new communicator, or the exception."""
    size = registry.load("mpi").ranks("mpi", None)
    try:
        with registry.connect("mpi", size, timeout)[0] as comm:
            return function(comm)
    except BaseException as error:
        return error


def main(door: str) -> None:
    """Answer until told to end."""
    warnings.filterwarnings("ignore", "[0-9]+ ranks on a node", RuntimeWarning)
    launch = started_by()
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(door)
        connection = Connection(end.detach())
    connection.send(launch.rank if launch is not None else 0)
    while (wanted := connection.recv()) is not None:
        connection.send(outcome(*wanted))


if __name__ == "__main__":
    main(sys.argv[1])
