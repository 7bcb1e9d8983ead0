/* Figures of the episodes that end in a window, counted in parts of the window one after another. */
#ifndef CDQ_TALLY_H
#define CDQ_TALLY_H

#include "base.h"

/* Numbers of a part, as they are handed on: steps; episodes, sums of their lengths and returns; the least and the
 * greatest length, and return; zeros where no episode ended. */
#define CDQ_TALLY_WIDTH 8

typedef struct {
    int64_t episodes, length_sum, least_length, greatest_length;
    double return_sum, least_return, greatest_return;
    double return_sum_of_all; /* of the window so far: a sum of sums has other bits */
} cdq_episodes;

typedef struct {
    cdq_episodes part, whole; /* the row in hand, but for its sum of returns, and the rows before it; of these only counts */
    int64_t lanes, sweeps, done, begun; /* sweeps of the window, those made, and those before the row */
    int64_t n_parts, index, end; /* of the part in hand, in sweeps */
    int64_t length, rest, over; /* sweeps of a part at least, and those that are left over: in all, and by the end */
    double return_sum; /* of the parts of the row that ended: a sum of sums */
    int64_t before, pace, cut; /* steps of all workers before the window and per sweep; sweeps where a cell ends */
    int64_t row_end; /* sweeps by which the row in hand ends */
    int bits; /* of a cell of steps */
    double *parts; /* (n_parts, CDQ_TALLY_WIDTH), or NULL */
    int64_t n_rows; /* of these that are filled */
} cdq_tally;

CDQ_INLINE void cdq_end_episode(cdq_episodes *part, int64_t length, double result)
{
    int first = part->episodes == 0;
    part->least_length = first || length < part->least_length ? length : part->least_length;
    part->greatest_length = first || length > part->greatest_length ? length : part->greatest_length;
    part->least_return = first || result < part->least_return ? result : part->least_return;
    part->greatest_return = first || result > part->greatest_return ? result : part->greatest_return;
    part->episodes++;
    part->length_sum += length;
    part->return_sum += result;
    part->return_sum_of_all += result;
}

/* Let the part in hand end after the sweep sweeps * (index + 1) / n_parts, rounded down; a division would take as long
 * as a step. */
static inline void cdq_end_part_later(cdq_tally *tally)
{
    tally->end += tally->length;
    tally->over += tally->rest;
    if (tally->over >= tally->n_parts) {
        tally->over -= tally->n_parts;
        tally->end++;
    }
}

/* Sweeps that are left of the row in hand. Loops go so far without a look at its parts, which are short: a part in
 * which no episode ends has nothing to say, and the others end when a later episode does. */
static inline int64_t cdq_row_left(const cdq_tally *tally) { return tally->row_end - tally->done; }

/* Find where the row ends whose first part is the one in hand: with the last part that ends in the same cell. */
static inline void cdq_find_cut(cdq_tally *tally)
{
    tally->row_end = tally->end;
    if (!tally->pace)
        return; /* each part is a row */
    int64_t cell = (tally->before + tally->end * tally->pace) >> tally->bits;
    tally->cut = (((cell + 1) << tally->bits) - tally->before + tally->pace - 1) / tally->pace;
    if (tally->cut > tally->sweeps)
        tally->row_end = tally->sweeps;
    else if (tally->cut > tally->end) /* the part in which the cell ends is the next row's first one */
        tally->row_end = tally->sweeps * ((tally->cut * tally->n_parts - 1) / tally->sweeps) / tally->n_parts;
}

/* End the row in hand. */
static inline void cdq_end_row(cdq_tally *tally)
{
    cdq_episodes *part = &tally->part, *whole = &tally->whole;
    if (tally->parts) {
        double *row = tally->parts + CDQ_TALLY_WIDTH * tally->n_rows++;
        row[0] = (double)((tally->done - tally->begun) * tally->lanes);
        row[1] = (double)part->episodes;
        row[2] = (double)part->length_sum;
        row[3] = tally->return_sum;
        row[4] = (double)part->least_length;
        row[5] = (double)part->greatest_length;
        row[6] = part->least_return;
        row[7] = part->greatest_return;
    }
    whole->episodes += part->episodes;
    whole->length_sum += part->length_sum;
    double return_sum_of_all = part->return_sum_of_all;
    memset(part, 0, sizeof *part);
    part->return_sum_of_all = return_sum_of_all;
    tally->begun = tally->done;
    tally->return_sum = 0;
}

/* End the part in hand, and its row where the next part ends in another cell; loops over lanes hold no copies of this. */
static CDQ_NOINLINE void cdq_end_part(cdq_tally *tally)
{
    tally->return_sum += tally->part.return_sum;
    tally->part.return_sum = 0;
    tally->index++;
    cdq_end_part_later(tally);
    if (tally->index == tally->n_parts || tally->end >= tally->cut) {
        cdq_end_row(tally);
        cdq_find_cut(tally);
    }
}

/* Take note of sweeps, no more than are left of the row. */
static inline void cdq_tally_sweeps(cdq_tally *tally, int64_t sweeps)
{
    tally->done += sweeps;
    while (tally->index < tally->n_parts && tally->end <= tally->done)
        cdq_end_part(tally);
}

/* Count an episode that ends in the sweep after so many that the tally does not know of yet. */
CDQ_INLINE void cdq_end_episode_after(cdq_tally *tally, int64_t sweeps, int64_t length, double result)
{
    while (tally->end <= tally->done + sweeps)
        cdq_end_part(tally);
    cdq_end_episode(&tally->part, length, result);
}

/* Counts and sums of the window so far. */
static inline cdq_episodes cdq_whole(const cdq_tally *tally)
{
    cdq_episodes whole = tally->whole;
    whole.episodes += tally->part.episodes;
    whole.length_sum += tally->part.length_sum;
    whole.return_sum = tally->part.return_sum_of_all;
    return whole;
}

/* Part i of n ends after the sweep sweeps * (i + 1) / n, rounded down, and may have none; *parts* may be NULL, with
 * one part. Each is a row. */
static inline cdq_tally cdq_begin_tally(double *parts, int64_t n_parts, int64_t lanes, int64_t sweeps)
{
    cdq_tally tally = {0};
    tally.parts = parts;
    tally.n_parts = n_parts;
    tally.lanes = lanes;
    tally.sweeps = sweeps;
    tally.length = sweeps / n_parts;
    tally.rest = sweeps % n_parts;
    cdq_end_part_later(&tally);
    cdq_find_cut(&tally);
    cdq_tally_sweeps(&tally, 0);
    return tally;
}

/* Put parts together that end in one cell of 2^bits steps of *size* workers, of which there were so many before: they
 * are one row of a history. */
static inline void cdq_put_together(cdq_tally *tally, int64_t before, int64_t size, int bits)
{
    tally->before = before;
    tally->pace = tally->lanes * size;
    tally->bits = bits;
    cdq_find_cut(tally);
}

#endif
