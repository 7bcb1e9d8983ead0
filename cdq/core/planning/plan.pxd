"""Common part of the planning kernels: the backup of a pair. See plan.pyx for the arguments."""

from libc.stdint cimport int32_t, int64_t

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define CDQ_PREFETCH(address) __builtin_prefetch(address)
    #else
    #define CDQ_PREFETCH(address) ((void)0)
    #endif
    """
    void prefetch "CDQ_PREFETCH"(const void* address) noexcept nogil

cdef inline double greater(double one, double other) noexcept nogil:
    """Return the greater of two numbers, neither of them NaN; quicker than fmax."""
    return one if one > other else other


cdef struct Range:
    double low
    double high


cdef inline void widen(Range* seen, double value) noexcept nogil:
    """Let the range hold value."""
    if value < seen.low:
        seen.low = value
    if value > seen.high:
        seen.high = value


cdef inline double backup(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    const double[::1] state_values, double gamma, Py_ssize_t pair,
) noexcept nogil:
    """Return reward[p] + gamma * sum_k weight[k] * V[next_state[k]].

    The value comes last: a sweep in place waits for it. What is certified takes gamma last, as less can underflow.
    """
    cdef double total = reward[pair]
    cdef int64_t k
    for k in range(offsets[pair], offsets[pair + 1]):
        total += gamma * weight[k] * state_values[next_state[k]]
    return total


cdef inline void fetch(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] state_values,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    """Ask memory for the values of the successors of the pairs first..last - 1."""
    cdef int64_t k
    for k in range(offsets[first], offsets[last]):
        prefetch(&state_values[next_state[k]])
