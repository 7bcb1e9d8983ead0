"""Random draws that shipped environments and random models have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def distinct(random: np.random.Generator, rows: int, columns: int, n: int) -> NDArray[np.int32]:
    """Draw rows of different numbers below n, uniformly, in rising order."""
    if columns * columns > 2 * n:  # repeats would be the rule; n is small then
        order = np.argsort(random.random((rows, n)), axis=1)[:, :columns]
        return np.sort(order, axis=1).astype(np.int32)
    drawn = np.sort(random.integers(n, size=(rows, columns), dtype=np.int32), axis=1)
    while len(bad := np.flatnonzero((drawn[:, 1:] == drawn[:, :-1]).any(axis=1))):
        drawn[bad] = np.sort(random.integers(n, size=(len(bad), columns), dtype=np.int32), axis=1)
    return drawn
