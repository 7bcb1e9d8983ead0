/* Rows of a history: those of rounds that were recorded, those within long windows, and fewer of them. */
#ifndef CDQ_HISTORY_H
#define CDQ_HISTORY_H

#include "loops/tally.h"
#include <math.h>

/* Parts of the steps of a run of which a history has a row at least, and two at most. */
enum { CDQ_CELLS = 512 };

/* A row, as `cdq.training.played.COLUMNS`. */
typedef struct {
    int64_t steps;
    double seconds, mean_return;
    int64_t episodes, rounds, bytes;
    double gap, mean_length, least_return, greatest_return, least_length, greatest_length;
    double epsilon, step_size, window, greedy_return, visited;
} cdq_moment;

/* Record of a worker's round, as `cdq.workers.stretches` has it. */
typedef struct {
    int64_t steps, nanoseconds, episodes;
    double return_sum;
    int64_t bytes, parts, clock_sum, clocks, visited;
} cdq_record;

/* Rounds, oldest first, of which rows are made. */
typedef struct {
    int64_t n, n_rows;
    const cdq_moment *own; /* after each round */
    const int64_t *starts, *workers, *pairs; /* steps before it, its workers, pairs of the table */
    const double *figures; /* (n_rows, CDQ_TALLY_WIDTH): episodes of each row */
    const int64_t *steps, *of; /* (n_rows,): steps at the end of the row, and its round */
} cdq_rounds_made;

/* Bits of a number from 0 on. */
static inline int cdq_bit_length(int64_t number)
{
#if defined(__GNUC__)
    return number > 0 ? 64 - __builtin_clzll((unsigned long long)number) : 0;
#else
    int bits = 0;
    while (number >> bits)
        bits++;
    return bits;
#endif
}

/* Bits of the steps of a cell, of which a run of so many steps has CDQ_CELLS at most. */
static inline int cdq_cell_bits(int64_t steps) { return cdq_bit_length(steps / CDQ_CELLS); }

/* Figures of the episodes of a row; the mean return is there already where the row is *alone* in its round. */
static inline void cdq_fill_episodes(cdq_moment *row, const double *figures, int alone)
{
    const int ended = figures[1] > 0;
    if (!alone)
        row->mean_return = ended ? figures[3] / figures[1] : NAN;
    row->mean_length = ended ? figures[2] / figures[1] : NAN;
    row->least_length = ended ? figures[4] : NAN;
    row->greatest_length = ended ? figures[5] : NAN;
    row->least_return = ended ? figures[6] : NAN;
    row->greatest_return = ended ? figures[7] : NAN;
}

/* A row within a window: seconds go in proportion to the steps, and nothing was measured. */
static inline void cdq_fill_inner(cdq_moment *row, const cdq_moment *before, const cdq_moment *after, int64_t start)
{
    int64_t length = after->steps - start > 1 ? after->steps - start : 1;
    double pace = (after->seconds - before->seconds) / (double)length;
    row->seconds = before->seconds + pace * (double)(row->steps - start);
    row->rounds = before->rounds;
    row->gap = row->greedy_return = NAN;
}

/* Fill in rows, of which *before* is the one before. A row for which a look at the table is
 * due, one of *most_rows* parts of the steps and so many for each pair, has what its round found there; others have
 * what the row before has. */
