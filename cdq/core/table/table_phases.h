/* The phases of a sweep on a table, for sources of transitions that are stepped elsewhere; included once per type:
 * REAL, NAME. The lanes' states are row numbers; actions, bits and rewards have an entry per lane, masks a row.
 * The definition is window.h's: all choices and targets are of the table as it stands, updates go in lane order. */

#ifndef CDQ_TABLE_PHASES_H
#define CDQ_TABLE_PHASES_H
#include "table/rows.h"

typedef struct {
    int64_t n;
    const uint32_t *state, *successor, *action;
    const double *reward;
    const uint8_t *terminated, *masks, *active; /* masks of the successors; masks and active may be NULL */
    void *target; /* scratch */
} cdq_transitions;
#endif

#include "table/choice.h"
#include "table/target.h"
#include "table/update.h"

CDQ_INLINE void NAME(cdq_choose_among)(const cdq_rows *rows, const uint32_t *restrict state, uint64_t threshold,
                                       const uint64_t *restrict random, uint32_t *restrict action, const int64_t n,
                                       const int64_t n_actions)
{
    for (int64_t i = 0; i < n; i++)
        action[i] = NAME(cdq_choice)((const REAL *)cdq_row(rows, state[i]), n_actions, threshold, random[i]);
}

CDQ_CLONES static void NAME(cdq_choose)(const cdq_rows *rows, const uint32_t *state, uint64_t threshold,
                                        const uint64_t *random, const uint8_t *masks, uint32_t *action, int64_t n)
{
    const int64_t n_actions = rows->n_actions;
    if (masks) {
        for (int64_t i = 0; i < n; i++)
            action[i] = NAME(cdq_choice_allowed)((const REAL *)cdq_row(rows, state[i]), masks + i * n_actions,
                                                 n_actions, threshold, random[i]);
        return;
    }
#define CDQ_BODY(actions) NAME(cdq_choose_among)(rows, state, threshold, random, action, n, actions)
    CDQ_UNROLLED(n_actions, CDQ_BODY)
#undef CDQ_BODY
}

static void NAME(cdq_choose_lowest)(const cdq_rows *rows, const uint32_t *state, const uint8_t *masks,
                                    uint32_t *action, int64_t n)
{
    const int64_t n_actions = rows->n_actions;
    for (int64_t i = 0; i < n; i++)
        action[i] = NAME(cdq_lowest_greedy)((const REAL *)cdq_row(rows, state[i]),
                                            masks ? masks + i * n_actions : NULL, n_actions);
}

CDQ_INLINE void NAME(cdq_targets_of)(const cdq_rows *rows, const cdq_transitions *steps, REAL gamma,
                                     const int64_t n_actions)
{
    const uint8_t *masks = steps->masks, *active = steps->active;
    REAL *restrict target = (REAL *)steps->target;
    for (int64_t i = 0; i < steps->n; i++) {
        if (active && !active[i])
            continue;
        const REAL *q = (const REAL *)cdq_row(rows, steps->successor[i]);
        REAL next = NAME(cdq_max_allowed)(q, masks ? masks + i * n_actions : NULL, n_actions);
        target[i] = NAME(cdq_target)((REAL)steps->reward[i], gamma, steps->terminated[i], next);
    }
}

CDQ_INLINE void NAME(cdq_learn_on)(cdq_rows *rows, const cdq_law *law, const cdq_transitions *steps, REAL gamma,
                                   const int64_t n_actions)
{
    NAME(cdq_targets_of)(rows, steps, gamma, n_actions);
    NAME(cdq_update)(rows, law, steps->state, steps->action, (const REAL *)steps->target, steps->active, steps->n,
                     n_actions);
}

CDQ_CLONES static void NAME(cdq_learn)(cdq_rows *rows, const cdq_law *law, const cdq_transitions *steps, double gamma)
{
#define CDQ_BODY(actions) NAME(cdq_learn_on)(rows, law, steps, (REAL)gamma, actions)
    CDQ_UNROLLED(rows->n_actions, CDQ_BODY)
#undef CDQ_BODY
}
