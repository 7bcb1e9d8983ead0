"""Learning from logged transitions: a table by a loop of its own, every Q-function by the interface of all."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from cdq.core cimport turn
from cdq.core.rows cimport Law, Rows, cdq_law, cdq_rows


cdef extern from *:
    """
    #define REAL float
    #define NAME(x) CDQ_PASTE(x, float)
    #include "offline.h"
    #undef REAL
    #undef NAME
    #define REAL double
    #define NAME(x) CDQ_PASTE(x, double)
    #include "offline.h"
    #undef REAL
    #undef NAME
    """
    ctypedef struct cdq_logged:
        int64_t first, last
        const uint32_t *state
        const uint32_t *action
        const uint32_t *successor
        const void *reward
        const uint8_t *terminated

    void cdq_learn_log_float(cdq_rows *rows, const cdq_law *law, const cdq_logged *steps, double gamma) nogil
    void cdq_learn_log_double(cdq_rows *rows, const cdq_law *law, const cdq_logged *steps, double gamma) nogil


# Transitions between two looks at the stop flag.
cdef int64_t CHUNK = 1 << 16


def learn_log(
    Rows rows not None, Law law not None, double gamma, const uint32_t[::1] states, const uint32_t[::1] actions,
    rewards, const uint32_t[::1] next_states, const uint8_t[::1] terminated, int64_t first, int64_t last,
    const int32_t[::1] stop,
):
    """Learn the transitions first .. last - 1 in order; return how many were, before the flag *stop* was set.

    *rewards* are of the table's type. States and actions must be checked: nothing is here.
    """
    cdef const unsigned char[::1] raw = memoryview(rewards).cast("B")
    cdef int64_t n = states.shape[0]
    cdef cdq_logged steps
    cdef const volatile int32_t *flag = &stop[0]
    if not (n == actions.shape[0] == next_states.shape[0] == terminated.shape[0]
            and raw.shape[0] == n * rows.c.real_size):
        raise ValueError("the columns of the log differ in length, or the rewards have another type than the table")
    if law.real_size != rows.c.real_size or not 0 <= first <= last <= n:
        raise ValueError(f"the law has another type than the table, or {first} to {last} is no part of {n}")
    if first == last:
        return 0
    steps.state, steps.action, steps.successor = &states[0], &actions[0], &next_states[0]
    steps.reward, steps.terminated, steps.last = &raw[0], &terminated[0], first
    with nogil:
        turn.release()
        while steps.last < last and not flag[0]:
            steps.first, steps.last = steps.last, min(steps.last + CHUNK, last)
            if rows.c.real_size == 4:
                cdq_learn_log_float(&rows.c, &law.c, &steps, gamma)
            else:
                cdq_learn_log_double(&rows.c, &law.c, &steps, gamma)
        turn.take()
    return steps.last - first
