/* A block of pairs to merge, structure of arrays, and the functions of a single pair; included once per type: REAL, NAME.
 *
 * Per pair, worker k brings its value Q_k and its count, which is n_k visits above the clock; Q_0 is the base, and
 * L_k = sum over its visits of ln(1 - alpha), so that a_k = exp(L_k) is the weight its value still gives to Q_0. */

#ifndef CDQ_MERGE_BLOCK_H
#define CDQ_MERGE_BLOCK_H
#include "table/rows.h"

#define CDQ_BLOCK 128
/* Pairs of two of the longest vectors: a block is filled up to a multiple of them. */
#define CDQ_MARGIN 32
/* Bytes of a line of the caches, and of the longest vector. */
#define CDQ_LINE 64

/* Bytes of a block's arrays that are on the stack: memory of the system takes as long as a hundred pairs. */
#define CDQ_NEAR 12288

/* Counts of a law that merging tabulates, where it looks up three times as many. */
#define CDQ_TABLE 4096
/* Combinations of a clock and the visits since that pooling tabulates, where it looks up eight times as many: half a
 * second-level cache. */
#define CDQ_CHANGES 32768

/* Allowances of a law, which rise with the clock: the first one, the clocks from which on it is one more, and the clock
 * from which on they are looked up. */
#define CDQ_STEPS 4
typedef struct {
    uint32_t first, end, n, at[CDQ_STEPS];
} cdq_steps;

/* Visits of a block's pairs: (workers, CDQ_BLOCK) counts, which are an array per worker, what they sum up to, and the
 * clocks before and after. */
typedef struct {
    int64_t workers, n;
    const uint32_t *clock; /* of the table, or a copy */
    uint32_t *copied_clock, *total, *largest, *after, *counts;
    uint32_t bound, most; /* all bits of the counts, and of each worker's visits */
    int several; /* a pair has several visitors */
    cdq_steps steps;
} cdq_visited;

enum { CDQ_POOLED, CDQ_MEAN, CDQ_VISITS, CDQ_IMPORTANCE, CDQ_AFFINE, CDQ_SUM, CDQ_MAX, CDQ_CUSTOM };

/* phi(x) = (1 - e^x) / -x for x <= 0, without libm or cancellation: a 64th of Taylor's series at x / 64, whose terms hold
 * the powers of 64, which are exact; then six doublings by phi(2y) / 2 = phi(y) / 2 (1 + e^y) / 2, e^y = 1 + y phi(y), whose
 * halvings the 64th is. Below the limit it is -1 / x to the last bit. This is the form for one number; merge_rules.h has
 * that for vectors, with the same bits. */
#define CDQ_PHI_LIMIT -45
static const float cdq_series_float[] = {0x1p-6 / 1,   0x1p-12 / 2,   0x1p-18 / 6,    0x1p-24 / 24,    0x1p-30 / 120,
                                         0x1p-36 / 720, 0x1p-42 / 5040, 0x1p-48 / 40320, 0x1p-54 / 362880};
static const double cdq_series_double[] = {
    0x1p-6 / 1,        0x1p-12 / 2,        0x1p-18 / 6,         0x1p-24 / 24,         0x1p-30 / 120,
    0x1p-36 / 720,     0x1p-42 / 5040,     0x1p-48 / 40320,     0x1p-54 / 362880,     0x1p-60 / 3628800,
    0x1p-66 / 39916800, 0x1p-72 / 479001600, 0x1p-78 / 6227020800, 0x1p-84 / 87178291200, 0x1p-90 / 1307674368000};
#define CDQ_DEGREE ((int)(sizeof NAME(cdq_series) / sizeof(REAL)) - 1)

/* The first count of an entry: the inverse of cdq_entry. */
CDQ_INLINE uint32_t cdq_first_count(uint32_t entry, int bits)
{
    const uint32_t magnitude = entry >> (bits - 1), shift = magnitude ? magnitude - 1 : 0;
    return (entry - (shift << (bits - 1))) << shift;
}

