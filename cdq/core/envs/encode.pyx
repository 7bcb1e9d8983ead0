"""Observations as numbers: an index by mixed radix, a 64-bit key, or a vector of float64.

A space is a tree of parts, each of which reads its numbers out of an observation, or out of a batch of them as vector
environments give it. An `Encoding` makes one index, key or vector of all of them. `cdq.envs.spaces` builds both.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.dict cimport PyDict_Check, PyDict_GetItemWithError
from cpython.long cimport PyLong_AsLongLong, PyLong_CheckExact
from cpython.number cimport PyNumber_Index
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

import numpy as np

cdef tuple NUMBERS = (int, float, np.number, np.bool_)


cdef extern from "envs/numbers.h":
    int cdq_read_numbers(
        const void *source, char format, int64_t rows, int64_t width, int64_t stride, int real, void *out) nogil
    uint64_t cdq_mixed(uint64_t x) nogil


cdef inline int64_t whole(object value) except? -1:
    """Return an integer of any type, 0-d arrays among them."""
    if PyLong_CheckExact(value):
        return PyLong_AsLongLong(value)
    return PyLong_AsLongLong(PyNumber_Index(value))


cdef int read_numbers(
        object numbers, int64_t rows, int64_t width, int64_t stride, bint real, void *out) except -1:
    """Read rows x width numbers of an array, or of what NumPy makes one of; row i goes to cell i * stride."""
    cdef Py_buffer view
    cdef int unread
    try:
        PyObject_GetBuffer(numbers, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (TypeError, ValueError, BufferError):  # a list, or an array with gaps
        return read_others(numbers, rows, width, stride, real, out)
    if view.len != rows * width * view.itemsize:
        size = view.len // view.itemsize
        PyBuffer_Release(&view)
        raise ValueError(f"{size} numbers, not {rows * width}")
    unread = -1
    if view.format == NULL:
        unread = cdq_read_numbers(view.buf, c"B", rows, width, stride, real, out)
    elif view.format[0] and not view.format[1]:
        unread = cdq_read_numbers(view.buf, view.format[0], rows, width, stride, real, out)
    PyBuffer_Release(&view)
    return read_others(numbers, rows, width, stride, real, out) if unread else 0


cdef int read_others(
        object numbers, int64_t rows, int64_t width, int64_t stride, bint real, void *out) except -1:
    array = np.asarray(numbers)
    if array.dtype.kind not in ("biuf" if real else "biu"):
        raise TypeError(f"{array.dtype} where {'numbers' if real else 'integers'} belong")
    plain = np.ascontiguousarray(array, np.float64 if real else np.int64)
    return read_numbers(plain, rows, width, stride, real, out)


cdef int read_masks(
        object masks, int64_t n, int64_t n_actions, uint8_t *out, const uint8_t *skipped) except -1:
    """Read masks, 0 and 1 of any type: *n* as a vector environment batches them, or a `SINGLE` one.

    Entries of *skipped* lanes (NULL: there are none) may be any number.
    """
    cdef Py_buffer view
    cdef int64_t count = n_actions if n == SINGLE else n * n_actions, i
    try:
        PyObject_GetBuffer(masks, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (TypeError, ValueError, BufferError):  # a list, or an array with gaps
        masks = plain_masks(masks, n, n_actions, out)
    else:
        if view.len != count or view.ndim != (1 if n == SINGLE else 2) or view.format != NULL and (
                view.format[0] not in (c"?", c"b", c"B") or view.format[1]):
            PyBuffer_Release(&view)
            masks = plain_masks(masks, n, n_actions, out)
        else:
            memcpy(out, view.buf, count)
            PyBuffer_Release(&view)
    for i in range(count):
        if out[i] > 1:
            if skipped == NULL or not skipped[i // n_actions]:
                refuse_entry(masks, n, i, n_actions)
            out[i] = 1
    return 0


cdef object plain_masks(object masks, int64_t n, int64_t n_actions, uint8_t *out):
    """Read masks that are no bytes: of longer numbers, with gaps, lists; 2 stands for what is neither 0 nor 1."""
    cdef tuple shape = (n, n_actions)
    cdef const uint8_t[::1] flags
    if n == SINGLE:
        shape = (n_actions,)
    try:
        array = np.asarray(masks)
    except (TypeError, ValueError):  # rows of different lengths
        array = None
    if array is None or array.shape != shape:
        raise ValueError(f"no action mask of {n_actions} numbers: {shown(masks)}; {allowed_masks(n_actions)}")
    if array.dtype.kind in "biuf":
        right = (array == 0) | (array == 1)
    else:
        right = np.array([isinstance(flag, NUMBERS) and flag in {0, 1} for flag in array.flat], np.bool_).reshape(shape)
    plain = np.full(shape, 2, np.uint8)
    plain[right] = array[right] != 0
    flags = plain.reshape(-1)
    memcpy(out, &flags[0], flags.shape[0])
    return array


cdef int refuse_entry(object masks, int64_t n, int64_t at, int64_t n_actions) except -1:
    lane = "" if n == SINGLE else f" of lane {at // n_actions}"
    text = f"entry {at % n_actions} of the action mask{lane} is {brief(np.asarray(masks).reshape(-1).tolist()[at])}"
    raise ValueError(f"{text}; {allowed_masks(n_actions)}")


cdef str allowed_masks(int64_t n_actions):
    return f"allowed: one mask of {n_actions} entries, each 0 or 1, or False or True"


cdef str shown(object value):
    """Return a value as messages show it, with its type, and its shape where it has one."""
    shape = getattr(value, "shape", None)
    return f"{brief(value)}, {type(value).__name__}" + (f" of shape {shape}" if shape else "")


cdef str brief(object value):
    """Return the first part of a value's text."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # integers of more digits than Python prints, classes that cannot be shown
        text = "something that cannot be printed"
    return text if len(text) <= 80 else text[:77] + "..."


