"""Turns at the GIL, for workers that leave compiled code at about the same moment.

Whoever finds the GIL taken is put to sleep by the kernel, and waking up costs both threads 20 microseconds and more:
as much as a short window. So a worker spins for its turn before it takes the GIL. A turn ends when its holder is in
compiled code again, or after a while that is longer than the Python code of a round.
"""

from libc.stdint cimport int64_t, uint64_t


cdef extern from "atomics.h":
    uint64_t cdq_load(const uint64_t *word) noexcept nogil
    bint cdq_swap(uint64_t *word, uint64_t expected, uint64_t desired) noexcept nogil
    void cdq_pause() noexcept nogil
    int64_t cdq_now() noexcept nogil

cdef extern from *:
    """
    static __thread uint64_t cdq_own_turn; /* until when this thread's turn lasts; 0 without one */
    """
    uint64_t cdq_own_turn

cdef enum:
    LONGEST = 20_000  # nanoseconds

# Until when the turn is held; 0 while nobody does. In lines of their own.
cdef uint64_t gate[24]
cdef bint in_use = True


cdef void enable(bint enabled) noexcept nogil:
    """Switch turns on or off: on a shared core, spinning for a turn would keep its holder off the core."""
    global in_use
    in_use = enabled


cdef void release() noexcept nogil:
    """End the own turn, if it is still the own one; called without the GIL."""
    global cdq_own_turn
    if cdq_own_turn:
        cdq_swap(&gate[8], cdq_own_turn, 0)
        cdq_own_turn = 0


cdef void take() noexcept nogil:
    """Wait until no other worker is likely to hold the GIL; called before taking it."""
    global cdq_own_turn
    cdef int64_t now = cdq_now()
    cdef uint64_t held_until = cdq_load(&gate[8])
    while in_use and (<int64_t> held_until > now or not cdq_swap(&gate[8], held_until, <uint64_t> (now + LONGEST))):
        cdq_pause()
        now = cdq_now()
        held_until = cdq_load(&gate[8])
    cdq_own_turn = <uint64_t> (now + LONGEST)
