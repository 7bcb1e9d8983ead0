/* A window on a model by any update rule; included once per type, after window.h, whose phases these are: REAL, NAME. The
 * rule has a say in three of them: which action, which target and which column. A body serves all rules, masks and
 * numbers of actions, and two the most common ones: each takes seconds to compile. */

CDQ_INLINE void NAME(cdq_act_by_rule)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes,
                                      const cdq_rule *given, const int64_t n_actions)
{
    const cdq_rows table = *rows; /* copies, which no store can change: the compiler holds them in registers */
    const cdq_rule rule = *given;
    const cdq_model source = *model;
    const uint32_t *restrict states = lanes->state;
    uint32_t *restrict action = lanes->action;
    const int64_t n = lanes->n;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t state = states[i];
        const uint8_t *mask = cdq_actions_of(&source, state, n_actions, source.actions != NULL);
        const REAL *q = NAME(cdq_values_at)(&table, &rule, state);
        const uint32_t chosen = NAME(cdq_action_by_rule)(&rule, q, state, mask, n_actions, i);
        action[i] = chosen;
        NAME(cdq_prefetch_outcome)(&source, (uint64_t)state * (uint64_t)n_actions + chosen);
    }
}

CDQ_INLINE void NAME(cdq_targets_by_rule)(const cdq_rows *rows, const cdq_model *model, const cdq_lanes *lanes,
                                          const cdq_rule *given, REAL gamma, const int64_t n_actions)
{
    const cdq_rows table = *rows;
    const cdq_rule rule = *given;
    const cdq_model source = *model;
    const uint32_t *restrict successors = lanes->successor, *restrict action = lanes->action;
    const REAL *restrict reward = (const REAL *)lanes->reward;
    REAL *restrict target = (REAL *)lanes->target;
    const int64_t n = lanes->n;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t next_state = CDQ_STATE(successors[i]);
        const uint8_t *mask = cdq_actions_of(&source, next_state, n_actions, source.actions != NULL);
        rule.column[i] = action[i];
        const int terminated = (successors[i] & CDQ_TERMINATED) != 0;
        REAL next = NAME(cdq_next_value)(&rule, NAME(cdq_values_at)(&table, &rule, next_state), mask, n_actions, i);
        target[i] = NAME(cdq_target_unless)(terminated, reward[i], gamma, next);
        NAME(cdq_note_common_target)(&table, &rule, next_state, mask, reward[i], terminated ? (REAL)0 : gamma, i);
    }
}

CDQ_INLINE void NAME(cdq_sweeps_by_rule)(cdq_rows *rows, const cdq_law *law, const cdq_model *model, cdq_lanes *lanes,
                                         cdq_exploration *explore, cdq_tally *tally, cdq_rule *rule, REAL gamma,
                                         int64_t sweeps, const int64_t n_actions)
{
    const int64_t n = lanes->n;
    rule->random = lanes->bits_action;
    for (int64_t left = sweeps, made; left > 0; left -= made) {
        made = left < cdq_row_left(tally) ? left : cdq_row_left(tally);
        for (int64_t t = 0; t < made; t++) {
            cdq_next_of_all(lanes->words, n, lanes->bits_action);
            cdq_next_of_all(lanes->words, n, lanes->bits_outcome);
            rule->threshold = cdq_next_threshold(explore);
            NAME(cdq_act_by_rule)(rows, model, lanes, rule, n_actions);
            NAME(cdq_sample)(rows, model, lanes, n_actions);
            NAME(cdq_targets_by_rule)(rows, model, lanes, rule, gamma, n_actions);
            NAME(cdq_update_both)(rows, rule, law, lanes->state, (const REAL *)lanes->target, NULL, n);
            NAME(cdq_advance)(rows, model, lanes, tally, t, gamma);
            for (int64_t i = 0; i < n; i++)
                if (!lanes->elapsed[i]) /* an episode begins */
                    rule->next_action[i] = CDQ_NO_ACTION;
        }
        cdq_tally_sweeps(tally, made);
    }
}

CDQ_CLONES static void NAME(cdq_window_by_rule)(cdq_rows *rows, const cdq_law *law, const cdq_model *model,
                                                cdq_lanes *lanes, cdq_exploration *explore, cdq_tally *tally,
                                                cdq_rule *rule, double gamma, int64_t sweeps)
{
    const int64_t n_actions = rows->n_actions / rule->tables;
    if (n_actions == 4)
        NAME(cdq_sweeps_by_rule)(rows, law, model, lanes, explore, tally, rule, (REAL)gamma, sweeps, 4);
    else if (n_actions == 6)
        NAME(cdq_sweeps_by_rule)(rows, law, model, lanes, explore, tally, rule, (REAL)gamma, sweeps, 6);
    else
        NAME(cdq_sweeps_by_rule)(rows, law, model, lanes, explore, tally, rule, (REAL)gamma, sweeps, n_actions);
}
