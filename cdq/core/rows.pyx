"""The worker's table (a row per state: values, base values, window visits, clocks) and the step-size law."""

from libc.stdint cimport int64_t, uint32_t


cdef extern from "rows.h":
    unsigned char *cdq_row(const cdq_rows *rows, uint32_t state) nogil


cdef class Rows:
    """A table over borrowed memory; *data* is (n_states, row bytes), *log* has an entry per pair and one more."""

    def __cinit__(self, unsigned char[:, ::1] data, uint32_t[::1] log, int64_t n_actions, int64_t real_size):
        if data.shape[1] != n_actions * (2 * real_size + 8) or log.shape[0] != data.shape[0] * n_actions + 1:
            raise ValueError("rows or log do not have the size of the table")
        self.data, self.log = data, log
        self.c.data = &data[0, 0]
        self.c.log = &log[0]
        self.c.n_log = 0
        self.c.n_states = data.shape[0]
        self.c.n_actions = n_actions
        self.c.stride = data.shape[1]
        self.c.real_size = real_size

    @property
    def touched(self):
        """How many pairs this window has touched."""
        return self.c.n_log

    def roll_back(self):
        """Undo the window: values return to the base, window visits to zero."""
        cdef int64_t i
        cdef cdq_rows *rows = &self.c
        cdef uint32_t *log = rows.log
        with nogil:
            for i in range(rows.n_log):
                if rows.real_size == 4:
                    _restore[float](rows, log[i], 0)
                else:
                    _restore[double](rows, log[i], 0)
            rows.n_log = 0


ctypedef fused real_t:
    float
    double


cdef inline void _restore(cdq_rows *rows, uint32_t pair, real_t zero) noexcept nogil:
    cdef uint32_t action = pair % <uint32_t> rows.n_actions
    cdef real_t *values = <real_t *> cdq_row(rows, pair // <uint32_t> rows.n_actions)
    cdef uint32_t *visits = <uint32_t *> (values + 2 * rows.n_actions)
    values[action] = values[rows.n_actions + action]
    visits[action] = 0


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
        self.arrays = (step_size, log_keep, slope, allowance)
        self.c.bits = bits
        self.c.step_size = <const void *> &raw[0]
        self.c.log_keep = &log_keep[0]
        self.c.slope = &slope[0]
        self.c.allowance = &allowance[0]
