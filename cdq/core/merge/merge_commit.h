/* Merged slices become the table, and a worker alone its own; included once per type, after merge_load.h: REAL, NAME. */

#ifndef CDQ_SOME_PAIRS
/* Pairs that are committed together: a look at each row by itself would be a branch that nobody can foresee. */
#define CDQ_SOME_PAIRS 64
#define CDQ_PAIRS_AHEAD 256 /* of which memory is asked for */

CDQ_INLINE void cdq_prefetch_to_write(const void *from, int64_t n_bytes)
{
    for (int64_t i = 0; i < n_bytes; i += CDQ_LINE)
        CDQ_PREFETCH_TO_WRITE((const char *)from + i);
}

CDQ_INLINE uint32_t cdq_any_visits(const uint32_t *visits, int64_t n)
{
    uint32_t any = 0;
    for (int64_t i = 0; i < n; i++)
        any |= visits[i];
    return any;
}
#endif

CDQ_INLINE void NAME(cdq_prefetch_commit)(const cdq_rows *rows, uint32_t pair, const int64_t *visits)
{
    uint32_t *count;
    CDQ_PREFETCH(NAME(cdq_place)(rows, pair, &count));
    CDQ_PREFETCH((const REAL *)rows->base + pair);
    CDQ_PREFETCH(rows->clock + pair);
    if (visits)
        CDQ_PREFETCH(visits + pair);
}

/* Take over the visited ones of the merged pairs; none of it depends on which they are: a branch that is taken
 * for some of them takes longer than all the rest. Bits, not choices: of those the compiler would make branches. */
CDQ_INLINE void NAME(cdq_take_pairs)(REAL *restrict values, uint32_t *restrict counts, const REAL *restrict merged,
                                   const uint32_t *restrict after, const uint32_t *restrict visits,
                                   const int64_t n_actions)
{
    for (int64_t i = 0; i < n_actions; i++) {
        const int32_t visited = -(visits[i] != 0);
        CDQ_PASTE(cdq_bits, REAL) value, new_value;
        memcpy(&value, values + i, sizeof value);
        memcpy(&new_value, merged + i, sizeof value);
        value ^= (value ^ new_value) & visited;
        memcpy(values + i, &value, sizeof value);
        counts[i] ^= (counts[i] ^ after[i]) & (uint32_t)visited;
    }
}

/* Take them over into the base and the clocks of the process, from pair *first* on, and count their visits. */
static CDQ_NOINLINE void NAME(cdq_keep_pairs)(cdq_rows *rows, int64_t first, const REAL *merged, const uint32_t *after,
                                              const uint32_t *restrict visits, int64_t n, int64_t *restrict all_visits)
{
    NAME(cdq_take_pairs)((REAL *)rows->base + first, rows->clock + first, merged, after, visits, n);
    for (int64_t i = 0; i < n; i++)
        all_visits[first + i] += visits[i];
}

/* Ask for the pairs of a merged slice of whole rows from *at* on, *n* of them at most, and for what they become: another
 * core had both last. */
static void NAME(cdq_prefetch_slice)(const cdq_rows *rows, const cdq_slice *slice, int64_t at, int64_t n, int keeps)
{
    const int64_t first = slice->header->first + at, left = slice->header->count - at, size = sizeof(REAL);
    n = n < left ? n : left;
    if (slice->header->first < 0 || n <= 0)
        return;
    const int64_t state = first / rows->n_actions, last = (first + n - 1) / rows->n_actions;
    cdq_prefetch_to_write(cdq_row(rows, (uint32_t)state), (last + 1 - state) * rows->stride);
    cdq_prefetch_bytes(slice->visits + at, n * 4);
    cdq_prefetch_bytes((const REAL *)slice->values + at, n * size);
    cdq_prefetch_bytes(slice->after + at, n * 4);
    cdq_prefetch_to_write((const REAL *)rows->base + first, keeps ? n * size : 0);
    cdq_prefetch_to_write(rows->clock + first, keeps ? n * 4 : 0);
}

/* Commit a merged slice of whole rows, some at a time: those in a row that nobody visited are left alone. */
CDQ_INLINE void NAME(cdq_commit_rows)(cdq_rows *rows, const cdq_slice *slice, int64_t *all_visits,
                                      const int64_t n_actions)
{
    const int64_t first = slice->header->first, count = slice->header->count;
    const int64_t step = n_actions < CDQ_SOME_PAIRS ? CDQ_SOME_PAIRS / n_actions * n_actions : n_actions;
    unsigned char *data = cdq_row(rows, (uint32_t)(first / n_actions));
    for (int64_t at = 0; at < count; at += step) {
        const REAL *merged = (const REAL *)slice->values + at;
        const uint32_t *after = slice->after + at, *visits = slice->visits + at;
        const int64_t n = step < count - at ? step : count - at;
        NAME(cdq_prefetch_slice)(rows, slice, at + CDQ_PAIRS_AHEAD, step, all_visits != NULL);
        if (!cdq_any_visits(visits, n))
            continue;
        for (int64_t i = 0; i < n; i += n_actions) {
            REAL *values = (REAL *)(data + (at + i) / n_actions * rows->stride);
            NAME(cdq_take_pairs)(values, (uint32_t *)(values + n_actions), merged + i, after + i, visits + i, n_actions);
        }
        if (all_visits)
            NAME(cdq_keep_pairs)(rows, first + at, merged, after, visits, n, all_visits);
    }
}

