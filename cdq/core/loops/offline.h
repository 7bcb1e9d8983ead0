/* Learning from logged transitions, one after another; included once per type: REAL, NAME. */

#ifndef CDQ_OFFLINE_H
#define CDQ_OFFLINE_H
#include "table/rows.h"
#include "table/row_max.h"

/* Number of transitions ahead of which rows are asked for: a table may be larger than the caches. */
#define CDQ_LOG_AHEAD 16

typedef struct {
    int logging;
    int64_t first, last;
    const uint32_t *state, *action, *successor;
    const void *reward; /* values of the table's type */
    const uint8_t *terminated;
} cdq_logged;
#endif

#include "table/target.h"
#include "table/touch.h"

/* The largest value of a row, one by one where there are few: the row was often written to a moment ago, and a load
 * of a vector over a store of a part of it waits for the store (FrozenLake8x8: 229 against 281 million updates/s). */
CDQ_INLINE REAL NAME(cdq_best_of)(const REAL *q, const int64_t n_actions)
{
    REAL best = q[0];
    if (n_actions > 8)
        return NAME(cdq_row_max)(q, n_actions);
    for (int64_t b = 1; b < n_actions; b++)
        best = q[b] > best ? q[b] : best;
    return best;
}

/* The row of a state: by a shift where the size of rows allows, which is 4 % faster than multiplying (FrozenLake8x8).
 * Where a shift does not do, multiplying is faster by as much than the two instructions that do the same (Taxi). */
CDQ_INLINE REAL *NAME(cdq_logged_row)(const cdq_rows *rows, uint32_t state, const int64_t n_actions)
{
    const int64_t size = cdq_row_size(n_actions, sizeof(REAL));
    return (REAL *)(size & (size - 1) ? cdq_row(rows, state) : cdq_learnt_row(rows, state, n_actions, sizeof(REAL)));
}

/* All pairs as they are go to the log of a worker alone: what then follows in this window need not be logged. */
static void NAME(cdq_log_all)(cdq_rows *rows)
{
    cdq_reserve(rows, rows->n_states * rows->n_actions);
    for (int64_t state = 0; state < rows->n_states; state++) {
        const REAL *q = (const REAL *)cdq_row(rows, (uint32_t)state);
        const uint32_t *count = (const uint32_t *)(q + rows->n_actions);
        for (int64_t a = 0; a < rows->n_actions; a++, rows->n_log++) {
            rows->log[rows->n_log] = (uint32_t)(state * rows->n_actions + a);
            ((REAL *)rows->base)[rows->n_log] = q[a];
            rows->clock[rows->n_log] = count[a];
        }
    }
}

/* Q(s, a) += alpha (r + gamma max_b Q(s', b) - Q(s, a)): each update sees those before it. (In window.h, and in
 * table_phases.h, all lanes' targets come first.) */
CDQ_INLINE void NAME(cdq_learn_logged)(cdq_rows *rows, const cdq_law *law, const cdq_logged *steps, REAL gamma,
                                       const int64_t n_actions, const int logging)
{
    const uint32_t *restrict state = steps->state, *restrict action = steps->action;
    const uint32_t *restrict successor = steps->successor;
    const REAL *restrict reward = (const REAL *)steps->reward;
    const uint8_t *restrict terminated = steps->terminated;
    const int64_t end = steps->last - 1;
    cdq_rows table = *rows;
    const cdq_law sizes = *law;
    for (int64_t i = steps->first; i <= end; i++) {
        int64_t ahead = i + CDQ_LOG_AHEAD < end ? i + CDQ_LOG_AHEAD : end;
        CDQ_PREFETCH(NAME(cdq_logged_row)(&table, state[ahead], n_actions));
        CDQ_PREFETCH(NAME(cdq_logged_row)(&table, successor[ahead], n_actions));
        uint32_t a = action[i];
        CDQ_CHECK(a < n_actions);
        REAL next = NAME(cdq_best_of)(NAME(cdq_logged_row)(&table, successor[i], n_actions), n_actions);
        REAL target = NAME(cdq_target_unless)(terminated[i], reward[i], gamma, next);
        REAL *q = NAME(cdq_logged_row)(&table, state[i], n_actions);
        REAL alpha = NAME(cdq_touch_at)(&table, &sizes, q + a, state[i], a, n_actions, logging);
        q[a] += alpha * (target - q[a]);
    }
    rows->n_log = table.n_log;
}

CDQ_CLONES static void NAME(cdq_learn_log_by)(cdq_rows *rows, const cdq_law *law, const cdq_logged *steps, REAL gamma)
{
#define CDQ_LEARN(logging, actions) NAME(cdq_learn_logged)(rows, law, steps, gamma, actions, logging)
#define CDQ_BODY(actions)                                                                                           \
    switch (steps->logging) {                                                                                       \
    case CDQ_FIRST_TOUCHES: CDQ_LEARN(CDQ_FIRST_TOUCHES, actions); break;                                           \
    case CDQ_EVERY_UPDATE: CDQ_LEARN(CDQ_EVERY_UPDATE, actions); break;                                             \
    default: CDQ_LEARN(CDQ_NOTHING, actions);                                                                       \
    }
    CDQ_UNROLLED(rows->n_actions, CDQ_BODY)
#undef CDQ_BODY
#undef CDQ_LEARN
}

static void NAME(cdq_learn_log)(cdq_rows *rows, const cdq_law *law, cdq_logged *steps, double gamma)
{
    if (steps->logging == CDQ_EVERY_UPDATE)
        cdq_reserve(rows, steps->last - steps->first);
    NAME(cdq_learn_log_by)(rows, law, steps, (REAL)gamma);
}
