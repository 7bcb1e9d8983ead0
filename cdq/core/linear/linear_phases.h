/* The phases of a sweep on a linear Q-function: Q(s, a) is the sum over the features i of w[i][a] phi_i(s), and a row
 * of the table holds the weights of a feature. Included once per type: REAL, NAME. The order is that of window.h: all
 * choices and targets are of the weights as they stand, then come the updates in lane order. */

#ifndef CDQ_LINEAR_PHASES_H
#define CDQ_LINEAR_PHASES_H
#include "linear/feature_vector.h"
#include "table/rows.h"

/* A slot of located observations: of each lane the n_active features that are 1, or all features' values. */
typedef struct {
    uint32_t *index; /* (n, n_active), or NULL */
    void *phi; /* (n, n_active) of the table's type, or NULL */
} cdq_located;

typedef struct {
    int64_t n, n_active, n_actions;
    cdq_located state, successor;
    void *q; /* scratch, (n_actions,) of all tables */
    void *target; /* scratch, (n,) */
    double largest_reward, largest_value; /* absolute, among all rewards, values and targets that were learnt from */
    double largest_discount; /* among all that were learnt from */
    double first_value; /* bound of all absolute values before the first sweep; negative until it is known */
} cdq_linear;

typedef struct {
    const uint32_t *action;
    const double *reward, *discount; /* a discount of 0: the episode terminated */
    const uint8_t *masks, *active; /* masks of the successors; masks and active may be NULL */
} cdq_outcomes;

/* The larger one; not-a-number once there was one. */
CDQ_INLINE double cdq_larger(double a, double b) { return b > a || b != b ? b : a; }
#endif

#include "table/rules.h"
#include "table/target.h"
#include "table/update.h"
#include "table/personal.h"

CDQ_INLINE const REAL *NAME(cdq_phi)(const cdq_located *located, int64_t lane, int64_t n_active)
{
    return located->phi ? (const REAL *)located->phi + lane * n_active : NULL;
}

/* Q(s, .) of a lane, into q. */
CDQ_INLINE const REAL *NAME(cdq_values)(const cdq_rows *rows, const cdq_linear *linear, const cdq_located *located,
                                        int64_t lane, const int64_t n_actions)
{
    const int64_t n_active = linear->n_active;
    const uint32_t *index = located->index ? located->index + lane * n_active : NULL;
    const REAL *phi = NAME(cdq_phi)(located, lane, n_active);
    REAL *restrict q = (REAL *)linear->q;
    for (int64_t a = 0; a < n_actions; a++)
        q[a] = 0;
    for (int64_t k = 0; k < n_active; k++) {
        const REAL *restrict w = (const REAL *)cdq_row(rows, index ? index[k] : (uint32_t)k);
        for (int64_t a = 0; a < n_actions; a++)
            q[a] += phi ? w[a] * phi[k] : w[a];
    }
    return q;
}

/* Values of a lane by which a worker acts that has weights of its own (table/personal.h), into q. */
CDQ_INLINE const REAL *NAME(cdq_values_by_rule)(const cdq_rows *rows, const cdq_rule *rule, const cdq_linear *linear,
                                                const cdq_located *located, int64_t lane)
{
    const int64_t n_active = linear->n_active, columns = rows->n_actions;
    if (!rule->own)
        return NAME(cdq_values)(rows, linear, located, lane, columns);
    const uint32_t *index = located->index ? located->index + lane * n_active : NULL;
    const REAL *phi = NAME(cdq_phi)(located, lane, n_active);
    REAL *restrict q = (REAL *)linear->q;
    for (int64_t a = 0; a < columns; a++)
        q[a] = 0;
    for (int64_t k = 0; k < n_active; k++) {
        const REAL *w = NAME(cdq_values_at)(rows, rule, index ? index[k] : (uint32_t)k);
        for (int64_t a = 0; a < columns; a++)
            q[a] += phi ? w[a] * phi[k] : w[a];
    }
    return q;
}

CDQ_INLINE REAL NAME(cdq_value)(const cdq_rows *rows, uint32_t first, const uint32_t *index, const REAL *phi,
                                int64_t n_active, uint32_t a)
{
    REAL q = 0;
    for (int64_t k = 0; k < n_active; k++) {
        const REAL *w = (const REAL *)cdq_row(rows, first + (index ? index[k] : (uint32_t)k));
        q += phi ? w[a] * phi[k] : w[a];
    }
    return q;
}

CDQ_INLINE void NAME(cdq_choose_among)(const cdq_rows *rows, const cdq_linear *linear, uint64_t threshold,
                                       const uint64_t *random, const uint8_t *masks, uint32_t *action,
                                       const int64_t n_actions)
{
    for (int64_t i = 0; i < linear->n; i++) {
        const REAL *q = NAME(cdq_values)(rows, linear, &linear->state, i, n_actions);
        action[i] = masks ? NAME(cdq_choice_allowed)(q, masks + i * n_actions, n_actions, threshold, random[i])
                          : NAME(cdq_choice)(q, n_actions, threshold, random[i]);
    }
}

