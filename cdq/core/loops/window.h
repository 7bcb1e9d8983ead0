/* A window of Q-learning over lanes, in phases; included once per type: REAL, NAME.
 *
 * A sweep steps every lane once: draw, choose actions, sample outcomes, compute targets, update, book-keep, each a
 * loop over the lanes. All lanes act, and all targets are computed, on the table as it stood at the sweep's start;
 * the updates are applied one after another in lane order. Where states do not have all actions, choices and targets
 * are among those they have; the table's other entries are never read or written. */

#ifndef CDQ_WINDOW_H
#define CDQ_WINDOW_H
#include "table/rows.h"

typedef struct {
    int64_t n;
    uint64_t *words; /* (4, n): the lanes' random streams */
    uint32_t *state;
    int64_t *elapsed; /* steps of the running episode */
    double *returns; /* undiscounted return of the running episode */
    /* scratch, (n,) each */
    uint64_t *bits_action, *bits_outcome;
    uint32_t *action, *successor;
    void *reward, *target;
} cdq_lanes;

typedef struct {
    int64_t episodes, length_sum;
    double return_sum;
} cdq_episodes;

/* Exploration: a coin of 32 bits is compared with the integer part of a fixed-point threshold (31 fraction bits, so
 * that "always", 2^32, fits) that moves linearly over the window. */
#define CDQ_COIN_SHIFT 31

typedef struct {
    uint64_t threshold;
    int64_t change;
} cdq_exploration;

/* The actions that a state has; NULL where every state has all, which *masked* says at compile time. */
CDQ_INLINE const uint8_t *cdq_actions_of(const cdq_model *model, uint32_t state, const int64_t n_actions,
                                         const int masked)
{
    return masked ? model->actions + (uint64_t)state * (uint64_t)n_actions : NULL;
}
#endif

#include "table/choice.h"
#include "table/update.h"

CDQ_INLINE void NAME(cdq_act)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes,
                              uint64_t threshold, const int64_t n, const int64_t n_actions, const int masked)
{
    const uint32_t *restrict state = lanes->state;
    const uint64_t *restrict random = lanes->bits_action;
    uint32_t *restrict action = lanes->action;
    for (int64_t i = 0; i < n; i++) {
        const REAL *q = (const REAL *)cdq_row(rows, state[i]);
        const uint8_t *mask = cdq_actions_of(model, state[i], n_actions, masked);
        uint32_t chosen = masked ? NAME(cdq_choice_allowed)(q, mask, n_actions, threshold, random[i])
                                 : NAME(cdq_choice)(q, n_actions, threshold, random[i]);
        action[i] = chosen;
        NAME(cdq_prefetch_outcome)(model, (uint64_t)state[i] * (uint64_t)n_actions + chosen);
    }
}

CDQ_INLINE void NAME(cdq_sample)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes,
                                 const int64_t n, const int64_t n_actions)
{
    const uint32_t *restrict state = lanes->state, *restrict action = lanes->action;
    const uint64_t *restrict random = lanes->bits_outcome;
    uint32_t *restrict successor = lanes->successor;
    REAL *restrict reward = (REAL *)lanes->reward;
    for (int64_t i = 0; i < n; i++) {
        uint64_t pair = (uint64_t)state[i] * (uint64_t)n_actions + action[i];
        successor[i] = model->width ? NAME(cdq_outcome_of_record)(model, pair, random[i], reward + i)
                                    : NAME(cdq_outcome_of_alias)(model, pair, random[i], reward + i);
        CDQ_PREFETCH(cdq_row(rows, CDQ_STATE(successor[i])));
    }
}

/* r + gamma max_b Q(s', b), without the second term after a termination (a truncation bootstraps). */
CDQ_INLINE void NAME(cdq_targets)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes, REAL gamma,
                                  const int64_t n, const int64_t n_actions, const int masked)
{
    const uint32_t *restrict successor = lanes->successor;
    const REAL *restrict reward = (const REAL *)lanes->reward;
    REAL *restrict target = (REAL *)lanes->target;
    for (int64_t i = 0; i < n; i++) {
        uint32_t next_state = CDQ_STATE(successor[i]);
        REAL next = NAME(cdq_max_allowed)((const REAL *)cdq_row(rows, next_state),
                                          cdq_actions_of(model, next_state, n_actions, masked), n_actions);
        target[i] = reward[i] + (successor[i] & CDQ_TERMINATED ? (REAL)0 : gamma * next);
    }
}

