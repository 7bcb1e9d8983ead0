/* Parts of a merge, for both types: pairs that slices list, a rank's part of tables in shared memory, the commit of all. */
#ifndef CDQ_PART_H
#define CDQ_PART_H
#ifdef __linux__
#include <sys/mman.h>
#endif

/* A slice is merged as a whole when the workers touched more pairs than this part of the table: streaming a row costs
 * about a quarter of fetching one at random. */
#define CDQ_DENSE_PART 4

/* Parts whose first pairs are asked for at once. */
#define CDQ_PARTS_AHEAD 4

/* The first pair of a rank's slice of the rows that are merged; slices end between rows. */
static inline int64_t cdq_slice_bound(const cdq_rows *rows, int64_t rank, int64_t size)
{
    return (rows->n_states - rows->own_rows) * rank / size * rows->n_actions;
}

/* Choose the part of a rank of *size*: its slice of all pairs if many were touched, else those of the touched ones that
 * are its own. Returns 0, or -1 without memory; *memory* is to be freed when the job is done. */
static int cdq_choose_part(cdq_merge_job *job, int64_t rank, int64_t size, void **memory)
{
    const cdq_rows *own = job->own;
    int64_t touched = 0;
    *memory = NULL;
    for (int64_t i = 0; i < job->workers; i++)
        touched += job->tables[i]->n_log;
    if (touched * CDQ_DENSE_PART <= own->n_states * own->n_actions)
        return cdq_list_touches(job, rank, size, memory);
    job->pairs = NULL;
    job->first = cdq_slice_bound(own, rank, size);
    job->count = cdq_slice_bound(own, rank + 1, size) - job->first;
    return 0;
}

/* Ask for huge pages, where memory is large and the system has them: writing to small ones takes a tenth longer, or a
 * third. What the memory held is lost: small pages that it has already would stay. */
static void cdq_on_huge_pages(unsigned char *memory, int64_t n_bytes)
{
#ifdef MADV_HUGEPAGE
    const uintptr_t page = 2 << 20, first = ((uintptr_t)memory + page - 1) / page * page;
    const uintptr_t last = ((uintptr_t)memory + (uintptr_t)n_bytes) / page * page;
    if (first < last && !madvise((void *)first, last - first, MADV_HUGEPAGE))
        (void)madvise((void *)first, last - first, MADV_DONTNEED);
#else
    (void)memory, (void)n_bytes;
#endif
}

/* Make *memory* hold so many bytes; returns 0, or -1 without memory. What it held is lost. */
static int cdq_make_room(unsigned char **memory, int64_t *room, int64_t n_bytes)
{
    if (n_bytes <= *room)
        return 0;
    free(*memory);
    *memory = malloc((size_t)n_bytes);
    *room = *memory ? n_bytes : 0;
    cdq_on_huge_pages(*memory, *room);
    return *memory ? 0 : -1;
}

/* Merge the part of a rank, of as many as there are workers, into *memory* of *room* bytes, which grows as it must.
 * Returns 0, or -1 without memory. */
static int64_t cdq_merge_shared(cdq_merge_job *job, int64_t rank, unsigned char **memory, int64_t *room)
{
    void *listed;
    int64_t failure = cdq_choose_part(job, rank, job->workers, &listed);
    if (!failure)
        failure = cdq_make_room(memory, room,
                                cdq_slice_bytes(job->count, job->pairs != NULL, 1, job->own->real_size));
    if (!failure) {
        job->out = *memory;
        failure = cdq_merge(job);
    }
    free(listed);
    return failure;
}

/* Return 1 where a merged part is one that a table has, and lies in *room* bytes. */
static int cdq_is_part(const cdq_rows *rows, const cdq_slice *slice, int64_t room)
{
    const int64_t first = slice->header->first, count = slice->header->count, n_pairs = rows->n_states * rows->n_actions;
    int within = first >= -1 && count >= 0 && count <= n_pairs && first <= n_pairs - count;
    within = within && cdq_slice_bytes(count, first < 0, 1, rows->real_size) <= room;
    for (int64_t i = 0; within && first < 0 && i < count; i++)
        within = slice->pairs[i] < n_pairs;
    return within;
}

/* Make the merged parts of all ranks the table, which are as `cdq_merge_shared` left them. Those in memory of *room*
 * bytes that processes share (0: they are of this one) are looked at before: a process may have failed while it wrote
 * there. What cannot be one is left out, and tables differ then. */
static void cdq_commit_parts(cdq_rows *rows, unsigned char **parts, int64_t room, int64_t size, int64_t *visits,
                             int64_t *mass, int64_t *total)
{
    *mass = *total = 0;
    for (int64_t i = 0; i < size && i < CDQ_PARTS_AHEAD; i++) {
        cdq_slice slice = cdq_open_slice(parts[i], 1, rows->real_size);
        cdq_prefetch_slice(rows, &slice, 0, CDQ_PAIRS_AHEAD, visits != NULL);
    }
    for (int64_t i = 0; i < size; i++) {
        cdq_slice slice = cdq_open_slice(parts[i], 1, rows->real_size);
        if (room && !cdq_is_part(rows, &slice, room))
            continue;
        *mass += slice.header->mass;
        *total += slice.header->visits;
        cdq_commit(rows, &slice, visits);
    }
}

#endif