cdef class Part:
    """A part of an observation, *width* numbers.

    `read` takes *n* observations as a vector environment batches them, or a `SINGLE` one; the numbers of the i-th go
    to cell i * stride and on, as double if *real*, else as int64.
    """

    cdef int read(self, object value, int64_t n, int64_t stride, bint real, void *out) except -1:
        raise NotImplementedError


cdef class Scalar(Part):
    """One integer."""

    def __cinit__(self):
        self.width = 1

    cdef int read(self, object value, int64_t n, int64_t stride, bint real, void *out) except -1:
        if n != SINGLE:
            return read_numbers(value, n, 1, stride, real, out)
        if real:
            (<double *> out)[0] = <double> whole(value)
        else:
            (<int64_t *> out)[0] = whole(value)
        return 0


cdef class Array(Part):
    """An array of *width* numbers."""

    def __cinit__(self, int64_t width):
        self.width = width

    cdef int read(self, object value, int64_t n, int64_t stride, bint real, void *out) except -1:
        return read_numbers(value, 1 if n == SINGLE else n, self.width, stride, real, out)


cdef class Sequence(Part):
    """A tuple of parts."""

    cdef tuple parts

    def __cinit__(self, tuple parts not None):
        self.parts = parts
        self.width = sum([(<Part?> part).width for part in parts])

    cdef int read(self, object value, int64_t n, int64_t stride, bint real, void *out) except -1:
        cdef int64_t *cells = <int64_t *> out
        cdef tuple values = value if isinstance(value, tuple) else tuple(value)
        cdef Py_ssize_t i
        if len(values) != len(self.parts):
            raise ValueError(f"{len(values)} parts, not {len(self.parts)}")
        for i in range(len(self.parts)):
            (<Part> self.parts[i]).read(values[i], n, stride, real, cells)
            cells += (<Part> self.parts[i]).width
        return 0


cdef class Mapping(Part):
    """A dictionary of parts, in the order of *keys*."""

    cdef tuple keys, parts

    def __cinit__(self, tuple keys not None, tuple parts not None):
        self.keys, self.parts = keys, parts
        self.width = sum([(<Part?> part).width for part in parts])

    cdef int read(self, object value, int64_t n, int64_t stride, bint real, void *out) except -1:
        cdef int64_t *cells = <int64_t *> out
        cdef Py_ssize_t i
        for i in range(len(self.keys)):
            (<Part> self.parts[i]).read(item(value, self.keys[i]), n, stride, real, cells)
            cells += (<Part> self.parts[i]).width
        return 0


cdef inline object item(object value, object key):
    """Return a dictionary's entry, or a ValueError that says so."""
    cdef PyObject *found = PyDict_GetItemWithError(value, key) if PyDict_Check(value) else NULL
    if found == NULL:
        raise ValueError(f"no entry {key!r} in {type(value).__name__}")
    return <object> found


