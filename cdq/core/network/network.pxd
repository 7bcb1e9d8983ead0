"""Network Q-functions: a multilayer perceptron with layer normalisation, and its rollouts."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.table.qfunction cimport QFunction


cdef extern from "network/network.h":
    ctypedef struct cdq_network:
        int64_t n_hidden, size, padded
        int64_t width[5]
        int64_t kernel[4]
        int64_t bias[4]
        int64_t gain[3]
        int64_t shift[3]

    ctypedef struct cdq_pass:
        pass

cdef extern from "network/sets.h":
    ctypedef struct cdq_powers:
        int64_t updates
        double first, second

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
        uint64_t key
        bint wrong


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
    cdef float *mean                 # gradient of all ranks
    cdef int64_t *updates
    cdef const double *low
    cdef const double *scale
    cdef int64_t minibatch, slots    # samples that a minibatch has at least; lanes times sweeps of the rollout
    cdef int lay_out_lanes(self, int64_t n, int64_t rollout) except -1
    cdef void see(self, cdq_seen *seen, int64_t first, int64_t count) noexcept nogil
    cdef int64_t value_some(
        self, const double[:, ::1] observations, double[:, ::1] values, int64_t first, int64_t count) noexcept nogil
