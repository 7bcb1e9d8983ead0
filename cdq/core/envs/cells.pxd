"""Hashed tables over vectors."""

from libc.stdint cimport int64_t, uint64_t

from cdq.core.table.hash cimport HashQ, KnownQ
from cdq.core.linear.linear cimport Features


cdef class Cells:
    cdef Features features
    cdef bint hashed
    cdef object memory
    cdef uint64_t *keys  # keys of the lanes that are looked up
    cdef int64_t fill(self, const void *observations, int64_t first, int64_t count) noexcept nogil


cdef class CellHashQ(HashQ):
    cdef Cells cells


cdef class CellKnownQ(KnownQ):
    cdef Cells cells