cdef class Encoding:
    """Encodes observations of a space.

    *low* and *high* bound each of the *part*'s numbers, both inclusive; they are None for vectors. The first number is
    the most significant digit. With *mask_key* observations are dictionaries that hold a mask of *n_actions*
    entries beside the observation, which is at *observation_key*. *name* is the space as messages call it.
    """

    def __init__(self, Part part not None, low, high, *, bint hashed, str name, observation_key=None, mask_key=None,
                 int64_t n_actions=0):
        cdef int64_t[::1] memory
        self.part, self.name, self.hashed = part, name, hashed
        self.real = low is None
        self.width = part.width if self.real else 1
        self.observation_key, self.mask_key, self.n_actions = observation_key, mask_key, n_actions
        # Bounds, and the numbers of an observation.
        self.memory = memory = memoryview(bytearray(24 * max(part.width, 1))).cast("q")
        self.low = &memory[0]
        self.high, self.numbers = self.low + part.width, self.low + 2 * part.width
        if not self.real:
            read_numbers(low, 1, part.width, part.width, False, self.low)
            read_numbers(high, 1, part.width, part.width, False, self.high)

    def of(self, observation):
        """Return the index or key of an observation, or its vector."""
        vector = np.empty(self.width, np.float64 if self.real else np.int64)
        cdef unsigned char[::1] out = vector.view(np.uint8)
        cdef uint8_t[::1] mask = bytearray(self.n_actions + 1)
        self.encode(observation, &out[0], &mask[0])
        return vector if self.real else int(vector[0])

    def mask_of(self, observation):
        """Return the mask that an observation holds: a list of 0 and 1."""
        cdef uint8_t[::1] mask = bytearray(self.n_actions)
        read_masks(item(observation, self.mask_key), SINGLE, self.n_actions, &mask[0], NULL)
        return list(mask)

    cdef int encode(self, object observation, void *out, uint8_t *mask) except -1:
        """Write an observation's index, key or vector to *out*, and its mask, where it holds one, to *mask*."""
        if self.mask_key is not None:
            read_masks(item(observation, self.mask_key), SINGLE, self.n_actions, mask, NULL)
        if self.observation_key is not None:
            observation = item(observation, self.observation_key)
        try:
            if self.real:
                return self.part.read(observation, SINGLE, self.width, True, out)
            self.part.read(observation, SINGLE, self.part.width, False, self.numbers)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"the observation {brief(observation)} is not in {self.name}: {error}") from error
        if not self.fold(self.numbers, <int64_t *> out):
            raise ValueError(f"the observation {brief(observation)} is not in {self.name}")
        return 0

    cdef int64_t encode_all(
            self, object observations, int64_t n, void *out, uint8_t *masks, const uint8_t *skipped) except -2:
        """Encode a batch of *n*; return -1, or the first lane whose observation is outside the space.

        The observations of *skipped* lanes may be outside: they become 0.
        """
        cdef int64_t width = self.part.width, i
        cdef int64_t *numbers
        if self.mask_key is not None:
            read_masks(item(observations, self.mask_key), n, self.n_actions, masks, skipped)
        if self.observation_key is not None:
            observations = item(observations, self.observation_key)
        try:
            if self.real or width == 1:
                self.part.read(observations, n, width, self.real, out)
                numbers = <int64_t *> out
            else:
                batch = bytearray(8 * n * width)
                numbers = <int64_t *> <char *> batch
                self.part.read(observations, n, width, False, numbers)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"the observations are not a batch of {n} of {self.name}: {error}") from error
        if not self.real:
            for i in range(n):
                if not self.fold(numbers + i * width, <int64_t *> out + i):
                    if not skipped[i]:
                        return i
                    (<int64_t *> out)[i] = 0
        return -1

    cdef bint fold(self, const int64_t *numbers, int64_t *out) noexcept nogil:
        """Make one index or key of an observation's numbers; false if one of them is out of its bounds."""
        cdef uint64_t index = 0
        cdef int64_t i
        for i in range(self.part.width):
            if not self.low[i] <= numbers[i] <= self.high[i]:
                return False
            if self.hashed:
                index = cdq_mixed(index ^ cdq_mixed(<uint64_t> numbers[i] + <uint64_t> i))
            else:
                index = index * (<uint64_t> self.high[i] - <uint64_t> self.low[i] + 1) + (
                    <uint64_t> numbers[i] - <uint64_t> self.low[i])
        out[0] = <int64_t> (index >> 1 if self.hashed else index)
        return True
