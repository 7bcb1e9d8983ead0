"""Checks of what users give.

NumPy is imported where an array is looked at: help of a command has none.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar

from cdq.errors import CdqError, ConfigError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

A = TypeVar("A", bound="npt.NDArray[Any]")

_LONGEST = 1000  # letters of what an exception says
# Steps, and all that counts them, are 64-bit integers with room to add.
MOST_STEPS = 2**62


def shown(value: Any) -> str:
    """Return *value* for a message: as `repr` has it, cut where that is long or impossible."""
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python writes out, or code of the user's
        number = f"a number too long to write out, in {type(value).__name__}"
        text = number if isinstance(value, int) else f"a {type(value).__name__} that cannot be written out"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def described(error: BaseException) -> str:
    """Return an exception's type and text for a message: one line that can be printed and read, whatever it says."""
    try:
        text = " ".join(str(error).split())[:_LONGEST]
    except Exception:  # code of the user's
        text = "its text cannot be made"
    name = type(error).__name__
    return "".join(one if one.isprintable() else "?" for one in f"{name}: {text}") if text else name


def whole(what: str, value: Any, least: int, most: float = MOST_STEPS) -> int:
    """Return *value* as an int, if it is a whole number from *least* to *most*."""
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    exact = int(number) if isinstance(number, Integral) or math.isfinite(number) else None
    if exact is None or exact != number or not least <= exact <= most:
        upper = f" and at most {most:,}" if most != MOST_STEPS or number > most else ""
        raise ConfigError(f"{what} is {shown(value)}; allowed: a whole number of at least {least}{upper}")
    return exact


def real(what: str, value: Any, allowed: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return *value* as a finite float from *low* to *high*; *allowed* names the allowed values in words."""
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and low <= number <= high):
        raise ConfigError(f"{what} is {shown(value)}; allowed: {allowed}")
    return number


def path_of(what: str, value: Any) -> str:
    """Return a path as text; an empty one, bytes and file descriptors are none."""
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text:
        raise ConfigError(f"{what} is {shown(value)}; allowed: a path, as text or as a pathlib.Path")
    return text


def one_of(what: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise unless *value* is one of those *allowed*; 1 is not True."""
    if not any(
        value is one or (isinstance(one, str) and isinstance(value, str) and value == one) for one in allowed
    ):
        raise ConfigError(f"{what} is {shown(value)}; allowed: {' or '.join(map(repr, allowed))}")


def flags(
    what: str,
    given: Any,
    *,
    error: type[CdqError] = ConfigError,
    names: Callable[[int], str] | None = None,
) -> npt.NDArray[np.bool_]:
    """Return Booleans, or the numbers 0 and 1, as an array of bool.

    NumPy takes every text but "" for true, and NaN: whatever is neither a Boolean nor 0 or 1 is refused. *names* gives
    the name of an entry of a column by its number, by default that number.

    Raises
    ------
    CdqError
        Of the type *error*, if an entry is no Boolean; names the first as "*what* i".

    Examples
    --------
    >>> flags("terminated of transition", [0.0, 1, True]).tolist()
    [False, True, True]
    """
    import numpy as np

    array = as_array(what, given, error)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind in "iuf":
        wrong = (array != 0) & (array != 1)
    else:
        wrong = np.array([not is_flag(value) for value in array.flat], np.bool_).reshape(array.shape)
    if wrong.any():
        where = tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
        number = names or str
        place = "" if not where else f" {number(where[0]) if len(where) == 1 else where}"
        value = array[where]
        value = value.item() if isinstance(value, np.generic) else value
        raise error(f"{what}{place} is {shown(value)}; allowed: True and False, or 1 and 0")
    told: npt.NDArray[np.bool_] = np.not_equal(array, 0).astype(np.bool_)
    return told


def is_flag(value: Any) -> bool:
    """Return whether *value* is a Boolean, or the number 0 or 1.

    Examples
    --------
    >>> import numpy as np
    >>> [is_flag(value) for value in (True, 0.0, np.bool_(True), "False", float("nan"), 0.5, None)]
    [True, True, True, False, False, False, False]
    """
    import numpy as np

    return isinstance(value, (bool, np.bool_, Real)) and value in {0, 1}


def read_only(array: A) -> A:
    """Return a view of *array* that cannot be written to.

    Examples
    --------
    >>> import numpy as np
    >>> read_only(np.zeros(2))[0] = 1.0
    Traceback (most recent call last):
    ValueError: assignment destination is read-only
    """
    view: A = array.view()
    view.flags.writeable = False
    return view


def as_array(what: str, given: Any, error: type[CdqError] = ConfigError) -> npt.NDArray[Any]:
    """Return a column of NumPy, pandas or Python as an array; entries that are masked are refused."""
    import numpy as np

    if isinstance(given, np.ma.MaskedArray) and np.ma.getmaskarray(given).any():
        first = int(np.ma.getmaskarray(given).argmax())
        raise error(f"{what} {first} is masked; allowed: entries that are there")
    try:
        return np.asarray(given.to_numpy() if hasattr(given, "to_numpy") else given)
    except (ValueError, TypeError) as cause:
        raise error(f"{what}: it is no column: {cause}") from None


def batch_of(given: Any, axes: int) -> list[Any] | None:
    """Return the entries of an array, a list or a column of pandas that has so many axes; None where it has others.

    Examples
    --------
    >>> batch_of([3, 4], 1), batch_of(3, 1), batch_of([0.5, 1.5], 2)
    ([3, 4], None, None)
    """
    import numpy as np

    values = given.to_numpy() if hasattr(given, "to_numpy") else given
    if not isinstance(values, (list, np.ndarray)):
        return None
    try:
        return list(values) if np.ndim(values) == axes else None
    except ValueError:  # of different lengths
        return None