CDQ_INLINE void NAME(cdq_advance)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes,
                                  cdq_episodes *done, const int64_t n)
{
    const int64_t limit = model->time_limit;
    const uint32_t *restrict successor = lanes->successor;
    const REAL *restrict reward = (const REAL *)lanes->reward;
    uint32_t *restrict state = lanes->state;
    int64_t *restrict elapsed = lanes->elapsed;
    double *restrict returns = lanes->returns;
    for (int64_t i = 0; i < n; i++) {
        returns[i] += (double)reward[i];
        elapsed[i]++;
        state[i] = CDQ_STATE(successor[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        if ((successor[i] & CDQ_TERMINATED) || elapsed[i] == limit) {
            done->episodes++;
            done->length_sum += elapsed[i];
            done->return_sum += returns[i];
            returns[i] = 0;
            elapsed[i] = 0;
            state[i] = cdq_start(model, cdq_next_of_lane(lanes->words, n, i));
            CDQ_PREFETCH(cdq_row(rows, state[i]));
        }
    }
}

CDQ_INLINE void NAME(cdq_sweeps)(cdq_rows *rows, const cdq_law *law, const cdq_model *model, cdq_lanes *lanes,
                                 cdq_exploration *explore, cdq_episodes *done, REAL gamma, int64_t sweeps,
                                 const int64_t n, const int64_t n_actions, const int masked)
{
    for (int64_t t = 0; t < sweeps; t++) {
        cdq_next_of_all(lanes->words, n, lanes->bits_action);
        cdq_next_of_all(lanes->words, n, lanes->bits_outcome);
        NAME(cdq_act)(rows, model, lanes, explore->threshold >> CDQ_COIN_SHIFT, n, n_actions, masked);
        NAME(cdq_sample)(rows, model, lanes, n, n_actions);
        NAME(cdq_targets)(rows, model, lanes, gamma, n, n_actions, masked);
        NAME(cdq_update)(rows, law, lanes->state, lanes->action, (const REAL *)lanes->target, NULL, n, n_actions);
        NAME(cdq_advance)(rows, model, lanes, done, n);
        explore->threshold += (uint64_t)explore->change;
    }
}

/* A body per common number of actions: the constant unrolls the rows' loops (76 -> 113 million steps/s),
 * and a single lane needs no loops over lanes. */
#define CDQ_SWEEPS_OF(label, actions, masked)                                                                       \
    CDQ_CLONES static void NAME(label)(cdq_rows * rows, const cdq_law *law, const cdq_model *model,                 \
                                       cdq_lanes *lanes, cdq_exploration *explore, cdq_episodes *done, REAL gamma,  \
                                       int64_t sweeps)                                                              \
    {                                                                                                               \
        if (lanes->n == 1)                                                                                          \
            NAME(cdq_sweeps)(rows, law, model, lanes, explore, done, gamma, sweeps, 1, actions, masked);            \
        else                                                                                                        \
            NAME(cdq_sweeps)(rows, law, model, lanes, explore, done, gamma, sweeps, lanes->n, actions, masked);     \
    }

CDQ_SWEEPS_OF(cdq_sweeps_2, 2, 0)
CDQ_SWEEPS_OF(cdq_sweeps_3, 3, 0)
CDQ_SWEEPS_OF(cdq_sweeps_4, 4, 0)
CDQ_SWEEPS_OF(cdq_sweeps_6, 6, 0)
CDQ_SWEEPS_OF(cdq_sweeps_any, rows->n_actions, 0)
CDQ_SWEEPS_OF(cdq_sweeps_masked_4, 4, 1)
CDQ_SWEEPS_OF(cdq_sweeps_masked, rows->n_actions, 1)
#undef CDQ_SWEEPS_OF

static void NAME(cdq_window)(cdq_rows *rows, const cdq_law *law, const cdq_model *model, cdq_lanes *lanes,
                             cdq_exploration *explore, cdq_episodes *done, double gamma, int64_t sweeps)
{
    if (model->actions) {
        if (rows->n_actions == 4)
            NAME(cdq_sweeps_masked_4)(rows, law, model, lanes, explore, done, (REAL)gamma, sweeps);
        else
            NAME(cdq_sweeps_masked)(rows, law, model, lanes, explore, done, (REAL)gamma, sweeps);
        return;
    }
    switch (rows->n_actions) {
    case 2: NAME(cdq_sweeps_2)(rows, law, model, lanes, explore, done, (REAL)gamma, sweeps); break;
    case 3: NAME(cdq_sweeps_3)(rows, law, model, lanes, explore, done, (REAL)gamma, sweeps); break;
    case 4: NAME(cdq_sweeps_4)(rows, law, model, lanes, explore, done, (REAL)gamma, sweeps); break;
    case 6: NAME(cdq_sweeps_6)(rows, law, model, lanes, explore, done, (REAL)gamma, sweeps); break;
    default: NAME(cdq_sweeps_any)(rows, law, model, lanes, explore, done, (REAL)gamma, sweeps);
    }
}
