"""The exploration rate of a window, as every loop counts it down."""

from libc.stdint cimport int64_t, uint64_t


cdef extern from "loops/exploration.h":
    ctypedef struct cdq_exploration:
        pass

    cdq_exploration cdq_explore(double first, double last, int64_t sweeps) nogil
    uint64_t cdq_next_threshold(cdq_exploration *explore) nogil
