"""Answers of environments in Python, read strictly: rewards, flags, discounts, and what infos have."""

from cpython.dict cimport PyDict_Check, PyDict_GetItemWithError
from cpython.float cimport PyFloat_AsDouble, PyFloat_Check
from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport int64_t

from cdq.core.envs.encode cimport shown

import numpy as np

cdef object BOOL = np.bool_


cdef double reward_of(object value) except? -1.0:
    """Return a reward, a real number of any type, as float64."""
    if PyFloat_Check(value):
        return PyFloat_AsDouble(value)
    try:
        if PyLong_CheckExact(value) or (
                getattr(value, "ndim", 0) == 0
                and getattr(getattr(value, "dtype", None), "kind", "f") in "biuf"):
            return PyFloat_AsDouble(value)
    except (TypeError, ValueError, OverflowError):  # no number, or none of float64
        pass
    if getattr(value, "size", 0) > 1:
        raise ValueError(
            f"the reward is {shown(value)}; allowed: one finite number, or with tasks=cdq.Weights(...) several")
    hint = "; return reward.item()" if getattr(value, "size", 0) == 1 and getattr(value, "ndim", 0) else ""
    raise ValueError(f"the reward is {shown(value)}; allowed: one finite number{hint}")


cdef int rewards_of(object value, int64_t n, double *out) except -1:
    """Read the *n* rewards of a step, an array of numbers or a sequence of them."""
    cdef int64_t i
    try:
        numbers = np.asarray(value)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (n,) or numbers.dtype.kind not in "biuf":
        raise ValueError(f"the reward is {shown(value)}; allowed: an array of {n} finite numbers, one for each feature")
    for i in range(n):
        out[i] = numbers[i]
    return 0


cdef double factor_of(object value) except? -2.0:
    """Return the discount that an info gives: a number from -1 to 1, by which gamma is multiplied."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not -1 <= number <= 1:
        raise ValueError(f"the discount in the info is {shown(value)}; allowed: a number from -1 to 1")
    return number


cdef int flag_of(object value, str what) except -1:
    """Return whether a flag is true: a bool of Python or NumPy, or a number that is 0 or 1."""
    if value is True or value is False:
        return value is True
    if isinstance(value, BOOL):
        return bool(value)
    try:
        number = reward_of(value)
    except ValueError:
        number = 2.0
    if number != 0.0 and number != 1.0:
        raise ValueError(f"{what} is {shown(value)}; allowed: True or False")
    return number == 1.0


cdef bint has(object info, object key):
    """Return whether an info is a dictionary with an entry."""
    return PyDict_Check(info) and PyDict_GetItemWithError(info, key) != NULL


cdef int same_space(object now, object before, str what) except -1:
    """Raise if a space is another one than before."""
    if now is not before and now != before:
        raise ValueError(f"the environment changed its {what} space from {before} to {now}")
    return 0
