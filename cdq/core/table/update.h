/* The update of a table; included once per type, after rules.h: REAL, NAME. */

#include "table/touch.h"

/* Q(s, a) += alpha (target - Q(s, a)) for all lanes in order, or for the active ones. */
CDQ_INLINE void NAME(cdq_update_of)(cdq_rows *rows, const cdq_law *law, const uint32_t *restrict state,
                                    const uint32_t *restrict action, const REAL *restrict target,
                                    const uint8_t *restrict active, const int64_t n, const int64_t n_actions,
                                    const int logging)
{
    cdq_rows table = *rows;
    const cdq_law steps = *law;
    for (int64_t i = 0; i < n; i++) {
        if (active && !active[i])
            continue;
        uint32_t a = action[i];
        CDQ_CHECK(a < n_actions);
        REAL alpha = NAME(cdq_touch)(&table, &steps, state[i], a, n_actions, logging);
        REAL *q = (REAL *)cdq_learnt_row(&table, state[i], n_actions, sizeof(REAL));
        q[a] += alpha * (target[i] - q[a]);
    }
    rows->n_log = table.n_log;
}

CDQ_INLINE void NAME(cdq_update)(cdq_rows *rows, const cdq_law *law, const uint32_t *state, const uint32_t *action,
                                 const REAL *target, const uint8_t *active, const int64_t n, const int64_t n_actions)
{
    cdq_reserve(rows, n);
    if (rows->alone)
        NAME(cdq_update_of)(rows, law, state, action, target, active, n, n_actions, CDQ_EVERY_UPDATE);
    else
        NAME(cdq_update_of)(rows, law, state, action, target, active, n, n_actions, CDQ_FIRST_TOUCHES);
}

/* The same with another step size where the error is below 0. The clock counts both kinds of steps alike. */
CDQ_INLINE void NAME(cdq_update_hysteretic)(cdq_rows *rows, const cdq_law *law, const uint32_t *state,
                                            const uint32_t *action, const REAL *target, const uint8_t *active,
                                            const int64_t n, const int64_t n_actions, const REAL beta)
{
    const int logging = rows->alone ? CDQ_EVERY_UPDATE : CDQ_FIRST_TOUCHES;
    cdq_reserve(rows, n);
    for (int64_t i = 0; i < n; i++) {
        if (active && !active[i])
            continue;
        uint32_t a = action[i];
        CDQ_CHECK(a < n_actions);
        REAL alpha = NAME(cdq_touch)(rows, law, state[i], a, n_actions, logging);
        REAL *q = (REAL *)cdq_row(rows, state[i]) + a;
        REAL error = target[i] - *q;
        *q += (error < 0 ? beta : alpha) * error;
    }
}

/* The update that a rule asks for. */
CDQ_INLINE void NAME(cdq_update_by_rule)(cdq_rows *rows, const cdq_rule *rule, const cdq_law *law,
                                         const uint32_t *state, const REAL *target, const uint8_t *active,
                                         const int64_t n)
{
    if (rule->kind == CDQ_HYSTERETIC)
        NAME(cdq_update_hysteretic)(rows, law, state, rule->column, target, active, n, rows->n_actions,
                                    (REAL)rule->beta);
    else
        NAME(cdq_update)(rows, law, state, rule->column, target, active, n, rows->n_actions);
}
