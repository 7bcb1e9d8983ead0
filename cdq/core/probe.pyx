"""A Q-function called from Python, lane arrays in and out: tests compare it with the definition."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.table.qfunction cimport STATE, SUCCESSOR, QFunction
from cdq.core.table.rows cimport Law

import numpy as np


cdef class Probe:
    """The methods of a Q-function, on NumPy arrays of its lanes."""

    cdef readonly QFunction q

    def __init__(self, QFunction q not None):
        self.q = q

    def locate(self, observations, bint successor=False, int64_t first=0, count=None):
        """Return the first lane whose observation is not allowed, or -1."""
        cdef const unsigned char[::1] raw = memoryview(observations).cast("B")
        cdef int64_t n = self.q.n - first if count is None else count
        if (observations.dtype.kind, observations.itemsize) != ("f" if self.q.continuous else "i", 8):
            raise ValueError(f"observations are {observations.dtype}")
        if raw.shape[0] != 8 * self.q.n * self.q.width or not 0 <= first <= first + n <= self.q.n:
            raise ValueError("observations are of all lanes")
        return self.q.locate(&raw[0], SUCCESSOR if successor else STATE, first, n)

    def choose(self, uint64_t threshold, const uint64_t[::1] bits, const uint8_t[:, ::1] masks, uint32_t[::1] actions):
        """Write an action of every lane."""
        self.q.choose(threshold, &bits[0], self._masks(bits.shape[0], masks, actions.shape[0]), &actions[0])

    def greedy(self, const uint8_t[:, ::1] masks, uint32_t[::1] actions):
        """Write the greedy action of every lane."""
        self.q.greedy(self._masks(self.q.n, masks, actions.shape[0]), &actions[0])

    def learn(
        self, Law law not None, gamma, const uint32_t[::1] actions, const double[::1] rewards,
        const uint8_t[::1] terminated, const uint8_t[:, ::1] masks=None, const uint8_t[::1] active=None,
    ):
        """Learn from a transition of every lane; *gamma* is one discount, or one for each."""
        cdef const uint8_t *where = NULL
        cdef double[::1] discounts = np.full(self.q.n, gamma, np.float64)
        cdef int64_t i
        cdef const uint8_t *allowed = self._masks(rewards.shape[0], masks, actions.shape[0])
        if terminated.shape[0] != self.q.n or (active is not None and active.shape[0] != self.q.n):
            raise ValueError("terminated and active have an entry per lane")
        if law.real_size != self.q.rows.c.real_size:
            raise ValueError("the law and the table differ in type")
        if active is not None:
            where = &active[0]
        for i in range(self.q.n):
            if terminated[i]:
                discounts[i] = 0.0
        self.q.learn(&law.c, &actions[0], &rewards[0], &discounts[0], allowed, where)

    def begin(self, int64_t lane):
        """Begin an episode in a lane."""
        self.q.forget_actions(lane, 1)

    def end(self, int64_t lane):
        """End the episode of a lane."""
        self.q.end_episode(lane)

    def advance(self):
        """Make the successors the states."""
        self.q.advance()

    @property
    def room(self):
        """Number of observations that may yet be located."""
        return self.q.room()

    @property
    def diverged(self):
        """True if the values diverge: all that was learnt is worthless."""
        return self.q.diverged()

    cdef const uint8_t *_masks(self, int64_t first, const uint8_t[:, ::1] masks, int64_t second) except? NULL:
        if not first == second == self.q.n:
            raise ValueError("the arrays have an entry per lane")
        if masks is None:
            return NULL
        if masks.shape[0] != self.q.n or masks.shape[1] != self.q.n_actions:
            raise ValueError("masks have a row per lane and a column per action")
        return &masks[0, 0]
