"""Rows of a history: parts of windows put together, as many as it keeps, and rows of rounds and of parts.

NumPy would take as long as a hundred steps for each operation on them. *rows* are (n, 17) numbers of 64 bits, as
`cdq.training.played.COLUMNS` has them; *before* is the row before them.
"""

from libc.stdint cimport int64_t

cdef extern from "loops/history.h":
    enum:
        CDQ_TALLY_WIDTH, CDQ_CELLS

    ctypedef struct cdq_moment:
        pass

    ctypedef struct cdq_record:
        pass

    ctypedef struct cdq_rounds_made:
        int64_t n, n_rows
        const cdq_moment *own
        const int64_t *starts
        const int64_t *workers
        const int64_t *pairs
        const double *figures
        const int64_t *steps
        const int64_t *of

    int cdq_cell_bits(int64_t steps) noexcept nogil
    void cdq_put_in_row(
        double *row, const double **parts, int64_t workers, int64_t first, int64_t last) noexcept nogil
    void cdq_fill_rows(
        cdq_moment *rows, cdq_moment before, const cdq_rounds_made *made, int64_t steps_per_pair, int64_t most_rows,
    ) noexcept nogil
    int64_t cdq_thin(
        const cdq_moment *rows, int64_t n, cdq_moment *kept, double *numbers) noexcept nogil
    void cdq_fill_moments(
        cdq_moment *rows, int64_t n, const cdq_record **records, int64_t workers, const cdq_moment *before,
    ) noexcept nogil

# Parts of the steps of a run of which a history has a row at least, and two at most.
CELLS = CDQ_CELLS


def group(
    list tallies not None, const int64_t[::1] counts not None, const int64_t[::1] ends not None,
    double[:, ::1] figures not None, int64_t[::1] steps not None, int64_t[::1] of not None,
    int64_t[::1] starts not None,
):
    """Put parts together that end in the same cell of a grid of steps, and are of the same round; return the rows.

    *tallies* has an array of each worker, (m, 8): the parts (tally.h) of rounds, of which each has as many as *counts*
    says and *ends* after so many steps of all workers. A cell has the least power of two of steps that is above one of
    `CELLS` parts of these. *figures* (m, 8) get what is together; where nothing ended, least figures are infinite and
    greatest ones minus infinite. *steps* and *of* (m,) get the steps and the round at which a row ends, *starts* those
    before each round.
    """
    cdef int64_t workers = len(tallies), m = figures.shape[0], n = counts.shape[0], rows = 0, at = 0, r, i, k, first
    cdef int64_t now, end
    cdef int bits
    if figures.shape[1] != CDQ_TALLY_WIDTH or workers < 1 or (
            not steps.shape[0] == of.shape[0] == m or not ends.shape[0] == starts.shape[0] == n):
        raise ValueError("parts or rows do not have the size that they should")
    for r in range(n):
        at += counts[r]
        if counts[r] < 1:
            raise ValueError("a round has no part")
    if at != m:
        raise ValueError(f"rounds have {at} parts, there are {m}")
    memory = bytearray(sizeof(void *) * workers)
    cdef unsigned char[::1] view = memory
    cdef const double **parts = <const double **> &view[0]
    cdef const double[:, ::1] own
    for k in range(workers):
        own = tallies[k]
        if own.shape[0] != m or own.shape[1] != CDQ_TALLY_WIDTH:
            raise ValueError(f"a worker has tallies of shape {own.shape[0]} x {own.shape[1]}, not {m} x 8")
        parts[k] = &own[0, 0]
    at = 0
    with nogil:
        for r in range(n):
            now, bits, first = ends[r], cdq_cell_bits(ends[r]), at
            for i in range(at, at + counts[r]):
                for k in range(workers):
                    now -= <int64_t> parts[k][i * CDQ_TALLY_WIDTH]
            starts[r] = now
            for i in range(at, at + counts[r]):
                end = now
                for k in range(workers):
                    end += <int64_t> parts[k][i * CDQ_TALLY_WIDTH]
                if i > at and now >> bits != end >> bits:
                    cdq_put_in_row(&figures[rows, 0], parts, workers, first, i)
                    steps[rows], of[rows], first = now, r, i
                    rows += 1
                now = end
            at += counts[r]
            cdq_put_in_row(&figures[rows, 0], parts, workers, first, at)
            steps[rows], of[rows] = now, r
            rows += 1
    return rows


