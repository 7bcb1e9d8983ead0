"""Merging: the contributions of all workers become the next table, block by block, in rank order."""

import os

from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from cdq.core.merge.kernels cimport (
    CDQ_AFFINE, CDQ_BLOCK, CDQ_CUSTOM, CDQ_DENSE_PART, CDQ_IMPORTANCE, CDQ_MAX, CDQ_MEAN, CDQ_POOLED, CDQ_SUM,
    CDQ_VISITS, cdq_choose_part, cdq_commit, cdq_commit_alone, cdq_commit_parts, cdq_header, cdq_list_touches,
    cdq_merge, cdq_merge_job, cdq_merge_kernels, cdq_merge_kernels_of, cdq_merge_shared, cdq_on_huge_pages,
    cdq_open_slice, cdq_pack, cdq_rebase, cdq_slice, cdq_slice_bound, cdq_slice_bytes)
from cdq.core.table.rows cimport Law, Rows, cdq_law, cdq_rows

cdef const cdq_merge_kernels *kernels = cdq_merge_kernels_of(os.environ.get("CDQ_BASELINE", "").encode())
KERNELS = kernels.name.decode()

RULES = {"pooled": CDQ_POOLED, "mean": CDQ_MEAN, "visits": CDQ_VISITS, "importance": CDQ_IMPORTANCE,
         "affine": CDQ_AFFINE, "sum": CDQ_SUM, "max": CDQ_MAX}

# Work on so few pairs is done before another thread could be woken: giving the GIL away and taking it back costs more
# (20 microseconds where it is taken).
cdef int64_t BRIEF = 1000


def slice_bounds(Rows rows not None, int64_t rank, int64_t size):
    """Return the first pair of *rank*'s slice and that of the next."""
    return cdq_slice_bound(&rows.c, rank, size), cdq_slice_bound(&rows.c, rank + 1, size)


cdef int _call(
    void *context, int64_t workers, int64_t n, const void *base, const void *values, const uint32_t *visits,
    const uint32_t *clock, const void *log_keep, void *merged,
) noexcept with gil:
    """Hand a block to the user's rule; keep its exception."""
    combine, size, failure = <tuple> context
    columns = CDQ_BLOCK
    try:
        combine(
            workers, n,
            PyMemoryView_FromMemory(<char *> base, n * size, PyBUF_READ),
            PyMemoryView_FromMemory(<char *> values, workers * columns * size, PyBUF_READ),
            PyMemoryView_FromMemory(<char *> visits, workers * columns * 4, PyBUF_READ),
            PyMemoryView_FromMemory(<char *> clock, n * 4, PyBUF_READ),
            PyMemoryView_FromMemory(<char *> log_keep, workers * columns * size, PyBUF_READ),
            PyMemoryView_FromMemory(<char *> merged, n * size, PyBUF_WRITE),
        )
    except BaseException as error:  # kept for the caller, who raises it once the lock-free loop has returned
        failure.append(error)
        return 1
    return 0


cdef int _require_base(Rows rows) except -1:
    if rows.c.alone:
        raise ValueError("the table of a worker alone has no base to merge with")
    return 0


cdef unsigned char *_room(out, int64_t n_bytes) except NULL:
    """Return where to write *n_bytes*: a bytearray gets the right size, other memory must be large enough."""
    cdef unsigned char[::1] memory
    if isinstance(out, bytearray):
        if len(out) != n_bytes:
            grows = n_bytes >= out.__alloc__()
            PyByteArray_Resize(out, n_bytes)
            if grows:
                cdq_on_huge_pages(<unsigned char *> PyByteArray_AS_STRING(out), n_bytes)
        return <unsigned char *> PyByteArray_AS_STRING(out)
    memory = out
    if memory.shape[0] < n_bytes:
        raise ValueError(f"a slice takes {n_bytes} bytes, there is room for {memory.shape[0]}")
    return &memory[0]


cdef list _merged(int64_t size, laws):
    """Return the ranks whose windows are merged: those that have a law, or all where no worker has one of its own."""
    return [rank for rank in range(size) if laws is None or laws[rank] is not None]


