/* Pairs to merge where few were touched: a list of all touches, sorted by pair. Nothing is read of a table that did not
 * touch a pair, and nothing of pairs that nobody touched. */
#ifndef CDQ_LISTED_H
#define CDQ_LISTED_H

/* A touch is the pair (upper half) and the worker, by number among those who are merged. */
CDQ_INLINE uint32_t cdq_touched_pair(uint64_t touch) { return (uint32_t)(touch >> 32); }

/* The rank that merges a pair of tables in shared memory: neighbours belong to one, and crowds to all. */
CDQ_INLINE int64_t cdq_owner(uint32_t pair, int64_t size)
{
    return (int64_t)((uint64_t)(uint32_t)((pair >> 6) * 2654435769u) * (uint64_t)size >> 32);
}

/* The touches of this rank's pairs by all workers, in their order; returns their number. */
static int64_t cdq_gather_touches(const cdq_merge_job *job, int64_t rank, int64_t size, uint64_t *touches)
{
    const uint64_t n_pairs = (uint64_t)(job->own->n_states * job->own->n_actions);
    int64_t n = 0;
    for (int64_t k = 0; k < job->workers; k++) {
        const uint32_t *pairs = job->tables ? job->tables[k]->log : job->slices[k].pairs;
        const int64_t last = job->tables ? job->tables[k]->n_log : job->slices[k].header->count;
        for (int64_t i = 0; i < last; i++) {
            touches[n] = (uint64_t)pairs[i] << 32 | (uint64_t)k;
            /* Another process may have failed while it wrote its log: no pair is beyond the table, whatever is there. */
            n += !job->tables || (cdq_owner(pairs[i], size) == rank && pairs[i] < n_pairs);
        }
    }
    return n;
}

/* Sort by pair, digit by digit from the lowest on, which leaves the workers of a pair in order. Returns where the
 * sorted ones are: *touches* or *spare*. */
static uint64_t *cdq_sort_touches(uint64_t *touches, uint64_t *spare, int64_t n, uint64_t n_pairs)
{
    const int bits = n > 4096 ? 11 : 8; /* clearing long counters takes longer than sorting few touches */
    uint32_t starts[1 << 11];
    for (int shift = 0; n_pairs >> shift; shift += bits) {
        const uint64_t mask = ((uint64_t)1 << bits) - 1;
        uint32_t start = 0;
        memset(starts, 0, sizeof(uint32_t) << bits);
        for (int64_t i = 0; i < n; i++)
            starts[touches[i] >> (32 + shift) & mask]++;
        for (uint64_t digit = 0; digit <= mask; digit++) {
            uint32_t count = starts[digit];
            starts[digit] = start;
            start += count;
        }
        for (int64_t i = 0; i < n; i++)
            spare[starts[touches[i] >> (32 + shift) & mask]++] = touches[i];
        uint64_t *sorted = spare;
        spare = touches;
        touches = sorted;
    }
    return touches;
}

/* List the touched pairs of this rank, ascending. Returns 0, or -1 without memory; *memory* is to be freed when the job
 * is done. */
static int cdq_list_touches(cdq_merge_job *job, int64_t rank, int64_t size, void **memory)
{
    int64_t most = 0;
    for (int64_t k = 0; k < job->workers; k++)
        most += job->tables ? job->tables[k]->n_log : job->slices[k].header->count;
    uint64_t *touches = *memory = malloc((size_t)most * (2 * sizeof(uint64_t) + sizeof(uint32_t)) + 64);
    if (!touches)
        return -1;
    uint32_t *pairs = (uint32_t *)(touches + 2 * most);
    const int64_t n = cdq_gather_touches(job, rank, size, touches);
    touches = cdq_sort_touches(touches, touches + most, n, (uint64_t)(job->own->n_states * job->own->n_actions));
    job->first = -1;
    job->pairs = pairs;
    job->touches = touches;
    job->n_touches = n;
    job->count = 0;
    for (int64_t i = 0; i < n; i++) {
        pairs[job->count] = cdq_touched_pair(touches[i]);
        job->count += i + 1 == n || cdq_touched_pair(touches[i + 1]) != pairs[job->count];
    }
    return 0;
}
#endif
