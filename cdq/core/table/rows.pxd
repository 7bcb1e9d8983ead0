"""The worker's table and the step-size law, as kernels see them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "table/rows.h":
    ctypedef struct cdq_rows:
        unsigned char *data
        uint32_t *log
        void *base
        uint32_t *clock
        bint alone
        int64_t room
        int64_t n_log
        int64_t n_states
        int64_t n_actions
        int64_t stride
        int64_t real_size
        int64_t own_rows
        int64_t n_aside
        uint64_t inverse

    ctypedef struct cdq_law:
        int bits
        const void *step_size
        const double (*lines)[2]
        const uint32_t *allowance

cdef extern from "table/rule.h":
    ctypedef struct cdq_rule:
        int kind
        int64_t tables
        uint64_t threshold
        const uint64_t *random
        uint64_t *target_random
        uint32_t *column
        uint32_t *next_action
        double beta
        void *sum
        const uint64_t *policy
        int64_t own
        double prior
        double memory
        uint32_t *own_row
        void *blend
        void *common_target

    void cdq_forget_actions(const cdq_rule *rule, int64_t first, int64_t count) nogil


cdef class Rows:
    cdef cdq_rows c
    cdef readonly object data    # keeps the memory alive
    cdef readonly object log
    cdef object shared           # keeps the base's memory alive
    cdef readonly int rule       # update rule, a number of rules.h
    cdef readonly int64_t tables
    cdef readonly double beta    # step size of errors below 0, of the rule that has one
    cdef readonly int64_t own    # rows between a common row and the worker's own; 0: it has none
    cdef double prior, memory
    cdef const uint64_t[:, ::1] policy  # chances of the actions up to each, by which the worker acts; None: by values
    cdef void _lay_out(self, int64_t n_actions, int64_t stride, int64_t real_size)

cdef void close_alone(cdq_rows *rows, int64_t *beyond) noexcept nogil


cdef class Law:
    cdef cdq_law c
    cdef readonly object arrays  # step sizes, lines and allowance
    cdef readonly int real_size  # bytes of the step sizes' type


cdef class RuleLanes:
    cdef cdq_rule c
    cdef object memory           # keeps the scratch alive
    cdef object policy           # keeps the policy alive
