"""Models from functions: the outcomes of every pair, asked for one pair at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdq.errors import ModelError
from cdq.errors.checks import shown
from cdq.mdp.checks import pair_name

Outcomes = Iterable[tuple[Any, ...]]

_FORM = "tuples (probability, next state, reward) or (probability, next state, reward, terminated)"


def outcomes_of(
    function: Callable[[int, int], Outcomes | None], sizes: tuple[int, int]
) -> tuple[NDArray[Any], ...]:
    """Return the outcomes that a function gives for every pair: state, action, next state, probability, reward, end.

    Raises
    ------
    ModelError
        If it is no function, or what it returns are no outcomes; names the pair.
    """
    if not callable(function):
        raise ModelError(f"function is {shown(function)}; allowed: a function of a state and an action")
    n_states, n_actions = sizes
    pairs: list[int] = []
    rows: list[tuple[Any, ...]] = []
    for state in range(n_states):
        first, before = state * n_actions, len(rows)
        for action in range(n_actions):
            found = list(_checked(function(state, action), first + action, n_actions))
            rows += found
            pairs += [first + action] * len(found)
        if len(rows) == before:  # an end, which Gymnasium's tables describe so
            rows += [(1.0, state, 0.0, True)] * n_actions
            pairs += range(first, first + n_actions)
    probability, next_state, reward, terminated = (np.array(column) for column in zip(*rows, strict=True))
    states, actions = np.divmod(np.array(pairs), n_actions)
    return states, actions, next_state, probability, reward, terminated


def _checked(given: Outcomes | None, pair: int, n_actions: int) -> Iterable[tuple[Any, ...]]:
    where = pair_name(pair, n_actions)
    if given is None:
        return
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise ModelError(
            f"the function returns {shown(given)} for {where}; allowed: a list of {_FORM}, or None"
        )
    for outcome in given:
        plain = isinstance(outcome, (tuple, list)) and len(outcome) in {3, 4}
        if not plain or not all(np.isscalar(part) and not isinstance(part, (str, bytes)) for part in outcome):
            raise ModelError(f"an outcome of {where} is {shown(outcome)}; allowed: {_FORM}")
        yield (*outcome, False)[:4]
