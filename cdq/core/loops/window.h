/* A window over lanes, in phases, by Q-learning or (window_by_rule.h) another rule; included once per type: REAL, NAME.
 *
 * A sweep steps every lane once: draw, choose actions, sample outcomes, compute targets, update, book-keep, each a
 * loop over the lanes. All lanes act, and all targets are computed, on the table as it stood at the sweep's start;
 * the updates are applied one after another in lane order. Where states do not have all actions, choices and targets
 * are among those they have; the table's other entries are never read or written. */

#ifndef CDQ_WINDOW_H
#define CDQ_WINDOW_H
#include "loops/exploration.h"
#include "loops/guesses.h"
#include "loops/tally.h"
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
    cdq_guesses guesses; /* of few lanes; where they begin changes nothing that is learnt */
} cdq_lanes;

/* The actions that a state has; NULL where every state has all, which *masked* says at compile time. */
CDQ_INLINE const uint8_t *cdq_actions_of(const cdq_model *model, uint32_t state, const int64_t n_actions,
                                         const int masked)
{
    return masked ? model->actions + (uint64_t)state * (uint64_t)n_actions : NULL;
}
#endif

#include "table/rules.h"
#include "table/target.h"
#include "table/update.h"

/* The action of a lane, at once where guesses are trusted (guesses.h). */
CDQ_INLINE uint32_t NAME(cdq_act_by_guess)(const REAL *q, cdq_guesses *guesses, uint32_t state, uint64_t threshold,
                                           uint64_t random, const int64_t n_actions, const int trusted)
{
    if (!trusted)
        return NAME(cdq_choice)(q, n_actions, threshold, random);
    const uint32_t greedy = NAME(cdq_greedy)(q, n_actions, (uint32_t)random);
    const uint32_t guess = guesses->action[state % CDQ_GUESSES];
    const uint32_t explores = cdq_explores(threshold, random);
    if ((greedy ^ guess) & ~explores)
        return cdq_corrected(guesses, state, greedy);
    return cdq_either(explores, cdq_below((uint32_t)random, (uint32_t)n_actions), guess);
}

CDQ_INLINE void NAME(cdq_act_among)(const cdq_rows *rows, const cdq_model *model, cdq_lanes *lanes, uint64_t threshold,
                                    const int64_t n_actions, const int masked, const int trusted)
{
    const uint32_t *restrict state = lanes->state;
    const uint64_t *restrict random = lanes->bits_action;
    uint32_t *restrict action = lanes->action;
    const int64_t n = lanes->n;
    for (int64_t i = 0; i < n; i++) {
        const REAL *q = (const REAL *)cdq_learnt_row(rows, state[i], n_actions, sizeof(REAL));
        const uint8_t *mask = cdq_actions_of(model, state[i], n_actions, masked);
        uint32_t chosen = masked ? NAME(cdq_choice_allowed)(q, mask, n_actions, threshold, random[i])
                                 : NAME(cdq_act_by_guess)(q, &lanes->guesses, state[i], threshold, random[i],
                                                          n_actions, trusted);
        action[i] = chosen;
        NAME(cdq_prefetch_outcome)(model, (uint64_t)state[i] * (uint64_t)n_actions + chosen);
    }
}

CDQ_INLINE void NAME(cdq_act)(const cdq_rows *rows, const cdq_model *model, cdq_lanes *lanes, uint64_t threshold,
                              const int masked, const int trusted)
{
    if (masked) { /* rare, and each body takes a second to compile */
        NAME(cdq_act_among)(rows, model, lanes, threshold, rows->n_actions, 1, 0);
        return;
    }
#define CDQ_BODY(actions)                                                                                           \
    if (trusted)                                                                                                    \
        NAME(cdq_act_among)(rows, model, lanes, threshold, actions, 0, 1);                                          \
    else                                                                                                            \
        NAME(cdq_act_among)(rows, model, lanes, threshold, actions, 0, 0)
    CDQ_UNROLLED(rows->n_actions, CDQ_BODY)
#undef CDQ_BODY
}

CDQ_INLINE void NAME(cdq_sample_among)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes,
                                       const int64_t n_actions, const int64_t width)
{
    const uint32_t *restrict state = lanes->state, *restrict action = lanes->action;
    const uint64_t *restrict random = lanes->bits_outcome;
    uint32_t *restrict successor = lanes->successor;
    REAL *restrict reward = (REAL *)lanes->reward;
    const int64_t n = lanes->n;
    for (int64_t i = 0; i < n; i++) {
        uint64_t pair = (uint64_t)state[i] * (uint64_t)n_actions + action[i];
        successor[i] = NAME(cdq_outcome)(model, pair, random[i], reward + i, width);
        CDQ_PREFETCH(cdq_row(rows, CDQ_STATE(successor[i])));
    }
}

/* A body for environments that are deterministic, one for grids that slip, one for few outcomes and one for many. */
CDQ_INLINE void NAME(cdq_sample)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes,
                                 const int64_t n_actions)
{
    switch (model->width) {
    case 0: NAME(cdq_sample_among)(rows, model, lanes, n_actions, 0); break;
    case 1: NAME(cdq_sample_among)(rows, model, lanes, n_actions, 1); break;
    case 3: NAME(cdq_sample_among)(rows, model, lanes, n_actions, 3); break;
    default: NAME(cdq_sample_among)(rows, model, lanes, n_actions, model->width);
    }
}

