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
    const uint32_t *pairs; /* ascending or as logged; NULL: first .. first + count - 1 */
    int64_t first, count;
    unsigned char *out; /* cdq_slice_bytes of the merged slice */
    cdq_custom custom;
    void *context;
    const cdq_merge_kernels *kernels;
} cdq_merge_job;

CDQ_INLINE const uint32_t *cdq_count(const cdq_rows *rows, uint32_t pair)
{
    uint32_t state = cdq_state(rows, pair), action = pair - state * (uint32_t)rows->n_actions;
    return (const uint32_t *)(cdq_row(rows, state) + rows->n_actions * rows->real_size) + action;
}

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

/* List the pairs of a log that none of the first *before* tables has touched: each touched pair is merged once. */
static int64_t cdq_own_pairs(const cdq_rows *own, const cdq_rows **tables, int64_t before, uint32_t *pairs)
{
    int64_t n = 0, last = own->n_log - 1;
    for (int64_t i = 0; i <= last; i++) {
        uint32_t pair = own->log[i], ahead = own->log[i + CDQ_AHEAD < last ? i + CDQ_AHEAD : last], touched = 0;
        for (int64_t k = 0; k < before; k++) {
            CDQ_PREFETCH(cdq_count(tables[k], ahead));
            touched |= *cdq_count(tables[k], pair);
        }
        pairs[n] = pair;
        n += !(touched & CDQ_TOUCHED);
    }
    return n;
}
#endif

CDQ_INLINE void NAME(cdq_load)(NAME(cdq_block) * b, const cdq_merge_job *job, int64_t at, int whole_rows)
{
    uint32_t listed[CDQ_BLOCK];
    const uint32_t *pairs = job->pairs ? job->pairs + at : listed;
    if (!job->pairs && !whole_rows)
        for (int64_t i = 0; i < b->v.n; i++)
            listed[i] = (uint32_t)(job->first + at + i);
    NAME(cdq_load_base)(b, job->own, job->first + at, job->pairs ? pairs : NULL);
    for (int64_t k = 0; k < job->workers; k++) {
        if (!job->tables)
            NAME(cdq_load_slice)(b, job->slices + k, k, pairs);
        else if (whole_rows)
            NAME(cdq_load_rows)(b, job->tables[k], k, job->first + at);
        else
            NAME(cdq_load_pairs)(b, job->tables[k], k, pairs);
    }
    NAME(cdq_fill_up)(b);
}

#ifndef CDQ_PREFETCH_BYTES
#define CDQ_PREFETCH_BYTES
CDQ_INLINE void cdq_prefetch_bytes(const void *from, int64_t n_bytes)
{
    for (int64_t i = 0; i < n_bytes; i += 64)
        CDQ_PREFETCH((const unsigned char *)from + i);
}
#endif

/* A block is too short for the processor to notice that it is one of a stream. What is asked for at once would wait in a
 * line, and while a block is merged nothing would be on its way: a quarter of it is asked for after each step. */
CDQ_INLINE void NAME(cdq_prefetch_rows)(const cdq_merge_job *job, int64_t first, int64_t n, int quarter)
{
    const int64_t last = job->first + job->count, streams = job->workers + 2, end = streams * (quarter + 1) / 4;
    const uint32_t state = (uint32_t)(first / job->own->n_actions);
    n = n < last - first ? n : last - first;
    if (n <= 0)
        return;
    for (int64_t k = streams * quarter / 4; k < end; k++) {
        if (k < job->workers)
            cdq_prefetch_bytes(cdq_row(job->tables[k], state), n / job->own->n_actions * job->tables[k]->stride);
        else if (k == job->workers)
            cdq_prefetch_bytes((const REAL *)job->own->base + first, n * (int64_t)sizeof(REAL));
        else
            cdq_prefetch_bytes(job->own->clock + first, n * 4);
    }
}

