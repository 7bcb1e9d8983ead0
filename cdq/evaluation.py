"""How a policy does: episodes without learning."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.core.model import Sampler
from cdq.core.rollout import follow
from cdq.worker import EVALUATION, streams

_STREAMS = 64


class Evaluation(NamedTuple):
    """How the greedy policy did.

    Attributes
    ----------
    mean_return : float
        Mean undiscounted return of an episode.
    standard_error : float
        Of that mean.
    mean_length : float
        Steps of an episode.
    episodes : int
        How many were run.
    """

    mean_return: float
    standard_error: float
    mean_length: float
    episodes: int


def run_episodes(
    sampler: Sampler,
    policy: npt.NDArray[np.integer],
    *,
    seed: int,
    key: tuple[int, ...],
    longest: int,
    episodes: int,
) -> Evaluation:
    """Run *episodes* of *policy*, (n_states,) actions, each cut after *longest* steps; *key* names the streams."""
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    words = streams(seed, (EVALUATION, *key), min(episodes, _STREAMS))
    follow(sampler, policy.astype(np.uint32), words, longest, returns, lengths, np.zeros(1, np.int32))
    error = float(returns.std(ddof=1) / math.sqrt(episodes)) if episodes > 1 else math.nan
    return Evaluation(float(returns.mean()), error, float(lengths.mean()), episodes)