/* A merged slice becomes the table and, if this worker is the one of its process that keeps them (visits), the base,
 * the clocks and the visits of all workers. */
static void NAME(cdq_commit)(cdq_rows *rows, const cdq_slice *slice, int64_t *visits)
{
    const REAL *values = (const REAL *)slice->values;
    int64_t first = slice->header->first, last = slice->header->count - 1;
    rows->n_log = 0;
    if (first >= 0 && last >= 0 && first % rows->n_actions == 0 && (last + 1) % rows->n_actions == 0) {
#define CDQ_BODY(actions) NAME(cdq_commit_rows)(rows, slice, visits, actions)
        CDQ_UNROLLED(rows->n_actions, CDQ_BODY)
#undef CDQ_BODY
        return;
    }
    for (int64_t i = 0; i <= last; i++) {
        uint32_t *count, pair = first < 0 ? slice->pairs[i] : (uint32_t)(first + i);
        if (first < 0)
            NAME(cdq_prefetch_commit)(rows, slice->pairs[i + CDQ_AHEAD < last ? i + CDQ_AHEAD : last], visits);
        if (!slice->visits[i])
            continue;
        *NAME(cdq_place)(rows, pair, &count) = values[i];
        *count = slice->after[i];
        if (visits) {
            ((REAL *)rows->base)[pair] = values[i];
            rows->clock[pair] = slice->after[i];
            visits[pair] += slice->visits[i];
        }
    }
}

/* Commit a row of a worker alone. */
CDQ_INLINE void NAME(cdq_keep_row)(const REAL *restrict values, uint32_t *restrict counts, REAL *restrict base,
                                   uint32_t *restrict clock, int64_t *restrict visits, const int64_t n_actions)
{
    for (int64_t i = 0; i < n_actions; i++) {
        uint32_t count = CDQ_COUNT(counts[i]), before = clock[i];
        visits[i] += count - before;
        count = count < CDQ_CLOCK_LIMIT ? count : CDQ_CLOCK_LIMIT;
        base[i] = values[i];
        counts[i] = count;
        clock[i] = count;
    }
}

CDQ_INLINE void NAME(cdq_keep_rows)(cdq_rows *rows, int64_t *visits, const int64_t n_actions)
{
    for (int64_t state = 0, at = 0; state < rows->n_states; state++, at += n_actions) {
        REAL *values = (REAL *)cdq_row(rows, (uint32_t)state);
        NAME(cdq_keep_row)(values, (uint32_t *)(values + n_actions), (REAL *)rows->base + at, rows->clock + at,
                           visits + at, n_actions);
    }
}

/* A worker alone: its own table is the merge, its visits are what the clock gains. Pairs that were not touched stay as
 * they are; going over all is faster where a quarter of them was touched, unless another worker may be at some of them. */
static void NAME(cdq_commit_alone)(cdq_rows *rows, int64_t *visits)
{
    if (!rows->own_rows && 4 * rows->n_log > rows->n_states * rows->n_actions) {
#define CDQ_BODY(actions) NAME(cdq_keep_rows)(rows, visits, actions)
        CDQ_UNROLLED(rows->n_actions, CDQ_BODY)
#undef CDQ_BODY
        rows->n_log = 0;
        return;
    }
    for (int64_t i = 0; i < rows->n_log; i++) {
        uint32_t *count, pair = rows->log[i];
        if (i + CDQ_AHEAD < rows->n_log) {
            uint32_t ahead = rows->log[i + CDQ_AHEAD];
            CDQ_PREFETCH(NAME(cdq_place)(rows, ahead, &count));
            CDQ_PREFETCH((REAL *)rows->base + ahead);
            CDQ_PREFETCH(rows->clock + ahead);
            CDQ_PREFETCH(visits + ahead);
        }
        ((REAL *)rows->base)[pair] = *NAME(cdq_place)(rows, pair, &count);
        visits[pair] += CDQ_COUNT(*count) - rows->clock[pair];
        *count = CDQ_COUNT(*count) < CDQ_CLOCK_LIMIT ? CDQ_COUNT(*count) : CDQ_CLOCK_LIMIT;
        rows->clock[pair] = *count;
    }
    rows->n_log = 0;
}
