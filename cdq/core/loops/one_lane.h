/* A window of a single lane by Q-learning; included once per type, after table/update.h: REAL, NAME. Its steps are
 * those of a sweep in window.h, with numbers that stay in registers, and guesses of greedy actions (guesses.h). */

#ifndef CDQ_ONE_LANE_H
#define CDQ_ONE_LANE_H
#include "loops/guesses.h"

/* A lane while it is learnt on: no store to memory can change it, so the compiler holds it in registers. */
typedef struct {
    uint64_t word[4];
    uint32_t state;
    int64_t elapsed;
    double gained;
} cdq_one;

CDQ_INLINE uint64_t cdq_next_of_one(cdq_one *lane)
{
    return cdq_next(lane->word, lane->word + 1, lane->word + 2, lane->word + 3);
}
#endif

CDQ_INLINE void NAME(cdq_step_of_one)(cdq_rows *table, const cdq_law *law, const cdq_model *model, cdq_one *lane,
                                      cdq_guesses *guesses, uint64_t threshold, REAL gamma, cdq_tally *tally,
                                      int64_t made, const int64_t n_actions, const int logging, const int trusted)
{
    const uint64_t for_action = cdq_next_of_one(lane), for_outcome = cdq_next_of_one(lane);
    const uint32_t state = lane->state;
    REAL *q = (REAL *)cdq_learnt_row(table, state, n_actions, sizeof(REAL)), reward;
    const uint32_t action = NAME(cdq_act_by_guess)(q, guesses, state, threshold, for_action, n_actions, trusted);
    const uint64_t pair = (uint64_t)state * (uint64_t)n_actions + action;
    const uint32_t successor = model->width == 1   ? NAME(cdq_outcome)(model, pair, for_outcome, &reward, 1)
                               : model->width == 3 ? NAME(cdq_outcome)(model, pair, for_outcome, &reward, 3)
                                                   : NAME(cdq_outcome)(model, pair, for_outcome, &reward, model->width);
    lane->state = CDQ_STATE(successor);
    const REAL *after = (const REAL *)cdq_learnt_row(table, lane->state, n_actions, sizeof(REAL));
    const REAL next = NAME(cdq_row_max)(after, n_actions);
    const REAL target = NAME(cdq_target_unless)((successor & CDQ_TERMINATED) != 0, reward, gamma, next);
    const REAL alpha = NAME(cdq_touch)(table, law, state, action, n_actions, logging);
    q[action] += alpha * (target - q[action]);
    lane->gained += gamma < 0 && lane->elapsed & 1 ? -(double)reward : (double)reward; /* as in cdq_advance */
    lane->elapsed++;
    if (successor & CDQ_TERMINATED || lane->elapsed == model->time_limit) {
        cdq_end_episode_after(tally, made, lane->elapsed, lane->gained);
        lane->gained = 0;
        lane->elapsed = 0;
        lane->state = cdq_start(model, cdq_next_of_one(lane));
    }
}

CDQ_INLINE void NAME(cdq_steps_of_one)(cdq_rows *rows, const cdq_law *law, const cdq_model *model, cdq_lanes *lanes,
                                       cdq_exploration *explore, cdq_tally *tally, const REAL gamma,
                                       const int64_t steps, const int64_t n_actions, const int logging)
{
    const cdq_law sizes = *law;
    const cdq_model source = *model;
    cdq_rows table = *rows;
    cdq_one lane;
    memcpy(lane.word, lanes->words, sizeof lane.word);
    lane.state = lanes->state[0], lane.elapsed = lanes->elapsed[0], lane.gained = lanes->returns[0];
#define CDQ_STEP(trusted)                                                                                           \
    NAME(cdq_step_of_one)(&table, &sizes, &source, &lane, &lanes->guesses, cdq_next_threshold(explore), gamma, tally, \
                          steps - left - n, n_actions, logging, trusted)
    for (int64_t left = steps, n; left > 0;) {
        n = left < CDQ_GUESS_STEPS ? left : CDQ_GUESS_STEPS;
        left -= n;
        if (cdq_trusted(&lanes->guesses))
            for (; n > 0; n--)
                CDQ_STEP(1);
        for (; n > 0; n--)
            CDQ_STEP(0);
    }
#undef CDQ_STEP
    memcpy(lanes->words, lane.word, sizeof lane.word);
    lanes->state[0] = lane.state, lanes->elapsed[0] = lane.elapsed, lanes->returns[0] = lane.gained;
    rows->n_log = table.n_log;
}

CDQ_CLONES static void NAME(cdq_window_of_one)(cdq_rows *rows, const cdq_law *law, const cdq_model *model,
                                               cdq_lanes *lanes, cdq_exploration *explore, cdq_tally *tally,
                                               REAL gamma, int64_t steps)
{
    const int logging = rows->alone ? CDQ_EVERY_UPDATE : CDQ_FIRST_TOUCHES;
#define CDQ_BODY(actions)                                                                                           \
    NAME(cdq_steps_of_one)(rows, law, model, lanes, explore, tally, gamma, n, actions, logging)
    cdq_reserve(rows, steps);
    for (int64_t left = steps, n; left > 0; left -= n) {
        n = left < cdq_row_left(tally) ? left : cdq_row_left(tally);
        CDQ_UNROLLED(rows->n_actions, CDQ_BODY)
        cdq_tally_sweeps(tally, n);
    }
#undef CDQ_BODY
}
