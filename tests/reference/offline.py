"""Learning from a log, transition by transition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def replay(
    values: Any,
    counts: Any,
    step_size: Callable[[int], float],
    gamma: float,
    transitions: list[tuple[Any, ...]],
) -> list[tuple[int, int]]:
    """Learn (state, action, reward, next state, terminated) in order; return the pairs in order of first touch.

    A sixth entry says which actions the next state allows.

    *values* and *counts*, indexed by state and action, are changed.
    """
    touched = []
    for state, action, reward, next_state, terminated, *allowed in transitions:
        worth = [value for a, value in enumerate(values[next_state]) if not allowed or allowed[0][a]]
        target = reward if terminated else reward + gamma * max(worth)
        counts[state][action] += 1
        values[state][action] += step_size(counts[state][action]) * (target - values[state][action])
        if (state, action) not in touched:
            touched.append((state, action))
    return touched
