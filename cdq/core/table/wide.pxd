"""Rows that hold the values of several tasks."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.table.qfunction cimport QFunction, TableQ


cdef extern from "table/tasks.h":
    enum:
        CDQ_GOALS
        CDQ_REWARDS
        CDQ_FEATURES

    ctypedef struct cdq_wide:
        int kind
        int64_t n_actions, tasks, parts
        const void *weights
        uint32_t *task
        int32_t *goal
        const double **signal
        void *acting
        void *target

    ctypedef struct cdq_wide_steps:
        int64_t n
        const uint32_t *state
        const uint32_t *successor
        const uint32_t *action
        const double *discount
        const uint8_t *masks
        const uint8_t *active


cdef class Tasks:
    cdef readonly int kind
    cdef readonly int64_t n_actions, n_tasks, parts, paid
    cdef readonly double most
    cdef readonly object weights, function
    cdef const int32_t *owner      # of each state the task whose goal it is, or -1
    cdef int64_t n_named
    cdef object memory
    cdef int64_t n_signals(self) noexcept nogil
    cdef inline int32_t goal_of(self, uint64_t state) noexcept nogil:
        """Return the task whose goal a state is, or -1."""
        return self.owner[state] if state < <uint64_t> self.n_named else -1


cdef class WideQ(QFunction):
    cdef TableQ inner
    cdef readonly Tasks tasks
    cdef cdq_wide c
    cdef uint64_t *episodes        # of each lane; NULL: all act for one task
    cdef uint64_t first            # the task of lane 0 in its first episode
    cdef double *made              # signals that the function returned
    cdef bint calls, failed        # whether there is a function, and whether it failed
    cdef readonly object error     # what the function raised
    cdef object memory, arrays
    cdef int call_function(self, const uint32_t *actions, const double *paid) except -1
    cdef void reward(self, double *rewards, uint8_t *over) noexcept nogil
    cdef void make_signals(self, const uint32_t *actions, const double *paid) noexcept nogil
    cdef void turn_to(self, int64_t lane) noexcept nogil
    cdef double reward_of(self, int64_t lane) noexcept nogil
