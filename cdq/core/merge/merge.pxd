"""Merging for other compiled loops: from tables in the memory of this process, without Python."""

from libc.stdint cimport int64_t

from cdq.core.table.rows cimport cdq_law, cdq_rows


cdef int64_t merge_part(
    const cdq_rows **rows, int64_t size, int64_t rank, int rule, const cdq_law *law, bint needs_mass,
    unsigned char **memory, int64_t *room) noexcept nogil
cdef void commit_parts(
    cdq_rows *rows, unsigned char **parts, int64_t room, int64_t size, int64_t *visits, int64_t *mass, int64_t *total,
) noexcept nogil
cdef void commit_sole(cdq_rows *rows, int64_t *visits) noexcept nogil
