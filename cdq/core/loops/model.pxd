"""The model as the loop samples it."""

from libc.stdint cimport int64_t, uint8_t, uint32_t


cdef extern from *:
    """
    #define CDQ_HEADER "loops/sample.h"
    #include "per_type.h"
    """
    ctypedef struct cdq_model:
        const unsigned char *records
        int64_t record_size, reward_offset
        int64_t width
        const int64_t *offsets
        const void *entries
        const uint32_t *start_threshold
        const uint32_t *start_alias
        const uint32_t *start_state
        uint32_t n_starts
        int64_t n_pairs
        int64_t time_limit
        const uint8_t *actions

    ctypedef struct cdq_entry_of_float:
        uint32_t threshold, alias, successor
        float reward

    ctypedef struct cdq_entry_of_double:
        uint32_t threshold, alias, successor
        double reward


cdef class Sampler:
    cdef cdq_model c
    cdef readonly int64_t n_states, n_actions, n_outcomes
    cdef readonly int real_size
    cdef object memory           # keeps the arrays alive
