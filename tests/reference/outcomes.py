"""Flat outcomes put in order, in NumPy: pairs, next states, terminations and rewards in turn."""

from __future__ import annotations

from typing import Any

import numpy as np


def gathered(
    state: Any,
    action: Any,
    next_state: Any,
    probability: Any,
    reward: Any,
    terminated: Any,
    n: tuple[int, int],
) -> tuple[Any, ...]:
    """Return offsets, next_state, probability, reward and terminated: equal ones as one, without impossible ones."""
    pair = np.asarray(state) * n[1] + np.asarray(action)
    rows: dict[tuple[int, int, bool, float], float] = {}
    for key in zip(pair, next_state, terminated, reward, range(len(pair)), strict=True):
        if probability[key[-1]] > 0:
            rows[key[:-1]] = rows.get(key[:-1], 0.0) + probability[key[-1]]
    order = sorted(rows)
    counts = np.bincount([key[0] for key in order], minlength=n[0] * n[1])
    columns = [[key[i] for key in order] for i in range(4)]
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return offsets, columns[1], [rows[key] for key in order], columns[3], columns[2]
