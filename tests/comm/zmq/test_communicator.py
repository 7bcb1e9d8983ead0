from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cdq.comm.base import Communicator
from cdq.testing import CommunicatorConformance
from tests.comm.zmq import pool


class TestZmq(CommunicatorConformance):
    def run(self, size: int, function: Callable[[Communicator], Any], *, timeout: float = 10.0) -> list[Any]:
        return pool.run(size, function, timeout)
