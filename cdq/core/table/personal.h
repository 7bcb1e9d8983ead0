/* A table of a worker's own beside the common one, and the values by which the worker acts; included once per type, after
 * choice.h, target.h and update.h: REAL, NAME. Its rows lie `own` rows behind the common ones.
 *
 *   Q_k = lambda Q + (1 - lambda) own,   lambda = prior / (prior + N_k)
 *
 * with N_k the worker's visits of the pair, which its own row counts, up to `memory`. A transition teaches both: own with
 * the maximum of Q_k, the common table with that of its own values. */
#ifndef CDQ_PERSONAL_H
#define CDQ_PERSONAL_H
#include "table/rows.h"
#include "table/rule.h"

/* True for a table that the loops of plain Q-learning would not learn rightly. */
CDQ_INLINE int cdq_is_by_rule(const cdq_rule *rule) { return rule->kind != 0 || rule->own || rule->policy; }
#endif

CDQ_INLINE REAL NAME(cdq_blended)(const cdq_rule *rule, REAL common, REAL own, uint32_t count)
{
    double visits = (double)CDQ_COUNT(count);
    visits = visits < rule->memory ? visits : rule->memory;
    REAL lambda = (REAL)(rule->prior > 0 ? rule->prior / (rule->prior + visits) : 0.0);
    return lambda * common + ((REAL)1 - lambda) * own;
}

/* Values of a row by which the worker acts. */
CDQ_INLINE const REAL *NAME(cdq_values_at)(const cdq_rows *rows, const cdq_rule *rule, uint32_t state)
{
    const REAL *q = (const REAL *)cdq_row(rows, state);
    if (!rule->own)
        return q;
    const REAL *own = (const REAL *)cdq_row(rows, state + (uint32_t)rule->own);
    const uint32_t *counts = (const uint32_t *)(own + rows->n_actions);
    REAL *blend = (REAL *)rule->blend;
    for (int64_t a = 0; a < rows->n_actions; a++)
        blend[a] = NAME(cdq_blended)(rule, q[a], own[a], counts[a]);
    return blend;
}

/* Note what the successor of a lane is worth in the common table, where the worker has one of its own. */
CDQ_INLINE void NAME(cdq_note_common_target)(const cdq_rows *rows, const cdq_rule *rule, uint32_t successor,
                                             const uint8_t *mask, REAL reward, REAL discount, int64_t lane)
{
    if (!rule->own)
        return;
    REAL next = NAME(cdq_max_allowed)((const REAL *)cdq_row(rows, successor), mask, rows->n_actions);
    ((REAL *)rule->common_target)[lane] = NAME(cdq_target)(reward, discount, next);
}

/* Update the column of each lane towards its target; in both tables, where there are two. */
CDQ_INLINE void NAME(cdq_update_both)(cdq_rows *rows, const cdq_rule *rule, const cdq_law *law, const uint32_t *state,
                                      const REAL *target, const uint8_t *active, int64_t n)
{
    if (rule->own) {
        for (int64_t i = 0; i < n; i++)
            rule->own_row[i] = state[i] + (uint32_t)rule->own;
        NAME(cdq_update_by_rule)(rows, rule, law, rule->own_row, target, active, n);
        target = (const REAL *)rule->common_target;
    }
    NAME(cdq_update_by_rule)(rows, rule, law, state, target, active, n);
}
