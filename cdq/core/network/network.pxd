"""Network Q-functions: a multilayer perceptron with layer normalisation, and its rollouts."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.table.qfunction cimport QFunction


cdef extern from "network/network.h":
    int CDQ_MOST_HIDDEN
    int CDQ_LARGEST_HIDDEN

    ctypedef struct cdq_network:
        int64_t n_hidden, size, padded
        int64_t width[5]
        int64_t kernel[4]
        int64_t bias[4]
        int64_t gain[3]
        int64_t shift[3]

    ctypedef struct cdq_pass:
        pass

    ctypedef struct cdq_samples:
        const float *input
        const uint32_t *action
        const float *target
        const int32_t *order
        int64_t n

    int64_t cdq_lay_out_pass(const cdq_network *net, cdq_pass *scratch, float *memory) nogil

cdef extern from "network/sets.h":
    ctypedef struct cdq_powers:
        int64_t updates
        double first, second

    ctypedef struct cdq_update:
        pass

    ctypedef struct cdq_kernels:
        const char *name
        void (*values)(
            const cdq_network *, const float *, int64_t, const float *, cdq_pass *, float *) noexcept nogil
        void (*gradient)(
            const cdq_network *, const float *, const cdq_samples *, cdq_pass *, float *) noexcept nogil
        void (*mean)(int64_t, int64_t, const float **, float *) noexcept nogil
        double (*squares)(int64_t, const float *) noexcept nogil
        void (*step)(int64_t, const cdq_update *, const float *, float *, float *, float *) noexcept nogil

    const cdq_kernels *cdq_kernels_of(bint baseline)
    void cdq_raise(cdq_powers *powers, int64_t updates) nogil
    cdq_update cdq_rectify(const cdq_powers *powers, double squares, double step_size) nogil

cdef extern from "network/recording.h":
    ctypedef struct cdq_seen:
        float *input
        float *value

    ctypedef struct cdq_recording:
        int64_t n, room, recorded, n_samples
        double reward_scale
        float trace
        float *input
        uint32_t *action
        float *reward
        float *discount
        float *next
        float *target
        uint8_t *ended
        uint8_t *learns
        int32_t *order
        bint wrong

    ctypedef struct cdq_sweep:
        const uint32_t *action
        const double *reward
        const double *discount
        const uint8_t *masks
        const uint8_t *active

    void cdq_fill_bit_tables()
    bint cdq_read_input(
        int64_t inputs, const double *observation, const double *low, const double *scale, float *input) nogil
    bint cdq_all_finite(const float *number, int64_t n) nogil
    void cdq_choose_actions(
        const cdq_network *net, const cdq_seen *seen, uint64_t threshold, const uint64_t *bits, const uint8_t *masks,
        uint32_t *action, int64_t n) nogil
    void cdq_greedy_actions(
        const cdq_network *net, const cdq_seen *seen, const uint8_t *masks, uint32_t *action, int64_t n) nogil
    void cdq_mix_key(cdq_recording *r, const uint64_t *bits) nogil
    void cdq_record(
        cdq_recording *r, const cdq_network *net, const cdq_seen *state, const cdq_seen *successor,
        const cdq_sweep *sweep) nogil
    void cdq_close_rollout(cdq_recording *r) nogil
    void cdq_shuffle(cdq_recording *r) nogil


cdef class Shape:
    cdef cdq_network c
    cdef readonly tuple tensors


cdef class NetworkQ(QFunction):
    cdef readonly Shape shape
    cdef cdq_recording c
    cdef cdq_seen state, successor
    cdef cdq_pass scratch
    cdef cdq_powers powers
    cdef object memory               # keeps what follows alive
    cdef float *parameters
    cdef float *first                # moments
    cdef float *second
    cdef float *mean                 # of the gradients of all ranks
    cdef int64_t *updates
    cdef const double *low
    cdef const double *scale
    cdef int64_t minibatch, slots    # samples that a minibatch has at least; lanes times sweeps of the rollout
    cdef int lay_out_lanes(self, int64_t n, int64_t rollout) except -1
    cdef void see(self, cdq_seen *seen, int64_t first, int64_t count) noexcept nogil
    cdef int64_t value_some(
        self, const double[:, ::1] observations, double[:, ::1] values, int64_t first, int64_t count) noexcept nogil
