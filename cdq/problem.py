"""What a worker learns: where transitions come from, and what its Q-function is made of."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from cdq.core.model import Sampler
from cdq.core.rollout import Rollout
from cdq.core.rows import Rows
from cdq.lanes import Lanes
from cdq.mdp import MDP
from cdq.source import Lanewise, Loop


class Problem(Lanewise, Protocol):
    """What the workers of a run learn, the same for all."""

    @property
    def n_rows(self) -> int:
        """Rows of the table; its columns are the actions."""

    def loop(self, rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        """Return the loop of a worker over its table and lanes; the flag *stop* ends its windows early."""


class PackedModel(Sampler):
    """A model as the compiled loop samples it; several workers may share it. Made by `pack_model`."""

    own_bytes = 0
    resumable = True

    @property
    def n_rows(self) -> int:
        """The number of states."""
        return self.n_states

    def loop(self, rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        """Return the loop of a worker over its table and lanes."""
        scratch = np.zeros(5 * lanes.n, np.int64)
        return Rollout(
            rows, self, gamma, lanes.words, lanes.state, lanes.elapsed, lanes.returns, scratch, stop
        )


def pack_model(model: MDP, dtype: npt.DTypeLike) -> PackedModel:
    """Return *model* as the loop samples it, for tables of *dtype*."""
    start = np.flatnonzero(model.start)
    return PackedModel(
        model.n_states,
        model.n_actions,
        np.dtype(dtype).itemsize,
        model.offsets,
        model.next_state,
        model.probability,
        model.reward,
        model.terminated.view(np.uint8),
        start.astype(np.uint32),
        model.start[start],
        model.time_limit or 0,
        None if model.actions is None else model.actions.reshape(-1).view(np.uint8),
    )
