"""Checks of the arrays of a finite model, and the limits of its size."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdq.errors import ModelError
from cdq.errors.checks import shown
from cdq.mdp.arrays import BoolArray, FloatArray

SUM_TOLERANCE = 1e-9
MAX_STATES = 2**31 - 1  # next_state is int32
MAX_PAIRS = 2**32 - 1  # pairs are numbered with 32 bits where they are merged


def least(kind: np.dtype[Any]) -> float:
    """Return what a probability of this type may be at least: what rounding leaves of 0 is 0."""
    return -max(1e-12, _rounding(kind))


def row_tolerance(kind: np.dtype[Any]) -> float:
    """Return how far off 1 probabilities of this type may sum by rounding alone, however many."""
    return max(SUM_TOLERANCE, _rounding(kind))


def entry_tolerance(kind: np.dtype[Any]) -> float:
    """Return how much each probability of this type, and two more for the division, may add to that."""
    return _rounding(kind) / 64.0


def _rounding(kind: np.dtype[Any]) -> float:
    return 32.0 * float(np.finfo(kind).eps) if kind.kind == "f" else 0.0


def fault_of_element(
    where: str, n_states: int, next_state: int, probability: float, reward: float
) -> ModelError:
    """Return the error of an outcome that is none; *where* names its pair."""
    if not 0 <= next_state < n_states:
        return ModelError(f"{where} has a successor of {next_state}; allowed: 0 to {n_states - 1}")
    if math.isfinite(reward):
        return ModelError(f"{where} has a probability of {probability}; allowed: 0 to 1")
    return ModelError(f"{where} has a reward of {reward}; allowed: finite numbers")


def size(what: str, given: Any) -> int:
    """Return a size as an int, if it is a whole number."""
    whole = isinstance(given, float) and given.is_integer()
    if whole or (isinstance(given, Integral) and not isinstance(given, (bool, np.bool_))):
        return int(given)
    raise ModelError(f"{what} is {shown(given)}; allowed: a whole number")


def check_choice(what: str, value: object, allowed: tuple[str, ...], words: str) -> None:
    """Raise unless *value* is None or one of the names *allowed*; *words* says what they are."""
    if value is not None and not (isinstance(value, str) and value in allowed):
        raise ModelError(f"{what} is {shown(value)}; allowed: {words}")


def check_sizes(n_states: int, n_actions: int, time_limit: int | None) -> None:
    """Raise unless a model may have these numbers."""
    if not 1 <= n_states <= MAX_STATES:
        raise ModelError(f"n_states is {n_states}; allowed: 1 to {MAX_STATES}")
    if not 1 <= n_actions <= MAX_PAIRS // n_states:
        raise ModelError(
            f"n_actions is {n_actions}; allowed: 1 to {MAX_PAIRS // n_states} with {n_states} states"
        )
    if time_limit is not None and not 1 <= time_limit < 2**62:
        raise ModelError(f"time_limit is {time_limit}; allowed: None or at least 1, and less than 2**62")


def check_start(start: FloatArray) -> None:
    """Raise unless this is a distribution of the first state."""
    wrong = _first(~(start >= 0.0))
    if wrong is not None:
        raise ModelError(f"start is {start[wrong]} in state {wrong}; allowed: 0 to 1")
    total = math.fsum(start.tolist()) if len(start) < 1000 else float(start.sum())
    if not abs(total - 1.0) <= SUM_TOLERANCE:
        hint = "; the start distribution is empty" if total == 0.0 else ""
        raise ModelError(
            f"the start distribution sums to {total:.12g}; allowed: 1 within {SUM_TOLERANCE}{hint}"
        )


def outside(indices: NDArray[Any], size: int) -> BoolArray:
    """Return which indices are not 0..size - 1."""
    return (indices < 0) | (indices >= size)


def pair_name(pair: int, n_actions: int) -> str:
    """Return the name of a pair for messages.

    Examples
    --------
    >>> pair_name(7, 2)
    '(state 3, action 1)'
    """
    return f"(state {pair // n_actions}, action {pair % n_actions})"


def _first(bad: NDArray[Any]) -> int | None:
    """Return the index of the first True, None if there is none."""
    index = int(bad.argmax()) if len(bad) else 0
    return index if len(bad) and bad[index] else None
