/* A window of a single lane by Q-learning: the same steps as those of the phases in window.h, whose numbers stay in
 * registers; included once per type, after window.h's phases: REAL, NAME. */

#include "table/few.h"
#define CDQ_GUESSES 1024

CDQ_INLINE void NAME(cdq_steps_of_one)(cdq_rows *rows, const cdq_law *law, const cdq_model *model, cdq_lanes *lanes,
                                       cdq_exploration *explore, cdq_episodes *done, const REAL gamma, int64_t steps,
                                       const int64_t n_actions, const int logging)
{
    const int64_t turns = gamma < 0, width = model->width, limit = model->time_limit;
    const cdq_law sizes = *law;
    const cdq_model source = *model;
    cdq_rows table = *rows;
    uint64_t *words = lanes->words, w0 = words[0], w1 = words[1], w2 = words[2], w3 = words[3];
    uint32_t state = lanes->state[0];
    int64_t elapsed = lanes->elapsed[0];
    double gained = lanes->returns[0];
    uint8_t guesses[CDQ_GUESSES] = {0};
    for (; steps > 0; steps--) {
        uint64_t for_action = cdq_next(&w0, &w1, &w2, &w3), for_outcome = cdq_next(&w0, &w1, &w2, &w3);
        REAL *q = (REAL *)cdq_row_of(&table, state, n_actions, sizeof(REAL)), reward;
        const uint32_t bits = (uint32_t)for_action, explores = -(uint32_t)(for_action >> 32 < cdq_next_threshold(explore));
        const uint32_t uniform = cdq_below(bits, (uint32_t)n_actions), greedy = NAME(cdq_greedy)(q, n_actions, bits);
        uint32_t guess = guesses[state % CDQ_GUESSES], successor;
        uint32_t action = guess ^ ((guess ^ uniform) & explores);
        if (__builtin_expect(((guess ^ greedy) & ~explores) != 0, 0)) {
            guesses[state % CDQ_GUESSES] = (uint8_t)greedy;
            action = greedy;
            __asm__ volatile ("" : "+r"(action));
        }
        const uint64_t pair = (uint64_t)state * (uint64_t)n_actions + action;
        if (width == 1)
            successor = NAME(cdq_outcome)(&source, pair, for_outcome, &reward, 1);
        else if (width == 3)
            successor = NAME(cdq_outcome)(&source, pair, for_outcome, &reward, 3);
        else
            successor = NAME(cdq_outcome)(&source, pair, for_outcome, &reward, width);
        const REAL *after = (const REAL *)cdq_row_of(&table, CDQ_STATE(successor), n_actions, sizeof(REAL));
        const REAL target = NAME(cdq_target_unless)((successor & CDQ_TERMINATED) != 0, reward, gamma,
                                                    NAME(cdq_best_of)(after, n_actions));
        const REAL alpha = NAME(cdq_touch)(&table, &sizes, state, action, n_actions, logging);
        q[action] += alpha * (target - q[action]);
        gained += elapsed & turns ? -(double)reward : (double)reward;
        elapsed++;
        state = CDQ_STATE(successor);
        if (successor & CDQ_TERMINATED || elapsed == limit) {
            cdq_end_episode(done, elapsed, gained);
            gained = 0;
            elapsed = 0;
            state = cdq_start(&source, cdq_next(&w0, &w1, &w2, &w3));
        }
    }
    words[0] = w0, words[1] = w1, words[2] = w2, words[3] = w3;
    lanes->state[0] = state;
    lanes->elapsed[0] = elapsed;
    lanes->returns[0] = gained;
    rows->n_log = table.n_log;
}

CDQ_CLONES static void NAME(cdq_window_of_one)(cdq_rows *rows, const cdq_law *law, const cdq_model *model,
                                               cdq_lanes *lanes, cdq_exploration *explore, cdq_episodes *done,
                                               REAL gamma, int64_t steps)
{
    cdq_reserve(rows, steps);
#define CDQ_STEPS(actions, logging)                                                                                 \
    NAME(cdq_steps_of_one)(rows, law, model, lanes, explore, done, gamma, steps, actions, logging)
#define CDQ_BODY(actions)                                                                                           \
    if (rows->alone)                                                                                                \
        CDQ_STEPS(actions, CDQ_EVERY_UPDATE);                                                                       \
    else                                                                                                            \
        CDQ_STEPS(actions, CDQ_FIRST_TOUCHES)
    CDQ_UNROLLED(rows->n_actions, CDQ_BODY)
#undef CDQ_BODY
#undef CDQ_STEPS
}
