"""The worker's table (a row per state: values, base values, window visits, clocks) and the step-size law."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free


cdef extern from "table/rows.h":
    uint32_t CDQ_CLOCK_LIMIT
    unsigned char *cdq_row(const cdq_rows *rows, uint32_t state) nogil
    uint32_t cdq_state(const cdq_rows *rows, uint32_t pair) nogil
    void cdq_set_aside(cdq_rows *rows) nogil


ctypedef fused real_t:
    float
    double


def row_size(int64_t n_actions, int64_t real_size):
    """Return the bytes of a row: values and counts, and what aligns the next row."""
    return (n_actions * (real_size + 4) + real_size - 1) // real_size * real_size


cdef class Rows:
    """A table over borrowed memory.

    *data* is (n_states, `row_size`) bytes, *log* has an entry per pair and one more; *base* and *clock*, an entry per
    pair, are shared by the workers of a process. The memory of a worker of another process may be read-only: such a
    table is merged from and nothing else. That of a worker alone needs *data* only.
    """

    def __cinit__(self):
        self.policy = None

    def __init__(self, data, log, base, uint32_t[::1] clock, int64_t n_actions):
        cdef const unsigned char[:, ::1] rows = data
        cdef const uint32_t[::1] pairs = log
        cdef unsigned char[::1] raw = memoryview(base).cast("B")
        cdef int64_t n_pairs = rows.shape[0] * n_actions, real_size = base.itemsize
        if rows.shape[1] != row_size(n_actions, real_size) or pairs.shape[0] != n_pairs + 1:
            raise ValueError("rows or log do not have the size of the table")
        if raw.shape[0] != n_pairs * real_size or clock.shape[0] != n_pairs:
            raise ValueError("base or clock do not have the size of the table")
        self.data, self.log, self.shared = data, log, (base, clock)
        self.c.data = <unsigned char *> &rows[0, 0]
        self.c.log = <uint32_t *> &pairs[0]
        self.c.base = &raw[0]
        self.c.clock = &clock[0]
        self.c.n_states = rows.shape[0]
        self._lay_out(n_actions, rows.shape[1], real_size)

    @staticmethod
    def alone(data, int64_t n_actions, int64_t real_size):
        """Return the table of a worker without peers, which is never merged: it has a log, and no base."""
        cdef unsigned char[:, ::1] raw = data
        cdef Rows rows = Rows.__new__(Rows)
        if raw.shape[1] != row_size(n_actions, real_size):
            raise ValueError("rows do not have the size of the table")
        rows.data = data
        rows.c.data = &raw[0, 0]
        rows.c.alone = True
        rows.c.n_states = raw.shape[0]
        rows._lay_out(n_actions, raw.shape[1], real_size)
        return rows

    def __dealloc__(self):
        if self.c.alone:
            free(self.c.log)
            free(self.c.base)
            free(self.c.clock)

    @staticmethod
    def of_values(values):
        """Return a table over *values*, (n_states, n_actions) float32 or float64, that can only be read.

        Each row of them is contiguous.
        """
        cdef const unsigned char[:, :] raw
        cdef Rows rows = Rows.__new__(Rows)
        cdef int64_t stride
        if values.ndim != 2 or values.dtype.kind != "f" or values.itemsize not in (4, 8) or not values.size:
            raise ValueError("values are (n_states, n_actions) of float32 or float64")
        raw = values.view("u1")  # refuses rows that are not contiguous
        stride = raw.strides[0] if raw.shape[0] > 1 else raw.shape[1]
        if stride < raw.shape[1]:
            raise ValueError("the rows of values overlap, or go backwards")
        rows.data = values
        rows.c.data = <unsigned char *> &raw[0, 0]
        rows.c.n_states = values.shape[0]
        rows._lay_out(values.shape[1], stride, values.itemsize)
        return rows

    def learn_by(self, int rule, int64_t tables, double beta=0.0):
        """Say by which rule (a number of rules.h) the table is learnt; its columns are those of so many tables.

        *beta* is the step size of errors below 0, of the rule that has one.
        """
        if tables < 1 or self.c.n_actions % tables:
            raise ValueError(f"{self.c.n_actions} columns are not those of {tables} tables")
        self.rule, self.tables, self.beta = rule, tables, beta

    def keep_last(self, int64_t n):
        """Say that the last *n* rows are not merged: one worker learns each."""
        if not 0 <= n <= self.c.n_states:
            raise ValueError(f"{n} of {self.c.n_states} rows")
        self.c.own_rows = n

    def set_aside(self):
        """Leave what was learnt in rows that are not merged out of the window that the others see."""
        if self.c.own_rows:
            cdq_set_aside(&self.c)

    def keep_own(self, int64_t own, double prior, double memory):
        """Say that the worker has rows of its own, *own* rows behind the common ones (personal.h)."""
        if not 0 < own < self.c.n_states or self.tables != 1 or not (prior >= 0 and memory >= 0):
            raise ValueError(f"there are no rows of a worker's own {own} rows behind the first of {self.c.n_states}")
        self.own, self.prior, self.memory = own, prior, memory

    def act_by(self, const uint64_t[:, ::1] policy not None):
        """Say that the worker acts by a policy: the chance of each action and those before it, in units of 2^-32."""
        if policy.shape[1] * self.tables != self.c.n_actions or policy.shape[0] > self.c.n_states:
            raise ValueError("the policy does not have the size of the table")
        self.policy = policy

    cdef void _lay_out(self, int64_t n_actions, int64_t stride, int64_t real_size):
        self.tables = 1
        self.c.n_log = self.c.n_aside = self.c.own_rows = 0
        self.c.n_actions = n_actions
        self.c.stride = stride
        self.c.real_size = real_size
        self.c.inverse = 0 if n_actions == 1 else 0xFFFFFFFFFFFFFFFF // <uint64_t> n_actions + 1

    @property
    def touched(self):
        """Number of pairs that this window has touched; for a worker alone, of the updates that it has made."""
        return self.c.n_log

    @touched.setter
    def touched(self, int64_t n):
        """Say how many pairs the worker of another process, whose memory this is, has touched."""
        if not 0 <= n < self.log.shape[0]:
            raise ValueError(f"{n} pairs cannot be touched")
        self.c.n_log = n

    @property
    def pair_size(self):
        """The bytes of a value and a count."""
        return self.c.real_size + 4

    def roll_back(self):
        """Undo the window: values and counts return to the base, or, alone, to what they were."""
        cdef int64_t i
        cdef cdq_rows *rows = &self.c
        with nogil:
            for i in range(rows.n_log + rows.n_aside - 1, -1, -1):  # alone, a pair's first update is undone last
                if rows.real_size == 4:
                    _restore[float](rows, rows.log[i], i if rows.alone else rows.log[i], 0)
                else:
                    _restore[double](rows, rows.log[i], i if rows.alone else rows.log[i], 0)
            rows.n_log = rows.n_aside = 0

    def forget_merged(self):
        """Undo what the window has learnt in rows that are merged; what was set aside stays."""
        cdef int64_t aside = self.c.n_aside, i
        self.c.n_aside = 0
        cdef int64_t first = self.c.n_log
        self.roll_back()
        for i in range(aside):
            self.c.log[i] = self.c.log[first + i]
        self.c.n_aside = aside

    def close_window(self, int64_t[::1] beyond not None):
        """Begin the next window of a worker alone; *beyond* gains the visits of pairs whose clock is at its limit."""
        if not self.c.alone or beyond.shape[0] != self.c.n_states * self.c.n_actions:
            raise ValueError("the table has peers, or visits do not have its size")
        with nogil:
            close_alone(&self.c, &beyond[0])


cdef void close_alone(cdq_rows *rows, int64_t *beyond) noexcept nogil:
    """Begin the next window of a worker alone, as `Rows.close_window` does."""
    cdef uint32_t most = 0
    cdef int64_t i
    for i in range(rows.n_log):
        most = max(most, rows.clock[i])
    for i in range(rows.n_log if most >= CDQ_CLOCK_LIMIT else 0):
        _stop_clock(rows, rows.log[i], beyond)
    rows.n_log = 0


cdef inline void _stop_clock(cdq_rows *rows, uint32_t pair, int64_t *beyond) noexcept nogil:
    cdef uint32_t state = cdq_state(rows, pair)
    cdef uint32_t *counts = <uint32_t *> (cdq_row(rows, state) + rows.n_actions * rows.real_size)
    cdef uint32_t *count = counts + (pair - state * <uint32_t> rows.n_actions)
    if count[0] > CDQ_CLOCK_LIMIT:
        beyond[pair] += count[0] - CDQ_CLOCK_LIMIT
        count[0] = CDQ_CLOCK_LIMIT


cdef inline void _restore(cdq_rows *rows, uint32_t pair, int64_t at, real_t zero) noexcept nogil:
    cdef uint32_t action = pair % <uint32_t> rows.n_actions
    cdef real_t *values = <real_t *> cdq_row(rows, pair // <uint32_t> rows.n_actions)
    cdef uint32_t *counts = <uint32_t *> (values + rows.n_actions)
    values[action] = (<real_t *> rows.base)[at]
    counts[action] = rows.clock[at]


cdef class Law:
    """A step-size law as a table; see rows.h.

    *step_size* is float32 or float64 (the table's type); the other arrays have as many entries.
    """

    def __cinit__(
        self,
        int bits,
        step_size,
        const double[::1] log_keep,
        const double[::1] slope,
        const uint32_t[::1] allowance,
    ):
        cdef const unsigned char[::1] raw = memoryview(step_size).cast("B")
        cdef Py_ssize_t entries = (1 << bits) + ((32 - bits) << (bits - 1)) if bits > 0 else -1
        self.real_size = step_size.itemsize
        if raw.shape[0] != entries * self.real_size or not (
            log_keep.shape[0] == slope.shape[0] == allowance.shape[0] == entries
        ):
            raise ValueError(f"a law of {bits} bits has {entries} entries")
        cdef double[::1] lines = memoryview(bytearray(16 * entries)).cast("d")
        for i in range(entries):
            lines[2 * i], lines[2 * i + 1] = log_keep[i], slope[i]
        self.arrays = (step_size, lines, allowance)
        self.c.bits = bits
        self.c.step_size = <const void *> &raw[0]
        self.c.lines = <const double (*)[2]> &lines[0]
        self.c.allowance = &allowance[0]


cdef class RuleLanes:
    """State that the update rule of a table keeps for *n* lanes."""

    def __init__(self, Rows rows not None, int64_t n):
        cdef int64_t columns = rows.c.n_actions
        cdef uint64_t[::1] memory = memoryview(bytearray(8 * (4 * n + 2 * columns))).cast("Q")
        self.memory = memory
        self.c.kind, self.c.tables, self.c.beta = rows.rule, rows.tables, rows.beta
        self.c.own, self.c.prior, self.c.memory = rows.own, rows.prior, rows.memory
        self.c.own_row, self.c.common_target = <uint32_t *> &memory[2 * n + columns], &memory[3 * n + columns]
        self.c.blend = &memory[4 * n + columns]
        self.c.policy = NULL
        if rows.policy is not None:
            self.policy, self.c.policy = rows, &rows.policy[0, 0]
        self.c.target_random, self.c.sum = &memory[0], &memory[2 * n]
        self.c.column = <uint32_t *> &memory[n]
        self.c.next_action = self.c.column + n
        cdq_forget_actions(&self.c, 0, n)
