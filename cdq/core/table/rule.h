/* State that update rules (rules.h) keep for the lanes of a loop. */
#ifndef CDQ_RULE_H
#define CDQ_RULE_H

#include "base.h"

#define CDQ_NO_ACTION 0xffffffffu

typedef struct {
    int kind;
    int64_t tables;
    uint64_t threshold; /* exploration of this sweep, in units of 2^-32 */
    const uint64_t *random; /* words to choose this sweep's actions, one a lane */
    uint64_t *target_random; /* (n,): words for its targets, which a choice of actions leaves */
    uint32_t *column; /* (n,): what is updated */
    uint32_t *next_action; /* (n,): the action of the next sweep, or CDQ_NO_ACTION where it is yet to be chosen */
    double beta; /* step size of errors below 0, of the rule that has one */
    void *sum; /* scratch, (n_actions,) */
    /* a policy by which the worker acts: per row and action the chance of this or an earlier one, in units of 2^-32; NULL
     * where it acts by the values */
    const uint64_t *policy;
    /* a table of the worker's own (personal.h): rows between a common row and the worker's, 0 where there is none */
    int64_t own;
    double prior, memory;
    uint32_t *own_row; /* scratch, (n,) */
    void *blend, *common_target; /* scratch, (columns,) and (n,) */
} cdq_rule;

/* Lanes begin something, an episode or a window: their next actions are yet to be chosen. */
CDQ_INLINE void cdq_forget_actions(const cdq_rule *rule, int64_t first, int64_t count)
{
    for (int64_t i = first; i < first + count; i++)
        rule->next_action[i] = CDQ_NO_ACTION;
}

/* The action that the policy takes in a state; the upper half of the random bits says which. */
CDQ_INLINE uint32_t cdq_action_by_policy(const cdq_rule *rule, uint32_t state, int64_t n_actions, uint64_t random)
{
    const uint64_t *until = rule->policy + (size_t)state * (size_t)n_actions;
    uint32_t action = 0;
    while (action + 1 < n_actions && random >> 32 >= until[action])
        action++;
    return action;
}
#endif
