/* Merging a slice of the pairs, block by block; included once per type: REAL, NAME. */

#ifndef CDQ_MERGE_SLICE_H
#define CDQ_MERGE_SLICE_H

/* Bytes ahead of which memory that is read in order is asked for, at least a block: a third of a first-level cache. */
#ifndef CDQ_BYTES_AHEAD
#define CDQ_BYTES_AHEAD 12288
#endif

/* A rule of the user's: gets the block's arrays, writes merged, returns 0 or a failure. */
typedef int (*cdq_custom)(void *context, int64_t workers, int64_t n, const void *base, const void *values,
                          const uint32_t *visits, const uint32_t *clock, const void *log_keep, void *merged);

typedef struct {
    int rule, needs_mass;
    const cdq_law *law, **laws; /* everybody's law, by which clocks go on; laws of the workers, where they differ */
    int64_t workers; /* those whose windows are merged */
    const cdq_rows *own; /* its base and clocks are everybody's */
    const cdq_rows **tables; /* tables of all workers, where memory is shared; else NULL */
    cdq_slice *slices; /* slices that travelled here from every worker */
    const uint32_t *pairs; /* ascending; NULL: first .. first + count - 1 */
    const uint64_t *touches; /* of these pairs (listed.h) */
    int64_t n_touches;
    int64_t first, count;
    unsigned char *out; /* cdq_slice_bytes of the merged slice */
    cdq_custom custom;
    void *context;
    const cdq_merge_kernels *kernels;
} cdq_merge_job;

/* Tabulate log_keep of the counts below CDQ_TABLE. */
static void cdq_tabulate(const cdq_merge_kernels *kernels, const cdq_law *law, double *table)
{
    uint32_t counts[CDQ_BLOCK] __attribute__((aligned(64)));
    for (int64_t first = 0; first < CDQ_TABLE; first += CDQ_BLOCK) {
        for (int64_t i = 0; i < CDQ_BLOCK; i++)
            counts[i] = (uint32_t)(first + i);
        kernels->log_keeps(law, counts, table + first, CDQ_BLOCK);
    }
}

/* Changes to tabulate where so many are looked up: whole blocks. */
CDQ_INLINE int64_t cdq_room_of_changes(int64_t looked_up)
{
    const int64_t room = looked_up / 8 < CDQ_MOST_CHANGES ? looked_up / 8 : CDQ_MOST_CHANGES;
    return room < CDQ_LEAST_CHANGES ? 0 : room / CDQ_BLOCK * CDQ_BLOCK;
}

#include "merge/listed.h"
#endif

/* The values and counts of those who touched listed pairs, from a touch on; returns the first one beyond the block. */
CDQ_INLINE int64_t NAME(cdq_load_touches)(NAME(cdq_block) * b, const cdq_merge_job *job, int64_t at, int64_t cursor)
{
    const uint32_t *pairs = job->pairs + at;
    for (int64_t k = 0; k < job->workers; k++)
        NAME(cdq_load_untouched)(b, k);
    for (int64_t i = 0; cursor < job->n_touches; cursor++) {
        uint32_t *count, pair = cdq_touched_pair(job->touches[cursor]), k = (uint32_t)job->touches[cursor];
        i += pair != pairs[i];
        if (i == b->v.n)
            break;
        if (job->tables) {
            b->values[k * CDQ_BLOCK + i] = *NAME(cdq_place)(job->tables[k], pair, &count);
            b->v.counts[k * CDQ_BLOCK + i] = *count;
        } else {
            cdq_slice *slice = job->slices + k;
            b->values[k * CDQ_BLOCK + i] = ((const REAL *)slice->values)[slice->cursor];
            b->v.counts[k * CDQ_BLOCK + i] = slice->visits[slice->cursor++];
        }
    }
    return cursor;
}

CDQ_INLINE void NAME(cdq_load)(NAME(cdq_block) * b, const cdq_merge_job *job, int64_t at, int64_t *cursor)
{
    NAME(cdq_load_base)(b, job->own, job->first + at, job->pairs ? job->pairs + at : NULL);
    if (job->pairs)
        *cursor = NAME(cdq_load_touches)(b, job, at, *cursor);
    for (int64_t k = 0; !job->pairs && k < job->workers; k++) {
        if (job->slices)
            NAME(cdq_load_slice)(b, job->slices + k, k, job->first + at);
        else
            NAME(cdq_load_rows)(b, job->kernels, job->tables[k], k, job->first + at);
    }
    NAME(cdq_fill_up)(b);
}

/* A block is too short for the processor to notice that it is one of a stream. What is asked for at once would wait in a
 * line, and while a block is merged nothing would be on its way: a quarter of it is asked for after each step. Rows of
 * tables in shared memory, whose number of a block is 0 where there are none. */
