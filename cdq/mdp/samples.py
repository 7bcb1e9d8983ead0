"""The empirical model of `cdq.MDP.from_samples`: counted transitions, and a substitute for pairs that nobody tried."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdq.errors import ModelError
from cdq.errors.checks import flags, shown
from cdq.mdp import checks, outcomes
from cdq.mdp.arrays import BoolArray, FloatArray
from cdq.mdp.complete import start_of
from cdq.mdp.outcomes import Columns

Indices = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
Untried = float | Literal["missing"] | None


def measured(
    sizes: tuple[int, int],
    indices: tuple[ArrayLike, ArrayLike, ArrayLike],
    values: tuple[ArrayLike, ArrayLike],
    untried: Untried,
    start: ArrayLike | None,
) -> tuple[Columns, BoolArray | None, FloatArray]:
    """Return the outcomes of the empirical model of transitions, its actions, and its start distribution."""
    checks.check_sizes(*sizes, None)
    if not (untried is None or untried == "missing" or _is_reward(untried)):
        raise ModelError(f"untried is {shown(untried)}; allowed: a finite reward, 'missing' or None")
    ended = flags("terminated of transition", values[1], error=ModelError)
    state, action = outcomes.index_array(indices[0], "state"), outcomes.index_array(indices[1], "action")
    next_state = outcomes.index_array(_filled(indices[2], state, ended), "next_state")
    paid = outcomes.numbers("reward", values[0]).astype(np.float64, copy=False)
    checked(sizes, (state, action, next_state), (paid, ended))
    if start is None:
        seen = np.bincount(state, minlength=sizes[0]) > 0
        start = seen / np.count_nonzero(seen)
    columns, mask = counted(sizes, (state, action, next_state), (paid, ended), untried)
    return columns, mask, start_of(start, sizes[0], normalise=False)


def _filled(next_state: ArrayLike, state: NDArray[Any], ended: BoolArray) -> NDArray[Any]:
    """Return next states with the state itself in place of those that are missing where the episode ended."""
    array = outcomes.numbers("next_state", next_state)
    if array.dtype.kind == "f" and array.shape == state.shape == ended.shape:
        array = np.where(np.isnan(array) & ended, state, array)
    return array


def _is_reward(untried: Any) -> bool:
    return isinstance(untried, Real) and math.isfinite(untried)


def checked(sizes: tuple[int, int], indices: Indices, values: tuple[FloatArray, BoolArray]) -> None:
    """Raise unless the transitions are some: as many of each, in range, with finite rewards."""
    (n_states, n_actions), length = sizes, len(indices[0])
    for what, array in zip(
        ("action", "next_state", "reward", "terminated"), (*indices[1:], *values), strict=True
    ):
        if array.shape != (length,):
            raise ModelError(f"{what} has shape {array.shape}; allowed: {(length,)}, as many as state has")
    limits = (("state", n_states), ("action", n_actions), ("next_state", n_states))
    for (what, size), array in zip(limits, indices, strict=True):
        wrong = np.flatnonzero(checks.outside(array, size))
        if len(wrong):
            raise ModelError(
                f"{what} of transition {wrong[0]} is {array[wrong[0]]}; allowed: 0 to {size - 1}"
            )
    wrong = np.flatnonzero(~np.isfinite(values[0]))
    if len(wrong):
        raise ModelError(
            f"the reward of transition {wrong[0]} is {values[0][wrong[0]]}; allowed: finite numbers"
        )


def counted(
    sizes: tuple[int, int], indices: Indices, values: tuple[FloatArray, BoolArray], untried: Untried
) -> tuple[Columns, BoolArray | None]:
    """Return the outcomes of the empirical model, and the actions that its states have.

    *sizes* are the numbers of states and actions, *indices* state, action and next state of the transitions, *values*
    their rewards and whether they ended the episode, *untried* the reward of pairs that occur in none.
    """
    state, action, _ = indices
    tried = np.zeros(sizes, np.bool_)
    tried[state, action] = True
    mask = tried | ~tried.any(axis=1, keepdims=True) if untried == "missing" else np.ones(sizes, np.bool_)
    where = np.nonzero(mask & ~tried)
    n = len(where[0])
    pay = values[0].min() if untried is None or untried == "missing" else untried
    # Counted as whole numbers, which add up without rounding, and divided at the end.
    columns = outcomes.gather(
        sizes,
        tuple(np.append(old, new) for old, new in zip(indices, (*where, where[0]), strict=True)),
        (
            np.ones(len(state) + n),
            np.append(values[0], np.full(n, pay)),
            np.append(values[1], np.ones(n, np.bool_)),
        ),
    )
    count = np.diff(columns.offsets)
    tries = np.add.reduceat(columns.probability, columns.offsets[:-1][count > 0])
    probability = columns.probability / np.repeat(tries, count[count > 0])
    return columns._replace(probability=probability), outcomes.mask(mask, sizes)
