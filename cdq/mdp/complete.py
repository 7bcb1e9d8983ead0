"""Arguments of a model from outcomes in order: missing actions, ends, rounded probabilities, the start."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdq.core.planning import outcomes as core
from cdq.errors import ModelError
from cdq.errors.checks import is_flag, shown
from cdq.mdp import checks, outcomes
from cdq.mdp.arrays import BoolArray, FloatArray, IntArray
from cdq.mdp.checks import pair_name
from cdq.mdp.outcomes import Columns

Empty = Literal["end", "missing"]
M = TypeVar("M", bound=Any)

_LARGEST = float(np.finfo(np.float64).max)


class Rules(NamedTuple):
    """Arguments of a constructor that say how outcomes are read.

    Attributes
    ----------
    actions : array, optional
        The actions that states have.
    empty : {"end", "missing"} or None
        Meaning of a pair without outcomes.
    normalise : bool
        True if probabilities are to be divided by their sums.
    kind : dtype
        The type in which probabilities were given.
    """

    actions: ArrayLike | None
    empty: Empty | None
    normalise: bool
    kind: np.dtype[Any] = np.dtype(np.float64)


def from_table(kind: type[M], table: Any) -> M:
    """Return the model of a class, `MDP`, that a transition table lists (`cdq.envs.toy_text.TransitionTable`).

    In a game, states lack the moves that are not allowed.
    """
    columns = table._asdict()
    game = columns.pop("players") == 2
    model: M = kind.from_outcomes(**columns, empty="missing" if game else None)
    return replace(model, opponent="self") if game else model


def complete(
    columns: Columns,
    sizes: tuple[int, int],
    rules: Rules,
    end_rewards: Callable[[IntArray], FloatArray] | None = None,
) -> tuple[Columns, BoolArray | None]:
    """Return the outcomes of a model, and the actions that its states have.

    *end_rewards* says what pairs pay that turn out to end the episode, -inf where the state does not have the action;
    a state of which no action has outcomes is then an end, unless *rules* say otherwise. Without it they pay 0.
    """
    checks.check_choice("empty", rules.empty, ("end", "missing"), "'end', 'missing' or None")
    if not is_flag(rules.normalise):
        raise ModelError(f"normalise is {shown(rules.normalise)}; allowed: True or False")
    given = outcomes.mask(rules.actions, sizes)
    has = np.ones(sizes[0] * sizes[1], np.bool_) if given is None else given.reshape(-1).copy()
    has &= ~_lost(columns, sizes[1])
    columns = _only(columns, has)
    empty = np.flatnonzero((np.diff(columns.offsets) == 0) & has)
    if len(empty):
        rewards = np.zeros(len(empty)) if end_rewards is None else end_rewards(empty)
        missing = np.isneginf(rewards) | (rules.empty == "missing")
        has[empty[missing]] = False
        ends = empty[~missing]
        if rules.empty is None:
            _refuse_unclear(ends, has.reshape(sizes), states_may_end=end_rewards is not None)
        columns = _with_ends(columns, ends, sizes[1], rewards[~missing])
    columns = _scaled(columns, rules)
    return columns, outcomes.mask(has.reshape(sizes), sizes)


def _lost(columns: Columns, n_actions: int) -> BoolArray:
    """Return which pairs have rewards of -inf: actions that the state does not have."""
    offsets, reward = columns.offsets, columns.reward
    lost = np.zeros(len(offsets) - 1, np.bool_)
    if len(reward) == 0 or reward.min() > -np.inf:
        return lost
    pair = np.repeat(np.arange(len(lost)), np.diff(offsets))
    count = np.bincount(pair[np.isneginf(reward)], minlength=len(lost))
    partly = np.flatnonzero((count > 0) & (count < np.diff(offsets)))
    if len(partly):
        raise ModelError(
            f"{pair_name(int(partly[0]), n_actions)} has a reward of -inf for some outcomes and finite ones for "
            "others; -inf says that the state does not have the action, and then stands for all of them"
        )
    lost[count > 0] = True
    return lost


def _only(columns: Columns, has: BoolArray) -> Columns:
    """Return the outcomes of the actions that states have."""
    if has.all():
        return columns
    count = np.diff(columns.offsets)
    kept = np.repeat(has, count)
    offsets = np.concatenate(([0], np.cumsum(np.where(has, count, 0))))
    return Columns(
        offsets,
        columns.next_state[kept],
        columns.probability[kept],
        columns.reward[kept],
        columns.terminated[kept],
    )


def _refuse_unclear(ends: IntArray, has: BoolArray, *, states_may_end: bool) -> None:
    """Raise unless the pairs without outcomes are all pairs of their states, and states may end."""
    states = ends // has.shape[1]
    without = np.bincount(states, minlength=len(has))
    unclear = without[states] < np.count_nonzero(has, axis=1)[states] if states_may_end else ends >= 0
    if unclear.any():
        raise ModelError(
            f"{pair_name(int(ends[unclear.argmax()]), has.shape[1])} has no outcome; say empty='end' if the episode "
            "ends there, or empty='missing' if the state does not have the action"
        )


def _with_ends(columns: Columns, ends: IntArray, n_actions: int, rewards: FloatArray) -> Columns:
    """Return the outcomes with one more for each pair that ends the episode."""
    at = columns.offsets[ends]
    more = np.bincount(ends + 1, minlength=len(columns.offsets))
    return Columns(
        columns.offsets + np.cumsum(more),
        np.insert(columns.next_state, at, (ends // n_actions).astype(np.int32)),
        np.insert(columns.probability, at, 1.0),
        np.insert(columns.reward, at, rewards),
        np.insert(columns.terminated, at, True),
    )


def _scaled(columns: Columns, rules: Rules) -> Columns:
    """Return the outcomes with probabilities that sum to 1, where they may be divided by what they do sum to."""
    limit = _LARGEST if rules.normalise else checks.row_tolerance(rules.kind)
    if limit <= checks.SUM_TOLERANCE:
        return columns
    probability = columns.probability.tobytes()
    of_entry = _LARGEST if rules.normalise else checks.entry_tolerance(rules.kind)
    changed, most = core.scale_rows(columns.offsets.tobytes(), probability, limit, of_entry)
    if most > checks.SUM_TOLERANCE and not rules.normalise:
        _tell(f"the probabilities of {changed:,} pairs were", rules.kind, most)
    return columns._replace(probability=outcomes.over(probability, np.float64))


def start_of(given: ArrayLike | None, n_states: int, normalise: bool) -> FloatArray:
    """Return the distribution of the first state, uniform by default."""
    if given is None:
        return np.full(n_states, 1.0 / n_states)
    array = vector(outcomes.numbers("start", given), n_states)
    start: FloatArray = array.astype(np.float64)
    if start.shape != (n_states,):
        raise ModelError(f"start has shape {start.shape}; allowed: {(n_states,)}")
    start[(start < 0.0) & (start >= checks.least(array.dtype))] = 0.0
    off = abs(float(start.sum()) - 1.0)
    by_rounding = min(checks.row_tolerance(array.dtype), (n_states + 2) * checks.entry_tolerance(array.dtype))
    rounded = checks.SUM_TOLERANCE < off <= by_rounding
    if start.sum() > 0.0 and (normalise or rounded):
        if not normalise:
            _tell("the start distribution was", array.dtype, off)
        start /= start.sum()
    return start


def vector(array: NDArray[Any], n: int) -> NDArray[Any]:
    """Return a row or a column of *n* numbers, which is what `numpy.matrix` makes of a vector, as a vector."""
    return array.reshape(-1) if array.shape in {(1, n), (n, 1)} else array


def _tell(what: str, kind: np.dtype[Any], off: float) -> None:
    warnings.warn(
        f"{what} given as {kind} and divided by the sum, which is off 1 by up to {off:.2g}, as rounding to {kind} "
        "explains; normalise=True does the same without this warning",
        UserWarning,
        stacklevel=4,
    )
