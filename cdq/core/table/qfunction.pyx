"""Q-functions: the interface of every source of transitions to every representation, and the table."""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.table.rows cimport Rows, RuleLanes, cdq_forget_actions, cdq_law, cdq_rows, cdq_rule


cdef extern from *:
    """
    #define CDQ_HEADER "table/table_phases.h"
    #include "per_type.h"
    """
    ctypedef struct cdq_transitions:
        int64_t n
        const uint32_t *state
        const uint32_t *successor
        const uint32_t *action
        const double *reward
        const double *discount
        const uint8_t *masks
        const uint8_t *active
        void *target

    void cdq_fill_bit_tables()
    unsigned char *cdq_row(const cdq_rows *rows, uint32_t state) nogil
    void CDQ_PREFETCH(const void *address) nogil
    void cdq_choose_float(
        const cdq_rows *rows, const cdq_rule *rule, const uint32_t *state, const uint8_t *masks, uint32_t *action,
        int64_t n) nogil
    void cdq_choose_double(
        const cdq_rows *rows, const cdq_rule *rule, const uint32_t *state, const uint8_t *masks, uint32_t *action,
        int64_t n) nogil
    void cdq_choose_lowest_float(
        const cdq_rows *rows, const cdq_rule *rule, const uint32_t *state, const uint8_t *masks, uint32_t *action,
        int64_t n) nogil
    void cdq_choose_lowest_double(
        const cdq_rows *rows, const cdq_rule *rule, const uint32_t *state, const uint8_t *masks, uint32_t *action,
        int64_t n) nogil
    void cdq_learn_float(
        cdq_rows *rows, const cdq_rule *rule, const cdq_law *law, const cdq_transitions *steps) nogil
    void cdq_learn_double(
        cdq_rows *rows, const cdq_rule *rule, const cdq_law *law, const cdq_transitions *steps) nogil


cdq_fill_bit_tables()


cdef class QFunction:
    """A Q-function over `Rows` for *n* lanes.

    Its methods, which only kernels call, serve all lanes at once. `locate` looks observations up, of lanes *first* to
    first + count - 1 of an array over all lanes, into one of two slots: STATE or SUCCESSOR. It returns -1, or the
    first lane whose observation is not allowed. `choose` explores with probability threshold / 2^32 and is greedy
    otherwise, in slot STATE; `greedy` takes the lowest index among equals. Both return the action n_actions where a
    mask allows none. `judge`, where *judges* is true, makes of what transitions paid, *reward_width* numbers each, the
    rewards of what the lanes act for, and marks lanes *over* (unless NULL), for which nothing is left to do, as cut
    off; it is called before `learn`, once successors are located. `learn` updates slot STATE towards targets from slot
    SUCCESSOR in the lanes that *active* lists (NULL: in all), by the rule of the table; *masks* are the successors',
    and a transition that terminated has the discount 0. A rule may choose the next actions by it, with the exploration
    and the bits of the last `choose`, which must still be there; `forget_actions` has the lanes choose afresh, for they
    begin an episode or a window. `end_episode` says that one of a lane ended. `advance` makes SUCCESSOR the STATE.
    Where `room` has become small, a loop calls `make_room`. Once `diverged`, what was learnt is worthless.
    """

    cdef int lay_out(self, Rows rows, int64_t n) except -1:
        """Hold a table, and what its update rule keeps for *n* lanes."""
        if n < 1:
            raise ValueError(f"{n} lanes")
        self.rows, self.n, self.n_actions = rows, n, rows.c.n_actions // rows.tables
        self.reward_width = 1
        self.rule = RuleLanes(rows, n)
        return 0

    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil:
        return first

    cdef void choose(
            self, uint64_t threshold, const uint64_t *bits, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        pass

    cdef void greedy(self, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        pass

    cdef void judge(
            self, const uint32_t *actions, const double *paid, double *rewards, uint8_t *over) noexcept nogil:
        pass

    cdef void learn(
            self, const cdq_law *law, const uint32_t *actions, const double *rewards, const double *discounts,
            const uint8_t *masks, const uint8_t *active) noexcept nogil:
        pass

    cdef void end_episode(self, int64_t lane) noexcept nogil:
        pass

    cdef void forget_actions(self, int64_t first, int64_t count) noexcept nogil:
        cdq_forget_actions(&self.rule.c, first, count)

    cdef void advance(self) noexcept nogil:
        pass

    cdef int64_t room(self) noexcept nogil:
        return INT64_MAX

    @property
    def is_divergent(self):
        """True if the values diverge: all that was learnt is worthless."""
        return self.diverged()

    cdef bint diverged(self) noexcept nogil:
        return False

    cpdef make_room(self):
        pass


cdef class TableQ(QFunction):
    """A table whose observations are row numbers."""

    def __init__(self, Rows rows not None, int64_t n):
        cdef int64_t[::1] memory
        self.lay_out(rows, n)
        self.width, self.plain = 1, type(self) is TableQ
        self.memory = memory = memoryview(bytearray(16 * n)).cast("q")
        self.located[0] = <uint32_t *> &memory[0]
        self.located[1] = self.located[0] + n
        self.target = &memory[n]

    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil:
        cdef const int64_t *states = <const int64_t *> observations
        cdef uint32_t *located = self.located[slot]
        cdef int64_t i
        for i in range(first, first + count):
            if not 0 <= states[i] < self.rows.c.n_states:
                return i
            located[i] = <uint32_t> states[i]
            CDQ_PREFETCH(cdq_row(&self.rows.c, located[i]))
        return -1

    cdef void choose(
            self, uint64_t threshold, const uint64_t *bits, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        self.rule.c.threshold, self.rule.c.random = threshold, bits
        if self.rows.c.real_size == 4:
            cdq_choose_float(&self.rows.c, &self.rule.c, self.located[STATE], masks, actions, self.n)
        else:
            cdq_choose_double(&self.rows.c, &self.rule.c, self.located[STATE], masks, actions, self.n)

    cdef void greedy(self, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        if self.rows.c.real_size == 4:
            cdq_choose_lowest_float(&self.rows.c, &self.rule.c, self.located[STATE], masks, actions, self.n)
        else:
            cdq_choose_lowest_double(&self.rows.c, &self.rule.c, self.located[STATE], masks, actions, self.n)

    cdef void learn(
            self, const cdq_law *law, const uint32_t *actions, const double *rewards, const double *discounts,
            const uint8_t *masks, const uint8_t *active) noexcept nogil:
        cdef cdq_transitions steps = cdq_transitions(
            self.n, self.located[STATE], self.located[SUCCESSOR], actions, rewards, discounts, masks, active,
            self.target)
        if self.rows.c.real_size == 4:
            cdq_learn_float(&self.rows.c, &self.rule.c, law, &steps)
        else:
            cdq_learn_double(&self.rows.c, &self.rule.c, law, &steps)

    cdef void advance(self) noexcept nogil:
        self.located[STATE], self.located[SUCCESSOR] = self.located[SUCCESSOR], self.located[STATE]

    cdef uint64_t name_of(self, uint32_t row) noexcept nogil:
        """Return the number or key of a row's state."""
        return row
