"""What `cdq.MDP` is made of: outcomes in order, equal ones merged, and every check of a model."""

from __future__ import annotations

import contextlib
import math
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike, NDArray

from cdq._arguments import as_array, flags, shown
from cdq.core import outcomes as core
from cdq.errors import ModelError

if TYPE_CHECKING:
    from cdq._finite import FiniteModel

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SUM_TOLERANCE = 1e-9
MAX_STATES = 2**31 - 1  # next_state is int32
MAX_PAIRS = 2**32 - 1  # pairs are numbered with 32 bits where they are merged
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
    ``bytes`` cannot be unmarked.

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
    if isinstance(memory, bytes) and 10 * array.nbytes >= 9 * len(memory):
        return array
    copy = core.copied(array.reshape(-1).view(np.uint8)) if array.size else b""
    return over(copy, array.dtype).reshape(array.shape)


def over(memory: bytes, kind: npt.DTypeLike, n: int | None = None) -> NDArray[Any]:
    """Return an array over memory, of its first *n* entries."""
    return np.frombuffer(memory, kind)[:n] if memory else np.empty(0, kind)


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
    return math.nan if given is None or type(given).__name__ == "NAType" else float(given)


def index_array(given: ArrayLike, what: str) -> NDArray[Any]:
    """Return an array of indices as int64, or as int32 where it is; whole numbers of other types are indices."""
    array = numbers(what, given)
    if array.ndim != 1 or not len(array):
        raise ModelError(
            f"{what} has shape {array.shape} and dtype {array.dtype}; allowed: integers, one or more"
        )
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
        np.zeros(length, np.bool_)
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
    actions = np.asarray(given)
    if actions.shape != shape or actions.dtype != np.bool_:
        raise ModelError(
            f"actions are {actions.dtype} of shape {actions.shape}; allowed: bool of shape {shape}, True where a "
            "state has the action"
        )
    none = _first(np.count_nonzero(actions, axis=1) == 0)
    if none is not None:
        raise ModelError(f"actions are all False in state {none}; a state has at least one action")
    return None if actions.all() else frozen(actions, np.bool_)


# ---- outcomes


def least(kind: np.dtype[Any]) -> float:
    """Return what a probability of this type may be at least: what rounding leaves of 0 is 0."""
    return -max(1e-12, _rounding(kind))


def row_tolerance(kind: np.dtype[Any]) -> float:
    """Return how far off 1 probabilities of this type may sum by rounding alone."""
    return max(SUM_TOLERANCE, _rounding(kind))


def _rounding(kind: np.dtype[Any]) -> float:
    return 32.0 * float(np.finfo(kind).eps) if kind.kind == "f" else 0.0


def gather(
    sizes: tuple[int, int],
    indices: tuple[NDArray[Any], ...],
    values: tuple[NDArray[Any], FloatArray, BoolArray],
) -> Columns:
    """Return the outcomes in the order of pairs and next states, equal ones as one.

    *sizes* are the numbers of states and actions, *indices* are state, action and next state in any order, *values* are
    probability, reward and terminated. A reward of -inf is let through.
    """
    length, kind = len(indices[0]), np.result_type(*indices)
    for what, array in zip(("action", "next_state"), indices[1:], strict=True):
        if len(array) != length:
            raise ModelError(f"{what} has {len(array)} entries and state has {length}; allowed: as many")
    own = tuple(np.ascontiguousarray(array, kind) for array in indices)
    chances = np.ascontiguousarray(values[0], np.float64)
    paid, ended = np.ascontiguousarray(values[1]), np.ascontiguousarray(values[2]).view(np.uint8)
    state, action, next_state = own
    wrong, memory = core.gather(
        state, action, next_state, chances, paid, ended, *sizes, least(values[0].dtype)
    )
    if memory is None:
        raise _fault_of_outcome(wrong, sizes, own, chances[wrong], paid[wrong])
    core.tidy(*memory)
    n = int(over(memory[0], np.int64)[-1])
    others = (over(part, kind, n) for part, kind in zip(memory[1:], _KINDS, strict=True))
    return Columns(over(memory[0], np.int64), *others)


