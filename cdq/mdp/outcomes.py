"""Outcomes of `cdq.MDP`: in order, equal ones merged, and every check of a model."""

from __future__ import annotations

import contextlib
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike, NDArray

from cdq.core.planning import outcomes as core
from cdq.errors import ModelError
from cdq.errors.checks import as_array, flags
from cdq.mdp.arrays import BoolArray, FloatArray, IntArray
from cdq.mdp.checks import _first, check_sizes, fault_of_element, least, size

_KINDS = (np.int32, np.float64, np.float64, np.bool_)


class Columns(NamedTuple):
    """The outcomes of a model, in the order of their pairs."""

    offsets: IntArray
    next_state: NDArray[np.int32]
    probability: FloatArray
    reward: FloatArray
    terminated: BoolArray


# ---- arrays


def frozen(given: ArrayLike, kind: npt.DTypeLike) -> NDArray[Any]:
    """Return an array that can never be written to, in memory that nobody else can write to.

    An array of NumPy's own is only marked as read-only, and whoever holds it, or its base, may unmark it. One over
    a ``memoryview`` of ``bytes`` cannot be unmarked. One over the ``bytes`` themselves may be writeable: pickle makes
    such arrays.

    Examples
    --------
    >>> frozen([1, 2], np.float64).setflags(write=True)
    Traceback (most recent call last):
    ValueError: cannot set WRITEABLE flag to True of this array
    """
    array = np.ascontiguousarray(given, dtype=kind)
    memory: Any = array
    while isinstance(memory, np.ndarray):
        memory = memory.base
    owned = isinstance(memory, memoryview) and type(memory.obj) is bytes
    if owned and not array.flags.writeable and 10 * array.nbytes >= 9 * memory.nbytes:
        return array
    copy = core.copied(array.reshape(-1).view(np.uint8)) if array.size else b""
    return over(copy, array.dtype).reshape(array.shape)


def over(memory: bytes, kind: npt.DTypeLike, n: int | None = None) -> NDArray[Any]:
    """Return an array over memory, of its first *n* entries, as `frozen` makes them."""
    return np.frombuffer(memoryview(memory), kind)[:n] if memory else np.empty(0, kind)


def numbers(what: str, given: Any) -> NDArray[Any]:
    """Return an array of numbers, of their own type where that is one of numbers."""
    array = as_array(what, given, ModelError)
    if array.dtype.kind == "O":
        with contextlib.suppress(TypeError, ValueError):
            return np.array([_number(one) for one in array.flat], np.float64).reshape(array.shape)
    if array.dtype.kind not in "biuf":
        raise ModelError(f"{what} is {array.dtype} of shape {array.shape}; allowed: numbers")
    return array


def _number(given: Any) -> float:
    """Return an entry of an array of objects as a float, NaN where it is missing."""
    if isinstance(given, (str, bytes)):
        raise TypeError("text is no number")
    if given is None or type(given).__name__ == "NAType":
        return math.nan
    try:
        return float(given)
    except OverflowError:
        return math.inf if given > 0 else -math.inf


def index_array(given: ArrayLike, what: str) -> NDArray[Any]:
    """Return an array of indices as int64, or as int32 where it is; whole numbers of other types are indices."""
    array = numbers(what, given)
    if array.ndim != 1 or not len(array):
        raise ModelError(
            f"{what} has shape {array.shape} and dtype {array.dtype}; allowed: integers, one or more"
        )
    return _whole(what, array)


def fitting(what: str, array: NDArray[Any], kind: npt.DTypeLike) -> NDArray[Any]:
    """Return an array of integers of this type, which their values must fit in."""
    if array.dtype == kind or array.size == 0:
        return array
    array, info = _whole(what, array.reshape(-1)).reshape(array.shape), np.iinfo(kind)
    if array.min() < info.min or array.max() > info.max:
        raise ModelError(
            f"{what} goes from {array.min()} to {array.max()}; allowed: {info.min} to {info.max}"
        )
    return array


