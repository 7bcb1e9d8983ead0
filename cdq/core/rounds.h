/* Rounds without Python: lengths of windows and exploration rates as the schedules of `cdq.schedules` have them, to the
 * bit, and looks at the merged table as `cdq.training.figures` takes them. */
#ifndef CDQ_ROUNDS_H
#define CDQ_ROUNDS_H

#include "table/rows.h"
#include <math.h>

typedef struct {
    double mass, floor, longest; /* lengths of windows; mass 0: they stay as they are */
    int kind; /* of exploration rates: constant, linear, exponential */
    double first, last, decay;
} cdq_pace;

typedef struct {
    int64_t at; /* steps from which on Python has something to do */
    int64_t until; /* time by which it has; 0: never */
    int64_t steps_per_look, most_rows; /* least steps between two looks at the table, and parts of all steps */
    int unseen, counts; /* whether there was no look, and whether clocks are added up */
    const uint8_t *known; /* pairs of which visits are counted; NULL: all */
    int64_t n_known, seen; /* their number, and that of those that were visited */
    int64_t tables; /* whose columns stand side by side */
} cdq_look;

/* Facts of a window that a worker tells the others, also those of other processes: pairs touched, and its request. */
typedef struct {
    int64_t n_log, request;
} cdq_board;

/* The exploration rate after so many steps. */
static inline double cdq_rate(const cdq_pace *pace, int64_t steps)
{
    double part = (double)steps / pace->decay;
    if (pace->kind == 0)
        return pace->first;
    if (pace->kind == 1)
        return pace->first + (pace->last - pace->first) * (part < 1.0 ? part : 1.0);
    return pace->last + (pace->first - pace->last) * exp(-part);
}

/* The length of the window after one of so many steps, whose round had that pooled mass. */
static inline double cdq_next_window(const cdq_pace *pace, double steps, double mass)
{
    if (pace->mass == 0)
        return steps;
    double factor = mass > 0 ? pace->mass / mass : 2.0;
    factor = factor < 0.5 ? 0.5 : factor > 2.0 ? 2.0 : factor;
    double window = steps * factor < pace->floor ? pace->floor : steps * factor;
    return window < pace->longest ? window : pace->longest;
}

/* Steps of each of *lanes* of a worker in a window, at least 1, where so many steps of *size* workers are left. */
static inline int64_t cdq_sweeps(double window, int64_t left, int64_t size, int64_t lanes)
{
    double needed = ceil((double)left / (double)(size * lanes)), wanted = ceil(window / (double)lanes);
    return (int64_t)(needed < wanted ? needed : wanted < 1 ? 1 : wanted);
}

/* Return 1 where the table is looked at after a round. */
static inline int cdq_is_due(const cdq_look *look, int64_t before, int64_t after)
{
    int64_t least = before / look->most_rows;
    int bits = 0;
    for (least = least < look->steps_per_look ? look->steps_per_look : least; least >> bits;)
        bits++;
    return look->unseen || after >> bits != before >> bits;
}

/* The clocks of a row of the merged table. */
static inline const uint32_t *cdq_clocks(const cdq_rows *rows, int64_t state)
{
    if (rows->alone)
        return (const uint32_t *)(cdq_row(rows, (uint32_t)state) + rows->n_actions * rows->real_size);
    return rows->clock + state * rows->n_actions;
}

/* Add up the clocks of the merged table, and count those above 0. */
static void cdq_count_clocks(const cdq_rows *rows, int64_t *total, int64_t *above_zero)
{
    int64_t sum = 0, count = 0;
    for (int64_t state = 0; state < rows->n_states; state++) {
        const uint32_t *clocks = cdq_clocks(rows, state);
        for (int64_t i = 0; i < rows->n_actions; i++) {
            sum += clocks[i];
            count += clocks[i] > 0;
        }
    }
    *total = sum;
    *above_zero = count;
}

/* Count the known pairs that were visited, in any of the tables; *visits* of a table alone are those beyond its clocks. */
static int64_t cdq_count_visited(const cdq_rows *rows, const int64_t *visits, const cdq_look *look)
{
    int64_t n_actions = rows->n_actions / look->tables, seen = 0;
    for (int64_t state = 0; state < rows->n_states; state++) {
        const int64_t *there = visits + state * rows->n_actions;
        const uint32_t *clocks = cdq_clocks(rows, state);
        for (int64_t action = 0; action < n_actions; action++) {
            int visited = 0;
            for (int64_t i = action; i < rows->n_actions; i += n_actions)
                visited |= there[i] || (rows->alone && clocks[i]);
            seen += visited && (!look->known || look->known[state * n_actions + action]);
        }
    }
    return seen;
}

#endif