cdef int64_t _finish(cdq_merge_job *job, rule, Law law, laws, bint needs_mass, out) except -1:
    """Run a job whose sources and pairs are set, into *out*; return its bytes."""
    memory = bytearray(sizeof(void *) * (job.workers + 1))
    job.laws = NULL if laws is None else <const cdq_law **> PyByteArray_AS_STRING(memory)
    for i, one in enumerate([each for each in laws or () if each is not None]):
        job.laws[<int64_t> i] = &(<Law?> one).c
    cdef int64_t real_size = job.own.real_size
    failure = []
    context = (rule, real_size, failure)
    cdef int status
    cdef int64_t needed = cdq_slice_bytes(job.count, job.pairs != NULL, 1, real_size)
    job.out = _room(out, needed)
    job.rule = RULES[rule] if isinstance(rule, str) else CDQ_CUSTOM
    job.needs_mass = needs_mass or job.rule in (CDQ_POOLED, CDQ_IMPORTANCE, CDQ_AFFINE, CDQ_CUSTOM)
    job.law, job.kernels = &law.c, kernels
    job.custom, job.context = _call, <void *> context
    if job.count <= BRIEF:
        status = cdq_merge(job)
    else:
        with nogil:
            status = cdq_merge(job)
    if failure:
        raise failure[0]
    if status:
        raise MemoryError("no memory to merge")
    return needed


