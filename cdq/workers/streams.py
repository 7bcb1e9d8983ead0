"""Random streams of workers and of evaluations, spawned from the seed of the run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# What a spawn key starts with, so that no two uses of one seed share a stream.
LEARNING, EVALUATION, PREDICTION = 0, 1, 2


def streams(seed: int, key: tuple[int, ...], n: int) -> npt.NDArray[np.uint64]:
    """Return the first states of *n* streams, (4, n): those of `SeedSequence(seed)` spawned by *key* and lane."""
    sequences = (np.random.SeedSequence(seed, spawn_key=(*key, lane)) for lane in range(n))
    return np.stack([sequence.generate_state(4, np.uint64) for sequence in sequences], axis=1)