static void NAME(cdq_choose_by_rule)(const cdq_rows *rows, const cdq_rule *rule, const cdq_linear *linear,
                                     const uint8_t *masks, uint32_t *action)
{
    const int64_t n_actions = linear->n_actions;
    for (int64_t i = 0; i < linear->n; i++) {
        const REAL *q = NAME(cdq_values_by_rule)(rows, rule, linear, &linear->state, i);
        action[i] = NAME(cdq_action_by_rule)(rule, q, 0, masks ? masks + i * n_actions : NULL, n_actions, i);
    }
}

CDQ_CLONES static void NAME(cdq_choose)(const cdq_rows *rows, const cdq_rule *rule, const cdq_linear *linear,
                                        const uint8_t *masks, uint32_t *action)
{
    const uint64_t threshold = rule->threshold, *random = rule->random;
    if (cdq_is_by_rule(rule)) {
        NAME(cdq_choose_by_rule)(rows, rule, linear, masks, action);
        return;
    }
#define CDQ_BODY(actions) NAME(cdq_choose_among)(rows, linear, threshold, random, masks, action, actions)
    CDQ_UNROLLED(linear->n_actions, CDQ_BODY)
#undef CDQ_BODY
}

static void NAME(cdq_choose_lowest)(const cdq_rows *rows, const cdq_rule *rule, const cdq_linear *linear,
                                    const uint8_t *masks, uint32_t *action)
{
    const int64_t n_actions = linear->n_actions;
    for (int64_t i = 0; i < linear->n; i++) {
        const REAL *q = NAME(cdq_values_by_rule)(rows, rule, linear, &linear->state, i);
        action[i] = NAME(cdq_lowest_greedy)(NAME(cdq_acting_values)(rule, q, n_actions),
                                            masks ? masks + i * n_actions : NULL, n_actions);
    }
}

CDQ_INLINE void NAME(cdq_targets)(const cdq_rows *rows, const cdq_linear *linear, const cdq_outcomes *steps,
                                  const int64_t n_actions)
{
    REAL *target = (REAL *)linear->target;
    for (int64_t i = 0; i < linear->n; i++) {
        if (steps->active && !steps->active[i])
            continue;
        const REAL *q = NAME(cdq_values)(rows, linear, &linear->successor, i, n_actions);
        REAL next = NAME(cdq_max_allowed)(q, steps->masks ? steps->masks + i * n_actions : NULL, n_actions);
        target[i] = NAME(cdq_target)((REAL)steps->reward[i], (REAL)steps->discount[i], next);
    }
}

static void NAME(cdq_targets_by_rule)(const cdq_rows *rows, const cdq_rule *rule, const cdq_linear *linear,
                                      const cdq_outcomes *steps)
{
    const int64_t n_actions = linear->n_actions;
    REAL *target = (REAL *)linear->target;
    cdq_forget_actions(rule, 0, linear->n);
    for (int64_t i = 0; i < linear->n; i++) {
        if (steps->active && !steps->active[i])
            continue;
        const uint8_t *mask = steps->masks ? steps->masks + i * n_actions : NULL;
        const REAL *q = NAME(cdq_values_by_rule)(rows, rule, linear, &linear->successor, i);
        REAL reward = (REAL)steps->reward[i], discount = (REAL)steps->discount[i];
        rule->column[i] = steps->action[i];
        target[i] = NAME(cdq_target)(reward, discount, NAME(cdq_next_value)(rule, q, mask, n_actions, i));
        if (!rule->own)
            continue;
        q = NAME(cdq_values)(rows, linear, &linear->successor, i, n_actions);
        REAL next = NAME(cdq_max_allowed)(q, mask, n_actions);
        ((REAL *)rule->common_target)[i] = NAME(cdq_target)(reward, discount, next);
    }
}

/* w[i][a] += alpha (target - Q(s, a)) phi_i for every active feature i, alpha by the weight's own clock. The row of
 * feature i is first + i. */
CDQ_INLINE void NAME(cdq_adjust_by)(cdq_rows *rows, const cdq_law *law, uint32_t first, const uint32_t *index,
                                    const REAL *phi, int64_t n_active, uint32_t a, REAL difference, const int logging)
{
    cdq_rows table = *rows;
    const cdq_law steps = *law;
    for (int64_t k = 0; k < n_active; k++) {
        uint32_t feature = first + (index ? index[k] : (uint32_t)k);
        REAL *w = (REAL *)cdq_row(&table, feature);
        REAL alpha = NAME(cdq_touch_at)(&table, &steps, w + a, feature, a, table.n_actions, logging);
        w[a] += alpha * (phi ? difference * phi[k] : difference);
    }
    rows->n_log = table.n_log;
}

