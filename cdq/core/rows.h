/* The table of a worker. A state's row holds its values and, beside them, its counts, so that a step on a table in
 * DRAM misses once where separate arrays miss twice or more. A count is the pair's clock, which the step-size law
 * reads, and a flag: touched in this window. The log lists the touched pairs in order. Values and clocks as of the last
 * merge (the base) are the same for all workers; those of one process share them. */
#ifndef CDQ_ROWS_H
#define CDQ_ROWS_H

#include "base.h"

#define CDQ_TOUCHED 0x80000000u
#define CDQ_COUNT(count) ((count) & 0x7fffffffu)
/* Clocks saturate here, so that a window's visits never reach the flag; the step-size laws are constant beyond. */
#define CDQ_CLOCK_LIMIT 0x40000000u

typedef struct {
    unsigned char *data;
    uint32_t *log;
    void *base; /* (n_states * n_actions), of the table's type */
    uint32_t *clock; /* (n_states * n_actions) */
    int64_t n_log;
    int64_t n_states;
    int64_t n_actions;
    int64_t stride; /* bytes of a row */
    int64_t real_size; /* 4 or 8 */
} cdq_rows;

/* A step-size law as a table over the clock: counts below 2^bits have an entry each, larger ones share entries of
 * relative width 2^(1-bits). Within an entry the step size is constant, so the log of what a visit keeps is piecewise
 * linear in the clock, and exact. Entry 0 is count 0: its slope is 0. */
typedef struct {
    int bits;
    const void *step_size; /* of the table's type */
    const double *log_keep; /* the sum of ln(1 - step size) over the counts before the entry's first */
    const double *slope; /* ln(1 - step size) of the entry */
    const uint32_t *allowance; /* ceil(c / step size): how far pooling may move the clock in a round */
} cdq_law;

CDQ_INLINE int cdq_entry_shift(uint32_t count, int bits)
{
    int shift = (31 - __builtin_clz(count | 1)) - (bits - 1);
    return shift < 0 ? 0 : shift;
}

CDQ_INLINE uint32_t cdq_entry(uint32_t count, int bits)
{
    int shift = cdq_entry_shift(count, bits);
    return ((uint32_t)shift << (bits - 1)) + (count >> shift);
}

/* Sum over i <= count of ln(1 - alpha(i)). */
CDQ_INLINE double cdq_log_keep(const cdq_law *law, uint32_t count)
{
    int shift = cdq_entry_shift(count, law->bits);
    uint32_t entry = ((uint32_t)shift << (law->bits - 1)) + (count >> shift);
    uint32_t within = (count & ((1u << shift) - 1)) + 1;
    return law->log_keep[entry] + (double)(int32_t)within * law->slope[entry];
}

CDQ_INLINE unsigned char *cdq_row(const cdq_rows *rows, uint32_t state)
{
    CDQ_CHECK(state < rows->n_states);
    return rows->data + (size_t)state * (size_t)rows->stride;
}

#endif
