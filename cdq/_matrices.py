"""Transition and reward matrices, dense or sparse, to the flat outcomes of `cdq.MDP.from_outcomes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cdq._arguments import flags
from cdq.errors import ModelError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Layout = Literal["ASS", "SAS"]


def flatten(P: Any, R: Any, terminated: Any, layout: Layout | None) -> dict[str, Any]:
    """Return the arguments of `MDP.from_outcomes` for transition and reward matrices."""
    matrices, layout = _per_action(P, layout, "P")
    n_states, n_actions = _square(matrices), len(matrices)
    parts = [_nonzero(matrix) for matrix in matrices]
    state, next_state, probability = (np.concatenate([part[i] for part in parts]) for i in range(3))
    counts = [len(part[0]) for part in parts]
    action = np.repeat(np.arange(n_actions), counts)
    where = (state, action, next_state)
    return {
        "state": state,
        "action": action,
        "next_state": next_state,
        "probability": probability,
        "reward": _look_up(R, where, (n_states, n_actions), layout, "R"),
        "terminated": _termination(terminated, where, (n_states, n_actions), layout),
        "n_states": n_states,
        "n_actions": n_actions,
    }


def _is_sparse(matrix: object) -> bool:
    return hasattr(matrix, "tocoo")


def _per_action(matrices: Any, layout: Layout | None, what: str) -> tuple[list[Any], Layout]:
    """Return one (S, S) matrix per action, and the layout of three-dimensional arrays."""
    if layout not in {None, "ASS", "SAS"}:
        raise ModelError(f"layout is {layout!r}; allowed: 'ASS' (action, state, next state) or 'SAS'")
    if isinstance(matrices, (list, tuple)) and any(map(_is_sparse, matrices)):
        return list(matrices), "ASS"
    array = np.asarray(matrices)
    if array.dtype == object and array.ndim == 1:
        return list(array), "ASS"
    if array.ndim != 3:
        raise ModelError(
            f"{what} has shape {array.shape}; allowed: (A, S, S), (S, A, S) or A matrices (S, S)"
        )
    layout = layout or _infer_layout(array, what)
    return list(array if layout == "ASS" else array.transpose(1, 0, 2)), layout


def _infer_layout(array: NDArray[Any], what: str) -> Layout:
    first, second, last = array.shape
    if first == second == last and first > 1 and not np.array_equal(array, array.transpose(1, 0, 2)):
        raise ModelError(
            f"{what} has shape {array.shape}: (A, S, S) and (S, A, S) both fit; say layout='ASS' or 'SAS'"
        )
    if second == last:
        return "ASS"
    if first == last:
        return "SAS"
    raise ModelError(f"{what} has shape {array.shape}; allowed: (A, S, S) or (S, A, S)")


def _square(matrices: list[Any]) -> int:
    """Return the number of states, after checking that every matrix has shape (S, S)."""
    if not matrices:
        raise ModelError("P holds no matrix; one per action is needed")
    size = int(matrices[0].shape[0])
    for action, matrix in enumerate(matrices):
        if tuple(matrix.shape) != (size, size):
            raise ModelError(
                f"the matrix of action {action} has shape {tuple(matrix.shape)}; allowed: {(size, size)}"
            )
    return size


def _nonzero(matrix: Any) -> tuple[IntArray, IntArray, FloatArray]:
    """Return row, column and value of the entries that are not zero."""
    if _is_sparse(matrix):
        entries = matrix.tocsr().tocoo()  # by way of CSR: repeated entries are summed, rows are in order
        return entries.row.astype(np.int64), entries.col.astype(np.int64), entries.data.astype(np.float64)
    row, column = np.nonzero(matrix)
    return row, column, np.asarray(matrix[row, column], np.float64)


def _look_up(
    given: Any, where: tuple[IntArray, IntArray, IntArray], sizes: tuple[int, int], layout: Layout, what: str
) -> NDArray[Any]:
    """Return per outcome what was given per state, per pair or per outcome."""
    state, action, next_state = where
    if not (isinstance(given, (list, tuple)) and any(map(_is_sparse, given))):
        array = np.asarray(given)
        if array.shape == sizes[:1]:
            return array[state]
        if array.shape == sizes:
            return array[state, action]
        if array.ndim not in {1, 3}:
            raise ModelError(f"{what} has shape {array.shape}; allowed: {sizes[:1]}, {sizes} or that of P")
    matrices, _ = _per_action(given, layout, what)
    if len(matrices) != sizes[1] or _square(matrices) != sizes[0]:
        raise ModelError(
            f"{what} holds {len(matrices)} matrices; allowed: {sizes[1]} of shape {(sizes[0], sizes[0])}"
        )
    result = np.empty(len(state), np.result_type(*(matrix.dtype for matrix in matrices)))
    for index, matrix in enumerate(matrices):
        chosen = action == index
        rows = matrix.tocsr() if _is_sparse(matrix) else matrix
        result[chosen] = np.asarray(rows[state[chosen], next_state[chosen]]).ravel()
    return result


def _termination(
    given: Any, where: tuple[IntArray, IntArray, IntArray], sizes: tuple[int, int], layout: Layout
) -> BoolArray | None:
    if given is None:
        return None
    if not isinstance(given, (list, tuple)) or not any(map(_is_sparse, given)):
        array = np.asarray(given)
        if array.shape == sizes[:1]:  # entering the state ends the episode
            return flags("terminated of state", array, error=ModelError)[where[2]]
        if array.ndim == 2:
            raise ModelError(f"terminated has shape {array.shape}; allowed: {sizes[:1]} or that of P")
    told = _look_up(given, where, sizes, layout, "terminated")
    return flags("terminated of (state, action, next state)", told, error=ModelError, names=_names(where))


def _names(where: tuple[IntArray, IntArray, IntArray]) -> Callable[[int], str]:
    """Return what names an outcome in a message."""
    return lambda i: f"({', '.join(str(index[i]) for index in where)})"