CDQ_INLINE void NAME(cdq_adjust)(cdq_rows *rows, const cdq_law *law, uint32_t first, const uint32_t *index,
                                 const REAL *phi, int64_t n_active, uint32_t a, REAL difference)
{
    cdq_reserve(rows, n_active);
    if (rows->alone)
        NAME(cdq_adjust_by)(rows, law, first, index, phi, n_active, a, difference, CDQ_EVERY_UPDATE);
    else
        NAME(cdq_adjust_by)(rows, law, first, index, phi, n_active, a, difference, CDQ_FIRST_TOUCHES);
}

/* The largest absolute weight, times the features of an observation. */
static double NAME(cdq_largest_sum)(const cdq_rows *rows, int64_t n_active)
{
    double largest = 0;
    for (int64_t i = 0; i < rows->n_states; i++)
        for (int64_t a = 0; a < rows->n_actions; a++)
            largest = cdq_larger(largest, fabs((double)((const REAL *)cdq_row(rows, (uint32_t)i))[a]));
    return largest * (double)n_active;
}

/* Update the weights of each lane's column, in the rows from *first* on, towards its target, in lane order. */
CDQ_INLINE void NAME(cdq_adjust_lanes)(cdq_rows *rows, const cdq_law *law, cdq_linear *linear,
                                       const cdq_outcomes *steps, const uint32_t *column, uint32_t first,
                                       const REAL *targets)
{
    const int64_t n_active = linear->n_active;
    for (int64_t i = 0; i < linear->n; i++) {
        if (steps->active && !steps->active[i])
            continue;
        const uint32_t *index = linear->state.index ? linear->state.index + i * n_active : NULL;
        const REAL *phi = NAME(cdq_phi)(&linear->state, i, n_active);
        CDQ_CHECK(column[i] < rows->n_actions);
        REAL q = NAME(cdq_value)(rows, first, index, phi, n_active, column[i]), target = targets[i];
        NAME(cdq_adjust)(rows, law, first, index, phi, n_active, column[i], target - q);
        linear->largest_reward = cdq_larger(linear->largest_reward, fabs(steps->reward[i]));
        linear->largest_value = cdq_larger(cdq_larger(linear->largest_value, fabs((double)q)), fabs((double)target));
        linear->largest_discount = cdq_larger(linear->largest_discount, steps->discount[i]);
    }
}

CDQ_CLONES static void NAME(cdq_learn)(cdq_rows *rows, const cdq_rule *rule, const cdq_law *law, cdq_linear *linear,
                                       const cdq_outcomes *steps)
{
    if (linear->first_value < 0)
        linear->first_value = NAME(cdq_largest_sum)(rows, linear->n_active);
    const REAL *targets = (const REAL *)linear->target;
    if (cdq_is_by_rule(rule)) {
        NAME(cdq_targets_by_rule)(rows, rule, linear, steps);
        if (rule->own) {
            NAME(cdq_adjust_lanes)(rows, law, linear, steps, rule->column, (uint32_t)rule->own, targets);
            targets = (const REAL *)rule->common_target;
        }
        NAME(cdq_adjust_lanes)(rows, law, linear, steps, rule->column, 0, targets);
        return;
    }
#define CDQ_BODY(actions) NAME(cdq_targets)(rows, linear, steps, actions)
    CDQ_UNROLLED(linear->n_actions, CDQ_BODY)
#undef CDQ_BODY
    NAME(cdq_adjust_lanes)(rows, law, linear, steps, steps->action, 0, targets);
}

/* Locate a lane; 0 if its observation is not finite. phi64 is scratch for 2 n_features numbers. */
CDQ_INLINE int NAME(cdq_locate)(const cdq_rows *rows, const cdq_features *features, const double *observation,
                                const cdq_located *located, int64_t lane, double *phi64)
{
    const int64_t n_active = features->n_active;
    if (located->index) {
        uint32_t *index = located->index + lane * n_active;
        if (!cdq_tiles(features, observation, index))
            return 0;
        for (int64_t k = 0; k < n_active; k++)
            CDQ_PREFETCH(cdq_row(rows, index[k]));
        return 1;
    }
    REAL *phi = (REAL *)located->phi + lane * n_active;
    if (!cdq_basis(features, observation, phi64))
        return 0;
    for (int64_t k = 0; k < n_active; k++)
        phi[k] = (REAL)phi64[k];
    return 1;
}

CDQ_CLONES static int64_t NAME(cdq_locate_lanes)(const cdq_rows *rows, const cdq_features *features,
                                                 const double *observations, const cdq_located *located,
                                                 int64_t first, int64_t count, double *phi64)
{
    for (int64_t i = first; i < first + count; i++)
        if (!NAME(cdq_locate)(rows, features, observations + i * features->width, located, i, phi64))
            return i;
    return -1;
}
