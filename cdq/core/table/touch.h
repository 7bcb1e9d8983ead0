/* The visit of a pair: its count, its first touch in a window, the log; included once per type: REAL, NAME. */

#ifndef CDQ_TOUCH_H
#define CDQ_TOUCH_H
#include "table/rows.h"

/* Updates that are logged (rows.h): a worker alone has the choice, as it can undo either. */
enum { CDQ_FIRST_TOUCHES, CDQ_EVERY_UPDATE, CDQ_NOTHING };
#endif

/* Count the visit of a pair, whose value is *q*, and log it; return the step size, which is by the pair's clock. The
 * value is to be changed after this call. *rows* and *law* should be the caller's copies, which no store can change:
 * the compiler then holds them in registers. */
CDQ_INLINE REAL NAME(cdq_touch_at)(cdq_rows *rows, const cdq_law *law, const REAL *q, uint32_t state, uint32_t action,
                                   const int64_t n_actions, const int logging)
{
    uint32_t *count = (uint32_t *)(q - action + n_actions) + action, before = *count;
    const uint32_t touched = logging == CDQ_FIRST_TOUCHES ? CDQ_TOUCHED : 0;
    if (logging != CDQ_NOTHING)
        rows->log[rows->n_log] = state * (uint32_t)n_actions + action;
    if (logging == CDQ_EVERY_UPDATE) {
        ((REAL *)rows->base)[rows->n_log] = *q;
        rows->clock[rows->n_log] = before;
    }
    if (logging != CDQ_NOTHING)
        rows->n_log += !(before & touched);
    *count = (before + 1) | touched;
    return ((const REAL *)law->step_size)[cdq_entry_of(CDQ_COUNT(before + 1), law->bits)];
}

/* The same of a table whose rows have a constant number of actions. */
CDQ_INLINE REAL NAME(cdq_touch)(cdq_rows *rows, const cdq_law *law, uint32_t state, uint32_t action,
                                const int64_t n_actions, const int logging)
{
    const REAL *q = (const REAL *)cdq_learnt_row(rows, state, n_actions, sizeof(REAL)) + action;
    return NAME(cdq_touch_at)(rows, law, q, state, action, n_actions, logging);
}
