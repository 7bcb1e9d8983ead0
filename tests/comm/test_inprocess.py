from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cdq.comm.base import Communicator
from cdq.comm.inprocess import connect
from cdq.testing import CommunicatorConformance, run_in_threads


class TestInProcess(CommunicatorConformance):
    def run(self, size: int, function: Callable[[Communicator], Any], *, timeout: float = 10.0) -> list[Any]:
        return run_in_threads(connect(size, timeout), function)
