"""Q-functions as the loops use them: observations of all lanes in, actions out, transitions learnt."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.table.rows cimport Rows, RuleLanes, cdq_law


# The two slots of located observations.
cdef enum:
    STATE
    SUCCESSOR


cdef class QFunction:
    cdef readonly Rows rows
    cdef RuleLanes rule
    cdef readonly int64_t n, n_actions
    cdef readonly int64_t width
    cdef readonly int64_t reward_width   # numbers that a transition pays
    cdef readonly bint continuous
    cdef readonly bint judges            # whether `judge` does anything
    cdef bint plain                      # whether it needs no Python, but for room
    cdef int lay_out(self, Rows rows, int64_t n) except -1
    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil
    cdef void choose(
        self, uint64_t threshold, const uint64_t *bits, const uint8_t *masks, uint32_t *actions) noexcept nogil
    cdef void greedy(self, const uint8_t *masks, uint32_t *actions) noexcept nogil
    cdef void judge(
        self, const uint32_t *actions, const double *paid, double *rewards, uint8_t *over) noexcept nogil
    cdef void learn(
        self, const cdq_law *law, const uint32_t *actions, const double *rewards, const double *discounts,
        const uint8_t *masks, const uint8_t *active) noexcept nogil
    cdef void end_episode(self, int64_t lane) noexcept nogil
    cdef void forget_actions(self, int64_t first, int64_t count) noexcept nogil
    cdef void advance(self) noexcept nogil
    cdef int64_t room(self) noexcept nogil
    cdef bint diverged(self) noexcept nogil
    cpdef make_room(self)


cdef class TableQ(QFunction):
    cdef uint32_t *located[2]    # the rows of the lanes' observations, by slot
    cdef void *target
    cdef object memory           # keeps them alive
    cdef uint64_t name_of(self, uint32_t row) noexcept nogil
