/* Learning from logged transitions, one after another; included once per type: REAL, NAME. */

#ifndef CDQ_OFFLINE_H
#define CDQ_OFFLINE_H
#include "rows.h"
#include "row_max.h"

/* How many transitions ahead rows are asked for: a table may be larger than the caches. */
#define CDQ_LOG_AHEAD 16

typedef struct {
    int64_t first, last;
    const uint32_t *state, *action, *successor;
    const void *reward; /* of the table's type */
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

/* Q(s, a) += alpha (r + gamma max_b Q(s', b) - Q(s, a)): each update sees those before it. (In window.h, and in
 * table_phases.h, all lanes' targets come first.) */
CDQ_INLINE void NAME(cdq_learn_logged)(cdq_rows *rows, const cdq_law *law, const cdq_logged *steps, REAL gamma,
                                       const int64_t n_actions)
{
    const uint32_t *restrict state = steps->state, *restrict action = steps->action;
    const uint32_t *restrict successor = steps->successor;
    const REAL *restrict reward = (const REAL *)steps->reward, *restrict step_size = (const REAL *)law->step_size;
    const uint8_t *restrict terminated = steps->terminated;
    const int64_t end = steps->last - 1;
    const int bits = law->bits;
    cdq_reserve(rows, end + 1 - steps->first);
    const uint32_t touched = rows->alone ? 0 : CDQ_TOUCHED;
    uint32_t *restrict log = rows->log;
    REAL *base = rows->alone ? (REAL *)rows->base : NULL;
    uint32_t *clock = rows->clock;
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
        log[n_log] = state[i] * (uint32_t)n_actions + a;
        if (base) {
            base[n_log] = q[a];
            clock[n_log] = before;
        }
        n_log += !(before & touched);
        *count = (before + 1) | touched;
        REAL alpha = step_size[cdq_entry(CDQ_COUNT(before + 1), bits)];
        q[a] += alpha * (target - q[a]);
    }
    rows->n_log = n_log;
}

CDQ_CLONES static void NAME(cdq_learn_log)(cdq_rows *rows, const cdq_law *law, const cdq_logged *steps, double gamma)
{
    switch (rows->n_actions) {
    case 2: NAME(cdq_learn_logged)(rows, law, steps, (REAL)gamma, 2); break;
    case 3: NAME(cdq_learn_logged)(rows, law, steps, (REAL)gamma, 3); break;
    case 4: NAME(cdq_learn_logged)(rows, law, steps, (REAL)gamma, 4); break;
    case 6: NAME(cdq_learn_logged)(rows, law, steps, (REAL)gamma, 6); break;
    default: NAME(cdq_learn_logged)(rows, law, steps, (REAL)gamma, rows->n_actions);
    }
}
