/* Outcomes of a model whose rewards are the numbers of its outcomes; included once per type, after sample.h: REAL,
 * NAME. */

CDQ_INLINE void NAME(cdq_draw_numbered)(const cdq_model *model, const uint32_t *restrict state,
                                        const uint32_t *restrict action, const uint64_t *restrict random,
                                        uint32_t *restrict successor, int64_t *restrict outcome, int64_t n,
                                        int64_t n_actions, const int few)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t pair = (uint64_t)state[i] * (uint64_t)n_actions + action[i];
        REAL number;
        successor[i] = few ? NAME(cdq_outcome_of_record)(model, pair, random[i], &number)
                           : NAME(cdq_outcome_of_alias)(model, pair, random[i], &number);
        outcome[i] = (int64_t)number;
    }
}

/* Draw what the actions of all lanes lead to, *successor* with CDQ_TERMINATED where that ends the episode. */
static void NAME(cdq_sample_numbered)(const cdq_model *model, const uint32_t *state, const uint32_t *action,
                                      const uint64_t *random, uint32_t *successor, int64_t *outcome, int64_t n,
                                      int64_t n_actions)
{
    if (model->width)
        NAME(cdq_draw_numbered)(model, state, action, random, successor, outcome, n, n_actions, 1);
    else
        NAME(cdq_draw_numbered)(model, state, action, random, successor, outcome, n, n_actions, 0);
}
