"""What `cdq.MDP` is made of: outcomes sorted, repeated ones merged, and every check of a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdq._arguments import flags
from cdq.errors import ModelError

if TYPE_CHECKING:
    from cdq.mdp import MDP

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SUM_TOLERANCE = 1e-9
MAX_STATES = 2**31 - 1  # next_state is int32
MAX_PAIRS = 2**32 - 1  # merging packs (pair, next state) into 63 bits


def index_array(given: ArrayLike, what: str) -> IntArray:
    """Return an array of indices as int64."""
    array = np.asarray(given)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array):
        raise ModelError(
            f"{what} has shape {array.shape} and dtype {array.dtype}; allowed: integers, one or more"
        )
    return array.astype(np.int64, copy=False)


def columns(
    length: int, probability: ArrayLike, reward: ArrayLike, terminated: ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return the arrays beside the indices, each of the given length."""
    ends = (
        np.zeros(length, np.bool_)
        if terminated is None
        else flags("terminated of outcome", terminated, error=ModelError)
    )
    result = np.asarray(probability, np.float64), np.asarray(reward, np.float64), ends
    for what, array in zip(("probability", "reward", "terminated"), result, strict=True):
        if array.shape != (length,):
            raise ModelError(f"{what} has shape {array.shape}; allowed: {(length,)}, one entry per outcome")
    return result


def outcomes(
    sizes: tuple[int, int],
    indices: tuple[IntArray, IntArray, IntArray],
    values: tuple[FloatArray, FloatArray, BoolArray],
) -> tuple[IntArray, NDArray[np.int32], FloatArray, FloatArray, BoolArray]:
    """Return offsets, next_state, probability, reward and terminated of a model.

    *sizes* are the numbers of states and actions, *indices* are state, action and next state in any order,
    *values* are probability, reward and terminated.
    """
    (n_states, n_actions), (state, action, next_state) = sizes, indices
    length = len(state)
    for what, array in (("action", action), ("next_state", next_state)):
        if len(array) != length:
            raise ModelError(f"{what} has {len(array)} entries and state has {length}; allowed: as many")
    check_range(state, n_states, "state")
    check_range(action, n_actions, "action")
    pair = state * n_actions + action
    # Before merging: a sum would hide a negative probability, and the packed key a successor out of range.
    check_elements(n_states, next_state, *values[:2], lambda k: pair_name(int(pair[k]), n_actions))
    pair, next_state, probability, reward, terminated = merge(pair, next_state, *values)
    return (
        offsets_of(pair, n_states * n_actions),
        next_state.astype(np.int32),
        probability,
        reward,
        terminated,
    )


def merge(
    pair: IntArray, next_state: IntArray, probability: FloatArray, reward: FloatArray, terminated: BoolArray
) -> tuple[IntArray, IntArray, FloatArray, FloatArray, BoolArray]:
    """Sort by pair and next state, sum the probabilities of equal outcomes, drop those that never happen."""
    key = pair << 31 | next_state
    if probability.all() and np.all(key[1:] > key[:-1]):
        return pair, next_state, probability, reward, terminated
    order = _order(key, probability, reward, terminated)
    key, reward, terminated = key[order], reward[order], terminated[order]
    fresh = np.ones(len(key), np.bool_)
    fresh[1:] = (key[1:] != key[:-1]) | (terminated[1:] != terminated[:-1]) | (reward[1:] != reward[:-1])
    first = np.flatnonzero(fresh)
    total = np.add.reduceat(probability[order], first) if len(first) else probability[order]
    return pair[order][first], next_state[order][first], total, reward[first], terminated[first]


def _order(key: IntArray, probability: FloatArray, reward: FloatArray, terminated: BoolArray) -> IntArray:
    """Return the order by key, then termination and reward, of the outcomes that may happen."""
    possible = np.flatnonzero(probability)
    key = key[possible]
    order: IntArray = np.argsort(key, kind="stable")
    ordered = key[order]
    if np.any(ordered[1:] == ordered[:-1]):  # seldom, and six times as slow
        order = np.lexsort((reward[possible], terminated[possible], key))
    return possible[order]


def offsets_of(pair: IntArray, n_pairs: int) -> IntArray:
    """Return where each pair's outcomes begin in the sorted *pair*."""
    offsets = np.zeros(n_pairs + 1, np.int64)
    np.cumsum(np.bincount(pair, minlength=n_pairs), out=offsets[1:])
    return offsets