def _fault_of_outcome(
    k: int, sizes: tuple[int, int], indices: tuple[NDArray[Any], ...], probability: float, reward: float
) -> ModelError:
    state, action, next_state = (int(array[k]) for array in indices)
    for what, index, size in (("state", state, sizes[0]), ("action", action, sizes[1])):
        if not 0 <= index < size:
            return ModelError(f"{what} of outcome {k} is {index}; allowed: 0 to {size - 1}")
    return fault_of_element(f"(state {state}, action {action})", sizes[0], next_state, probability, reward)


def fault_of_element(
    where: str, n_states: int, next_state: int, probability: float, reward: float
) -> ModelError:
    """Return the error of an outcome that is none; *where* names its pair."""
    if not 0 <= next_state < n_states:
        return ModelError(f"{where} has a successor of {next_state}; allowed: 0 to {n_states - 1}")
    if math.isfinite(reward):
        return ModelError(f"{where} has a probability of {probability}; allowed: 0 to 1")
    return ModelError(f"{where} has a reward of {reward}; allowed: finite numbers")


def distinct(random: np.random.Generator, rows: int, columns: int, n: int) -> NDArray[np.int32]:
    """Draw rows of different numbers below n, uniformly, in rising order."""
    if columns * columns > 2 * n:  # repeats would be the rule; n is small then
        order = np.argsort(random.random((rows, n)), axis=1)[:, :columns]
        return np.sort(order, axis=1).astype(np.int32)
    drawn = np.sort(random.integers(n, size=(rows, columns), dtype=np.int32), axis=1)
    while len(bad := np.flatnonzero((drawn[:, 1:] == drawn[:, :-1]).any(axis=1))):
        drawn[bad] = np.sort(random.integers(n, size=(len(bad), columns), dtype=np.int32), axis=1)
    return drawn


# ---- checks


def size(what: str, given: Any) -> int:
    """Return a size as an int, if it is a whole number."""
    try:
        return operator.index(given.item() if isinstance(given, np.ndarray) else given)
    except (TypeError, ValueError):
        if isinstance(given, float) and given.is_integer():
            return int(given)
        raise ModelError(f"{what} is {shown(given)}; allowed: a whole number") from None


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


def check_model(model: FiniteModel) -> None:
    """Raise unless the arrays are a model: the one place where models are checked."""
    _check_shapes(model)
    actions = None if model.actions is None else model.actions.reshape(-1).view(np.uint8)
    arrays = model.offsets, model.next_state, model.probability, model.reward
    code, index = core.fault(*arrays, model.n_states, actions, SUM_TOLERANCE)
    if code == core.ELEMENT:
        pair = int(np.searchsorted(model.offsets, index, side="right")) - 1
        element = model.next_state[index], model.probability[index], model.reward[index]
        raise fault_of_element(pair_name(pair, model.n_actions), model.n_states, *element)
    if code:
        raise _fault_of_pair(model, code, index)
    check_start(model.start)


def _fault_of_pair(model: FiniteModel, code: int, pair: int) -> ModelError:
    where = pair_name(pair, model.n_actions)
    if code == core.OFFSETS:
        return ModelError(f"offsets decrease at {where}; allowed: rising")
    if code == core.MISSING:
        return ModelError(f"{where} has no outcome; every pair needs at least one")
    if code == core.MASKED:
        return ModelError(f"{where} has outcomes, but actions say that the state does not have the action")
    total = float(model.probability[model.offsets[pair] : model.offsets[pair + 1]].sum())
    return ModelError(
        f"the probabilities of {where} sum to {total:.12g}; allowed: 1 within {SUM_TOLERANCE}; "
        "MDP.from_arrays and MDP.from_outcomes divide them by their sum if told: normalise=True"
    )


def _check_shapes(model: FiniteModel) -> None:
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
