"""Hashed tables: rows found by keys of 64 bits."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from cdq.core.table.qfunction cimport TableQ
from cdq.core.table.rows cimport Rows, cdq_rows


cdef extern from "table/hash.h":
    ctypedef struct cdq_index:
        uint64_t *keys
        uint64_t *slots
        uint64_t mask
        int64_t n
        int64_t most

    void cdq_locate_or_insert(
        cdq_index *index, cdq_rows *rows, const uint64_t *keys, uint32_t *located, int64_t count,
        double initial_value) nogil
    void cdq_locate_known(
        const cdq_index *index, const cdq_rows *rows, const uint64_t *keys, uint32_t *located, int64_t count,
        uint32_t unknown) nogil


cdef class HashIndex:
    cdef cdq_index c
    cdef readonly int64_t capacity  # rows that there is memory for
    cdef object allocate            # memory of so many bytes, zeroed
    cdef object keys_memory, slots_memory
    cdef int64_t n_slots(self)


cdef class HashedRows(Rows):
    cdef readonly HashIndex index
    cdef readonly int64_t capacity   # rows that there is memory for
    cdef readonly int64_t agreed     # rows that all workers have
    cdef readonly double initial_value
    cdef object allocate
    cdef void move_to(self, data, log, int64_t capacity)


cdef class HashQ(TableQ):
    cdef HashedRows hashed


cdef class KnownQ(TableQ):
    cdef HashIndex index