cdef int64_t WIDTH = sizeof(cdq_moment) // 8, RECORD_WIDTH = sizeof(cdq_record) // 8


cdef cdq_moment *_rows(int64_t[:, ::1] rows, int64_t n) except NULL:
    if rows.shape[0] != n or rows.shape[1] != WIDTH or n < 1:
        raise ValueError(f"rows are {rows.shape[0]} x {rows.shape[1]}, not {n} x {WIDTH}")
    return <cdq_moment *> &rows[0, 0]


def fill_moments(list records not None, int64_t[:, ::1] rows not None, int64_t[:, ::1] before not None):
    """Fill in what is known of rounds from the *records* of each worker (`cdq.workers.stretches`), in rank order.

    Rounds and episodes count on from *before*, whose bytes and seconds are those when the records began.
    """
    cdef int64_t workers = len(records), n = rows.shape[0], k
    memory = bytearray(sizeof(void *) * (workers + 1))
    cdef unsigned char[::1] view = memory
    cdef const cdq_record **pointers = <const cdq_record **> &view[0]
    cdef const int64_t[:, ::1] own
    if workers < 1:
        raise ValueError("there is no worker")
    for k in range(workers):
        own = records[k]
        if own.shape[0] != n or own.shape[1] != RECORD_WIDTH:
            raise ValueError(f"records are {own.shape[0]} x {own.shape[1]}, not {n} x {RECORD_WIDTH}")
        pointers[k] = <const cdq_record *> &own[0, 0]
    cdq_fill_moments(_rows(rows, n), n, pointers, workers, _rows(before, 1))


def fill_rows(
    int64_t[:, ::1] rows not None, int64_t[:, ::1] before not None, int64_t[:, ::1] own not None,
    const int64_t[::1] starts not None, const int64_t[::1] workers not None, const int64_t[::1] pairs not None,
    const double[:, ::1] figures not None, const int64_t[::1] steps not None, const int64_t[::1] of not None,
    int64_t steps_per_pair, int64_t most_rows,
):
    """Fill in rows of rounds, of which *own* are those at their ends, and the others are what `group` returns.

    A look at the table is due where the steps reach the next multiple of a power of two, above *steps_per_pair* for
    each pair and one of *most_rows* parts of all steps.
    """
    cdef cdq_rounds_made made
    cdef int64_t n = own.shape[0], m = rows.shape[0], i
    if not starts.shape[0] == workers.shape[0] == pairs.shape[0] == n or not (
            figures.shape[0] == steps.shape[0] == of.shape[0] == m) or figures.shape[1] != CDQ_TALLY_WIDTH or (
            most_rows < 1):
        raise ValueError("rounds or their rows do not have the size that they should")
    for i in range(m):
        if not (0 if i == 0 else of[i - 1]) <= of[i] < n:
            raise ValueError("rows are of rounds in their order")
    made.n, made.n_rows, made.own = n, m, _rows(own, n)
    made.starts, made.workers, made.pairs = &starts[0], &workers[0], &pairs[0]
    made.figures, made.steps, made.of = &figures[0, 0], &steps[0], &of[0]
    cdq_fill_rows(_rows(rows, m), _rows(before, 1)[0], &made, steps_per_pair, most_rows)


def thin(int64_t[:, ::1] rows not None, int64_t[:, ::1] kept not None):
    """Keep the last row of each cell of the steps, or its last with a gap, and the newest two.

    They get the episodes of those that are left out. *kept* has room for as many as there are; returns their number.
    """
    cdef int64_t n = rows.shape[0]
    cdef double[::1] numbers = memoryview(bytearray(8 * (n + 1))).cast("d")
    return cdq_thin(_rows(rows, n), n, _rows(kept, n), &numbers[0])
