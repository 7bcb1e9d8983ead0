"""Outcomes of a finite model: counted, put in order, merged, looked up and checked, each in one pass.

Pair p = state * n_actions + action owns the outcomes offsets[p]:offsets[p + 1]. Memory that is returned is of `bytes`:
whoever makes arrays of it cannot write to them. Callers have checked the lengths of what they pass.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.math cimport INFINITY
from libc.stdlib cimport qsort
from libc.string cimport memcpy

# Outcomes of a pair up to which they are sorted in place; mostly there are a few, in order already.
cdef enum:
    FEW = 32

ctypedef fused index_t:
    int32_t
    int64_t

ctypedef fused successor_t:
    int32_t
    int64_t


cdef struct outcome_t:
    int32_t next_state
    uint8_t terminated
    int64_t place  # among equals the first comes first
    double reward, probability


cdef void _step_back(int64_t *offsets, Py_ssize_t n_pairs) noexcept nogil:
    """Undo that each pair's beginning moved to its end while outcomes were put there."""
    cdef Py_ssize_t pair
    for pair in range(n_pairs, 0, -1):
        offsets[pair] = offsets[pair - 1]
    offsets[0] = 0


def copied(const uint8_t[::1] data):
    """Return a copy of memory that nobody can write to."""
    memory = blank(data.shape[0])
    memcpy(PyBytes_AS_STRING(memory), &data[0], data.shape[0])
    return memory


# ---- flat outcomes


def count(
    const index_t[::1] state, const index_t[::1] action, const successor_t[::1] next_state,
    const double[::1] probability, const double[::1] reward, int64_t n_states, int64_t n_actions,
    double least,  # a probability from here to zero is rounding, and zero
):
    """Count the outcomes of each pair, without those that never happen.

    Returns the first outcome that is not one, or -1; whether all happen and rise by pair and next state; and the memory
    of the pairs' offsets.
    """
    cdef Py_ssize_t n = state.shape[0], n_pairs = n_states * n_actions, k
    cdef int64_t pair, last = -1
    cdef bint rising = True
    offsets_memory = zeros(8 * (n_pairs + 1))
    cdef int64_t *offsets = <int64_t *> PyBytes_AS_STRING(offsets_memory)
    with nogil:
        for k in range(n):
            if not (0 <= state[k] < n_states and 0 <= action[k] < n_actions and 0 <= next_state[k] < n_states
                    and probability[k] >= least and reward[k] < INFINITY):
                break
            pair = state[k] * n_actions + action[k]
            rising = rising and probability[k] > 0.0 and (
                pair > last or (pair == last and next_state[k] > next_state[k - 1]))
            last = pair
            if probability[k] > 0.0:
                offsets[pair + 1] += 1
        else:
            k = -1
        sum_up(offsets, n_pairs)
    return k, rising, offsets_memory


def place(
    const index_t[::1] state, const index_t[::1] action, const successor_t[::1] next_state,
    const double[::1] probability, const double[::1] reward, const uint8_t[::1] terminated, int64_t n_actions,
    bytes offsets_memory,  # as `count` returned it
):
    """Return the outcomes that happen in the order of their pairs: next_state, probability, reward, terminated."""
    cdef Py_ssize_t n = state.shape[0], n_pairs = len(offsets_memory) // 8 - 1, k
    cdef int64_t pair, at
    cdef int64_t *offsets = <int64_t *> PyBytes_AS_STRING(offsets_memory)
    memory = tuple([blank(size * offsets[n_pairs]) for size in (4, 8, 8, 1)])
    cdef columns_t columns = columns_of(memory[0], memory[1], memory[2], memory[3])
    with nogil:
        for k in range(n):
            pair = state[k] * n_actions + action[k]
            if probability[k] > 0.0:
                at = offsets[pair]
                offsets[pair] += 1
                columns.next_state[at] = <int32_t> next_state[k]
                columns.probability[at] = probability[k]
                columns.reward[at] = reward[k]
                columns.terminated[at] = terminated[k]
        _step_back(offsets, n_pairs)
    return memory


# ---- order within pairs


cdef int _compare(const void *one, const void *other) noexcept nogil:
    cdef const outcome_t *a = <const outcome_t *> one
    cdef const outcome_t *b = <const outcome_t *> other
    if a.next_state != b.next_state:
        return -1 if a.next_state < b.next_state else 1
    if a.terminated != b.terminated:
        return -1 if a.terminated < b.terminated else 1
    if a.reward != b.reward:
        return -1 if a.reward < b.reward else 1
    return -1 if a.place < b.place else 1


cdef outcome_t _at(const columns_t *columns, int64_t k) noexcept nogil:
    cdef outcome_t outcome
    outcome.next_state, outcome.probability, outcome.place = columns.next_state[k], columns.probability[k], k
    outcome.reward = columns.reward[k] if columns.reward != NULL else 0.0
    outcome.terminated = columns.terminated[k] if columns.terminated != NULL else 0
    return outcome


cdef int64_t _write(const columns_t *columns, const outcome_t *sorted_, int64_t n, int64_t at) noexcept nogil:
    """Write sorted outcomes from *at* on, equal ones as one; return where they end."""
    cdef int64_t i
    cdef bint again
    for i in range(n):
        again = i > 0 and (
            sorted_[i].next_state == sorted_[i - 1].next_state and sorted_[i].terminated == sorted_[i - 1].terminated
            and sorted_[i].reward == sorted_[i - 1].reward)
        if again:
            columns.probability[at - 1] += sorted_[i].probability
            continue
        columns.next_state[at], columns.probability[at] = sorted_[i].next_state, sorted_[i].probability
        if columns.reward != NULL:
            columns.reward[at] = sorted_[i].reward
        if columns.terminated != NULL:
            columns.terminated[at] = sorted_[i].terminated
        at += 1
    return at


