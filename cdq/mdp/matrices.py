"""Outcomes of a model from transition and reward matrices, dense or sparse."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import matrices as core
from cdq.core.planning import outcomes as outcomes_core
from cdq.errors import ModelError
from cdq.errors.checks import as_array, flags
from cdq.mdp import checks, outcomes
from cdq.mdp.arrays import BoolArray, FloatArray, IntArray
from cdq.mdp.complete import Rules, complete, vector
from cdq.mdp.outcomes import Columns

Layout = Literal["ASS", "SAS"]

_FLAG = "terminated of (state, action, next state)"
Sizes = tuple[int, int]


class Transitions(NamedTuple):
    """Probabilities of next states: those of pair p are offsets[p]:offsets[p + 1]."""

    offsets: IntArray
    next_state: NDArray[np.int32]
    probability: FloatArray


def flatten(
    P: Any, R: Any, terminated: Any, layout: Layout | None, rules: Rules
) -> tuple[Sizes, Columns, BoolArray | None]:
    """Return sizes, outcomes and actions of the model of transition and reward matrices."""
    matrices, layout = matrices_of(P, layout, "P")
    sizes = _sizes(matrices)
    checks.check_sizes(*sizes, None)
    steps, kind = _transitions(matrices, sizes)
    rewards = partial(_rewards, R, sizes, layout)
    columns = Columns(*steps, rewards(steps), _terminations(terminated, steps, sizes, layout))

    def end_rewards(pairs: IntArray) -> FloatArray:
        counts = np.bincount(pairs + 1, minlength=sizes[0] * sizes[1] + 1)
        own = (pairs // sizes[1]).astype(np.int32)
        return rewards(Transitions(np.cumsum(counts), own, np.ones(len(pairs))))

    columns, actions = complete(columns, sizes, rules._replace(kind=kind), end_rewards)
    return sizes, columns, actions


# ---- forms of matrices


def _is_sparse(matrix: object) -> bool:
    return hasattr(matrix, "tocoo")


def _is_dict(given: object) -> bool:
    return isinstance(given, dict) and not _is_sparse(given)  # scipy's dictionaries of keys are both


def matrices_of(given: Any, layout: Layout | None, what: str) -> tuple[list[Any], Layout | None]:
    """Return a matrix (S, S) per action, or one (S * A, S) of all pairs, and the layout of three-dimensional arrays.

    Each is a dense array or sparse.
    """
    axes = "'ASS' (action, state, next state) or 'SAS'"
    checks.check_choice("layout", layout, ("ASS", "SAS"), axes)
    if _is_dict(given):
        raise ModelError(f"{what} is a dict; give its matrices as a list, one per action")
    if isinstance(given, np.ndarray) and given.dtype == object and given.ndim == 1:
        given = list(given)
    if isinstance(given, (list, tuple)) and any(map(_is_sparse, given)):
        return [one if _is_sparse(one) else outcomes.numbers(what, one) for one in given], layout
    if _is_sparse(given):
        return (_slices(given, layout, what), layout) if given.ndim == 3 else ([given], layout)
    array = outcomes.numbers(what, given)
    if array.ndim == 2:
        return [array], layout
    if array.ndim != 3:
        raise ModelError(
            f"{what} has shape {array.shape}; allowed: (A, S, S), (S, A, S), A matrices (S, S), or (S * A, S)"
        )
    if layout is None:
        layout = _infer_layout(array.shape, what, lambda: np.array_equal(array, array.transpose(1, 0, 2)))
    return list(array if layout == "ASS" else array.transpose(1, 0, 2)), layout


def _infer_layout(shape: tuple[int, ...], what: str, symmetric: Any) -> Layout:
    first, second, last = shape
    if first == second == last and first > 1 and not symmetric():
        raise ModelError(
            f"{what} has shape {shape}: (A, S, S) and (S, A, S) both fit; say layout='ASS' or 'SAS'"
        )
    if second == last:
        return "ASS"
    if first == last:
        return "SAS"
    raise ModelError(f"{what} has shape {shape}; allowed: (A, S, S) or (S, A, S)")


def _slices(cube: Any, layout: Layout | None, what: str) -> list[Any]:
    """Return the matrices, one per action, of a sparse array of three dimensions."""
    layout = layout or _infer_layout(cube.shape, what, lambda: False)
    cube = cube.tocoo()
    axis = 0 if layout == "ASS" else 1
    shape = (cube.shape[1 - axis], cube.shape[2])
    sparse, result = type(cube), []
    for action in range(cube.shape[axis]):
        own = cube.coords[axis] == action
        where = cube.coords[1 - axis][own], cube.coords[2][own]
        result.append(sparse((cube.data[own], where), shape=shape))
    return result


def _sizes(matrices: list[Any]) -> Sizes:
    """Return the numbers of states and actions, after checking that the matrices have a shape that fits."""
    if not matrices:
        raise ModelError("P holds no matrix; one per action is needed")
    if len(matrices) == 1 and len(matrices[0].shape) == 2 and matrices[0].shape[1] > 0:
        n_pairs, n_states = map(int, matrices[0].shape)
        if n_pairs % n_states or n_pairs == 0:
            raise ModelError(
                f"P has shape {(n_pairs, n_states)}; allowed: (S * A, S), a row for each pair, state by state"
            )
        return n_states, n_pairs // n_states
    size = int(matrices[0].shape[0])
    for action, matrix in enumerate(matrices):
        if tuple(matrix.shape) != (size, size):
            raise ModelError(
                f"the matrix of action {action} has shape {tuple(matrix.shape)}; allowed: {(size, size)}"
            )
    return size, len(matrices)


# ---- probabilities


def _transitions(matrices: list[Any], sizes: Sizes) -> tuple[Transitions, np.dtype[Any]]:
    """Return the rows of transition matrices, interleaved, and the least precise type of their entries."""
    n_states, n_actions = sizes
    kind = min((matrix.dtype for matrix in matrices), key=lambda one: -checks.row_tolerance(one))
    rows = [_compressed(matrix) for matrix in matrices]
    step = len(rows)
    offsets = core.no_counts(n_states * n_actions)
    for action, row in enumerate(rows):
        wrong = core.count_rows(*row, action, step, n_states, checks.least(kind), offsets)
        if wrong >= 0:
            pair = action + step * (int(np.searchsorted(row[0], wrong, side="right")) - 1)
            raise checks.fault_of_element(
                checks.pair_name(pair, n_actions), n_states, int(row[1][wrong]), float(row[2][wrong]), 0.0
            )
    next_state, probability = core.begin_rows(offsets)
    for action, row in enumerate(rows):
        core.place_rows(*row, action, step, offsets, next_state, probability)
    outcomes_core.tidy(offsets, next_state, probability)
    starts = outcomes.over(offsets, np.int64)
    n = int(starts[-1])
    return Transitions(
        starts, outcomes.over(next_state, np.int32, n), outcomes.over(probability, np.float64, n)
    ), kind


def _compressed(matrix: Any) -> tuple[NDArray[Any], NDArray[Any], FloatArray]:
    """Return where the rows of a matrix begin, and columns and values of its entries."""
    if _is_sparse(matrix):
        rows = matrix.tocsr()
        starts, columns, data = rows.indptr, rows.indices, rows.data
        if data.dtype.kind not in "biuf":
            raise ModelError(f"a sparse matrix has entries of {data.dtype}; allowed: numbers")
    else:
        row, columns = np.nonzero(matrix)
        data = matrix[row, columns]
        starts = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(matrix)))))
    kind = np.int32 if starts.dtype == columns.dtype == np.int32 else np.int64
    return (
        np.ascontiguousarray(starts, kind),
        np.ascontiguousarray(columns, kind),
        np.ascontiguousarray(data, np.float64),
    )


# ---- rewards and terminations


def _rewards(R: Any, sizes: Sizes, layout: Layout | None, steps: Transitions) -> FloatArray:
    per_pair = _per_pair(R, sizes)
    if per_pair is None:
        return look_up(R, steps, sizes, layout, "R")
    return outcomes.over(core.spread(per_pair, steps.offsets), np.float64)


def _per_pair(R: Any, sizes: Sizes) -> FloatArray | None:
    """Return rewards per state, or per pair, as one for each pair; None where they are per outcome."""
    if _is_matrices(R) or _is_dict(R):
        return None
    n_states, n_actions = sizes
    shape = tuple(R.shape) if _is_sparse(R) else None
    if shape is not None and shape not in {
        (n_states, n_actions),
        (n_actions, n_states),
        (n_states, 1),
        (1, n_states),
    }:
        return None
    array = outcomes.numbers("R", R.toarray() if shape is not None else R)
    if array.shape == (n_actions, n_states):
        if n_actions != n_states:
            array = array.T
        elif n_states > 1 and isinstance(R, (list, tuple)) and not np.array_equal(array, array.T):
            raise ModelError(
                f"R is a list of {n_states} vectors of {n_states} numbers, which may be one per state or one per "
                "action; give an array: np.array(R) if R[state][action], np.transpose(R) if R[action][state]"
            )
    elif vector(array, n_states).shape == (n_states,):
        array = np.repeat(vector(array, n_states), n_actions)
    if array.size != n_states * n_actions or array.ndim > 2 or len(array) not in {n_states, array.size}:
        if array.ndim != 3 and array.shape != (n_states * n_actions, n_states):
            raise ModelError(
                f"R has shape {array.shape}; allowed: {sizes[:1]} (per state), {sizes} (per pair), or that of P"
            )
        return None
    return np.ascontiguousarray(array.reshape(-1), np.float64)


def _is_matrices(given: Any) -> bool:
    """Return whether this is a sequence of matrices of which some are sparse, or an array of such."""
    listed = isinstance(given, (list, tuple)) or (
        isinstance(given, np.ndarray) and given.dtype == object and given.ndim == 1
    )
    return listed and any(map(_is_sparse, given))


def look_up(given: Any, steps: Transitions, sizes: Sizes, layout: Layout | None, what: str) -> FloatArray:
    """Return the entry of the matrices for each outcome."""
    matrices, _ = matrices_of(given, layout, what)
    shape = (sizes[0], sizes[0]) if len(matrices) > 1 else (sizes[0] * sizes[1], sizes[0])
    if len(matrices) not in {1, sizes[1]} or any(tuple(matrix.shape) != shape for matrix in matrices):
        shapes = sorted({tuple(matrix.shape) for matrix in matrices})
        raise ModelError(
            f"{what} holds {len(matrices)} matrices of shape {shapes[0]}; allowed: {sizes[1]} of shape "
            f"{(sizes[0], sizes[0])}, or one of shape {(sizes[0] * sizes[1], sizes[0])}"
        )
    found = bytes(8 * len(steps.next_state))
    for first, matrix in enumerate(matrices):
        step = len(matrices)
        if _is_sparse(matrix):
            starts, columns, data = _compressed(_canonical(matrix))
            core.look_up_rows(starts, columns, data, first, step, steps.offsets, steps.next_state, found)
        else:
            entries = np.asarray(matrix, np.float64)
            core.look_up_entries(entries, first, step, steps.offsets, steps.next_state, found)
    return outcomes.over(found, np.float64)


def _canonical(matrix: Any) -> Any:
    """Return a sparse matrix whose columns rise in each row, without changing the one given."""
    rows = matrix.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


def _terminations(given: Any, steps: Transitions, sizes: Sizes, layout: Layout | None) -> BoolArray:
    if given is None:
        return np.zeros(len(steps.next_state), np.bool_)
    entered = _entered_ends(given, sizes)
    if entered is not None:
        return entered[steps.next_state]
    if not (_is_sparse(given) or _is_matrices(given) or _is_dict(given)):
        given, layout = _plain_flags(as_array("terminated", given, ModelError), layout)
    told = look_up(given, steps, sizes, layout, "terminated")
    pair = np.repeat(np.arange(sizes[0] * sizes[1]), np.diff(steps.offsets))

    def name(k: int) -> str:
        return f"({pair[k] // sizes[1]}, {pair[k] % sizes[1]}, {steps.next_state[k]})"

    return flags(_FLAG, told, error=ModelError, names=name)


def _plain_flags(array: NDArray[Any], layout: Layout | None) -> tuple[NDArray[Any], Layout | None]:
    """Return flags that are no numbers as Booleans, and the layout they have then."""
    if array.ndim != 3 or array.dtype.kind in "biuf":
        return array, layout
    layout = layout or _infer_layout(array.shape, "terminated", lambda: False)
    by_state = array if layout == "SAS" else array.transpose(1, 0, 2)
    return flags(_FLAG, by_state, error=ModelError), "SAS"


def tell_uncollected(terminated: Any, sizes: Sizes, columns: Columns, start: FloatArray | None) -> None:
    """Warn of rewards of states in which no action is ever taken, as entering them ends the episode."""
    ends = _entered_ends(terminated, sizes)
    if ends is None:
        return
    never = ends if start is None else ends & ~(start > 0.0)
    width = np.diff(columns.offsets).reshape(sizes).sum(axis=1)
    paid = np.flatnonzero(np.repeat(never, width) & (columns.reward != 0.0))
    if len(paid):
        state = int(np.searchsorted(columns.offsets, paid[0], side="right") - 1) // sizes[1]
        warnings.warn(
            f"R pays {columns.reward[paid[0]]:g} for acting in state {state}, but by terminated the episode ends on "
            "entering the state: the reward is never collected. Leave terminated out and make the state's rows of P "
            "zeros, and an action there pays it and ends; or give R per outcome, and it is paid on entering; or set it "
            "to 0 there",
            UserWarning,
            stacklevel=3,
        )


def _entered_ends(given: Any, sizes: Sizes) -> BoolArray | None:
    """Return which states end the episode once entered; None where terminations are given per outcome."""
    if given is None or _is_matrices(given) or _is_dict(given):
        return None
    if _is_sparse(given):
        if given.ndim != 2 or 1 not in given.shape:
            return None
        given = given.toarray()
    array = np.asarray(given)
    if vector(array, sizes[0]).shape == (sizes[0],):
        return flags("terminated of state", vector(array, sizes[0]), error=ModelError)
    if array.ndim == 2 and array.shape != (sizes[0] * sizes[1], sizes[0]):
        raise ModelError(f"terminated has shape {array.shape}; allowed: {sizes[:1]} or that of P")
    return None