static void cdq_fill_rows(cdq_moment *rows, cdq_moment before, const cdq_rounds_made *made, int64_t steps_per_pair,
                          int64_t most_rows)
{
    int64_t ended = 0, steps = before.steps, round = -1;
    double step_size = before.step_size, visited = before.visited, window = NAN;
    int unseen = 1;
    cdq_moment earlier = before;
    for (int64_t i = 0; i < made->n_rows; i++) {
        cdq_moment *row = rows + i;
        const int begins = made->of[i] != round, ends = i + 1 == made->n_rows || made->of[i + 1] != made->of[i];
        if (begins && round >= 0)
            earlier = made->own[round];
        round = made->of[i];
        const cdq_moment *own = made->own + round;
        if (begins) {
            window = (double)(own->steps - earlier.steps) / (double)made->workers[round];
            unseen = unseen && isnan(earlier.visited);
            ended = 0;
        }
        const double *figures = made->figures + CDQ_TALLY_WIDTH * i;
        ended += (int64_t)figures[1];
        *row = *own;
        cdq_fill_episodes(row, figures, begins && ends);
        row->steps = made->steps[i];
        if (ends && round + 1 < made->n)
            row->bytes = own[1].bytes; /* known with the round after it */
        if (!ends) {
            row->episodes = earlier.episodes + ended;
            cdq_fill_inner(row, &earlier, own, made->starts[round]);
        }
        int64_t least = steps_per_pair * made->pairs[round], width = row->steps / most_rows;
        int bits = cdq_bit_length(width > least ? width : least);
        if (unseen || row->steps >> bits != steps >> bits) {
            step_size = own->step_size;
            visited = own->visited;
        }
        steps = row->steps;
        row->window = window;
        row->step_size = step_size;
        row->visited = visited;
    }
}

/* The sum of numbers as NumPy has it, to the bit: pairs of sums, whose errors grow like the logarithm of their number. */
static double cdq_sum_in_pairs(const double *numbers, int64_t n)
{
    double sum = 0, parts[8];
    if (n > 128) {
        int64_t half = n / 2 - n / 2 % 8;
        return cdq_sum_in_pairs(numbers, half) + cdq_sum_in_pairs(numbers + half, n - half);
    }
    int64_t i = 0;
    if (n >= 8) {
        memcpy(parts, numbers, sizeof parts);
        for (i = 8; i + 8 <= n; i += 8)
            for (int j = 0; j < 8; j++)
                parts[j] += numbers[i + j];
        sum = ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]));
    }
    for (; i < n; i++)
        sum += numbers[i];
    return sum;
}

/* The mean of a figure of episodes of *n* rows, of which each stands for the episodes since the one before, which had
 * *episodes*; *at* is the figure in the first row, and *numbers* is room for n numbers. */
static double cdq_mean_of(const cdq_moment *rows, int64_t n, int64_t episodes, const double *at, double *numbers)
{
    const ptrdiff_t figure = (const char *)at - (const char *)rows;
    int64_t all = rows[n - 1].episodes - episodes;
    for (int64_t i = 0; i < n; i++) {
        int64_t ended = rows[i].episodes - episodes;
        numbers[i] = ended > 0 ? (double)ended * *(const double *)((const char *)(rows + i) + figure) : 0.0;
        episodes = rows[i].episodes;
    }
    return all > 0 ? (numbers[0] + cdq_sum_in_pairs(numbers + 1, n - 1)) / (double)all : NAN;
}

/* The least of two numbers, of which either may be NaN, for none. */
static inline double cdq_least(double one, double other) { return isnan(one) || other < one ? other : one; }

/* The last of *n* rows, with the episodes of all of them; the row before had so many *episodes*. */
static cdq_moment cdq_merge_rows(const cdq_moment *rows, int64_t n, int64_t episodes, double *numbers)
{
    cdq_moment row = rows[n - 1];
    if (n == 1) /* it stays as it is, to the bit */
        return row;
    row.mean_return = cdq_mean_of(rows, n, episodes, &rows->mean_return, numbers);
    row.mean_length = cdq_mean_of(rows, n, episodes, &rows->mean_length, numbers);
    for (int64_t i = 0; i < n; i++) {
        row.least_return = cdq_least(row.least_return, rows[i].least_return);
        row.greatest_return = -cdq_least(-row.greatest_return, -rows[i].greatest_return);
        row.least_length = cdq_least(row.least_length, rows[i].least_length);
        row.greatest_length = -cdq_least(-row.greatest_length, -rows[i].greatest_length);
    }
    return row;
}

/* The row that stays of a part of the steps that begins at a row: the last one, or the last one that was measured;
 * *next* gets the first one of the part after it. */
