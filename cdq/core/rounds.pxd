"""Rates, lengths of windows, looks and records of rounds, as C has them."""

from libc.stdint cimport int64_t, uint8_t

from cdq.core.table.rows cimport cdq_law, cdq_rows

cdef extern from "loops/history.h":
    ctypedef struct cdq_record:
        int64_t steps, nanoseconds, episodes
        double return_sum
        int64_t bytes, parts

    int cdq_cell_bits(int64_t steps) nogil

cdef extern from "rounds.h":
    enum: CDQ_CONSTANT, CDQ_LINEAR, CDQ_EXPONENTIAL, CDQ_TABULATED

    ctypedef struct cdq_rate:
        int kind
        double first, last, decay
        const int64_t *knots
        const double *rates
        int64_t n

    ctypedef struct cdq_lengths:
        double mass, floor, longest

    ctypedef struct cdq_decay:
        cdq_rate rate
        double mass, scale, now

    ctypedef struct cdq_look:
        int64_t at, until, steps_per_look, most_rows
        bint unseen, counts
        const uint8_t *known
        int64_t n_known, seen, tables

    ctypedef struct cdq_board:
        int64_t n_log, request, grown

    ctypedef struct cdq_own_board:
        cdq_board board

    int64_t cdq_told_log(const cdq_board *board, const cdq_rows *rows) nogil
    double cdq_rate_at(const cdq_rate *rate, int64_t steps) nogil
    cdq_law cdq_law_at(cdq_decay *decay, int64_t steps, int64_t real_size) nogil
    double cdq_next_window(const cdq_lengths *lengths, double steps, double mass) nogil
    int64_t cdq_sweeps(double window, int64_t left, int64_t size, int64_t lanes) nogil
    bint cdq_is_due(const cdq_look *look, int64_t before, int64_t after) nogil
    void cdq_record_look(cdq_record *record, const cdq_rows *rows, const int64_t *visits, cdq_look *look) nogil

cdef enum:
    # Requests of a rank to all: to go on, to end after the round in hand, or to return from here after it.
    GO_ON = 0
    STOP_AFTER = 2
    LOOK_AFTER = 3

    BOARD = 64          # bytes before the merged part, in memory that processes share
    MOST_PARTS = 128    # of a window, each of so many steps of a worker at least (cdq.workers.tallies)
    SHORTEST_PART = 128
