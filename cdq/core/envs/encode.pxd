"""Observations as the loops read them."""

from libc.stdint cimport int64_t, uint8_t


cdef enum:
    SINGLE = -1  # for a number of observations: one, not a batch of one


cdef int read_numbers(
    object numbers, int64_t rows, int64_t width, int64_t stride, bint real, void *out) except -1
cdef int read_masks(
    object masks, int64_t n, int64_t n_actions, uint8_t *out, const uint8_t *skipped) except -1
cdef str shown(object value)
cdef str brief(object value)


cdef class Part:
    cdef readonly int64_t width  # count of its numbers
    cdef int read(self, object value, int64_t n, int64_t stride, bint real, void *out) except -1


cdef class Encoding:
    cdef readonly Part part
    cdef readonly bint real      # a vector of float64; else an index or a key
    cdef readonly bint hashed    # a key that is a hash
    cdef readonly int64_t width  # numbers that an encoded observation has
    cdef readonly str name       # the space, for messages
    cdef object memory           # keeps what follows alive
    cdef int64_t *low
    cdef int64_t *high
    cdef int64_t *numbers        # those of the observation that is being encoded
    cdef object observation_key  # key of the observation in a dictionary that holds a mask beside it
    cdef object mask_key
    cdef readonly int64_t n_actions  # entries of that mask
    cdef int encode(self, object observation, void *out, uint8_t *mask) except -1
    cdef int64_t encode_all(
        self, object observations, int64_t n, void *out, uint8_t *masks, const uint8_t *skipped) except -2
    cdef bint fold(self, const int64_t *numbers, int64_t *out) noexcept nogil
