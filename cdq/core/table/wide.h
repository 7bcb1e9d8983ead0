/* Rows that hold the values of several tasks, so that every transition teaches each; included once per type: REAL, NAME.
 *
 * The columns of an action are those of task 0, task 1 and so on, side by side, and of each task its parts (of a value
 * one, of successor features one for each feature). So the loops over tasks are over contiguous numbers, which the
 * compiler turns into vectors. A transition updates all columns of its action: their counts are equal, and the first
 * one is read. */

#include "table/choice.h"
#include "table/target.h"
#include "table/tasks.h"

/* Worth of an action's features, *psi*, to a task. */
CDQ_INLINE REAL NAME(cdq_worth)(const REAL *psi, const REAL *weight, const int64_t parts)
{
    REAL sum = 0;
    for (int64_t i = 0; i < parts; i++)
        sum += psi[i] * weight[i];
    return sum;
}

/* The value of each action to a task. */
CDQ_INLINE const REAL *NAME(cdq_values_to)(const cdq_wide *wide, const REAL *q, int64_t task)
{
    const int64_t columns = wide->tasks * wide->parts, first = task * wide->parts;
    const REAL *weight = (const REAL *)wide->weights + first;
    REAL *values = (REAL *)wide->acting;
    for (int64_t a = 0; a < wide->n_actions; a++)
        values[a] = wide->kind == CDQ_FEATURES ? NAME(cdq_worth)(q + a * columns + first, weight, wide->parts)
                                               : q[a * columns + task];
    return values;
}

/* cdq_greedy in a column of each action, for up to 8 actions. */
CDQ_INLINE uint32_t NAME(cdq_greedy_apart)(const REAL *q, const int64_t n_actions, int64_t columns, uint32_t bits)
{
    REAL best = q[0];
    uint32_t ties = 0;
    for (int64_t a = 1; a < n_actions; a++)
        best = q[a * columns] > best ? q[a * columns] : best;
    for (int64_t a = 0; a < n_actions; a++)
        ties |= (uint32_t)(q[a * columns] == best) << a;
    return cdq_nth_bit[ties][cdq_below(bits, (uint32_t)cdq_bits_set[ties])];
}

CDQ_INLINE void NAME(cdq_choose_apart)(const cdq_rows *rows, const cdq_wide *wide, uint64_t threshold,
                                       const uint64_t *restrict random, const uint32_t *restrict state,
                                       uint32_t *restrict action, int64_t n, const int64_t n_actions)
{
    for (int64_t i = 0; i < n; i++) {
        const REAL *q = (const REAL *)cdq_row(rows, state[i]) + wide->task[i];
        uint32_t bits = (uint32_t)random[i], greedy = NAME(cdq_greedy_apart)(q, n_actions, wide->tasks, bits);
        action[i] = random[i] >> 32 < threshold ? cdq_below(bits, (uint32_t)n_actions) : greedy;
    }
}

/* The choice of every lane for its own task. */
static void NAME(cdq_wide_choose)(const cdq_rows *rows, const cdq_wide *wide, uint64_t threshold,
                                  const uint64_t *random, const uint32_t *state, const uint8_t *masks,
                                  uint32_t *action, int64_t n)
{
    const int64_t n_actions = wide->n_actions;
    if (!masks && n_actions <= 8 && wide->kind != CDQ_FEATURES) {
#define CDQ_BODY(actions) NAME(cdq_choose_apart)(rows, wide, threshold, random, state, action, n, actions)
        CDQ_UNROLLED(n_actions, CDQ_BODY)
#undef CDQ_BODY
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const REAL *values = NAME(cdq_values_to)(wide, (const REAL *)cdq_row(rows, state[i]), wide->task[i]);
        action[i] = masks ? NAME(cdq_choice_allowed)(values, masks + i * n_actions, n_actions, threshold, random[i])
                          : NAME(cdq_choice)(values, n_actions, threshold, random[i]);
    }
}

static void NAME(cdq_wide_choose_lowest)(const cdq_rows *rows, const cdq_wide *wide, const uint32_t *state,
                                         const uint8_t *masks, uint32_t *action, int64_t n)
{
    const int64_t n_actions = wide->n_actions;
    for (int64_t i = 0; i < n; i++) {
        const REAL *values = NAME(cdq_values_to)(wide, (const REAL *)cdq_row(rows, state[i]), wide->task[i]);
        action[i] = NAME(cdq_lowest_greedy)(values, masks ? masks + i * n_actions : NULL, n_actions);
    }
}

