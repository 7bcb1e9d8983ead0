"""Models as the compiled loops sample them, and episodes of a policy in a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Episodes, Loop
from cdq.core.lanes import Lanes
from cdq.core.loops.model import Sampler
from cdq.core.loops.rollout import Rollout, follow
from cdq.core.table.rows import Rows
from cdq.mdp.model import MDP


class PackedModel(Sampler):
    """A model as the compiled loop samples it; several workers may share it. Made by `pack_model`."""

    own_bytes = 0
    lanes_each = 1
    resumable = True
    opponent: str | None = None

    @property
    def n_rows(self) -> int:
        """The number of states."""
        return self.n_states

    def loop(self, rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        """Return the loop of a worker over its table and lanes."""
        scratch = np.zeros(5 * lanes.n, np.int64)
        factor = gamma if self.opponent is None else -gamma  # what the opponent gains is lost
        return Rollout(
            rows, self, factor, lanes.words, lanes.state, lanes.elapsed, lanes.returns, scratch, stop
        )


def pack_model(model: MDP, dtype: npt.DTypeLike) -> PackedModel:
    """Return *model* as the loop samples it, for tables of *dtype*."""
    start = np.flatnonzero(model.start)
    packed = PackedModel(
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
    packed.opponent = model.opponent
    return packed


def follow_policy(
    sampler: Sampler,
    policy: Sequence[int] | npt.NDArray[Any],
    words: npt.NDArray[np.uint64],
    n: int,
    *,
    longest: int,
    stop: npt.NDArray[np.int32],
) -> Episodes:
    """Run *n* episodes of *policy*, an action per state, until *stop*; return their returns and lengths."""
    returns, lengths = np.zeros(n), np.zeros(n, np.int64)
    actions = np.asarray(policy, np.uint32)
    follow(sampler, actions, words, longest, returns, lengths, stop)
    return returns, lengths