static int64_t cdq_stays(const cdq_moment *rows, int64_t n, int64_t first, int bits, int64_t *next)
{
    int64_t i = first, measured = -1;
    for (; i < n && rows[i].steps >> bits == rows[first].steps >> bits; i++)
        if (!isnan(rows[i].gap) || !isnan(rows[i].greedy_return))
            measured = i;
    *next = i;
    return measured < 0 ? i - 1 : measured;
}

/* Thin rows into *kept*: a row of each cell of the steps, and the newest two. *numbers* is room for n numbers. Returns
 * their number. */
static int64_t cdq_thin(const cdq_moment *rows, int64_t n, cdq_moment *kept, double *numbers)
{
    /* A power of two, counted from 0: what was thinned before falls on the same grid, or on one half as fine. */
    const int bits = cdq_cell_bits(rows[n - 1].steps - rows[0].steps);
    int64_t n_kept = 0, first = 0, next = 0, episodes = 0, stays = -1;
    for (int64_t i = 0; i < n; i++) {
        if (i == next)
            stays = cdq_stays(rows, n, i, bits, &next);
        if (i == stays || i >= n - 2) {
            kept[n_kept++] = cdq_merge_rows(rows + first, i + 1 - first, episodes, numbers);
            episodes = rows[i].episodes;
            first = i + 1;
        }
    }
    return n_kept;
}

/* Take a part in: sums of the first four numbers, the least and the greatest of the others. */
static inline void cdq_take_in(double *restrict row, const double *restrict part)
{
    for (int i = 0; i < 4; i++)
        row[i] += part[i];
    if (part[1] > 0)
        for (int i = 4; i < CDQ_TALLY_WIDTH; i += 2) {
            row[i] = part[i] < row[i] ? part[i] : row[i];
            row[i + 1] = part[i + 1] > row[i + 1] ? part[i + 1] : row[i + 1];
        }
}

/* A row into which parts are taken; where no episode ends, least figures are infinite and greatest ones minus infinite. */
static inline void cdq_clear_row(double *row)
{
    for (int i = 0; i < 4; i++)
        row[i] = 0;
    for (int i = 4; i < CDQ_TALLY_WIDTH; i += 2) {
        row[i] = INFINITY;
        row[i + 1] = -INFINITY;
    }
}

/* Put the parts first .. last - 1 of all workers together: those of a worker, and then those of all. */
static void cdq_put_in_row(double *row, const double **parts, int64_t workers, int64_t first, int64_t last)
{
    double own[CDQ_TALLY_WIDTH];
    cdq_clear_row(row);
    for (int64_t k = 0; k < workers; k++) {
        cdq_clear_row(own);
        for (int64_t i = first; i < last; i++)
            cdq_take_in(own, parts[k] + CDQ_TALLY_WIDTH * i);
        cdq_take_in(row, own);
    }
}

/* Moments of rounds from the records of all workers, in rank order; they count on from *before*, whose bytes and seconds
 * are those at the start. */
static void cdq_fill_moments(cdq_moment *rows, int64_t n, const cdq_record **records, int64_t workers,
                             const cdq_moment *before)
{
    int64_t so_far = before->episodes;
    for (int64_t i = 0; i < n; i++) {
        int64_t episodes = 0, bytes = before->bytes;
        double return_sum = 0;
        for (int64_t k = 0; k < workers; k++) {
            episodes += records[k][i].episodes;
            return_sum += records[k][i].return_sum;
            bytes += records[k][i].bytes;
        }
        rows[i].steps = records[0][i].steps;
        rows[i].seconds = before->seconds + 1e-9 * (double)records[0][i].nanoseconds;
        rows[i].mean_return = episodes > 0 ? return_sum / (double)episodes : NAN;
        rows[i].episodes = so_far += episodes;
        rows[i].rounds = before->rounds + i + 1;
        rows[i].bytes = bytes;
    }
}

#endif