CDQ_INLINE void NAME(cdq_targets_among)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes,
                                        REAL gamma, const int64_t n_actions, const int masked)
{
    const uint32_t *restrict successor = lanes->successor;
    const REAL *restrict reward = (const REAL *)lanes->reward;
    REAL *restrict target = (REAL *)lanes->target;
    const int64_t n = lanes->n;
    for (int64_t i = 0; i < n; i++) {
        uint32_t next_state = CDQ_STATE(successor[i]);
        REAL next = NAME(cdq_max_allowed)((const REAL *)cdq_learnt_row(rows, next_state, n_actions, sizeof(REAL)),
                                          cdq_actions_of(model, next_state, n_actions, masked), n_actions);
        target[i] = NAME(cdq_target_unless)((successor[i] & CDQ_TERMINATED) != 0, reward[i], gamma, next);
    }
}

CDQ_INLINE void NAME(cdq_targets)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes, REAL gamma,
                                  const int masked)
{
    if (masked) {
        NAME(cdq_targets_among)(rows, model, lanes, gamma, rows->n_actions, 1);
        return;
    }
#define CDQ_BODY(actions) NAME(cdq_targets_among)(rows, model, lanes, gamma, actions, 0)
    CDQ_UNROLLED(rows->n_actions, CDQ_BODY)
#undef CDQ_BODY
}

CDQ_INLINE void NAME(cdq_advance)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes,
                                  cdq_tally *tally, int64_t sweep, REAL gamma)
{
    const int64_t turns = gamma < 0; /* a game: what the other player gains is lost */
    const int64_t limit = model->time_limit, n = lanes->n;
    const uint32_t *restrict successor = lanes->successor;
    const REAL *restrict reward = (const REAL *)lanes->reward;
    uint32_t *restrict state = lanes->state;
    int64_t *restrict elapsed = lanes->elapsed;
    double *restrict returns = lanes->returns;
    int64_t ended = 0;
    for (int64_t i = 0; i < n; i++) {
        returns[i] += elapsed[i] & turns ? -(double)reward[i] : (double)reward[i];
        elapsed[i]++;
        ended |= (successor[i] >> 31) | (elapsed[i] == limit);
        state[i] = CDQ_STATE(successor[i]);
    }
    for (int64_t i = 0; ended && i < n; i++) {
        if ((successor[i] & CDQ_TERMINATED) || elapsed[i] == limit) {
            cdq_end_episode_after(tally, sweep, elapsed[i], returns[i]);
            returns[i] = 0;
            elapsed[i] = 0;
            state[i] = cdq_start(model, cdq_next_of_lane(lanes->words, n, i));
            CDQ_PREFETCH(cdq_row(rows, state[i]));
        }
    }
}

CDQ_INLINE void NAME(cdq_sweeps)(cdq_rows *rows, const cdq_law *law, const cdq_model *model, cdq_lanes *lanes,
                                 cdq_exploration *explore, cdq_tally *tally, REAL gamma, int64_t sweeps,
                                 const int masked)
{
    const int64_t n_actions = rows->n_actions;
    int trusted = 0;
    for (int64_t left = sweeps, n; left > 0; left -= n) {
        n = left < cdq_row_left(tally) ? left : cdq_row_left(tally);
        for (int64_t t = 0; t < n; t++) {
            if (lanes->n <= CDQ_FEW_LANES && t % CDQ_GUESS_SWEEPS == 0)
                trusted = cdq_trusted(&lanes->guesses);
            cdq_next_of_all(lanes->words, lanes->n, lanes->bits_action);
            cdq_next_of_all(lanes->words, lanes->n, lanes->bits_outcome);
            NAME(cdq_act)(rows, model, lanes, cdq_next_threshold(explore), masked, trusted);
            NAME(cdq_sample)(rows, model, lanes, n_actions);
            NAME(cdq_targets)(rows, model, lanes, gamma, masked);
            NAME(cdq_update)(rows, law, lanes->state, lanes->action, (const REAL *)lanes->target, NULL, lanes->n, n_actions);
            NAME(cdq_advance)(rows, model, lanes, tally, t, gamma);
        }
        cdq_tally_sweeps(tally, n);
    }
}

CDQ_CLONES static void NAME(cdq_window_of_q)(cdq_rows *rows, const cdq_law *law, const cdq_model *model,
                                             cdq_lanes *lanes, cdq_exploration *explore, cdq_tally *tally,
                                             REAL gamma, int64_t sweeps)
{
    if (model->actions)
        NAME(cdq_sweeps)(rows, law, model, lanes, explore, tally, gamma, sweeps, 1);
    else
        NAME(cdq_sweeps)(rows, law, model, lanes, explore, tally, gamma, sweeps, 0);
}

#include "loops/one_lane.h"
#include "table/personal.h"
#include "loops/window_by_rule.h"

static void NAME(cdq_window)(cdq_rows *rows, const cdq_law *law, const cdq_model *model, cdq_lanes *lanes,
                             cdq_exploration *explore, cdq_tally *tally, cdq_rule *rule, double gamma,
                             int64_t sweeps)
{
    if (cdq_is_by_rule(rule))
        NAME(cdq_window_by_rule)(rows, law, model, lanes, explore, tally, rule, gamma, sweeps);
    else if (lanes->n == 1 && !model->actions)
        NAME(cdq_window_of_one)(rows, law, model, lanes, explore, tally, (REAL)gamma, sweeps);
    else
        NAME(cdq_window_of_q)(rows, law, model, lanes, explore, tally, (REAL)gamma, sweeps);
}
