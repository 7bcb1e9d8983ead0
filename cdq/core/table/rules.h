/* Update rules; included once per type: REAL, NAME.
 *
 * A rule says what a successor is worth, and may say which column of a row is updated and which action comes next. A new
 * rule takes a number and a case in `cdq_next_value` here, and a line in `cdq/rules.py`: the loops ask for what they
 * need, and know no rule by name. Q-learning has loops of its own besides, unrolled by the number of actions.
 *
 * The hysteretic rule is Q-learning with another step size for errors below 0 (update.h).
 *
 * A rule that has several tables has their columns side by side: n_actions of the first, then those of the next. It
 * acts by their sum. */
#ifndef CDQ_RULES_H
#define CDQ_RULES_H

#include "table/mixed.h"
#include "table/rule.h"

enum { CDQ_Q_LEARNING, CDQ_EXPECTED_SARSA, CDQ_SARSA, CDQ_DOUBLE_Q, CDQ_HYSTERETIC };

#endif

#include "table/choice.h"

CDQ_INLINE uint32_t NAME(cdq_choice_of)(const REAL *q, const uint8_t *mask, int64_t n_actions, uint64_t threshold,
                                        uint64_t random)
{
    return mask ? NAME(cdq_choice_allowed)(q, mask, n_actions, threshold, random)
                : NAME(cdq_choice)(q, n_actions, threshold, random);
}

/* Values by which a lane acts: those of the only table, or the sums of both. */
CDQ_INLINE const REAL *NAME(cdq_acting_values)(const cdq_rule *rule, const REAL *q, const int64_t n_actions)
{
    REAL *sum = (REAL *)rule->sum;
    if (rule->tables == 1)
        return q;
    for (int64_t a = 0; a < n_actions; a++)
        sum[a] = q[a] + q[n_actions + a];
    return sum;
}

/* cdq_greedy on the sums of both tables, for up to 8 actions. They are added twice and not kept: a vector loaded over
 * what was just stored one by one waits for it (46 against 72 million steps/s). */
CDQ_INLINE uint32_t NAME(cdq_greedy_by_both)(const REAL *q, const int64_t n_actions, uint32_t bits)
{
    const uint32_t ties = NAME(cdq_sum_equal)(q, n_actions, n_actions, NAME(cdq_sum_max)(q, n_actions, n_actions));
    return cdq_nth_bit[ties][cdq_below(bits, (uint32_t)cdq_bits_set[ties])];
}

CDQ_INLINE uint32_t NAME(cdq_fresh_action)(const cdq_rule *rule, const REAL *q, const uint8_t *mask,
                                           const int64_t n_actions, uint64_t random)
{
    if (rule->tables == 1 || mask || n_actions > 8)
        return NAME(cdq_choice_of)(NAME(cdq_acting_values)(rule, q, n_actions), mask, n_actions, rule->threshold,
                                   random);
    uint32_t greedy = NAME(cdq_greedy_by_both)(q, n_actions, (uint32_t)random);
    return random >> 32 < rule->threshold ? cdq_below((uint32_t)random, (uint32_t)n_actions) : greedy;
}

/* The action of the worker's policy, else the one that was chosen ahead, or else a fresh choice. The word is mixed again for the target: a rule that needs
 * random bits takes none from the lane's stream. */
CDQ_INLINE uint32_t NAME(cdq_action_by_rule)(const cdq_rule *rule, const REAL *q, uint32_t state, const uint8_t *mask,
                                             const int64_t n_actions, int64_t lane)
{
    const uint32_t ahead = rule->next_action[lane];
    rule->target_random[lane] = cdq_mixed(rule->random[lane]);
    if (rule->policy) {
        const uint32_t action = cdq_action_by_policy(rule, state, n_actions, rule->random[lane]);
        if (!mask || mask[action]) /* else as if it had no policy */
            return action;
    }
    return ahead != CDQ_NO_ACTION ? ahead : NAME(cdq_fresh_action)(rule, q, mask, n_actions, rule->random[lane]);
}

/* The mean over the allowed actions; 0 where there is none. */
CDQ_INLINE REAL NAME(cdq_mean_value)(const REAL *q, const uint8_t *mask, const int64_t n_actions)
{
    REAL sum = 0, n = 0;
    if (!mask) {
        for (int64_t a = 0; a < n_actions; a++)
            sum += q[a];
        return sum / (REAL)n_actions;
    }
    for (int64_t a = 0; a < n_actions; a++) {
        sum += mask[a] ? q[a] : (REAL)0;
        n += (REAL)(mask[a] != 0);
    }
    return n == 0 ? (REAL)0 : sum / n;
}

/* The mean of an epsilon-greedy choice: greedy actions share what exploration leaves. 0 where no action is allowed. */
CDQ_INLINE REAL NAME(cdq_expected_value)(const REAL *q, const uint8_t *mask, const int64_t n_actions,
                                         uint64_t threshold)
{
    REAL epsilon = (REAL)((double)(int64_t)threshold / 4294967296.0);
    return ((REAL)1 - epsilon) * NAME(cdq_max_allowed)(q, mask, n_actions)
         + epsilon * NAME(cdq_mean_value)(q, mask, n_actions);
}

/* The value of the action that is chosen for the next sweep. */
CDQ_INLINE REAL NAME(cdq_sarsa_value)(const cdq_rule *rule, const REAL *q, const uint8_t *mask,
                                      const int64_t n_actions, int64_t lane)
{
    uint32_t next = NAME(cdq_choice_of)(q, mask, n_actions, rule->threshold, rule->target_random[lane]);
    rule->next_action[lane] = next;
    return next < n_actions ? q[next] : (REAL)0;
}

/* A coin says which table is updated; the best action of that one is worth what the other one says. */
CDQ_INLINE REAL NAME(cdq_double_value)(const cdq_rule *rule, const REAL *q, const uint8_t *mask,
                                       const int64_t n_actions, int64_t lane)
{
    uint64_t random = rule->target_random[lane];
    int64_t updated = (int64_t)(random >> 63) * n_actions; /* without a branch: no predictor foresees a coin */
    uint32_t best = mask ? NAME(cdq_choice_allowed)(q + updated, mask, n_actions, 0, random)
                         : NAME(cdq_greedy)(q + updated, n_actions, (uint32_t)random);
    rule->column[lane] += (uint32_t)updated;
    return best < n_actions ? q[n_actions - updated + best] : (REAL)0;
}

/* Worth of a lane's successor, whose row is *q*. The lane's column is its action when this is called. */
CDQ_INLINE REAL NAME(cdq_next_value)(const cdq_rule *rule, const REAL *q, const uint8_t *mask,
                                     const int64_t n_actions, int64_t lane)
{
    switch (rule->kind) {
    case CDQ_EXPECTED_SARSA: return NAME(cdq_expected_value)(q, mask, n_actions, rule->threshold);
    case CDQ_SARSA: return NAME(cdq_sarsa_value)(rule, q, mask, n_actions, lane);
    case CDQ_DOUBLE_Q: return NAME(cdq_double_value)(rule, q, mask, n_actions, lane);
    default: return NAME(cdq_max_allowed)(q, mask, n_actions);
    }
}
