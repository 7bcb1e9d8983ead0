"""What each process of the pool does: ``python -m tests.comm.zmq.rank SOCKET``."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from cdq.comm import registry
from cdq.comm.base import Communicator


def outcome(url: str, rank: int, size: int, function: Callable[[Communicator], Any], timeout: float) -> Any:
    """Return what the function returns on a new communicator, or the exception."""
    os.environ["CDQ_RANK"] = str(rank)
    try:
        with registry.connect(url, size, timeout)[0] as comm:
            return function(comm)
    except BaseException as error:
        return error


def main(door: str) -> None:
    """Answer until told to end, or until nobody is there any more."""
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(door)
        connection = Connection(end.detach())
    try:
        while (wanted := connection.recv()) is not None:
            connection.send(outcome(*wanted))
    except EOFError:
        pass


if __name__ == "__main__":
    main(sys.argv[1])
