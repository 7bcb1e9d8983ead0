"""A barrier for threads, of one process or several: spins, then yields, then sleeps, and always ends by its deadline.

One 64-bit word holds the whole state, so that every change is one compare-and-swap: the generation (how many
times the barrier opened, 32 bits), the status (8 bits), the number of ranks that arrived (24 bits).
A waiter that sees a new generation is through, whatever the status says by then: a barrier that opened has
opened for everyone, even when a fast rank breaks it a moment later.

A barrier releases its ranks at one moment, and then all want the GIL: they take turns (`cdq.core.turn`).
"""

import math
import os

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free

from cdq.core cimport turn

cdef extern from "atomics.h":
    uint64_t cdq_load(const uint64_t *word) noexcept nogil
    void cdq_store(uint64_t *word, uint64_t value) noexcept nogil
    bint cdq_swap(uint64_t *word, uint64_t expected, uint64_t desired) noexcept nogil
    void cdq_pause() noexcept nogil
    int64_t cdq_now() noexcept nogil
    void cdq_sleep(int64_t nanoseconds) noexcept nogil
    uint64_t *cdq_lines(size_t count) noexcept
    bint cdq_is_readable(pollfd *files, size_t n) noexcept nogil
    void sched_yield() noexcept nogil

cdef enum:
    LINE = 8  # words in a cache line of 64 bytes: each rank's mark has a line of its own
    STATUS_SHIFT = 24
    GENERATION_SHIFT = 32
    MAX_RANKS = 1 << 16

    OPENED = 0
    BROKE = 1
    OVERDUE = 2
    WAITING = 3

    PAUSES = 64  # of a wait that looks at no clock: some microseconds at most
    SPIN = 20_000  # nanoseconds; a wake-up by the kernel costs more than that
    YIELD = 2_000_000  # a sleep overshoots by more than workers that run alike are apart
    YIELD_CROWDED = 100_000
    LONGEST_SLEEP = 500_000
    SIGNAL_CHECK = 50_000_000  # the longest that Ctrl-C may have to wait

DONE = OPENED
BROKEN = BROKE
TIMED_OUT = OVERDUE


cdef inline uint64_t generation(uint64_t state) noexcept nogil:
    return state >> GENERATION_SHIFT


cdef inline int status_of(uint64_t state) noexcept nogil:
    return <int> ((state >> STATUS_SHIFT) & 0xFF)


cdef inline Py_ssize_t arrivals(uint64_t state) noexcept nogil:
    return <Py_ssize_t> (state & ((1 << STATUS_SHIFT) - 1))


cdef inline int outcome(uint64_t now, uint64_t arrived) noexcept nogil:
    """Return the outcome that the state `now` has for a rank that arrived when the state was `arrived`."""
    if generation(now) != generation(arrived):
        return OPENED
    return status_of(now) if status_of(now) else WAITING


cdef inline bint set_status(uint64_t *word, uint64_t state, int status) noexcept nogil:
    return cdq_swap(word, state, state | (<uint64_t> status << STATUS_SHIFT))


cdef inline void break_at(uint64_t *word) noexcept nogil:
    cdef uint64_t state = cdq_load(word)
    while not status_of(state) and not set_status(word, state, BROKE):
        state = cdq_load(word)