CDQ_INLINE void NAME(cdq_prefetch_rows)(const cdq_merge_job *job, int64_t state, int64_t n, int quarter)
{
    const int64_t streams = job->workers + 2, end = streams * (quarter + 1) / 4, n_actions = job->own->n_actions;
    const int64_t left = (job->first + job->count) / n_actions - state;
    n = n < left ? n : left;
    for (int64_t k = streams * quarter / 4; n > 0 && k < end; k++) {
        const void *stream = job->own->clock + state * n_actions;
        int64_t bytes = n_actions * 4;
        if (k < job->workers) {
            stream = cdq_row(job->tables[k], (uint32_t)state);
            bytes = job->tables[k]->stride;
        } else if (k == job->workers) {
            stream = (const REAL *)job->own->base + state * n_actions;
            bytes = n_actions * (int64_t)sizeof(REAL);
        }
        cdq_prefetch_stream(stream, n * bytes);
    }
}

/* Listed pairs lie anywhere: all that a block will need is asked for a block ahead. Returns the first touch beyond. */
CDQ_INLINE int64_t NAME(cdq_prefetch_touches)(const cdq_merge_job *job, int64_t first, int64_t n, int64_t cursor)
{
    n = n < job->count - first ? n : job->count - first;
    for (int64_t i = 0; i < n; i++) {
        CDQ_PREFETCH((const REAL *)job->own->base + job->pairs[first + i]);
        CDQ_PREFETCH(job->own->clock + job->pairs[first + i]);
    }
    for (; job->tables && n > 0 && cursor < job->n_touches; cursor++) {
        uint32_t *count, pair = cdq_touched_pair(job->touches[cursor]);
        if (pair > job->pairs[first + n - 1])
            break;
        REAL *value = NAME(cdq_place)(job->tables[(uint32_t)job->touches[cursor]], pair, &count);
        CDQ_PREFETCH(value);
        CDQ_PREFETCH(count);
    }
    return cursor;
}

/* Tabulate changes of log_keep, and their phi, up to the clocks and visits of a block. Returns 0 where these are beyond
 * the table. */
static int NAME(cdq_tabulate_changes)(NAME(cdq_block) * b, const cdq_merge_kernels *kernels)
{
    uint32_t bits = b->visit_bits;
    if (b->v.bound >= CDQ_TABLE || b->v.most >= CDQ_TABLE)
        return 0;
    while (b->v.most >> bits)
        bits++;
    if ((b->v.bound + 1) << bits > b->room)
        return 0;
    if (bits != b->visit_bits)
        b->tabulated = 0;
    b->visit_bits = bits;
    for (; b->tabulated < (b->v.bound + 1) << bits; b->tabulated += CDQ_BLOCK) {
        REAL phi[CDQ_BLOCK] __attribute__((aligned(CDQ_LINE)));
        double(*changes)[2] = b->changes + b->tabulated;
        for (uint32_t i = 0; i < CDQ_BLOCK; i++) {
            const uint32_t entry = b->tabulated + i, clock = entry >> bits, count = clock + (entry & ((1u << bits) - 1));
            changes[i][0] = b->table[count % CDQ_TABLE] - b->table[clock]; /* no larger count occurs */
            phi[i] = (REAL)changes[i][0];
        }
        kernels->NAME(phis)(phi, 1, CDQ_BLOCK, 0);
        for (uint32_t i = 0; i < CDQ_BLOCK; i++)
            changes[i][1] = phi[i];
    }
    return 1;
}

/* Merge a block; returns 0 or what the user's rule returned. */
CDQ_INLINE int NAME(cdq_combine)(NAME(cdq_block) * b, const cdq_merge_job *job, cdq_header *header)
{
    const cdq_merge_kernels *kernels = job->kernels;
    int failure = 0;
    header->visits += kernels->count(&b->v, job->law);
    b->has_phi = b->changes && b->v.several && NAME(cdq_tabulate_changes)(b, kernels);
    if (job->needs_mass)
        header->mass += kernels->NAME(mass)(b, job->law, job->laws);
    if (job->rule == CDQ_CUSTOM) {
        for (int64_t k = 0; k < b->v.workers; k++)
            for (int64_t i = 0; i < b->v.n; i++)
                b->v.counts[k * CDQ_BLOCK + i] -= b->v.clock[i];
        failure = job->custom(job->context, b->v.workers, b->v.n, b->base, b->values, b->v.counts, b->v.clock, b->log_keep,
                              b->merged);
    }
    kernels->NAME(rule)(b, job->rule);
    return failure;
}

