/* Filling a block from tables and from slices that travelled, and writing its results; included once per type: REAL, NAME.
 *
 * A contribution's slice that travels: header {first, count}, then values, counts, pairs (pairs only if first is -1:
 * ascending pair numbers; otherwise the pairs are first .. first + count - 1). Counts, not visits: cutting reads nothing
 * that another worker of the process may still be writing. A merged slice: header {first, count,
 * mass, visits}, then values, total visits, clocks after, pairs. Everything is native little-endian; values start at 8-byte offsets. */

#ifndef CDQ_MERGE_LOAD_H
#define CDQ_MERGE_LOAD_H

/* Number of listed pairs ahead of which memory is asked for. */
#define CDQ_AHEAD 32

/* Pairs whose merged values, visits and clocks are more than a second-level cache holds. */
#define CDQ_LARGE_SLICE (1 << 17)

typedef struct {
    int64_t first, count, mass, visits;
} cdq_header;

typedef struct {
    const cdq_header *header;
    const void *values;
    const uint32_t *visits, *after, *pairs; /* visits: of all workers; counts in a contribution */
    int64_t cursor; /* first pair of a sparse slice that is not yet taken */
} cdq_slice;

CDQ_INLINE int64_t cdq_slice_bytes(int64_t count, int sparse, int merged, int64_t real_size)
{
    int64_t values = (count * real_size + 7) / 8 * 8;
    return (int64_t)sizeof(cdq_header) + values + 4 * count * (1 + (merged != 0) + (sparse != 0));
}

/* One of the arrays of a merged slice, which blocks fill one after another: where its next bytes belong, those that wait
 * in front of the block's, and how many these are. */
typedef struct {
    unsigned char *to, *block;
    int64_t waiting, item; /* bytes: that wait, and of an item */
} cdq_stream;

/* Append what the block has. Past the caches go whole lines, and the rest waits for the next block: a merged slice that
 * is larger than they are is read again only when all of it is written, and a store that fetches the line first costs
 * a third of the merge. */
CDQ_INLINE void cdq_append(cdq_stream *s, int64_t n, void (*copy_past)(void *, const void *, int64_t))
{
    unsigned char rest[CDQ_LINE], *from = s->block - s->waiting;
    int64_t left = n * s->item, head = 0;
    if (!copy_past) {
        memcpy(s->to, s->block, (size_t)left);
        s->to += left;
        return;
    }
    if (!s->waiting) /* until lines are reached */
        head = (int64_t)(-(uintptr_t)s->to % CDQ_LINE);
    head = head < left ? head : left;
    for (int64_t i = 0; i < head; i += 4)
        memcpy(s->to + i, from + i, 4);
    left += s->waiting - head;
    const int64_t lines = left / CDQ_LINE * CDQ_LINE;
    copy_past(s->to - s->waiting + head, from + head, lines);
    s->to += n * s->item;
    s->waiting = left - lines;
    if (!s->waiting)
        return;
    memcpy(rest, from + head + lines, CDQ_LINE);
    memcpy(s->block - s->waiting, rest, CDQ_LINE);
}

CDQ_INLINE void cdq_finish_stream(cdq_stream *s)
{
    memcpy(s->to - s->waiting, s->block - s->waiting, (size_t)s->waiting);
}

CDQ_INLINE void cdq_prefetch_bytes(const void *from, int64_t n_bytes)
{
    for (int64_t i = 0; i < n_bytes; i += CDQ_LINE)
        CDQ_PREFETCH((const unsigned char *)from + i);
}

/* The same of a stream, which would have more lines on their way than Intel's processors let there be: 4 % of a merge. */
CDQ_INLINE void cdq_prefetch_stream(const void *from, int64_t n_bytes)
{
    const int second = CDQ_IS_INTEL;
    for (int64_t i = 0; i < n_bytes; i += CDQ_LINE)
        if (second)
            CDQ_PREFETCH_TO_SECOND((const unsigned char *)from + i);
        else
            CDQ_PREFETCH((const unsigned char *)from + i);
}

CDQ_INLINE cdq_slice cdq_open_slice(const unsigned char *bytes, int merged, int64_t real_size)
{
    cdq_slice slice;
    slice.header = (const cdq_header *)bytes;
    int64_t count = slice.header->count;
    slice.values = bytes + sizeof(cdq_header);
    slice.visits = (const uint32_t *)(bytes + sizeof(cdq_header) + (count * real_size + 7) / 8 * 8);
    slice.after = merged ? slice.visits + count : NULL;
    slice.pairs = slice.visits + count * (1 + (merged != 0));
    slice.cursor = 0;
    return slice;
}
#endif

/* The place of a pair: its value and its count. */
CDQ_INLINE REAL *NAME(cdq_place)(const cdq_rows *rows, uint32_t pair, uint32_t **count)
{
    uint32_t n_actions = (uint32_t)rows->n_actions, state = cdq_state(rows, pair), action = pair - state * n_actions;
    REAL *row = (REAL *)cdq_row(rows, state);
    *count = (uint32_t *)(row + n_actions) + action;
    return row + action;
}