/* Listed pairs lie anywhere: all that a block will need is asked for a block ahead. */
CDQ_INLINE void NAME(cdq_prefetch_pairs)(const cdq_merge_job *job, int64_t first, int64_t n)
{
    n = n < job->count - first ? n : job->count - first;
    for (int64_t i = 0; i < n; i++) {
        uint32_t *count, pair = job->pairs[first + i];
        CDQ_PREFETCH((const REAL *)job->own->base + pair);
        CDQ_PREFETCH(job->own->clock + pair);
        for (int64_t k = 0; job->tables && k < job->workers; k++)
            CDQ_PREFETCH(NAME(cdq_place)(job->tables[k], pair, &count));
    }
}

/* Merge a block; returns 0 or what the user's rule returned. */
CDQ_INLINE int NAME(cdq_combine)(NAME(cdq_block) * b, const cdq_merge_job *job, cdq_header *header)
{
    const cdq_merge_kernels *kernels = job->kernels;
    int failure = 0;
    header->visits += kernels->count(&b->v, job->law);
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

/* Returns 0, -1 without memory, or what the user's rule returned. */
static int NAME(cdq_merge)(const cdq_merge_job *job)
{
    NAME(cdq_block) b;
    unsigned char *memory;
    int tabulates = job->needs_mass && !job->laws && job->count * (job->workers + 1) >= 3 * CDQ_TABLE;
    int failure = NAME(cdq_allocate)(&b, job->workers, tabulates, &memory);
    int64_t n_actions = job->own->n_actions;
    int whole_rows = job->tables && !job->pairs && n_actions <= CDQ_BLOCK;
    int64_t step = whole_rows ? CDQ_BLOCK / n_actions * n_actions : CDQ_BLOCK;
    int64_t block = step * ((job->workers + 1) * (int64_t)(sizeof(REAL) + 4));
    int64_t ahead = step * (block < CDQ_BYTES_AHEAD ? CDQ_BYTES_AHEAD / block : 1);
    cdq_header *header = (cdq_header *)job->out;
    *header = (cdq_header){job->pairs ? -1 : job->first, job->count, 0, 0};
    cdq_slice out = cdq_open_slice(job->out, 1, sizeof(REAL));
    void (*copy_past)(void *, const void *, int64_t) = job->count > CDQ_LARGE_SLICE ? job->kernels->copy_past : NULL;
    cdq_stream values = {(unsigned char *)out.values, (unsigned char *)b.merged, 0};
    cdq_stream visits = {(unsigned char *)out.visits, (unsigned char *)b.v.total, 0};
    cdq_stream after = {(unsigned char *)out.after, (unsigned char *)b.v.after, 0};
    /* Padding before the visits: nothing that was in memory before may travel. */
    REAL *end = (REAL *)out.values + job->count;
    memset(end, 0, (size_t)((const char *)out.visits - (const char *)end));
    if (job->pairs && !failure)
        memmove((uint32_t *)out.pairs, job->pairs, (size_t)job->count * sizeof(uint32_t));
    if (tabulates && !failure)
        cdq_tabulate(job->kernels, job->law, (double *)b.table);
    for (int64_t at = 0; at < job->count && !failure; at += step) {
        b.v.n = job->count - at < step ? job->count - at : step;
        if (whole_rows)
            NAME(cdq_prefetch_rows)(job, job->first + at + ahead, step, 0);
        if (job->pairs)
            NAME(cdq_prefetch_pairs)(job, at + step, step);
        NAME(cdq_load)(&b, job, at, whole_rows);
        if (whole_rows)
            NAME(cdq_prefetch_rows)(job, job->first + at + ahead, step, 1);
        failure = NAME(cdq_combine)(&b, job, header);
        if (whole_rows)
            NAME(cdq_prefetch_rows)(job, job->first + at + ahead, step, 2);
        cdq_append(&values, b.v.n * (int64_t)sizeof(REAL), copy_past);
        if (whole_rows)
            NAME(cdq_prefetch_rows)(job, job->first + at + ahead, step, 3);
        cdq_append(&visits, b.v.n * 4, copy_past);
        cdq_append(&after, b.v.n * 4, copy_past);
    }
    cdq_finish_stream(&values);
    cdq_finish_stream(&visits);
    cdq_finish_stream(&after);
#ifdef __SSE2__
    _mm_sfence(); /* stores past the caches are ordered by nothing else */
#endif
    free(memory);
    return failure;
}