cdef void _sort(outcome_t *outcomes, int64_t n) noexcept nogil:
    cdef int64_t i, j
    cdef outcome_t moved
    if n > FEW:
        qsort(outcomes, n, sizeof(outcome_t), _compare)
        return
    for i in range(1, n):
        moved, j = outcomes[i], i
        while j > 0 and _compare(&outcomes[j - 1], &moved) > 0:
            outcomes[j] = outcomes[j - 1]
            j -= 1
        outcomes[j] = moved


cdef bint _rises(const int32_t *next_state, int64_t first, int64_t last) noexcept nogil:
    cdef int64_t k
    for k in range(first + 1, last):
        if next_state[k] <= next_state[k - 1]:
            return False
    return True


def tidy(bytes offsets_memory, bytes next_state, bytes probability, bytes reward=None, bytes terminated=None):
    """Sort each pair's outcomes by next state, termination and reward, and make one of those that agree in all.

    Changes the memory, of which the outcomes may then take less, and the offsets. Nothing happens where next states
    rise in every pair.
    """
    cdef Py_ssize_t pair, n_pairs = len(offsets_memory) // 8 - 1
    cdef int64_t *offsets = <int64_t *> PyBytes_AS_STRING(offsets_memory)
    cdef columns_t columns = columns_of(next_state, probability, reward, terminated)
    cdef int64_t widest = 0, first, last, at = 0, i
    cdef bint rising = True
    with nogil:
        for pair in range(n_pairs):
            widest = max(widest, offsets[pair + 1] - offsets[pair])
            rising = rising and _rises(columns.next_state, offsets[pair], offsets[pair + 1])
    if rising:
        return
    scratch_memory = bytes(sizeof(outcome_t) * widest)
    cdef outcome_t *scratch = <outcome_t *> PyBytes_AS_STRING(scratch_memory)
    with nogil:
        first = 0
        for pair in range(n_pairs):
            last = offsets[pair + 1]
            for i in range(first, last):
                scratch[i - first] = _at(&columns, i)
            if not _rises(columns.next_state, first, last):
                _sort(scratch, last - first)
            at = _write(&columns, scratch, last - first, at)
            offsets[pair + 1] = at
            first = last


def scale_rows(bytes offsets_memory, bytes probability, double limit, double of_entry):
    """Divide the probabilities of each pair by their sum, where it is not 1, but off it by *limit* at most.

    Nor may it be off by more than *of_entry* for each of the pair's entries and two more.

    Returns how many pairs had it done, and by how much the sum was off 1 at most.
    """
    cdef Py_ssize_t pair, n_pairs = len(offsets_memory) // 8 - 1, changed = 0
    cdef const int64_t *offsets = <const int64_t *> PyBytes_AS_STRING(offsets_memory)
    cdef double *values = <double *> PyBytes_AS_STRING(probability)
    cdef double total, off, allowed, most = 0.0
    cdef int64_t k
    with nogil:
        for pair in range(n_pairs):
            total = _total(values, offsets[pair], offsets[pair + 1])
            off = abs(total - 1.0)
            allowed = of_entry * (offsets[pair + 1] - offsets[pair] + 2)
            if offsets[pair] < offsets[pair + 1] and 0.0 < off <= min(limit, allowed):
                changed += 1
                most = max(most, off)
                for k in range(offsets[pair], offsets[pair + 1]):
                    values[k] /= total
    return changed, most


# ---- checks


cdef double _total(const double *values, int64_t first, int64_t last) noexcept nogil:
    """Return a sum, taken in parts: rounding grows with the number of terms."""
    cdef double total = 0.0, part
    cdef int64_t k, begin
    begin = first
    while begin < last:
        part = 0.0
        for k in range(begin, min(begin + 256, last)):
            part += values[k]
        total += part
        begin += 256
    return total


OFFSETS, MISSING, MASKED, ELEMENT, SUM = range(1, 6)


def fault(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] probability,
    const double[::1] reward, int64_t n_states,
    const uint8_t[::1] actions,  # per pair: whether the state has the action; None: it has all
    double tolerance,
):
    """Return what is wrong with a model first, and where; 0 and 0 where nothing is.

    Offsets that fall, a pair that has no outcome, or has outcomes and should not, a pair whose probabilities do not sum
    to 1: its number. An outcome that is none: its own. Offsets begin at 0 and end at the number of outcomes.
    """
    cdef Py_ssize_t pair, n_pairs = offsets.shape[0] - 1
    cdef int64_t first, last, k, n = next_state.shape[0]
    cdef int found = 0
    cdef bint wanted, whole = actions is None
    with nogil:
        for pair in range(n_pairs):
            first, last = offsets[pair], offsets[pair + 1]
            wanted = whole or actions[pair]
            if not first <= last <= n:
                found = 1
            elif first == last and wanted:
                found = 2
            elif first < last and not wanted:
                found = 3
            if found:
                k = pair
                break
            for k in range(first, last):
                if not (0 <= next_state[k] < n_states and 0.0 <= probability[k] <= 1.0 + tolerance
                        and reward[k] - reward[k] == 0.0):
                    found = 4
                    break
            if found:
                break
            if first < last and not abs(_total(&probability[0], first, last) - 1.0) <= tolerance:
                found, k = 5, pair
                break
        else:
            k = 0
    return found, k
