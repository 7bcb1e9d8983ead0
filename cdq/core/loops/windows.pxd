"""Loops that learn a window without Python, which other compiled code can call."""

from libc.stdint cimport int64_t

from cdq.core.loops.tally cimport cdq_tally
from cdq.core.table.rows cimport Rows, cdq_law


cdef class Windows:
    cdef Rows rows        # table that is learnt
    cdef int64_t n_lanes
    cdef readonly bint plain   # True if the Q-function needs no Python either
    cdef bint learn(
        self, const cdq_law *law, int64_t sweeps, double explore_first, double explore_last, cdq_tally *tally
    ) noexcept nogil
