"""Linear Q-functions, and the features of observations that they are linear in."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.table.qfunction cimport QFunction


cdef extern from "linear/feature_vector.h":
    ctypedef struct cdq_features:
        int64_t width
        int64_t n_features
        int64_t n_active
        int64_t order
        const double *low
        const double *high
        const double *scale
        const double *offset
        const uint64_t *stride
        const double *norm
        int hashed


cdef extern from *:
    """
    #define CDQ_HEADER "linear/linear_phases.h"
    #include "per_type.h"
    """
    ctypedef struct cdq_located:
        uint32_t *index
        void *phi

    ctypedef struct cdq_linear:
        int64_t n, n_active, n_actions
        cdq_located state, successor
        void *q
        void *target
        double largest_reward, largest_value, largest_discount, first_value


cdef class Features:
    cdef cdq_features c
    cdef object arrays               # keeps the memory alive
    cdef readonly double step_scale  # factor of the step size
    cdef readonly str fingerprint    # hash of all that the features depend on


cdef class LinearQ(QFunction):
    cdef readonly Features features
    cdef cdq_linear c
    cdef double *phi64
    cdef object memory               # keeps the scratch alive