/* The largest value to each task among the actions that the mask (NULL: every one) allows; 0 where it allows none. */
CDQ_INLINE void NAME(cdq_best_to_all)(const REAL *restrict q, const uint8_t *mask, REAL *restrict best, int64_t tasks,
                                      const int64_t n_actions)
{
    int64_t first = 0;
    while (mask && first < n_actions && !mask[first])
        first++;
    if (first == n_actions) {
        memset(best, 0, (size_t)tasks * sizeof(REAL));
        return;
    }
    if (!mask) {
        for (int64_t t = 0; t < tasks; t++) {
            REAL most = q[t];
            for (int64_t a = 1; a < n_actions; a++)
                most = q[a * tasks + t] > most ? q[a * tasks + t] : most;
            best[t] = most;
        }
        return;
    }
    memcpy(best, q + first * tasks, (size_t)tasks * sizeof(REAL));
    for (int64_t a = first + 1; a < n_actions; a++)
        for (int64_t t = 0; mask[a] && t < tasks; t++)
            best[t] = q[a * tasks + t] > best[t] ? q[a * tasks + t] : best[t];
}

/* The features to each task of the action that is the best to it, the lowest among equals. Every part of a value
 * bootstraps from the action that their sum chooses: parts that each take their own maximum chase what no action
 * gives. */
CDQ_INLINE void NAME(cdq_features_of)(const cdq_wide *wide, const REAL *restrict q, const uint8_t *mask,
                                      REAL *restrict next, const int64_t parts, const int64_t n_actions)
{
    const int64_t columns = wide->tasks * parts;
    for (int64_t first = 0; first < columns; first += parts) {
        const REAL *weight = (const REAL *)wide->weights + first;
        int64_t best = -1;
        REAL most = 0;
        for (int64_t a = 0; a < n_actions; a++) {
            if (mask && !mask[a])
                continue;
            REAL worth = NAME(cdq_worth)(q + a * columns + first, weight, parts);
            int better = best < 0 || worth > most;
            most = better ? worth : most;
            best = better ? a : best;
        }
        for (int64_t i = 0; i < parts; i++)
            next[first + i] = best < 0 ? (REAL)0 : q[best * columns + first + i];
    }
}

CDQ_INLINE void NAME(cdq_features_to_all)(const cdq_wide *wide, const REAL *q, const uint8_t *mask, REAL *next,
                                          const int64_t n_actions)
{
    switch (wide->parts) {
    case 2: NAME(cdq_features_of)(wide, q, mask, next, 2, n_actions); break;
    case 3: NAME(cdq_features_of)(wide, q, mask, next, 3, n_actions); break;
    case 4: NAME(cdq_features_of)(wide, q, mask, next, 4, n_actions); break;
    default: NAME(cdq_features_of)(wide, q, mask, next, wide->parts, n_actions);
    }
}

/* Targets of all columns of a lane's transition, on top of what the successor is worth in each, *target*. */
CDQ_INLINE void NAME(cdq_complete)(const cdq_wide *wide, REAL *restrict target, int64_t lane, REAL discount,
                                   const int64_t columns)
{
    const double *restrict signal = wide->signal[lane];
    if (wide->kind == CDQ_GOALS) {
        for (int64_t t = 0; t < columns; t++)
            target[t] = NAME(cdq_target)(0, discount, target[t]);
        if (wide->goal[lane] >= 0)
            target[wide->goal[lane]] = 1;
    } else if (wide->kind == CDQ_REWARDS) {
        for (int64_t t = 0; t < columns; t++)
            target[t] = NAME(cdq_target)((REAL)signal[t], discount, target[t]);
    } else {
        for (int64_t t = 0; t < columns; t += wide->parts)
            for (int64_t i = 0; i < wide->parts; i++)
                target[t + i] = NAME(cdq_target)((REAL)signal[i], discount, target[t + i]);
    }
}

