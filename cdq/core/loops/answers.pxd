"""Answers of environments in Python, read strictly."""

from libc.stdint cimport int64_t


cdef double factor_of(object value) except? -2.0
cdef double reward_of(object value) except? -1.0
cdef int rewards_of(object value, int64_t n, double *out) except -1
cdef int flag_of(object value, str what) except -1
cdef bint has(object info, object key)
cdef int same_space(object now, object before, str what) except -1
