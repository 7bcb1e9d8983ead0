"""Handing a window over, so that it is merged while the next one is learnt."""

from libc.stdint cimport int64_t, uint32_t

from cdq.core.table.rows cimport Rows, cdq_rows


cdef extern from "table/rows.h":
    unsigned char *cdq_row(const cdq_rows *rows, uint32_t state) nogil
    uint32_t CDQ_COUNT(uint32_t count) nogil


ctypedef fused real_t:
    float
    double


cdef inline void _copy(cdq_rows *rows, cdq_rows *to, uint32_t pair, real_t zero) noexcept nogil:
    """Copy a pair's value and count; here it is no longer touched."""
    cdef uint32_t n_actions = <uint32_t> rows.n_actions, action = pair % n_actions
    cdef real_t *values = <real_t *> cdq_row(rows, pair // n_actions)
    cdef real_t *values_there = <real_t *> cdq_row(to, pair // n_actions)
    cdef uint32_t *counts = <uint32_t *> (values + n_actions)
    cdef uint32_t *counts_there = <uint32_t *> (values_there + n_actions)
    values_there[action] = values[action]
    counts_there[action] = counts[action]
    counts[action] = CDQ_COUNT(counts[action])


cdef void _copy_logged(cdq_rows *rows, cdq_rows *handed) noexcept nogil:
    cdef int64_t i
    for i in range(rows.n_log):
        handed.log[i] = rows.log[i]
        if rows.real_size == 4:
            _copy[float](rows, handed, rows.log[i], 0)
        else:
            _copy[double](rows, handed, rows.log[i], 0)
    handed.n_log = rows.n_log
    rows.n_log = 0


def hand_over(Rows rows not None, Rows handed not None):
    """Make *handed*, a table at the same base, what *rows* is, and open a new window of *rows* where this one ended."""
    if (rows.c.alone or rows.c.base != handed.c.base or rows.c.clock != handed.c.clock
            or rows.c.n_actions != handed.c.n_actions or handed.c.n_log):
        raise ValueError("a window is handed over to a table at the same base that nobody has touched")
    with nogil:
        _copy_logged(&rows.c, &handed.c)


def take_back(Rows rows not None, Rows handed not None):
    """Undo the window that was handed over, in both tables; the one that *rows* has open must be undone already."""
    cdef int64_t i
    if rows.c.n_log or rows.c.base != handed.c.base:
        raise ValueError("a window is taken back by the table that handed it over, without an open window")
    for i in range(handed.c.n_log):
        rows.c.log[i] = handed.c.log[i]
    rows.c.n_log = handed.c.n_log
    rows.roll_back()
    handed.roll_back()
