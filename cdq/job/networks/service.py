"""The hub's part of a job that trains a network: the mean of parameters and moments of whoever came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from cdq.comm.contribution import Received
from cdq.job.messages import window_parts
from cdq.job.networks.messages import (
    BroughtNetwork,
    check_contribution,
    open_contribution,
    pack_merged,
    take_merged,
)
from cdq.job.service import LearningService
from cdq.qfunctions import MergedNetwork, Parameters
from cdq.training import State, curves_of
from cdq.workers import mean_of

_NO_TABLE = {"states": 0, "actions": 0, "names": [], "rows": [], "best": []}


class CurvesAlone:
    """Picture of a run without a table."""

    def of(self, state: State) -> dict[str, Any]:
        """Return the picture of a run as it is now."""
        return {"curves": curves_of(state.history), "table": _NO_TABLE}


class NetworkService(LearningService):
    """Learning part of a hub whose job trains a network; as `LearningService`."""

    def _prepare(self) -> None:
        merged = self._state.merged
        assert isinstance(merged, MergedNetwork)
        self._merged, self._own = merged, Parameters(merged.layout.size)
        self._pictures = CurvesAlone()

    def _open_contribution(self, payload: Any) -> BroughtNetwork:
        return open_contribution(payload, self._shape)

    def _check_contribution(self, uid: int, brought: BroughtNetwork) -> None:
        check_contribution(brought, self._shape, int(self._merged.count[0]), self.window.sweeps)

    def _checksum_of(self, uid: int) -> int:
        return self._merged.merged_checksum()

    def is_of(self, payload: Received, checksum: int) -> bool:
        """Return whether a contribution is the one of a CRC-32 in the journal."""
        return crc32(payload) == checksum

    def result_parts(self, merged: Received) -> tuple[Received, ...]:
        """Return the parts of a result: the next window, and what the round has come to."""
        return window_parts(self.window, merged)

    def _merge(self, brought: Sequence[Any]) -> Received:
        return pack_merged(brought[0].made, mean_of([one.numbers for one in brought]))

    def _apply_merged(self, merged: Received) -> float:
        take_merged(self._own, merged)
        self._merged.close_window(self._own)
        return 0.0
