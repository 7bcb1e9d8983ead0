"""Figures of the episodes that end in a window, in parts."""

from libc.stdint cimport int64_t


cdef extern from "loops/tally.h":
    enum:
        CDQ_TALLY_WIDTH

    ctypedef struct cdq_episodes:
        int64_t episodes, length_sum
        double return_sum

    ctypedef struct cdq_tally:
        cdq_episodes part
        int64_t n_rows

    void cdq_put_together(cdq_tally *tally, int64_t before, int64_t size, int bits) nogil
    cdq_tally cdq_begin_tally(double *parts, int64_t n_parts, int64_t lanes, int64_t sweeps) nogil
    void cdq_end_episode(cdq_episodes *part, int64_t length, double result) nogil
    void cdq_end_episode_after(cdq_tally *tally, int64_t sweeps, int64_t length, double result) nogil
    int64_t cdq_row_left(const cdq_tally *tally) nogil
    cdq_episodes cdq_whole(const cdq_tally *tally) nogil
    void cdq_tally_sweeps(cdq_tally *tally, int64_t sweeps) nogil


cdef inline cdq_tally tally_of(double[:, ::1] parts, int64_t lanes, int64_t sweeps) except *:
    """Return the tally of a window; *parts* (n, 8) may be None."""
    if parts is None:
        return cdq_begin_tally(NULL, 1, lanes, sweeps)
    if parts.shape[0] < 1 or parts.shape[1] != CDQ_TALLY_WIDTH:
        raise ValueError("there are no parts of the window, or they do not have eight numbers each")
    return cdq_begin_tally(&parts[0, 0], parts.shape[0], lanes, sweeps)
