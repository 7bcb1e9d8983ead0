/* The table of a worker. A state's row holds its values and, beside them, its counts, so that a step on a table in
 * DRAM misses once where separate arrays miss twice or more. A count is the pair's clock, which the step-size law
 * reads, and a flag: touched in this window. The log lists the touched pairs in order. Values and clocks as of the last
 * merge (the base) are the same for all workers; those of one process share them. A worker alone may have none. Then
 * its table is the merged one between windows, and its log lists every update and what the pair was before, which is
 * all that undoing takes. Nothing is flagged, so that closing a window does not fetch its rows again, which took a
 * quarter of the time of a table in DRAM. */
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
    /* (n_states * n_actions) each, base of the table's type; alone: as the log, and its own */
    void *base;
    uint32_t *clock;
    int alone;
    int64_t room; /* alone: entries of the log */
    int64_t n_log;
    int64_t n_states;
    int64_t n_actions;
    int64_t stride; /* bytes of a row */
    int64_t real_size; /* 4 or 8 */
    int64_t own_rows; /* the last ones, each of which one worker alone learns: they are not merged */
    int64_t n_aside; /* entries of the log, behind the others, that are of such rows */
    uint64_t inverse; /* 2^64 / n_actions, rounded up; 0 for a single action */
} cdq_rows;

/* The state of a pair, exact for 32-bit numbers: D. Lemire, O. Kaser, N. Kurz, "Faster remainder by direct
 * computation", 2019. Merging listed pairs divides several times for each; a division takes as long as the rest. */
CDQ_INLINE uint32_t cdq_state(const cdq_rows *rows, uint32_t pair)
{
#ifdef __SIZEOF_INT128__
    return rows->inverse ? (uint32_t)(((unsigned __int128)rows->inverse * pair) >> 64) : pair;
#else
    return pair / (uint32_t)rows->n_actions;
/* cdq_row of a table that is learnt: by a constant number of actions no multiplication is left. */
CDQ_INLINE unsigned char *cdq_learnt_row(const cdq_rows *rows, uint32_t state, const int64_t n_actions,
                                     const int64_t real_size)
{
    CDQ_CHECK(state < rows->n_states && rows->stride == cdq_row_size(n_actions, real_size));
    return rows->data + (size_t)state * (size_t)cdq_row_size(n_actions, real_size);
}

#endif
}

/* A step-size law as a table over the clock: counts below 2^bits have an entry each, larger ones share entries of
 * relative width 2^(1-bits). Within an entry the step size is constant, so the log of what visits keep of a value,
 * the sum over i <= count of ln(1 - alpha(i)), is a straight line: log_keep + slope * count. Both lie side by side, since
 * merging reads them together, anywhere in the table. */
typedef struct {
    int bits;
    const void *step_size; /* values of the table's type */
    const double (*lines)[2]; /* log_keep and slope */
    const uint32_t *allowance; /* ceil(c / step size): how far pooling may move the clock in a round */
} cdq_law;

/* The entry of a count below 2^31: its leading `bits` bits and its magnitude, read off its float form, which
 * vectorises. A float holds 24 bits: the lower ones of larger counts are dropped first, so that nothing rounds up. */
CDQ_INLINE uint32_t cdq_entry(uint32_t count, int bits)
{
    float exact = (float)(int32_t)(count < (1u << 24) ? count : count & ~0x7fu);
    uint32_t form;
    memcpy(&form, &exact, sizeof form);
    uint32_t entry = (form >> (24 - bits)) - ((uint32_t)(125 + bits) << (bits - 1));
    return count < (1u << (bits - 1)) ? count : entry;
}

/* cdq_entry of one count: the shift that leaves its `bits` leading bits, by the processor's search for the highest one. */
CDQ_INLINE uint32_t cdq_entry_of(uint32_t count, int bits)
{
#if defined(__GNUC__)
    int shift = (32 - bits) - __builtin_clz(count | (1u << (bits - 1)));
    return (count >> shift) + ((uint32_t)shift << (bits - 1));
#else
    return cdq_entry(count, bits);
#endif
}

/* Make room for `more` updates in the log of a worker alone. Without memory the process ends, as it does where there is
 * none for a row that is touched for the first time. */
CDQ_INLINE void cdq_reserve(cdq_rows *rows, int64_t more)
{
    if (!rows->alone || rows->n_log + more <= rows->room)
        return;
    rows->room = 2 * (rows->n_log + more);
    rows->log = realloc(rows->log, (size_t)rows->room * sizeof(uint32_t));
    rows->clock = realloc(rows->clock, (size_t)rows->room * sizeof(uint32_t));
    rows->base = realloc(rows->base, (size_t)(rows->room * rows->real_size));
    if (!rows->log || !rows->clock || !rows->base) {
        fprintf(stderr, "cdq: no memory for the log of a window\n");
        abort();
    }
}

/* Put the log's entries of rows that are not merged behind the others, whose order stays. */
CDQ_INLINE void cdq_set_aside(cdq_rows *rows)
{
    const uint32_t first = (uint32_t)((rows->n_states - rows->own_rows) * rows->n_actions);
    int64_t merged = 0;
    for (int64_t i = 0; i < rows->n_log; i++) {
        uint32_t pair = rows->log[i];
        if (pair < first) {
            rows->log[i] = rows->log[merged];
            rows->log[merged++] = pair;
        }
    }
    rows->n_aside = rows->n_log - merged;
    rows->n_log = merged;
}

/* The bytes of a row: values and counts, and what aligns the next row. */
CDQ_INLINE int64_t cdq_row_size(int64_t n_actions, int64_t real_size)
{
    return (n_actions * (real_size + 4) + real_size - 1) / real_size * real_size;
}

CDQ_INLINE unsigned char *cdq_row(const cdq_rows *rows, uint32_t state)
{
    CDQ_CHECK(state < rows->n_states);
    return rows->data + (size_t)state * (size_t)rows->stride;
}

/* cdq_row of a table that is learnt: by a constant number of actions no multiplication is left. */
CDQ_INLINE unsigned char *cdq_learnt_row(const cdq_rows *rows, uint32_t state, const int64_t n_actions,
                                     const int64_t real_size)
{
    CDQ_CHECK(state < rows->n_states && rows->stride == cdq_row_size(n_actions, real_size));
    return rows->data + (size_t)state * (size_t)cdq_row_size(n_actions, real_size);
}

#endif