def _whole(what: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind in "iu":
        return array if array.dtype == np.int32 else array.astype(np.int64, copy=False)
    wrong = 0 if array.dtype.kind == "b" else _first(~(np.abs(array) < 2.0**53) | (array != np.floor(array)))
    if wrong is not None:
        raise ModelError(f"{what} is {array[wrong]} at {wrong}; allowed: integers")
    return array.astype(np.int64)


def sizes_of(indices: tuple[NDArray[Any], ...], n_states: Any, n_actions: Any) -> tuple[int, int]:
    """Return the numbers of states and actions: those given, or one more than the largest index."""
    state, action, next_state = indices
    states = max(state.max(), next_state.max()) + 1 if n_states is None else n_states
    actions = action.max() + 1 if n_actions is None else n_actions
    result = size("n_states", states), size("n_actions", actions)
    check_sizes(*result, None)
    return result


def columns(
    length: int, probability: ArrayLike, reward: ArrayLike, terminated: ArrayLike | None
) -> tuple[NDArray[Any], FloatArray, BoolArray]:
    """Return the arrays beside the indices, each of the given length."""
    ends = (
        over(bytes(length), np.bool_)
        if terminated is None
        else flags("terminated of outcome", terminated, error=ModelError)
    )
    paid = numbers("reward", reward).astype(np.float64, copy=False)
    result = numbers("probability", probability), paid, ends
    for what, array in zip(("probability", "reward", "terminated"), result, strict=True):
        if array.shape != (length,):
            raise ModelError(f"{what} has shape {array.shape}; allowed: {(length,)}, one entry per outcome")
    return result


def mask(given: ArrayLike | None, shape: tuple[int, int]) -> BoolArray | None:
    """Return the actions that states have, immutable; None where each state has all of them."""
    if given is None:
        return None
    dense = given.toarray() if hasattr(given, "toarray") else given
    actions = flags("actions of (state, action)", dense, error=ModelError)
    if actions.shape != shape:
        raise ModelError(
            f"actions are of shape {actions.shape}; allowed: bool of shape {shape}, True where a state has the action"
        )
    none = _first(np.count_nonzero(actions, axis=1) == 0)
    if none is not None:
        raise ModelError(f"actions are all False in state {none}; a state has at least one action")
    return None if actions.all() else frozen(actions, np.bool_)


# ---- outcomes


def gather(
    sizes: tuple[int, int],
    indices: tuple[NDArray[Any], ...],
    values: tuple[NDArray[Any], FloatArray, BoolArray],
) -> Columns:
    """Return the outcomes in the order of pairs and next states, equal ones as one.

    *sizes* are the numbers of states and actions, *indices* are state, action and next state in any order, *values* are
    probability, reward and terminated. A reward of -inf is let through.
    """
    length, kind = len(indices[0]), np.result_type(*indices[:2])
    for what, array in zip(("action", "next_state"), indices[1:], strict=True):
        if len(array) != length:
            raise ModelError(f"{what} has {len(array)} entries and state has {length}; allowed: as many")
    state, action = (np.ascontiguousarray(array, kind) for array in indices[:2])
    successor, chances = np.ascontiguousarray(indices[2]), np.ascontiguousarray(values[0], np.float64)
    paid, ended = (np.ascontiguousarray(part) for part in values[1:])
    wrong, rising, offsets = core.count(
        state, action, successor, chances, paid, *sizes, least(values[0].dtype)
    )
    if wrong >= 0:
        raise _fault_of_outcome(wrong, sizes, (state, action, successor), chances[wrong], paid[wrong])
    parts = successor, chances, paid, ended
    if rising:  # in the form of a model already; what nobody can write to is not even copied
        return Columns(
            over(offsets, np.int64), *(frozen(part, kind) for part, kind in zip(parts, _KINDS, strict=True))
        )
    memory = core.place(state, action, *parts[:3], ended.view(np.uint8), sizes[1], offsets)
    core.tidy(offsets, *memory)
    n = int(over(offsets, np.int64)[-1])
    others = (over(part, kind, n) for part, kind in zip(memory, _KINDS, strict=True))
    return Columns(over(offsets, np.int64), *others)


def _fault_of_outcome(
    k: int, sizes: tuple[int, int], indices: tuple[NDArray[Any], ...], probability: float, reward: float
) -> ModelError:
    state, action, next_state = (int(array[k]) for array in indices)
    for what, index, n in (("state", state, sizes[0]), ("action", action, sizes[1])):
        if not 0 <= index < n:
            return ModelError(f"{what} of outcome {k} is {index}; allowed: 0 to {n - 1}")
    return fault_of_element(f"(state {state}, action {action})", sizes[0], next_state, probability, reward)
