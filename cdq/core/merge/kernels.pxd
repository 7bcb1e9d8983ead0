"""The merge kernels as C sees them: slices, jobs, and a dispatch on the table's type."""

from libc.stdint cimport int64_t, uint32_t

from cdq.core.table.rows cimport cdq_law, cdq_rows


cdef extern from *:
    """
    #include "merge/sets.h"
    #define CDQ_HEADER "merge/merge_load.h"
    #include "per_type.h"
    #define CDQ_HEADER "merge/merge_commit.h"
    #include "per_type.h"
    #define CDQ_HEADER "merge/merge_slice.h"
    #include "per_type.h"
    #define CDQ_HEADER "merge/overlap.h"
    #include "per_type.h"
    #define cdq_merge(job) ((job)->own->real_size == 4 ? cdq_merge_float(job) : cdq_merge_double(job))
    #define cdq_commit(rows, slice, visits) \\
        ((rows)->real_size == 4 ? cdq_commit_float(rows, slice, visits) : cdq_commit_double(rows, slice, visits))
    #define cdq_prefetch_slice(rows, slice, at, n, keeps) \\
        ((rows)->real_size == 4 ? cdq_prefetch_slice_float(rows, slice, at, n, keeps) \\
                                : cdq_prefetch_slice_double(rows, slice, at, n, keeps))
    #define cdq_commit_alone(rows, visits) \\
        ((rows)->real_size == 4 ? cdq_commit_alone_float(rows, visits) : cdq_commit_alone_double(rows, visits))
    #define cdq_rebase(rows, handed, slice, law, visits) \\
        ((rows)->real_size == 4 ? cdq_rebase_float(rows, handed, slice, law, visits) \\
                                : cdq_rebase_double(rows, handed, slice, law, visits))
    #define cdq_pack(rows, header, slice, pairs) \\
        ((rows)->real_size == 4 ? cdq_pack_float(rows, header, slice, pairs) \\
                                : cdq_pack_double(rows, header, slice, pairs))
    #include "merge/part.h"
    """
    int CDQ_DENSE_PART
    int CDQ_BLOCK, CDQ_POOLED, CDQ_MEAN, CDQ_VISITS, CDQ_IMPORTANCE, CDQ_AFFINE, CDQ_SUM, CDQ_MAX, CDQ_CUSTOM

    ctypedef struct cdq_header:
        int64_t first, count, mass, visits

    ctypedef struct cdq_slice:
        const cdq_header *header
        const void *values
        const uint32_t *visits
        const uint32_t *after
        const uint32_t *pairs
        int64_t cursor

    ctypedef int (*cdq_custom)(
        void *context, int64_t workers, int64_t n, const void *base, const void *values, const uint32_t *visits,
        const uint32_t *clock, const void *log_keep, void *merged) noexcept nogil

    ctypedef struct cdq_merge_kernels:
        const char *name

    ctypedef struct cdq_merge_job:
        int rule, needs_mass
        const cdq_law *law
        const cdq_law **laws
        int64_t workers
        const cdq_rows *own
        const cdq_rows **tables
        cdq_slice *slices
        const uint32_t *pairs
        int64_t first, count
        unsigned char *out
        cdq_custom custom
        void *context
        const cdq_merge_kernels *kernels

    const cdq_merge_kernels *cdq_merge_kernels_of(const char *lesser) nogil
    int64_t cdq_slice_bytes(int64_t count, int sparse, int merged, int64_t real_size) nogil
    cdq_slice cdq_open_slice(const unsigned char *data, int merged, int64_t real_size) nogil
    int cdq_merge(const cdq_merge_job *job) nogil
    void cdq_commit(cdq_rows *rows, const cdq_slice *slice, int64_t *visits) nogil
    void cdq_commit_alone(cdq_rows *rows, int64_t *visits) nogil
    void cdq_rebase(
        cdq_rows *rows, cdq_rows *handed, const cdq_slice *slice, const cdq_law *law, int64_t *visits) nogil
    int cdq_choose_part(cdq_merge_job *job, int64_t rank, int64_t size, void **memory) nogil
    int cdq_list_touches(cdq_merge_job *job, int64_t rank, int64_t size, void **memory) nogil
    void cdq_on_huge_pages(unsigned char *memory, int64_t n_bytes) nogil
    int64_t cdq_slice_bound(const cdq_rows *rows, int64_t rank, int64_t size) nogil
    int64_t cdq_merge_shared(cdq_merge_job *job, int64_t rank, unsigned char **memory, int64_t *room) nogil
    void cdq_commit_parts(
        cdq_rows *rows, unsigned char **parts, int64_t room, int64_t size, int64_t *visits, int64_t *mass,
        int64_t *total) nogil
    void cdq_pack(const cdq_rows *rows, cdq_header *header, cdq_slice *slice, const uint32_t *pairs) nogil
