"""Matrices of transitions and rewards, in compressed rows, to the outcomes of a finite model and back.

Row r of a matrix belongs to pair first + r * step: the matrix of an action has a row per state, so that *first* is the
action and *step* the number of actions; a matrix of all pairs has 0 and 1. For memory of `bytes` see
`cdq.core.planning.outcomes`.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int32_t, int64_t

from cdq.core.planning.outcomes cimport blank, columns_of, columns_t, sum_up, zeros

ctypedef fused index_t:
    int32_t
    int64_t


cdef inline bint _happens(double probability) noexcept nogil:
    """Return whether an outcome is kept: also where its probability is NaN, which is then named."""
    return not probability <= 0.0


def no_counts(Py_ssize_t n_pairs):
    """Return memory for `count_rows`."""
    return zeros(8 * (n_pairs + 1))


def count_rows(
    const index_t[::1] starts, const index_t[::1] columns, const double[::1] data,  # compressed rows
    int64_t first, int64_t step,  # row r is of pair first + r * step
    int64_t n_columns, double least,
    bytes offsets_memory,  # IN/OUT  zeros, or what other matrices have added: counts, each one place on
):
    """Count the outcomes of the rows of a matrix; return -1, or the first entry that is none."""
    cdef Py_ssize_t row, n_rows = starts.shape[0] - 1
    cdef int64_t *offsets = <int64_t *> PyBytes_AS_STRING(offsets_memory)
    cdef int64_t k, count, found = -1
    with nogil:
        for row in range(n_rows):
            count = 0
            for k in range(starts[row], starts[row + 1]):
                if not 0 <= columns[k] < n_columns or data[k] < least:
                    found = k
                    break
                count += _happens(data[k])
            offsets[first + row * step + 1] = count
            if found >= 0:
                break
    return found


def begin_rows(bytes offsets_memory):
    """Make offsets of the counts; return memory for next_state and probability."""
    cdef Py_ssize_t n_pairs = len(offsets_memory) // 8 - 1
    cdef int64_t *offsets = <int64_t *> PyBytes_AS_STRING(offsets_memory)
    with nogil:
        sum_up(offsets, n_pairs)
    return blank(4 * offsets[n_pairs]), blank(8 * offsets[n_pairs])


def place_rows(
    const index_t[::1] starts, const index_t[::1] columns, const double[::1] data, int64_t first, int64_t step,
    bytes offsets_memory, bytes next_state, bytes probability,  # OUT  what `begin_rows` returned
):
    """Put the outcomes of a matrix's rows, which `count_rows` counted, where they belong."""
    cdef Py_ssize_t row, n_rows = starts.shape[0] - 1
    cdef const int64_t *offsets = <const int64_t *> PyBytes_AS_STRING(offsets_memory)
    cdef columns_t out = columns_of(next_state, probability, None, None)
    cdef int64_t k, at
    with nogil:
        for row in range(n_rows):
            at = offsets[first + row * step]
            for k in range(starts[row], starts[row + 1]):
                if _happens(data[k]):
                    out.next_state[at] = <int32_t> columns[k]
                    out.probability[at] = data[k]
                    at += 1


def look_up_rows(
    const index_t[::1] starts, const index_t[::1] columns, const double[::1] data, int64_t first, int64_t step,
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    bytes found,  # OUT  per outcome: the matrix's entry, zero where it has none
):
    """Look up the entries of a matrix whose rows are of pairs first, first + step, ...; columns rise in each row."""
    cdef Py_ssize_t row, n_rows = starts.shape[0] - 1
    cdef double *out = <double *> PyBytes_AS_STRING(found)
    cdef int64_t k, pair, low, high, middle
    with nogil:
        for row in range(n_rows):
            pair = first + row * step
            low = starts[row]
            for k in range(offsets[pair], offsets[pair + 1]):  # next states rise, too: what is below stays below
                high = starts[row + 1]
                if low < high and columns[low] < next_state[k]:
                    while low < high:
                        middle = (low + high) // 2
                        if columns[middle] < next_state[k]:
                            low = middle + 1
                        else:
                            high = middle
                high = starts[row + 1]
                out[k] = data[low] if low < high and columns[low] == next_state[k] else 0.0


def look_up_entries(
    const double[:, :] matrix, int64_t first, int64_t step,
    const int64_t[::1] offsets, const int32_t[::1] next_state, bytes found,
):
    """Look up the entries of a dense matrix; see `look_up_rows`."""
    cdef Py_ssize_t row
    cdef double *out = <double *> PyBytes_AS_STRING(found)
    cdef int64_t k, pair
    with nogil:
        for row in range(matrix.shape[0]):
            pair = first + row * step
            for k in range(offsets[pair], offsets[pair + 1]):
                out[k] = matrix[row, next_state[k]]


def spread(const double[::1] per_pair, const int64_t[::1] offsets):
    """Return what is given per pair once for each of its outcomes."""
    cdef Py_ssize_t pair, n_pairs = per_pair.shape[0]
    cdef int64_t k
    memory = blank(8 * offsets[n_pairs])
    cdef double *out = <double *> PyBytes_AS_STRING(memory)
    with nogil:
        for pair in range(n_pairs):
            for k in range(offsets[pair], offsets[pair + 1]):
                out[k] = per_pair[pair]
    return memory
