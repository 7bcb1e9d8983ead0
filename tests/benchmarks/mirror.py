"""A rank among many without the others: what it does in a merge, on one core, without messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.comm.mpi.communicator import MPICommunicator
from cdq.comm.mpi.records import Records


class Mirror(MPICommunicator):
    """One rank among many that all do as it does: its work without their messages."""

    def __init__(self, size: int) -> None:
        Communicator.__init__(self, 0, size)
        self._records, self._channel = Records(size), _Copies(size)

    def _run(self, start: Callable[..., Any], *arguments: Any) -> None:
        start(*arguments)

    def share(self, n_bytes: int) -> None:
        """Have none."""


class _Copies:
    """The part of MPI that a merge needs, where what others send is what this rank sends."""

    def __init__(self, size: int) -> None:
        self._size = size

    def Iallgather(self, outgoing: bytes, incoming: bytearray) -> None:
        incoming[:] = outgoing * self._size

    def Ialltoall(self, counts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        lengths[:] = counts[0]

    def Ialltoallv(self, outgoing: Sequence[Any], incoming: Sequence[Any]) -> None:
        self.Iallgatherv(memoryview(outgoing[0])[: outgoing[1][0]], incoming)

    def Iallgatherv(self, part: memoryview, incoming: Sequence[Any]) -> None:
        for count, first in zip(*incoming[1:3], strict=True):
            incoming[0][first : first + count] = np.frombuffer(part[:count], np.uint8)
