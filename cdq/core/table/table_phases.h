/* The phases of a sweep on a table, for sources of transitions that are stepped elsewhere; included once per type:
 * REAL, NAME. The lanes' states are row numbers; actions, bits and rewards have an entry per lane, masks a row.
 * The definition is window.h's: all choices and targets are of the table as it stands, updates go in lane order. */

#ifndef CDQ_TABLE_PHASES_H
#define CDQ_TABLE_PHASES_H
#include "table/rows.h"

typedef struct {
    int64_t n;
    const uint32_t *state, *successor, *action;
    const double *reward, *discount; /* a discount of 0: the episode terminated */
    const uint8_t *masks, *active; /* masks of the successors; masks and active may be NULL */
    void *target; /* scratch */
} cdq_transitions;
#endif

#include "table/rules.h"
#include "table/target.h"
#include "table/update.h"
#include "table/personal.h"

CDQ_INLINE void NAME(cdq_choose_among)(const cdq_rows *rows, const uint32_t *restrict state, uint64_t threshold,
                                       const uint64_t *restrict random, uint32_t *restrict action, const int64_t n,
                                       const int64_t n_actions)
{
    for (int64_t i = 0; i < n; i++)
        action[i] = NAME(cdq_choice)((const REAL *)cdq_row(rows, state[i]), n_actions, threshold, random[i]);
}

CDQ_INLINE void NAME(cdq_choose_among_allowed)(const cdq_rows *rows, const uint32_t *restrict state,
                                               const uint8_t *masks, uint64_t threshold,
                                               const uint64_t *restrict random, uint32_t *restrict action,
                                               const int64_t n, const int64_t n_actions)
{
    for (int64_t i = 0; i < n; i++)
        action[i] = NAME(cdq_choice_allowed)((const REAL *)cdq_row(rows, state[i]), masks + i * n_actions, n_actions,
                                             threshold, random[i]);
}

static void NAME(cdq_choose_by_rule)(const cdq_rows *rows, const cdq_rule *rule, const uint32_t *state,
                                     const uint8_t *masks, uint32_t *action, int64_t n)
{
    const int64_t n_actions = rows->n_actions / rule->tables;
    for (int64_t i = 0; i < n; i++)
        action[i] = NAME(cdq_action_by_rule)(rule, NAME(cdq_values_at)(rows, rule, state[i]), state[i],
                                             masks ? masks + i * n_actions : NULL, n_actions, i);
}

CDQ_CLONES static void NAME(cdq_choose)(const cdq_rows *rows, const cdq_rule *rule, const uint32_t *state,
                                        const uint8_t *masks, uint32_t *action, int64_t n)
{
    const int64_t n_actions = rows->n_actions;
    const uint64_t threshold = rule->threshold, *random = rule->random;
    if (cdq_is_by_rule(rule)) {
        NAME(cdq_choose_by_rule)(rows, rule, state, masks, action, n);
        return;
    }
    if (masks && n_actions == 9) /* a board of nine cells */
        NAME(cdq_choose_among_allowed)(rows, state, masks, threshold, random, action, n, 9);
    else if (masks)
        NAME(cdq_choose_among_allowed)(rows, state, masks, threshold, random, action, n, n_actions);
    if (masks)
        return;
#define CDQ_BODY(actions) NAME(cdq_choose_among)(rows, state, threshold, random, action, n, actions)
    CDQ_UNROLLED(n_actions, CDQ_BODY)
#undef CDQ_BODY
}

static void NAME(cdq_choose_lowest)(const cdq_rows *rows, const cdq_rule *rule, const uint32_t *state,
                                    const uint8_t *masks, uint32_t *action, int64_t n)
{
    const int64_t n_actions = rows->n_actions / rule->tables;
    for (int64_t i = 0; i < n; i++) {
        const REAL *q = NAME(cdq_acting_values)(rule, NAME(cdq_values_at)(rows, rule, state[i]), n_actions);
        action[i] = NAME(cdq_lowest_greedy)(q, masks ? masks + i * n_actions : NULL, n_actions);
    }
}

CDQ_INLINE void NAME(cdq_targets_of)(const cdq_rows *rows, const cdq_transitions *steps,
                                     const int64_t n_actions)
{
    const uint8_t *masks = steps->masks, *active = steps->active;
    REAL *restrict target = (REAL *)steps->target;
    for (int64_t i = 0; i < steps->n; i++) {
        if (active && !active[i])
            continue;
        const REAL *q = (const REAL *)cdq_row(rows, steps->successor[i]);
        REAL next = NAME(cdq_max_allowed)(q, masks ? masks + i * n_actions : NULL, n_actions);
        target[i] = NAME(cdq_target)((REAL)steps->reward[i], (REAL)steps->discount[i], next);
    }
}

CDQ_INLINE void NAME(cdq_learn_on)(cdq_rows *rows, const cdq_law *law, const cdq_transitions *steps,
                                   const int64_t n_actions)
{
    NAME(cdq_targets_of)(rows, steps, n_actions);
    NAME(cdq_update)(rows, law, steps->state, steps->action, (const REAL *)steps->target, steps->active, steps->n,
                     n_actions);
}

static void NAME(cdq_learn_by_rule)(cdq_rows *rows, const cdq_rule *rule, const cdq_law *law,
                                    const cdq_transitions *steps)
{
    const int64_t n_actions = rows->n_actions / rule->tables;
    REAL *target = (REAL *)steps->target;
    cdq_forget_actions(rule, 0, steps->n);
    for (int64_t i = 0; i < steps->n; i++) {
        if (steps->active && !steps->active[i])
            continue;
        const uint8_t *mask = steps->masks ? steps->masks + i * n_actions : NULL;
        REAL reward = (REAL)steps->reward[i], discount = (REAL)steps->discount[i];
        rule->column[i] = steps->action[i];
        REAL next = NAME(cdq_next_value)(rule, NAME(cdq_values_at)(rows, rule, steps->successor[i]), mask, n_actions, i);
        target[i] = NAME(cdq_target)(reward, discount, next);
        NAME(cdq_note_common_target)(rows, rule, steps->successor[i], mask, reward, discount, i);
    }
    NAME(cdq_update_both)(rows, rule, law, steps->state, target, steps->active, steps->n);
}

CDQ_CLONES static void NAME(cdq_learn)(cdq_rows *rows, const cdq_rule *rule, const cdq_law *law,
                                       const cdq_transitions *steps)
{
    if (cdq_is_by_rule(rule)) {
        NAME(cdq_learn_by_rule)(rows, rule, law, steps);
        return;
    }
    if (rows->n_actions == 9) {
        NAME(cdq_learn_on)(rows, law, steps, 9);
        return;
    }
#define CDQ_BODY(actions) NAME(cdq_learn_on)(rows, law, steps, actions)
    CDQ_UNROLLED(rows->n_actions, CDQ_BODY)
#undef CDQ_BODY
}
