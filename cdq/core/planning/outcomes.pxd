"""Memory for the outcomes of a model, and the first outcome of each pair."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset


cdef struct columns_t:
    int32_t *next_state
    double *probability
    double *reward        # NULL where there is none
    uint8_t *terminated   # the same

cdef extern from *:
    """
    #if defined(__linux__)
    #include <stdint.h>
    #include <sys/mman.h>
    #endif
    /* Fewer, larger pages: the time to build a large model is mostly that of the first touch of its pages. */
    static void cdq_huge_pages(char *memory, Py_ssize_t n_bytes)
    {
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
        const uintptr_t page = 4096;
        uintptr_t first = ((uintptr_t)memory + page - 1) / page * page;
        uintptr_t last = ((uintptr_t)memory + (uintptr_t)n_bytes) / page * page;
        if (n_bytes >= 1 << 22)
            madvise((void *)first, last - first, MADV_HUGEPAGE);
    #else
        (void)memory, (void)n_bytes;
    #endif
    }
    """
    void cdq_huge_pages(char *memory, Py_ssize_t n_bytes)


cdef inline bytes blank(Py_ssize_t n_bytes):
    """Return memory that holds anything."""
    memory = PyBytes_FromStringAndSize(NULL, n_bytes)
    cdq_huge_pages(PyBytes_AS_STRING(memory), n_bytes)
    return memory


cdef inline bytes zeros(Py_ssize_t n_bytes):
    """Return memory that holds zeros."""
    memory = blank(n_bytes)
    memset(PyBytes_AS_STRING(memory), 0, n_bytes)
    return memory


cdef inline columns_t columns_of(bytes next_state, bytes probability, bytes reward, bytes terminated):
    cdef columns_t columns
    columns.next_state = <int32_t *> PyBytes_AS_STRING(next_state)
    columns.probability = <double *> PyBytes_AS_STRING(probability)
    columns.reward = NULL if reward is None else <double *> PyBytes_AS_STRING(reward)
    columns.terminated = NULL if terminated is None else <uint8_t *> PyBytes_AS_STRING(terminated)
    return columns


cdef inline void sum_up(int64_t *offsets, Py_ssize_t n_pairs) noexcept nogil:
    """Turn the counts of pairs, each one place on, into the places where their outcomes begin."""
    cdef Py_ssize_t pair
    for pair in range(n_pairs):
        offsets[pair + 1] += offsets[pair]
