/* Tasks that wide rows (wide.h) hold the values of, and what is kept of them for the lanes of a loop. */
#ifndef CDQ_TASKS_H
#define CDQ_TASKS_H

#include "table/rows.h"

enum { CDQ_GOALS, CDQ_REWARDS, CDQ_FEATURES };

typedef struct {
    int kind;
    int64_t n_actions, tasks, parts;
    const void *weights; /* (tasks, parts) of the table's type: what each feature is worth to each task */
    uint32_t *task; /* (n,): the task that a lane acts for */
    int32_t *goal; /* (n,): the task whose goal a lane has entered, or -1 */
    const double **signal; /* (n,): of a lane's transition, rewards of all tasks, or features */
    void *acting; /* scratch, (n_actions,) */
    void *target; /* scratch, (n, tasks * parts) */
} cdq_wide;

typedef struct {
    int64_t n;
    const uint32_t *state, *successor, *action;
    const double *discount; /* 0: the episode terminated */
    const uint8_t *masks, *active; /* masks of the successors; both may be NULL */
} cdq_wide_steps;
#endif
