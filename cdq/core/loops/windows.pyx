"""Loops that learn a window without Python, so that compiled code can play rounds of them (`cdq.core.rounds`)."""


cdef class Windows:
    """A loop whose windows need no Python."""

    cdef bint learn(
        self, const cdq_law *law, int64_t sweeps, double explore_first, double explore_last, cdq_tally *tally
    ) noexcept nogil:
        """Learn for a window, whose episodes *tally* counts; return whether it ran to its end.

        The exploration rate moves linearly from *explore_first* to *explore_last*. Ends early if a stop flag is set.
        """
        return False

    def check(self):
        """Raise the error with which the last window ended, if there is one."""