def distinct(random: np.random.Generator, rows: int, columns: int, n: int) -> NDArray[np.int32]:
    """Draw rows of different numbers below n, uniformly, in rising order."""
    if columns * columns > 2 * n:  # repeats would be the rule; n is small then
        order = np.argsort(random.random((rows, n)), axis=1)[:, :columns]
        return np.sort(order, axis=1).astype(np.int32)
    drawn = np.sort(random.integers(n, size=(rows, columns), dtype=np.int32), axis=1)
    while len(bad := np.flatnonzero((drawn[:, 1:] == drawn[:, :-1]).any(axis=1))):
        drawn[bad] = np.sort(random.integers(n, size=(len(bad), columns), dtype=np.int32), axis=1)
    return drawn


def check_sizes(n_states: int, n_actions: int, time_limit: int | None) -> None:
    """Raise unless a model may have these numbers."""
    if not 1 <= n_states <= MAX_STATES:
        raise ModelError(f"n_states is {n_states}; allowed: 1 to {MAX_STATES}")
    if not 1 <= n_actions <= MAX_PAIRS // n_states:
        raise ModelError(
            f"n_actions is {n_actions}; allowed: 1 to {MAX_PAIRS // n_states} with {n_states} states"
        )
    if time_limit is not None and time_limit < 1:
        raise ModelError(f"time_limit is {time_limit}; allowed: None or at least 1")


def check_model(model: MDP) -> None:
    """Raise unless the arrays are a model: the one place where models are checked."""
    _check_shapes(model)
    empty = _first(np.diff(model.offsets) < 1)
    if empty is not None:
        raise ModelError(f"{pair_name(empty, model.n_actions)} has no outcome; every pair needs at least one")
    check_elements(
        model.n_states,
        model.next_state,
        model.probability,
        model.reward,
        lambda k: pair_name(int(np.searchsorted(model.offsets, k, side="right")) - 1, model.n_actions),
    )
    total = np.add.reduceat(model.probability, model.offsets[:-1])
    off = _first(np.abs(total - 1.0) > SUM_TOLERANCE)
    if off is not None:
        where = pair_name(off, model.n_actions)
        raise ModelError(
            f"the probabilities of {where} sum to {total[off]:.12g}; allowed: 1 within {SUM_TOLERANCE}"
        )
    _check_start(model.start)


def _check_shapes(model: MDP) -> None:
    n_outcomes = len(model.next_state)
    expected = {"offsets": model.n_pairs + 1, "start": model.n_states}
    for field in ("offsets", "next_state", "probability", "reward", "terminated", "start"):
        shape, length = getattr(model, field).shape, expected.get(field, n_outcomes)
        if shape != (length,):
            raise ModelError(f"{field} has shape {shape}; allowed: {(length,)}")
    if model.offsets[0] != 0 or model.offsets[-1] != n_outcomes:
        raise ModelError(
            f"offsets go from {model.offsets[0]} to {model.offsets[-1]}; allowed: 0 to {n_outcomes}"
        )
    grid = model.grid
    if grid is not None and (len(grid) != 2 or grid[0] * grid[1] != model.n_states):
        raise ModelError(f"grid is {grid}; allowed: (rows, columns) with {model.n_states} cells")


def check_elements(
    n_states: int,
    next_state: NDArray[Any],
    probability: FloatArray,
    reward: FloatArray,
    name_of: Callable[[int], str],
) -> None:
    """Raise unless every outcome for itself is possible; *name_of* names the pair of an outcome."""
    for array, bad, what, allowed in (
        (next_state, outside(next_state, n_states), "a successor", f"0 to {n_states - 1}"),
        (
            probability,
            ~((probability >= 0.0) & (probability <= 1.0 + SUM_TOLERANCE)),
            "a probability",
            "0 to 1",
        ),
        (reward, ~np.isfinite(reward), "a reward", "finite numbers"),
    ):
        wrong = _first(bad)
        if wrong is not None:
            raise ModelError(f"{name_of(wrong)} has {what} of {array[wrong]}; allowed: {allowed}")


def _check_start(start: FloatArray) -> None:
    wrong = _first(~(start >= 0.0))
    if wrong is not None:
        raise ModelError(f"start is {start[wrong]} in state {wrong}; allowed: 0 to 1")
    total = math.fsum(start.tolist()) if len(start) < 1000 else float(start.sum())
    if not abs(total - 1.0) <= SUM_TOLERANCE:
        hint = "; the start distribution is empty" if total == 0.0 else ""
        raise ModelError(
            f"the start distribution sums to {total:.12g}; allowed: 1 within {SUM_TOLERANCE}{hint}"
        )


def check_range(indices: IntArray, size: int, what: str) -> None:
    """Raise unless the indices are 0..size - 1."""
    wrong = _first(outside(indices, size))
    if wrong is not None:
        raise ModelError(f"{what} of outcome {wrong} is {indices[wrong]}; allowed: 0 to {size - 1}")


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


def _first(bad: BoolArray) -> int | None:
    """Return the index of the first True, None if there is none."""
    index = int(bad.argmax()) if len(bad) else 0
    return index if len(bad) and bad[index] else None
