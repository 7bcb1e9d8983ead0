"""Hashed tables over vectors: each number is cut into bins, and a row is found by the key of the cell."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from cdq.core.table.hash cimport (
    HashedRows, HashIndex, HashQ, KnownQ, cdq_locate_known, cdq_locate_or_insert)
from cdq.core.linear.linear cimport Features, cdq_features
from cdq.core.table.rows cimport Rows


cdef extern from "linear/feature_vector.h":
    int cdq_cell_key(const cdq_features *features, const double *observation, bint hashed, uint64_t *key) nogil


cdef class Cells:
    """The keys of vectors, for *n* lanes: the number of the cell of a single tiling, or, *hashed*, its hash."""

    def __init__(self, Features features not None, int64_t n, bint hashed):
        cdef uint64_t[::1] memory
        if features.c.n_active != 1 or features.c.stride == NULL or n < 1:
            raise ValueError(f"{n} lanes, or features that are no single tiling")
        self.features, self.hashed = features, hashed
        self.memory = memory = memoryview(bytearray(8 * n)).cast("Q")
        self.keys = &memory[0]

    def key_of(self, const double[::1] observation not None):
        """Return the key of one vector; None if it is not finite."""
        cdef uint64_t key = 0
        if observation.shape[0] != self.features.c.width:
            raise ValueError(f"{observation.shape[0]} numbers, not {self.features.c.width}")
        return key if cdq_cell_key(&self.features.c, &observation[0], self.hashed, &key) else None

    cdef int64_t fill(self, const void *observations, int64_t first, int64_t count) noexcept nogil:
        """Find the keys of some lanes; return -1, or the first lane whose observation is not finite."""
        cdef const double *vectors = <const double *> observations
        cdef int64_t i, width = self.features.c.width
        for i in range(count):
            if not cdq_cell_key(&self.features.c, vectors + (first + i) * width, self.hashed, self.keys + i):
                return first + i
        return -1


cdef class CellHashQ(HashQ):
    """A hashed table whose observations are vectors; new cells get rows."""

    def __init__(self, HashedRows rows not None, int64_t n, Features features not None, bint hashed):
        HashQ.__init__(self, rows, n)
        self.cells, self.continuous, self.width = Cells(features, n, hashed), True, features.c.width

    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil:
        cdef int64_t wrong = self.cells.fill(observations, first, count)
        if wrong < 0:
            cdq_locate_or_insert(
                &self.hashed.index.c, &self.hashed.c, self.cells.keys, self.located[slot] + first, count,
                self.hashed.initial_value)
        return wrong


cdef class CellKnownQ(KnownQ):
    """A hashed table over vectors that is only read: cells that are not in *index* are the last of the rows."""

    def __init__(self, Rows rows not None, int64_t n, HashIndex index not None, Features features not None,
                 bint hashed):
        KnownQ.__init__(self, rows, n, index)
        self.cells, self.continuous, self.width = Cells(features, n, hashed), True, features.c.width

    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil:
        cdef int64_t wrong = self.cells.fill(observations, first, count)
        if wrong < 0:
            cdq_locate_known(
                &self.index.c, &self.rows.c, self.cells.keys, self.located[slot] + first, count,
                <uint32_t> (self.rows.c.n_states - 1))
        return wrong
