"""Phases of a sweep over compiled environments."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.lane cimport cdq_call, cdq_lane
from cdq.core.loops.tally cimport cdq_tally


cdef extern from "loops/stepping.h":
    ctypedef struct cdq_stepping:
        int64_t n, width, agents, uniforms, time_limit, masked
        double gamma
        cdq_call step, reset, encode
        const void *context
        int64_t placed
        const int64_t *first
        int64_t n_own
        const uint64_t *allowed_of
        int64_t n_allowed_of
        int64_t memory_bytes
        cdq_lane *lanes
        unsigned char *memory
        uint64_t *words
        int64_t *elapsed
        double *returns
        uint64_t *bits
        uint32_t *action
        uint32_t *ended
        double *reward
        double *discount
        double *observation
        int64_t *index
        uint8_t *masks
        int64_t n_apart

    bint cdq_is_apart(const cdq_lane *lane) nogil
    bint cdq_is_stuck(const cdq_stepping *s, const cdq_lane *lane) nogil
    void cdq_show(cdq_stepping *s, int64_t lane) nogil
    void cdq_draw_bits(cdq_stepping *s) nogil
    void cdq_draw_uniforms(cdq_stepping *s) nogil
    const void *cdq_shown(const cdq_stepping *s) nogil
    void cdq_show_all(cdq_stepping *s) nogil
    void cdq_set_addresses(cdq_stepping *s, const void *context, unsigned char *memory) nogil
    int64_t cdq_begin_episode(cdq_stepping *s, int64_t first) nogil
    int64_t cdq_step_all(cdq_stepping *s) nogil
    int64_t cdq_book(cdq_stepping *s) nogil
    void cdq_count_ended(const cdq_stepping *s, int64_t n_ended, cdq_tally *tally, int64_t sweeps) nogil
