"""Turns at the GIL; see turn.pyx."""


cdef void enable(bint enabled) noexcept nogil
cdef void release() noexcept nogil
cdef void take() noexcept nogil