cdef inline bint idle(int64_t waited, int64_t spin) noexcept nogil:
    """Spin while the wait is short; later sleep an eighth of the time waited, to overshoot little; return whether."""
    if waited < spin:
        cdq_pause()
    elif waited < (YIELD if spin else YIELD_CROWDED):
        sched_yield()
    else:
        cdq_sleep(min(waited // 8, LONGEST_SLEEP))
        return True
    return False


cdef int wait_until(
    uint64_t *word, uint64_t arrived, int64_t start, int64_t end, int64_t spin, pollfd *ends, Py_ssize_t n_ends
) noexcept nogil:
    cdef int64_t now = start
    cdef int result = outcome(cdq_load(word), arrived)
    for _ in range(PAUSES if spin else 0):  # a look at the clock takes as long as what is waited for
        if result != WAITING:
            return result
        cdq_pause()
        result = outcome(cdq_load(word), arrived)
    while result == WAITING and now < end:
        if idle(now - start, spin) and cdq_is_readable(ends, n_ends):
            break_at(word)
        now = cdq_now()
        result = outcome(cdq_load(word), arrived)
    return result


cdef inline int count_in(uint64_t *word, Py_ssize_t size, uint64_t *before) noexcept nogil:
    """Count one arrival; the last one opens the barrier. A barrier broken for any reason lets nobody in."""
    cdef uint64_t state
    cdef uint64_t after
    while True:
        state = cdq_load(word)
        before[0] = state
        if status_of(state):
            return BROKE
        after = state + 1
        if arrivals(after) == size:
            after = (generation(state) + 1) << GENERATION_SHIFT
        if cdq_swap(word, state, after):
            return outcome(after, state)


cdef inline int give_up(uint64_t *word, uint64_t arrived) noexcept nogil:
    """End the barrier as timed out, unless it opened or broke at the last moment."""
    cdef uint64_t state
    while True:
        state = cdq_load(word)
        if outcome(state, arrived) != WAITING or set_status(word, state, OVERDUE):
            return outcome(cdq_load(word), arrived)


cdef class Barrier:
    """Let `size` threads wait for each other, without the GIL.

    Parameters
    ----------
    size : int
        Number of threads; each has a rank of its own in ``range(size)``.
    memory : (n,) array of uint8, optional
        Memory of `barrier_bytes`, zeroed before the first barrier is over it, which processes share: then the threads
        may be theirs, each by a barrier of its own over the same memory.
    crowded : bool, optional
        True if threads share cores; by default if this process may use fewer than there are threads.
    ends : sequence of int
        Files that can be read once the process of a thread has ended: then the barrier breaks. They stay open for as
        long as somebody waits.

    Notes
    -----
    Reusable until it is broken or a wait times out; after that nobody is let in any more.
    Where each thread has a core a waiter spins for up to 20 microseconds, then yields its core for up to
    2 ms; then it sleeps, at most 0.5 ms at a time. Where they share cores it yields at once, and sleeps after 0.1 ms.

    Examples
    --------
    >>> barrier = Barrier(1)
    >>> barrier.wait(0, 1.0) == DONE
    True
    """

    def __cinit__(self, Py_ssize_t size, memory=None, crowded=None, ends=()):
        if not 1 <= size <= MAX_RANKS:
            raise ValueError(f"size is {size}; allowed are 1 to {MAX_RANKS}")
        self.size = size
        self.spin = 0 if (size > _cores() if crowded is None else crowded) else SPIN
        self._watch(ends)
        if memory is not None:
            self._over(memory)
            return
        self.word = cdq_lines(size + 2)
        if self.word == NULL:
            raise MemoryError()
        self.marks = self.word + 2 * LINE  # a free line between: processors fetch lines in pairs
        turn.enable(self.spin > 0)

    def __dealloc__(self):
        if not self.borrowed:
            free(self.word)
        free(self.ends)

    cdef int _watch(self, ends) except -1:
        """Break once one of the files can be read."""
        self.ends = <pollfd *> calloc(len(ends) + 1, sizeof(pollfd))
        if self.ends == NULL:
            raise MemoryError()
        for file in ends:
            self.ends[self.n_ends].fd, self.ends[self.n_ends].events = file, POLLIN
            self.n_ends += 1
        return 0

    cdef int _over(self, uint8_t[::1] memory) except -1:
        """Be the barrier that is in memory of others."""
        if memory.shape[0] < barrier_bytes(self.size) or <size_t> &memory[0] % (8 * LINE):
            raise ValueError("the memory of a barrier is too short, or does not begin at a cache line")
        self.memory, self.borrowed = memory, True
        self.word = <uint64_t *> &memory[0]
        self.marks = self.word + 2 * LINE
        return 0

    def wait(self, Py_ssize_t rank, double timeout) -> int:
        """Wait until every rank has come, for at most `timeout` seconds.

        Returns
        -------
        int
            ``DONE``; ``BROKEN`` if the barrier was broken, before or meanwhile, or had timed out before;
            ``TIMED_OUT`` if the time ran out, for this rank or for another one that waited with it.
        """
        if not 0 <= rank < self.size:
            raise ValueError(f"rank is {rank}; allowed are 0 to {self.size - 1}")
        cdef uint64_t arrived = 0
        cdef int result = self.arrive(rank, &arrived)
        return self._wait(arrived, timeout) if result == WAITING else result

    cdef int arrive(self, Py_ssize_t rank, uint64_t *arrived) noexcept nogil:
        """Come to the barrier; *arrived* is its state of before."""
        cdef int result = count_in(self.word, self.size, arrived)
        if result == WAITING:
            # Not 0 in the first generation either, so that no rank looks as if it had come.
            cdq_store(self.marks + rank * LINE, generation(arrived[0]) + 1)
        return result

    cdef int meet(self, Py_ssize_t rank, int64_t nanoseconds) noexcept nogil:
        """Wait as `wait` does, for compiled code without the GIL, which hears no signals."""
        cdef uint64_t arrived = 0
        cdef int64_t start
        cdef int result = self.arrive(rank, &arrived)
        if result == WAITING:
            start = cdq_now()
            result = wait_until(self.word, arrived, start, start + nanoseconds, self.spin, self.ends, self.n_ends)
        return give_up(self.word, arrived) if result == WAITING else result

    cdef int _wait(self, uint64_t arrived, double timeout) except -1:
        cdef int64_t start = cdq_now()
        cdef int64_t end = start + nanoseconds_of(timeout)
        cdef int64_t now = start
        cdef int result = WAITING
        while result == WAITING and now < end:
            with nogil:
                turn.release()
                result = wait_until(
                    self.word, arrived, start, min(end, now + SIGNAL_CHECK), self.spin, self.ends, self.n_ends)
                turn.take()
            now = cdq_now()
            if result == WAITING:
                PyErr_CheckSignals()
        return give_up(self.word, arrived) if result == WAITING else result

    cdef uint64_t _mark(self, Py_ssize_t rank) noexcept:
        return cdq_load(self.marks + rank * LINE)

    def break_(self) -> None:
        """Wake every waiter with ``BROKEN`` and let nobody in any more; from any thread, at any time."""
        break_at(self.word)

    def missing(self) -> list:
        """Return the ranks that have not come to a barrier that is broken or timed out, in order."""
        cdef uint64_t state = cdq_load(self.word)
        cdef uint64_t mark = generation(state) + 1
        while True:
            absent = [rank for rank in range(self.size) if self._mark(rank) != mark]
            # A rank counts itself first and leaves its mark just after.
            if not status_of(state) or len(absent) == self.size - arrivals(state):
                return absent
            sched_yield()


def barrier_bytes(Py_ssize_t size):
    """Return how much memory a barrier takes."""
    return 8 * LINE * (size + 2)


cdef int64_t nanoseconds_of(double seconds) except -1:
    """Return a time in nanoseconds, a century at most; NaN is 0."""
    return <int64_t> (1e9 * min(max(seconds, 0.0), 3e9)) if not math.isnan(seconds) else 0


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
