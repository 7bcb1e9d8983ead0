/* Rounds without Python: lengths of windows, rates and laws of step sizes as `cdq.schedules` has them, to the bit, and
 * looks at the merged table as `cdq.training.figures` takes them. */
#ifndef CDQ_ROUNDS_H
#define CDQ_ROUNDS_H

#include "loops/history.h"
#include "table/rows.h"
#include <math.h>

enum { CDQ_CONSTANT, CDQ_LINEAR, CDQ_EXPONENTIAL, CDQ_TABULATED };

/* A rate that follows from the steps: one that stays, goes to another one, or lies on lines between *n* knots. */
typedef struct {
    int kind;
    double first, last, decay;
    const int64_t *knots;
    const double *rates;
    int64_t n;
} cdq_rate;

typedef struct {
    double mass, floor, longest; /* mass 0: they stay as they are */
} cdq_lengths;

/* Bytes of two lines of the caches, which processors fetch together. */
#define CDQ_APART 128

/* Entries of a law of one step size for every count. */
#define CDQ_ENTRIES 33

/* A law of step sizes that follow from the steps. */
typedef struct {
    cdq_rate rate;
    double mass, scale; /* that a round may add to a clock; factor of the step size */
    double now; /* step size of which the entries are; NaN: they are not filled in */
    double step_size[CDQ_ENTRIES], lines[CDQ_ENTRIES][2];
    uint32_t allowance[CDQ_ENTRIES];
} cdq_decay;

typedef struct {
    int64_t at; /* steps from which on Python has something to do */
    int64_t until; /* time by which it has; 0: never */
    int64_t steps_per_look, most_rows; /* least steps between two looks at the table, and parts of all steps */
    int unseen, counts; /* whether there was no look, and whether clocks are added up */
    const uint8_t *known; /* pairs of which visits are counted; NULL: all */
    int64_t n_known, seen; /* their number, and that of those that were visited */
    int64_t tables; /* whose columns stand side by side */
} cdq_look;

/* Facts of a window that a worker tells the others, also those of other processes: pairs touched, its request, and
 * whether it met states that were new, which no other process sees. */
typedef struct {
    int64_t n_log, request, grown;
} cdq_board;

/* A board that shares no line of the caches with what stands beside it: others read it while its worker writes there. */
typedef struct {
    char before[CDQ_APART];
    cdq_board board;
    char behind[CDQ_APART];
} cdq_own_board;

/* The number of pairs that a worker of another process says to have touched; 0 where a table has not so many. */
static inline int64_t cdq_told_log(const cdq_board *board, const cdq_rows *rows)
{
    const int64_t n_log = board->n_log;
    return n_log >= 0 && n_log <= rows->n_states * rows->n_actions ? n_log : 0;
}

/* The rate on the lines between knots, after so many steps. */
static double cdq_tabulated(const cdq_rate *rate, int64_t steps)
{
    int64_t low = 0, high = rate->n; /* the first knot beyond is among them */
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (rate->knots[middle] > steps)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == rate->n)
        return rate->rates[low - 1];
    int64_t begin = rate->knots[low - 1], end = rate->knots[low];
    double first = rate->rates[low - 1], last = rate->rates[low];
    double value = first + (last - first) * ((double)(steps - begin) / (double)(end - begin));
    return value < 0.0 ? 0.0 : value > 1.0 ? 1.0 : value;
}

/* The rate after so many steps. */
static inline double cdq_rate_at(const cdq_rate *rate, int64_t steps)
{
    if (rate->kind == CDQ_CONSTANT)
        return rate->first;
    if (rate->kind == CDQ_TABULATED)
        return cdq_tabulated(rate, steps);
    double part = (double)steps / rate->decay;
    if (rate->kind == CDQ_LINEAR)
        return rate->first + (rate->last - rate->first) * (part < 1.0 ? part : 1.0);
    return rate->last + (rate->first - rate->last) * exp(-part);
}

/* Fill in a law of one step size, of values of *real_size* bytes, as `cdq.schedules.laws` does. */
static void cdq_fill_law(cdq_decay *decay, double rate, int64_t real_size)
{
    const double size = rate * decay->scale, slope = rate < 1 ? log1p(-rate) : -50.0;
    const double allowed = ceil(fmin(decay->mass / fmax(rate, 1e-12), 2147483647.0));
    double before = 0;
    for (int i = 0; i < CDQ_ENTRIES; i++) {
        const double first = i ? (double)(1u << (i - 1)) : 0.0; /* count of the entry, which has as many */
        if (real_size == 4)
            ((float *)decay->step_size)[i] = (float)size;
        else
            decay->step_size[i] = size;
        decay->lines[i][1] = i ? slope : 0.0;
        decay->lines[i][0] = before - decay->lines[i][1] * (i > 1 ? first - 1 : 0.0);
        decay->allowance[i] = (uint32_t)allowed;
        before += decay->lines[i][1] * first;
    }
    decay->now = rate;
}

/* The law after so many steps, whose arrays are those of *decay*. */
static inline cdq_law cdq_law_at(cdq_decay *decay, int64_t steps, int64_t real_size)
{
    const double rate = cdq_rate_at(&decay->rate, steps);
    if (rate != decay->now)
        cdq_fill_law(decay, rate, real_size);
    return (cdq_law){1, decay->step_size, (const double (*)[2])decay->lines, decay->allowance};
}

/* The length of the window after one of so many steps, whose round had that pooled mass. */
static inline double cdq_next_window(const cdq_lengths *lengths, double steps, double mass)
{
    if (lengths->mass == 0)
        return steps;
    double factor = mass > 0 ? lengths->mass / mass : 2.0;
    factor = factor < 0.5 ? 0.5 : factor > 2.0 ? 2.0 : factor;
    double window = steps * factor < lengths->floor ? lengths->floor : steps * factor;
    return window < lengths->longest ? window : lengths->longest;
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

/* Record what is seen of the table after a round; *look* is NULL where nobody looks. */
static void cdq_record_look(cdq_record *record, const cdq_rows *rows, const int64_t *visits, cdq_look *look)
{
    record->clock_sum = 0;
    record->clocks = record->visited = -1;
    if (!look)
        return;
    if (look->counts)
        cdq_count_clocks(rows, &record->clock_sum, &record->clocks);
    if (look->seen < look->n_known) /* visits stay: pairs that were all visited are so from then on */
        look->seen = cdq_count_visited(rows, visits, look);
    record->visited = look->seen;
    look->unseen = look->n_known == 0;
}

#endif