def most_merged_bytes(int64_t n_states, int64_t n_actions, int64_t real_size, int64_t size):
    """Return the most bytes that a rank's part of a merge of *size* tables takes: a slice, or the pairs of a log."""
    cdef int64_t slice = (n_states // size + 1) * n_actions, listed = n_states * n_actions // CDQ_DENSE_PART
    return max(cdq_slice_bytes(slice, 0, 1, real_size), cdq_slice_bytes(listed, 1, 1, real_size))


def merge_tables(list tables, int64_t rank, rule, Law law not None, bint needs_mass, out not None, laws=None):
    """Merge this rank's part of what the tables of all workers, in shared memory, have learnt, into *out*; return its
    bytes. *out* is a bytearray, or memory of `most_merged_bytes`. *laws* has the law of each worker where they differ,
    and None for one whose window is not merged; clocks go on by *law*.

    *rule* is a name of `RULES` or a function on the arrays of a block (see `cdq.merges`). The part is a slice of all
    pairs if many were touched, else those of the touched ones that are this rank's (listed.h).
    """
    cdef int64_t size = len(tables), i
    cdef cdq_merge_job job
    cdef list among = _merged(size, laws)
    cdef void *listed = NULL
    _require_base(tables[rank])
    job.own, job.workers = &(<Rows?> tables[rank]).c, len(among)
    memory = bytearray(sizeof(void *) * (job.workers + 1))
    cdef const cdq_rows **rows = <const cdq_rows **> PyByteArray_AS_STRING(memory)
    for i in range(job.workers):
        rows[i] = &(<Rows?> tables[among[i]]).c
    try:
        job.tables, job.slices = rows, NULL
        if cdq_choose_part(&job, rank, size, &listed):
            raise MemoryError("no memory to merge")
        return _finish(&job, rule, law, laws, needs_mass, out)
    finally:
        free(listed)


def most_packed_bytes(Rows rows not None, int64_t of):
    """Return the most bytes of a contribution's slice, and of a merged one, where there are *of* slices."""
    cdef int64_t count = (rows.c.n_states / of + 1) * rows.c.n_actions
    return cdq_slice_bytes(count, 0, 0, rows.c.real_size), cdq_slice_bytes(count, 1, 1, rows.c.real_size)


def pack(Rows rows not None, pairs, int64_t first, int64_t last, bytes before=b"", out=None):
    """Return the slice of the pairs first .. last - 1 of a contribution as bytes to travel, after those of *before*.

    Sparse or dense, whichever is smaller; *pairs* are those of them that were touched, ascending, or None: dense.
    With *out*, memory that is large enough, they are written to its beginning, which is returned.
    """
    cdef const uint32_t[::1] listed = pairs
    cdef int64_t n = last - first if pairs is None else listed.shape[0]
    cdef bint sparse = n * (8 + rows.c.real_size) < (last - first) * (4 + rows.c.real_size)
    cdef cdq_header header = cdq_header(-1 if sparse else first, n if sparse else last - first, 0, 0)
    cdef int64_t needed = len(before) + cdq_slice_bytes(header.count, sparse, 0, rows.c.real_size)
    packed = bytearray() if out is None else memoryview(out)[:needed]
    cdef unsigned char *data = _room(packed, needed) + len(before)
    memcpy(data - len(before), <const unsigned char *> before, len(before))
    (<cdq_header *> data)[0] = header
    cdef cdq_slice slice = cdq_open_slice(data, 0, rows.c.real_size)
    cdef unsigned char *end = <unsigned char *> slice.values + header.count * rows.c.real_size
    memset(end, 0, <const unsigned char *> slice.visits - end)  # padding: nothing that was in memory before may travel
    with nogil:
        cdq_pack(&rows.c, <cdq_header *> data, &slice, &listed[0] if sparse and header.count else NULL)
    return packed


cdef cdq_slice _open(
    const unsigned char[::1] data, Rows rows, bint merged, int64_t first, int64_t last
) except *:
    """Open a slice after checking that it has the size that it says, and only pairs from first to last - 1."""
    cdef int64_t i, before = first - 1
    if data.shape[0] < <Py_ssize_t> sizeof(cdq_header):
        raise ValueError("a slice is shorter than its header")
    cdef cdq_header header = (<const cdq_header *> &data[0])[0]
    cdef bint sparse = header.first < 0
    if not 0 <= header.count <= last - first or not (sparse or first <= header.first <= last - header.count):
        raise ValueError(f"a slice of {header.count} pairs from {header.first} is not within {first} to {last}")
    if not (sparse or merged or header.count == last - first):
        raise ValueError(f"a dense slice has {header.count} pairs, not {last - first}")
    if data.shape[0] != cdq_slice_bytes(header.count, sparse, merged, rows.c.real_size):
        raise ValueError("a slice does not have the size that its header says")
    cdef cdq_slice slice = cdq_open_slice(&data[0], merged, rows.c.real_size)
    for i in range(header.count if sparse else 0):
        if not first <= slice.pairs[i] < last or (not merged and slice.pairs[i] <= before):
            raise ValueError("a slice names a pair that is not its own, or pairs out of order")
        before = slice.pairs[i]
    return slice


def merge_slices(
    Rows rows not None, list parts, int64_t first, int64_t last, rule, Law law not None, bint needs_mass,
    out not None, laws=None,
):
    """Merge what every worker packed (`pack`) of the pairs first .. last - 1, in rank order, into *out*; return its
    bytes. *laws* as for `merge_tables`."""
    cdef list among = _merged(len(parts), laws)
    cdef int64_t size = len(among), i
    cdef bint dense = False
    cdef void *listed = NULL
    cdef cdq_merge_job job
    cdef cdq_slice *slices = <cdq_slice *> malloc((size + 1) * sizeof(cdq_slice))
    try:
        if slices == NULL:
            raise MemoryError("no memory to merge")
        if not 0 <= first <= last <= rows.c.n_states * rows.c.n_actions:
            raise ValueError(f"there are no pairs {first} to {last}")
        _require_base(rows)
        for i in range(size):
            slices[i] = _open(parts[among[i]], rows, False, first, last)
            dense = dense or slices[i].header.first >= 0
        job.workers, job.own, job.tables, job.slices = size, &rows.c, NULL, slices
        job.first, job.count, job.pairs = first, last - first, NULL
        if not dense and cdq_list_touches(&job, 0, 1, &listed):
            raise MemoryError("no memory to merge")
        return _finish(&job, rule, law, laws, needs_mass, out)
    finally:
        free(slices)
        free(listed)


cdef void _commit_all(
    cdq_rows *rows, cdq_rows *handed, const cdq_law *law, const cdq_slice *slices, int64_t size, int64_t *visits
) noexcept nogil:
    cdef int64_t i
    for i in range(size):
        if handed != NULL:
            cdq_rebase(rows, handed, &slices[i], law, visits)
        else:
            cdq_commit(rows, &slices[i], visits)


def commit(Rows rows not None, list merged, int64_t[::1] visits, Rows handed=None, Law law=None):
    """Make the merged slices of all ranks the table.

    With *visits*, also the base and the clocks of the process, and add the visits of all workers: one worker of the
    process does that. With *handed*, the slices are of the window that *rows* handed over to it, and *rows* keeps what
    it has learnt since under *law* (overlap.h); *visits* are needed. All slices are checked before the first pair
    changes. Returns the pooled mass in units of 2^-20, weighted by visits, and the visits.
    """
    cdef int64_t mass = 0, total = 0, count = 0, size = len(merged), i
    cdef int64_t *sums = &visits[0] if visits is not None else NULL
    cdef cdq_slice *slices = <cdq_slice *> malloc(size * sizeof(cdq_slice))
    cdef cdq_rows *then = &handed.c if handed is not None else NULL
    cdef const cdq_law *since = &law.c if law is not None else NULL
    try:
        if slices == NULL:
            raise MemoryError("no memory to commit")
        _require_base(rows)
        if then != NULL and (since == NULL or sums == NULL or then.base != rows.c.base):
            raise ValueError("committing what was handed over takes the law, the visits and the same base")
        for i in range(size):
            slices[i] = _open(merged[i], rows, True, 0, rows.c.n_states * rows.c.n_actions)
        for i in range(size):
            mass += slices[i].header.mass
            total += slices[i].header.visits
            count += slices[i].header.count
        if count <= BRIEF:
            _commit_all(&rows.c, then, since, slices, size, sums)
        else:
            with nogil:
                _commit_all(&rows.c, then, since, slices, size, sums)
    finally:
        free(slices)
    return mass, total


def commit_alone(Rows rows not None, int64_t[::1] visits not None):
    """Make the table of a worker without peers, which has a base all the same, the merged one."""
    _require_base(rows)
    with nogil:
        cdq_commit_alone(&rows.c, &visits[0])


def commit_aside(Rows rows not None, int64_t merged, int64_t[::1] visits not None):
    """Keep what a worker learnt in rows that are not merged; *merged* is the number of pairs that it had touched else.

    No other worker learns these rows, so that base, clocks and visits of the process are this one's to change.
    """
    cdef cdq_rows own = rows.c
    _require_base(rows)
    if not 0 <= merged <= own.n_states * own.n_actions - own.n_aside or rows.c.n_log:
        raise ValueError("what is merged is yet to be committed")
    own.log, own.n_log = own.log + merged, own.n_aside
    with nogil:
        cdq_commit_alone(&own, &visits[0])
    rows.c.n_aside = 0


# ---- for other compiled loops

cdef int64_t merge_part(
    const cdq_rows **rows, int64_t size, int64_t rank, int rule, const cdq_law *law, bint needs_mass,
    unsigned char **memory, int64_t *room,
) noexcept nogil:
    """Merge a rank's part of tables of *size* ranks into *memory* of *room* bytes, which grows; -1 without memory."""
    cdef cdq_merge_job job
    job.own, job.workers, job.tables, job.slices = rows[rank], size, rows, NULL
    job.rule, job.law, job.laws, job.kernels = rule, law, NULL, kernels
    job.needs_mass = needs_mass or rule in (CDQ_POOLED, CDQ_IMPORTANCE, CDQ_AFFINE)
    return cdq_merge_shared(&job, rank, memory, room)


cdef void commit_parts(
    cdq_rows *rows, unsigned char **parts, int64_t room, int64_t size, int64_t *visits, int64_t *mass, int64_t *total,
) noexcept nogil:
    """Commit what `merge_part` has made for all ranks, as `commit` does."""
    cdq_commit_parts(rows, parts, room, size, visits, mass, total)


cdef void commit_sole(cdq_rows *rows, int64_t *visits) noexcept nogil:
    """Commit as `commit_alone` does."""
    cdq_commit_alone(rows, visits)
