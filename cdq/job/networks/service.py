"""The hub's part of a job that trains a network: the mean of parameters and moments of whoever came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from cdq.comm.contribution import Received
from cdq.job.networks.member import make_worker, pack_network_welcome
from cdq.job.networks.messages import (
    Brought,
    check_contribution,
    open_contribution,
    pack_merged,
    result_parts,
    take_merged,
)
from cdq.job.networks.task import NetworkJob
from cdq.job.service import LearningService
from cdq.qfunctions import Parameters
from cdq.training import State, curves_of
from cdq.workers import mean_of

_NO_TABLE = {"states": 0, "actions": 0, "names": [], "rows": [], "best": []}


class Picture:
    """Picture of a run without a table: its curves."""

    def of(self, state: State) -> dict[str, Any]:
        """Return the picture of a run as it is now."""
        return {"curves": curves_of(state.history), "table": _NO_TABLE}


class NetworkService(LearningService):
    """Learning part of a hub whose job trains a network; as `LearningService`, whose *model* is a `NetworkJob`."""

    _shape: Any

    def _begin(self, model: Any) -> None:
        job: NetworkJob = model
        self._own = Parameters(job.merged.layout.size)
        self._pictures = Picture()

    def welcome(self, uid: int, members: Sequence[int]) -> bytes:
        """Return all that a worker begins with."""
        return pack_network_welcome(self._job, self.lanes(uid), self.window, target=self._state.goal.target)

    def _open_contribution(self, payload: Any) -> Brought:
        return open_contribution(payload, self._shape)

    def _check_contribution(self, brought: Brought) -> None:
        count = int(self._job.merged.count[0])
        check_contribution(brought, self._shape, count, self.window.sweeps, self._job.task.own_bytes)

    def is_of(self, payload: Received, checksum: int) -> bool:
        """Return whether a contribution is the one of a CRC-32 in the journal."""
        return crc32(payload) == checksum

    def _result_parts(self, merged: Received) -> tuple[Received, ...]:
        return result_parts(self.window, merged)

    def _first_lanes(self, uid: int) -> bytes:
        return make_worker(self._job, uid=uid, session=self._state.session).lane_state

    def _merge(self, brought: Sequence[Any]) -> Received:
        return pack_merged(brought[0].made, mean_of([one.numbers for one in brought]))

    def _apply_merged(self, merged: Received) -> float:
        take_merged(self._own, merged)
        self._job.merged.close_window(self._own)
        return 0.0