CDQ_INLINE void NAME(cdq_wide_targets)(const cdq_rows *rows, const cdq_wide *wide, const cdq_wide_steps *steps,
                                       const int64_t n_actions, const int64_t columns, const int masked)
{
    for (int64_t i = 0; i < steps->n; i++) {
        if (steps->active && !steps->active[i])
            continue;
        const REAL *q = (const REAL *)cdq_row(rows, steps->successor[i]);
        const uint8_t *mask = masked && steps->masks ? steps->masks + i * n_actions : NULL;
        REAL *target = (REAL *)wide->target + i * columns;
        if (wide->kind == CDQ_FEATURES)
            NAME(cdq_features_to_all)(wide, q, mask, target, n_actions);
        else
            NAME(cdq_best_to_all)(q, mask, target, columns, n_actions);
        NAME(cdq_complete)(wide, target, i, (REAL)steps->discount[i], columns);
    }
}

/* Count a visit in all columns of a pair and log them; return the step size. */
CDQ_INLINE REAL NAME(cdq_touch_all)(cdq_rows *rows, const cdq_law *law, const REAL *q, uint32_t *restrict count,
                                    uint32_t first, const int64_t columns, const int alone)
{
    const uint32_t before = count[0], touched = alone ? 0 : CDQ_TOUCHED, after = (before + 1) | touched;
    if (alone || !(before & CDQ_TOUCHED)) {
        uint32_t *restrict log = rows->log + rows->n_log;
        for (int64_t c = 0; c < columns; c++)
            log[c] = first + (uint32_t)c;
        if (alone) {
            memcpy((REAL *)rows->base + rows->n_log, q, (size_t)columns * sizeof(REAL));
            memcpy(rows->clock + rows->n_log, count, (size_t)columns * sizeof(uint32_t));
        }
        rows->n_log += columns;
    }
    for (int64_t c = 0; c < columns; c++)
        count[c] = after;
    return ((const REAL *)law->step_size)[cdq_entry(CDQ_COUNT(after), law->bits)];
}

/* Q(s, a) += alpha (target - Q(s, a)) for all tasks, and all lanes in order. */
CDQ_INLINE void NAME(cdq_wide_update_of)(cdq_rows *rows, const cdq_law *law, const cdq_wide *wide,
                                         const cdq_wide_steps *steps, const int64_t columns, const int alone)
{
    cdq_rows table = *rows;
    const cdq_law sizes = *law;
    for (int64_t i = 0; i < steps->n; i++) {
        if (steps->active && !steps->active[i])
            continue;
        const int64_t at = (int64_t)steps->action[i] * columns;
        CDQ_CHECK(at < table.n_actions);
        REAL *row = (REAL *)cdq_row(&table, steps->state[i]), *restrict q = row + at;
        uint32_t *count = (uint32_t *)(row + table.n_actions) + at;
        const REAL *restrict target = (const REAL *)wide->target + i * columns;
        uint32_t first = steps->state[i] * (uint32_t)table.n_actions + (uint32_t)at;
        REAL alpha = NAME(cdq_touch_all)(&table, &sizes, q, count, first, columns, alone);
        for (int64_t c = 0; c < columns; c++)
            q[c] += alpha * (target[c] - q[c]);
    }
    rows->n_log = table.n_log;
}

/* Few numbers of columns have a body of their own: each takes seconds to compile. */
CDQ_INLINE void NAME(cdq_wide_update)(cdq_rows *rows, const cdq_law *law, const cdq_wide *wide,
                                      const cdq_wide_steps *steps)
{
    const int64_t columns = wide->tasks * wide->parts;
    cdq_reserve(rows, steps->n * columns);
    if (rows->alone)
        NAME(cdq_wide_update_of)(rows, law, wide, steps, columns, 1);
    else if (columns == 16)
        NAME(cdq_wide_update_of)(rows, law, wide, steps, 16, 0);
    else
        NAME(cdq_wide_update_of)(rows, law, wide, steps, columns, 0);
}

CDQ_CLONES static void NAME(cdq_wide_learn)(cdq_rows *rows, const cdq_law *law, const cdq_wide *wide,
                                            const cdq_wide_steps *steps)
{
    const int64_t columns = wide->tasks * wide->parts;
#define CDQ_BODY(actions) NAME(cdq_wide_targets)(rows, wide, steps, actions, columns, 1)
    if (columns == 16 && wide->n_actions == 4 && wide->kind != CDQ_FEATURES && !steps->masks)
        NAME(cdq_wide_targets)(rows, wide, steps, 4, 16, 0);
    else
        CDQ_UNROLLED(wide->n_actions, CDQ_BODY)
#undef CDQ_BODY
    NAME(cdq_wide_update)(rows, law, wide, steps);
}