/* The first steps of a law's allowances. */
static cdq_steps cdq_steps_of(const cdq_law *law)
{
    const uint32_t *allowance = law->allowance;
    const uint32_t entries = (1u << law->bits) + ((uint32_t)(32 - law->bits) << (law->bits - 1));
    cdq_steps steps = {allowance[0], 0, 0, {0}};
    uint32_t entry = 1;
    for (; entry < entries && allowance[entry] >= allowance[entry - 1]; entry++) {
        const uint32_t rise = allowance[entry] - allowance[entry - 1];
        if (rise > CDQ_STEPS - steps.n)
            break;
        for (uint32_t i = 0; i < rise; i++)
            steps.at[steps.n++] = cdq_first_count(entry, law->bits);
    }
    steps.end = cdq_first_count(entry, law->bits);
    return steps;
}

/* The sum over i <= count of ln(1 - alpha(i)). */
CDQ_INLINE double cdq_log_keep(const cdq_law *law, uint32_t count)
{
    const double *line = law->lines[cdq_entry(count, law->bits)];
    return line[0] + line[1] * (double)(int32_t)count;
}
#endif

CDQ_INLINE REAL NAME(cdq_exp)(REAL x)
{
    const REAL least = x < CDQ_PHI_LIMIT ? (REAL)CDQ_PHI_LIMIT : x;
    REAL phi = NAME(cdq_series)[CDQ_DEGREE];
    for (int i = CDQ_DEGREE - 1; i >= 0; i--)
        phi = phi * least + NAME(cdq_series)[i];
    REAL keep = (REAL)1 + least * phi;
    for (int i = 0; i < 6; i++) {
        phi *= (REAL)1 + keep;
        keep *= keep;
    }
    return (REAL)1 + x * (x < CDQ_PHI_LIMIT ? (REAL)-1 / x : phi);
}

/* Arrays with a dimension of workers are (workers, CDQ_BLOCK). There is a line in front of what is merged, for what waits
 * to be written (merge_load.h). */
typedef struct {
    cdq_visited v;
    const REAL *base; /* of the table, or a copy */
    REAL *copied_base, *merged, *values;
    REAL *log_keep; /* with a row behind those of the workers, which a rule may use */
    const double *table; /* log_keep of the counts below CDQ_TABLE, or NULL */
    double (*changes)[2]; /* CDQ_CHANGES changes of log_keep, by clock and visits, and phi of each; or NULL */
    uint32_t tabulated, visit_bits; /* clocks whose changes are there, and bits of the visits */
    uint32_t *entries; /* where the changes of the block's pairs are */
    int has_phi; /* log_keep holds weights already */
} NAME(cdq_block);

static int NAME(cdq_allocate)(NAME(cdq_block) * b, int64_t workers, int with_table, int with_changes,
                              unsigned char *near, unsigned char **memory)
{
    const size_t reals = sizeof(REAL) * CDQ_BLOCK, words = sizeof(uint32_t) * CDQ_BLOCK, all = (size_t)workers;
    const size_t table = with_table ? CDQ_TABLE * sizeof(double) : 0, line = CDQ_LINE;
    const size_t changes = with_changes ? CDQ_CHANGES * 2 * sizeof(double) : 0;
    const size_t arrays = 3 * reals + 4 * words + all * (2 * reals + 2 * words) + 5 * line;
    const size_t needed = changes + table + arrays;
    unsigned char *at = near;
    *memory = NULL;
    if (needed > CDQ_NEAR && !(at = *memory = malloc(needed)))
        return -1;
    memset(at + changes + table, 0, arrays); /* what is tabulated is written before it is read */
    at += line - (uintptr_t)at % line;
    b->v.workers = workers;
    b->changes = with_changes ? (double(*)[2])at : NULL;
    b->tabulated = b->visit_bits = 0;
    at += changes;
    b->table = with_table ? (double *)at : NULL;
    b->base = b->copied_base = (REAL *)(at += table);
    b->merged = (REAL *)(at += reals + line);
    b->v.total = (uint32_t *)(at += reals + line);
    b->v.after = (uint32_t *)(at += words + line);
    b->v.largest = (uint32_t *)(at += words);
    b->v.clock = b->v.copied_clock = (uint32_t *)(at += words);
    b->values = (REAL *)(at += words);
    b->log_keep = (REAL *)(at += all * reals);
    b->v.counts = (uint32_t *)(at += (all + 1) * reals);
    b->entries = (uint32_t *)(at += all * words);
    return 0;
}
