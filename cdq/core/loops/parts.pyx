"""Parts of windows put together: figures of the episodes of all workers, as many rows as a history keeps of them."""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t

cdef extern from "loops/tally.h":
    enum:
        CDQ_TALLY_WIDTH

cdef extern from *:
    """
    /* Take a part of a worker in: sums of the first four numbers, the least and the greatest of the others. */
    static inline void cdq_take_in(double *restrict row, const double *restrict part)
    {
        for (int i = 0; i < 4; i++)
            row[i] += part[i];
        if (part[1] > 0)
            for (int i = 4; i < 8; i += 2) {
                row[i] = part[i] < row[i] ? part[i] : row[i];
                row[i + 1] = part[i + 1] > row[i + 1] ? part[i + 1] : row[i + 1];
            }
    }
    """
    void cdq_take_in(double *row, const double *part) noexcept nogil


cdef void _clear(double *row) noexcept nogil:
    cdef int i
    for i in range(4):
        row[i] = 0
    for i in range(4, 8, 2):
        row[i], row[i + 1] = INFINITY, -INFINITY


def group(
    list tallies not None, const int64_t[::1] counts not None, const int64_t[::1] ends not None,
    int64_t cells, double[:, ::1] figures not None, int64_t[::1] steps not None, int64_t[::1] of not None,
    int64_t[::1] starts not None,
):
    """Put parts together that end in the same cell of a grid of steps, and are of the same round; return the rows.

    *tallies* has an array of each worker, (m, 8): the parts (tally.h) of rounds, of which each has as many as *counts*
    says and *ends* after so many steps of all workers. A cell has the least power of two of steps that is above one of
    *cells* parts of these. *figures* (m, 8) get what is together; where nothing ended, least figures are infinite and
    greatest ones minus infinite. *steps* and *of* (m,) get the steps and the round at which a row ends, *starts* those
    before each round.
    """
    cdef int64_t workers = len(tallies), m = figures.shape[0], n = counts.shape[0], rows = 0, at = 0, r, i, k, now
    cdef int bits
    cdef double part[8]
    if figures.shape[1] != CDQ_TALLY_WIDTH or cells < 1 or workers < 1 or (
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
            now = ends[r]
            for i in range(at, at + counts[r]):
                for k in range(workers):
                    now -= <int64_t> parts[k][i * CDQ_TALLY_WIDTH]
            starts[r], bits = now, 0
            while ends[r] // cells >> bits:
                bits += 1
            _clear(&figures[rows, 0])
            for i in range(at, at + counts[r]):
                _clear(part)
                for k in range(workers):
                    cdq_take_in(part, parts[k] + i * CDQ_TALLY_WIDTH)
                if i > at and now >> bits != now + <int64_t> part[0] >> bits:
                    steps[rows], of[rows] = now, r
                    rows += 1
                    _clear(&figures[rows, 0])
                cdq_take_in(&figures[rows, 0], part)
                now += <int64_t> part[0]
            steps[rows], of[rows] = now, r
            rows += 1
            at += counts[r]
    return rows
