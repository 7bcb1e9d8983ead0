/* Learning from logged transitions, one after another; included once per type: REAL, NAME. */

#ifndef CDQ_OFFLINE_H
#define CDQ_OFFLINE_H
#include "table/rows.h"
#include "table/row_max.h"

/* Number of transitions ahead of which rows are asked for: a table may be larger than the caches. */
#define CDQ_LOG_AHEAD 16

/* Updates that are logged (rows.h): a worker alone has the choice, as it can undo either. */
enum { CDQ_FIRST_TOUCHES, CDQ_EVERY_UPDATE, CDQ_NOTHING };

typedef struct {
    int logging;
    int64_t first, last;
    const uint32_t *state, *action, *successor;
    const void *reward; /* values of the table's type */
    const uint8_t *terminated;
} cdq_logged;
#endif

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
    const REAL *restrict reward = (const REAL *)steps->reward, *restrict step_size = (const REAL *)law->step_size;
    const uint8_t *restrict terminated = steps->terminated;
    const int64_t end = steps->last - 1;
    const int bits = law->bits;
    const uint32_t touched = logging == CDQ_FIRST_TOUCHES ? CDQ_TOUCHED : 0;
    uint32_t *restrict log = rows->log;
    int64_t n_log = rows->n_log;
    for (int64_t i = steps->first; i <= end; i++) {
        int64_t ahead = i + CDQ_LOG_AHEAD < end ? i + CDQ_LOG_AHEAD : end;
        CDQ_PREFETCH(cdq_row(rows, state[ahead]));
        CDQ_PREFETCH(cdq_row(rows, successor[ahead]));
        uint32_t a = action[i];
        CDQ_CHECK(a < n_actions);
        REAL next = NAME(cdq_best_of)((const REAL *)cdq_row(rows, successor[i]), n_actions);
        REAL target = reward[i] + (terminated[i] ? (REAL)0 : gamma * next);
        REAL *q = (REAL *)cdq_row(rows, state[i]);
        uint32_t *count = (uint32_t *)(q + n_actions) + a;
        uint32_t before = *count;
        if (logging != CDQ_NOTHING)
            log[n_log] = state[i] * (uint32_t)n_actions + a;
        if (logging == CDQ_EVERY_UPDATE) {
            ((REAL *)rows->base)[n_log] = q[a];
            rows->clock[n_log] = before;
        }
        if (logging != CDQ_NOTHING)
            n_log += !(before & touched);
        *count = (before + 1) | touched;
        REAL alpha = step_size[cdq_entry(CDQ_COUNT(before + 1), bits)];
        q[a] += alpha * (target - q[a]);
    }
    rows->n_log = n_log;
}

/* A body per common number of actions, and per kind of logging. */
#define CDQ_LEARN_LOGGED(actions)                                                                                   \
    switch (steps->logging) {                                                                                       \
    case CDQ_FIRST_TOUCHES: NAME(cdq_learn_logged)(rows, law, steps, gamma, actions, CDQ_FIRST_TOUCHES); break;     \
    case CDQ_EVERY_UPDATE: NAME(cdq_learn_logged)(rows, law, steps, gamma, actions, CDQ_EVERY_UPDATE); break;       \
    default: NAME(cdq_learn_logged)(rows, law, steps, gamma, actions, CDQ_NOTHING);                                 \
    }                                                                                                               \
    break

CDQ_CLONES static void NAME(cdq_learn_log_by)(cdq_rows *rows, const cdq_law *law, const cdq_logged *steps, REAL gamma)
{
    switch (rows->n_actions) {
    case 2: CDQ_LEARN_LOGGED(2);
    case 3: CDQ_LEARN_LOGGED(3);
    case 4: CDQ_LEARN_LOGGED(4);
    case 6: CDQ_LEARN_LOGGED(6);
    default: CDQ_LEARN_LOGGED(rows->n_actions);
    }
}
#undef CDQ_LEARN_LOGGED

static void NAME(cdq_learn_log)(cdq_rows *rows, const cdq_law *law, cdq_logged *steps, double gamma)
{
    if (steps->logging == CDQ_EVERY_UPDATE)
        cdq_reserve(rows, steps->last - steps->first);
    NAME(cdq_learn_log_by)(rows, law, steps, (REAL)gamma);
}