/* Base and clocks: where they are, if whole vectors of them may be read there. */
CDQ_INLINE void NAME(cdq_load_base)(NAME(cdq_block) * b, const cdq_rows *rows, int64_t first, const uint32_t *pairs)
{
    const REAL *base = (const REAL *)rows->base;
    b->base = b->copied_base;
    b->v.clock = b->v.copied_clock;
    if (pairs) {
        for (int64_t i = 0; i < b->v.n; i++) {
            b->copied_base[i] = base[pairs[i]];
            b->v.copied_clock[i] = rows->clock[pairs[i]];
        }
    } else if (b->v.n % CDQ_MARGIN) {
        memcpy(b->copied_base, base + first, (size_t)b->v.n * sizeof(REAL));
        memcpy(b->v.copied_clock, rows->clock + first, (size_t)b->v.n * sizeof(uint32_t));
    } else {
        b->base = base + first;
        b->v.clock = rows->clock + first;
    }
}

/* A worker's part who touched nothing. */
CDQ_INLINE void NAME(cdq_load_untouched)(NAME(cdq_block) * b, int64_t k)
{
    memcpy(b->values + k * CDQ_BLOCK, b->base, (size_t)b->v.n * sizeof(REAL));
    memcpy(b->v.counts + k * CDQ_BLOCK, b->v.clock, (size_t)b->v.n * sizeof(uint32_t));
}

/* Worker k's values and counts of whole rows. */
CDQ_INLINE void NAME(cdq_load_whole_rows)(NAME(cdq_block) * b, const cdq_merge_kernels *kernels, const cdq_rows *rows,
                                          int64_t k, uint32_t state)
{
    const int64_t n_actions = rows->n_actions, n = b->v.n / n_actions;
    const size_t end = (size_t)n_actions * sizeof(REAL), words = (size_t)n_actions * 4;
    REAL *values = b->values + k * CDQ_BLOCK;
    uint32_t *counts = b->v.counts + k * CDQ_BLOCK;
    const int64_t by_vectors = kernels->split(values, counts, cdq_row(rows, state), rows->stride, end, words, n);
    for (int64_t i = by_vectors; i < n; i++) {
        memcpy(values + i * n_actions, cdq_row(rows, state + i), end);
        memcpy(counts + i * n_actions, cdq_row(rows, state + i) + end, words);
    }
}

/* The same of pairs one after another of rows that are longer than a block. */
CDQ_INLINE void NAME(cdq_load_long_rows)(NAME(cdq_block) * b, const cdq_rows *rows, int64_t k, int64_t first)
{
    for (int64_t i = 0, n; i < b->v.n; i += n) {
        const int64_t state = (first + i) / rows->n_actions, left = rows->n_actions * (state + 1) - (first + i);
        uint32_t *count;
        n = left < b->v.n - i ? left : b->v.n - i;
        memcpy(b->values + k * CDQ_BLOCK + i, NAME(cdq_place)(rows, (uint32_t)(first + i), &count),
               (size_t)n * sizeof(REAL));
        memcpy(b->v.counts + k * CDQ_BLOCK + i, count, (size_t)n * sizeof(uint32_t));
    }
}

CDQ_INLINE void NAME(cdq_load_rows)(NAME(cdq_block) * b, const cdq_merge_kernels *kernels, const cdq_rows *rows, int64_t k,
                                    int64_t first)
{
    if (rows->n_actions > CDQ_BLOCK)
        NAME(cdq_load_long_rows)(b, rows, k, first);
    else
        NAME(cdq_load_whole_rows)(b, kernels, rows, k, (uint32_t)(first / rows->n_actions));
}

/* Worker k's values and counts of pairs one after another, as they travelled: all, or those that it touched. */
CDQ_INLINE void NAME(cdq_load_slice)(NAME(cdq_block) * b, cdq_slice *slice, int64_t k, int64_t first)
{
    REAL *values = b->values + k * CDQ_BLOCK;
    uint32_t *counts = b->v.counts + k * CDQ_BLOCK;
    if (slice->header->first >= 0) {
        const int64_t at = first - slice->header->first;
        memcpy(values, (const REAL *)slice->values + at, (size_t)b->v.n * sizeof(REAL));
        memcpy(counts, slice->visits + at, (size_t)b->v.n * sizeof(uint32_t));
        return;
    }
    NAME(cdq_load_untouched)(b, k);
    for (; slice->cursor < slice->header->count; slice->cursor++) {
        const int64_t i = (int64_t)slice->pairs[slice->cursor] - first;
        if (i >= b->v.n)
            break;
        values[i] = ((const REAL *)slice->values)[slice->cursor];
        counts[i] = slice->visits[slice->cursor];
    }
}

/* Fill up the last vector of a block with pairs that nobody visited. */
CDQ_INLINE void NAME(cdq_fill_up)(NAME(cdq_block) * b)
{
    for (int64_t i = b->v.n; i % CDQ_MARGIN; i++) {
        b->copied_base[i] = 0;
        b->v.copied_clock[i] = 0;
        for (int64_t k = 0; k < b->v.workers; k++) {
            b->values[k * CDQ_BLOCK + i] = 0;
            b->v.counts[k * CDQ_BLOCK + i] = 0;
        }
    }
}

/* A slice of a contribution for the wire: the listed pairs, or all from first on. */
static void NAME(cdq_pack)(const cdq_rows *rows, cdq_header *header, cdq_slice *slice, const uint32_t *pairs)
{
    for (int64_t i = 0; i < header->count; i++) {
        uint32_t *count, pair = pairs ? pairs[i] : (uint32_t)(header->first + i);
        ((REAL *)slice->values)[i] = *NAME(cdq_place)(rows, pair, &count);
        ((uint32_t *)slice->visits)[i] = CDQ_COUNT(*count);
    }
    if (pairs)
        memcpy((uint32_t *)slice->pairs, pairs, (size_t)header->count * sizeof(uint32_t));
}
