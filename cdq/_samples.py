"""What `cdq.MDP.from_samples` is made of: transitions counted, and what stands for pairs that nobody tried."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdq import _model
from cdq._arguments import flags
from cdq._model import BoolArray, FloatArray, IntArray
from cdq.errors import ModelError

Outcomes = tuple[IntArray, NDArray[np.int32], FloatArray, FloatArray, BoolArray]


def outcomes(
    sizes: tuple[int, int],
    indices: tuple[IntArray, IntArray, IntArray],
    values: tuple[FloatArray, BoolArray],
    untried: float | None,
) -> Outcomes:
    """Return offsets, next_state, probability, reward and terminated of the empirical model.

    *sizes* are the numbers of states and actions, *indices* state, action and next state of the transitions, *values*
    their rewards and whether they ended the episode, *untried* the reward of pairs that occur in none.
    """
    n_states, n_actions = sizes
    state, action, next_state = indices
    pair, (reward, terminated) = state * n_actions + action, values
    tries = np.bincount(pair, minlength=n_states * n_actions)
    missing = np.flatnonzero(tries == 0)
    if len(missing):
        pay = reward.min() if untried is None else untried
        pair, next_state = np.append(pair, missing), np.append(next_state, missing // n_actions)
        reward = np.append(reward, np.full(len(missing), pay))
        terminated = np.append(terminated, np.ones(len(missing), np.bool_))
        tries[missing] = 1
    # Counted as whole numbers, which add up without rounding, and divided at the end.
    once = np.ones(len(pair))
    pair, next_state, count, reward, terminated = _model.merge(pair, next_state, once, reward, terminated)
    offsets = _model.offsets_of(pair, n_states * n_actions)
    return offsets, next_state.astype(np.int32), count / tries[pair], reward, terminated


def checked(
    sizes: tuple[int, int], indices: tuple[IntArray, IntArray, IntArray], values: tuple[FloatArray, BoolArray]
) -> None:
    """Raise unless the transitions are some: as many of each, in range, with finite rewards."""
    (n_states, n_actions), length = sizes, len(indices[0])
    for what, array in zip(
        ("action", "next_state", "reward", "terminated"), (*indices[1:], *values), strict=True
    ):
        if array.shape != (length,):
            raise ModelError(f"{what} has shape {array.shape}; allowed: {(length,)}, as many as state has")
    limits = (("state", n_states), ("action", n_actions), ("next_state", n_states))
    for (what, size), array in zip(limits, indices, strict=True):
        wrong = np.flatnonzero(_model.outside(array, size))
        if len(wrong):
            raise ModelError(
                f"{what} of transition {wrong[0]} is {array[wrong[0]]}; allowed: 0 to {size - 1}"
            )
    wrong = np.flatnonzero(~np.isfinite(values[0]))
    if len(wrong):
        raise ModelError(
            f"the reward of transition {wrong[0]} is {values[0][wrong[0]]}; allowed: finite numbers"
        )


def measured(
    sizes: tuple[int, int],
    indices: tuple[ArrayLike, ArrayLike, ArrayLike],
    values: tuple[ArrayLike, ArrayLike],
    untried: float | None,
    start: ArrayLike | None,
) -> tuple[Outcomes, FloatArray]:
    """Return the outcomes of the empirical model of transitions, and the distribution of its first state."""
    _model.check_sizes(*sizes, None)
    if untried is not None and not np.isfinite(untried):
        raise ModelError(f"untried is {untried}; allowed: a finite reward, or None")
    names = ("state", "action", "next_state")
    state, action, next_state = map(_model.index_array, indices, names)
    ended = flags("terminated of transition", values[1], error=ModelError)
    columns = np.asarray(values[0], np.float64), ended
    checked(sizes, (state, action, next_state), columns)
    if start is None:
        seen = np.bincount(state, minlength=sizes[0]) > 0
        start = seen / np.count_nonzero(seen)
    return outcomes(sizes, (state, action, next_state), columns, untried), np.array(start, np.float64)