/* Begin a merged slice: its header, pairs, and padding before the visits, as nothing that was in memory before may
 * travel. Its *streams* are values, visits and clocks. */
CDQ_INLINE void NAME(cdq_begin_slice)(const NAME(cdq_block) * b, const cdq_merge_job *job, cdq_stream *streams)
{
    *(cdq_header *)job->out = (cdq_header){job->pairs ? -1 : job->first, job->count, 0, 0};
    cdq_slice out = cdq_open_slice(job->out, 1, sizeof(REAL));
    REAL *end = (REAL *)out.values + job->count;
    memset(end, 0, (size_t)((const char *)out.visits - (const char *)end));
    if (job->pairs)
        memcpy((uint32_t *)out.pairs, job->pairs, (size_t)job->count * sizeof(uint32_t));
    streams[0] = (cdq_stream){(unsigned char *)out.values, (unsigned char *)b->merged, 0, sizeof(REAL)};
    streams[1] = (cdq_stream){(unsigned char *)out.visits, (unsigned char *)b->v.total, 0, 4};
    streams[2] = (cdq_stream){(unsigned char *)out.after, (unsigned char *)b->v.after, 0, 4};
}

/* Merge block by block, each of up to *step* pairs; returns 0 or what the user's rule returned. */
CDQ_INLINE int NAME(cdq_merge_blocks)(NAME(cdq_block) * b, const cdq_merge_job *job, cdq_stream *streams, int64_t step)
{
    void (*copy_past)(void *, const void *, int64_t) = job->count > CDQ_LARGE_SLICE ? job->kernels->copy_past : NULL;
    const int64_t block = step * (job->workers + 1) * (int64_t)(sizeof(REAL) + 4);
    const int64_t ahead = step * (block < CDQ_BYTES_AHEAD ? CDQ_BYTES_AHEAD / block : 1);
    const int64_t n_actions = job->own->n_actions, rows = job->tables && !job->pairs ? step / n_actions : 0;
    int64_t cursor = 0, asked = 0, state = (job->first + ahead) / n_actions;
    for (int quarter = 0; quarter < 4; quarter++)
        NAME(cdq_prefetch_rows)(job, job->first / n_actions, rows ? ahead / n_actions : 0, quarter);
    for (int64_t at = 0; at < job->count; at += step, state += rows) {
        b->v.n = job->count - at < step ? job->count - at : step;
        if (job->pairs)
            asked = NAME(cdq_prefetch_touches)(job, at + step, step, asked);
        NAME(cdq_prefetch_rows)(job, state, rows, 0);
        NAME(cdq_load)(b, job, at, &cursor);
        NAME(cdq_prefetch_rows)(job, state, rows, 1);
        int failure = NAME(cdq_combine)(b, job, (cdq_header *)job->out);
        if (failure)
            return failure;
        NAME(cdq_prefetch_rows)(job, state, rows, 2);
        cdq_append(streams, b->v.n, copy_past);
        NAME(cdq_prefetch_rows)(job, state, rows, 3);
        cdq_append(streams + 1, b->v.n, copy_past);
        cdq_append(streams + 2, b->v.n, copy_past);
    }
    for (int i = 0; i < 3; i++)
        cdq_finish_stream(streams + i);
    return 0;
}

/* Returns 0, -1 without memory, or what the user's rule returned. */
static int NAME(cdq_merge)(const cdq_merge_job *job)
{
    NAME(cdq_block) b;
    cdq_stream streams[3];
    unsigned char *memory, near[CDQ_NEAR] __attribute__((aligned(CDQ_LINE)));
    const int64_t looked_up = job->count * (job->workers + 1);
    const int large = looked_up >= 3 * CDQ_TABLE, tabulates = large && job->needs_mass && !job->laws;
    const int64_t room = tabulates && job->rule == CDQ_POOLED ? cdq_room_of_changes(looked_up) : 0;
    const int64_t n_actions = job->own->n_actions;
    const int64_t step = job->tables && !job->pairs && n_actions <= CDQ_BLOCK ? CDQ_BLOCK / n_actions * n_actions
                                                                              : CDQ_BLOCK;
    if (NAME(cdq_allocate)(&b, job->workers, tabulates, room, near, &memory))
        return -1;
    if (tabulates)
        cdq_tabulate(job->kernels, job->law, (double *)b.table);
    b.v.steps = large ? cdq_steps_of(job->law) : (cdq_steps){0};
    NAME(cdq_begin_slice)(&b, job, streams);
    int failure = NAME(cdq_merge_blocks)(&b, job, streams, step);
#ifdef __SSE2__
    _mm_sfence(); /* stores past the caches are ordered by nothing else */
#endif
    free(memory);
    return failure;
}
