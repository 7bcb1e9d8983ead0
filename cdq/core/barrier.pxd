"""The barrier, for compiled loops that wait without the GIL."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
    enum:
        POLLIN


cdef class Barrier:
    cdef readonly Py_ssize_t size
    cdef int64_t spin
    cdef object memory   # of the word and the marks, where it is borrowed
    cdef bint borrowed
    cdef uint64_t *word
    cdef uint64_t *marks
    cdef pollfd *ends    # files that can be read once the process of a thread has ended
    cdef Py_ssize_t n_ends
    cdef int _over(self, uint8_t[::1] memory) except -1
    cdef int _watch(self, ends) except -1
    cdef int arrive(self, Py_ssize_t rank, uint64_t *arrived) noexcept nogil
    cdef int meet(self, Py_ssize_t rank, int64_t nanoseconds) noexcept nogil
    cdef int _wait(self, uint64_t arrived, double timeout) except -1
    cdef uint64_t _mark(self, Py_ssize_t rank) noexcept

cdef int64_t nanoseconds_of(double seconds) except -1
