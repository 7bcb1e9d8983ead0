"""A finite model packed for sampling: thresholds for few outcomes a pair, alias tables for many."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from array import array

# Up to here a pair's outcomes are a short scan in one or two cache lines; beyond, the alias method's two reads win.
cdef int64_t WIDEST = 8
cdef double SCALE = 4294967296.0  # 2^32
cdef uint32_t TERMINATED = 0x80000000

ctypedef fused real_t:
    float
    double

ctypedef fused entry_t:
    cdq_entry_of_float
    cdq_entry_of_double


cdef inline uint32_t _threshold(double probability) noexcept nogil:
    """Return the probability in units of 2^-32, saturated."""
    cdef double scaled = probability * SCALE + 0.5
    return 0xFFFFFFFF if scaled >= 4294967295.0 else <uint32_t> scaled


cdef inline uint32_t _successor(int32_t state, uint8_t terminated) noexcept nogil:
    return <uint32_t> state | (TERMINATED if terminated else 0)


cdef void _fill_record(
    unsigned char *record, int64_t width, int64_t reward_offset, int64_t first, int64_t count,
    const int32_t *next_state, const double *probability, const double *reward, const uint8_t *terminated,
    real_t zero,
) noexcept nogil:
    """Write a pair's record; unused places repeat the last outcome and are never drawn.

    The record of a pair without outcomes, an action that its state does not have, stays zeros and is never read.
    """
    cdef uint32_t *words = <uint32_t *> record
    cdef real_t *rewards = <real_t *> (record + reward_offset)
    cdef double cumulative = 0.0
    cdef int64_t k, j
    if count == 0:
        return
    for k in range(width):
        j = first + (k if k < count else count - 1)
        if k < count:
            cumulative += probability[j]
        if k < width - 1:
            words[k] = _threshold(cumulative) if k < count - 1 else 0xFFFFFFFF
        words[width - 1 + k] = _successor(next_state[j], terminated[j])
        rewards[k] = <real_t> (reward[j] + 0.0)  # no negative zero: a zero's sign depends on how maxima are taken


cdef void _fill_alias(
    double *scaled, uint32_t *stack, int64_t n, uint32_t *threshold, uint32_t *alias, int64_t step
) noexcept nogil:
    """Fill thresholds and aliases (Vose 1991); *scaled* holds n * probability and is used up, *stack* is (n,).

    *step* is the distance between two thresholds (and aliases) in 32-bit words.
    """
    cdef int64_t n_small = 0, n_large = 0, i
    cdef uint32_t small, large
    for i in range(n):
        if scaled[i] < 1.0:
            stack[n_small] = <uint32_t> i
            n_small += 1
        else:
            n_large += 1
            stack[n - n_large] = <uint32_t> i
    while n_small and n_large:
        n_small -= 1
        small, large = stack[n_small], stack[n - n_large]
        threshold[small * step] = _threshold(scaled[small])
        alias[small * step] = large
        scaled[large] -= 1.0 - scaled[small]
        if scaled[large] < 1.0:
            n_large -= 1
            stack[n_small] = large
            n_small += 1
    for i in range(n_small):  # rounding left these: they are whole
        threshold[stack[i] * step] = 0xFFFFFFFF
        alias[stack[i] * step] = stack[i]
    for i in range(n - n_large, n):
        threshold[stack[i] * step] = 0xFFFFFFFF
        alias[stack[i] * step] = stack[i]


cdef void _fill_entries(
    entry_t *entries, double *scaled, uint32_t *stack, int64_t first, int64_t count,
    const int32_t *next_state, const double *probability, const double *reward, const uint8_t *terminated,
) noexcept nogil:
    cdef int64_t i
    for i in range(count):
        scaled[i] = probability[first + i] * <double> count
        entries[i].successor = _successor(next_state[first + i], terminated[first + i])
        entries[i].reward = reward[first + i] + 0.0
    _fill_alias(scaled, stack, count, &entries[0].threshold, &entries[0].alias, sizeof(entry_t) // 4)


def _zeros(Py_ssize_t n_bytes):
    """Return zeroed memory aligned for any type (an array of 8-byte items)."""
    return array("q", bytes(8)) * ((n_bytes + 7) // 8 or 1)


cdef _pack_records(
    Sampler self, int64_t width, const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] probability, const double[::1] reward, const uint8_t[::1] terminated,
):
    cdef int64_t real_size = self.real_size, pair, first, count
    self.c.width = width
    self.c.reward_offset = (4 * (2 * width - 1) + real_size - 1) // real_size * real_size
    self.c.record_size = self.c.reward_offset + width * real_size
    self.memory = [_zeros(self.c.record_size * self.c.n_pairs)]
    cdef int64_t[::1] words = self.memory[0]
    cdef unsigned char *record = <unsigned char *> &words[0]
    self.c.records = record
    with nogil:
        for pair in range(self.c.n_pairs):
            first, count = offsets[pair], offsets[pair + 1] - offsets[pair]
            if real_size == 4:
                _fill_record[float](record, width, self.c.reward_offset, first, count, &next_state[0],
                                    &probability[0], &reward[0], &terminated[0], 0)
            else:
                _fill_record[double](record, width, self.c.reward_offset, first, count, &next_state[0],
                                     &probability[0], &reward[0], &terminated[0], 0)
            record += self.c.record_size


cdef _pack_entries(
    Sampler self, int64_t widest, const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] probability, const double[::1] reward, const uint8_t[::1] terminated,
):
    cdef int64_t pair, first, count
    cdef int entry_size = sizeof(cdq_entry_of_float) if self.real_size == 4 else sizeof(cdq_entry_of_double)
    self.memory = [offsets, _zeros(entry_size * next_state.shape[0]), _zeros(8 * widest), _zeros(4 * widest)]
    cdef int64_t[::1] words = self.memory[1], scaled = self.memory[2], stack = self.memory[3]
    cdef unsigned char *entries = <unsigned char *> &words[0]
    self.c.width = 0
    self.c.offsets = &offsets[0]
    self.c.entries = entries
    with nogil:
        for pair in range(self.c.n_pairs):
            first, count = offsets[pair], offsets[pair + 1] - offsets[pair]
            if self.real_size == 4:
                _fill_entries(<cdq_entry_of_float *> entries + first, <double *> &scaled[0], <uint32_t *> &stack[0],
                              first, count, &next_state[0], &probability[0], &reward[0], &terminated[0])
            else:
                _fill_entries(<cdq_entry_of_double *> entries + first, <double *> &scaled[0], <uint32_t *> &stack[0],
                              first, count, &next_state[0], &probability[0], &reward[0], &terminated[0])


cdef _pack_start(Sampler self, const uint32_t[::1] start_state, const double[::1] start_probability):
    cdef int64_t n = start_state.shape[0], i
    words, scaled, stack = _zeros(8 * n), _zeros(8 * n), _zeros(4 * n)
    cdef int64_t[::1] words_view = words, scaled_view = scaled, stack_view = stack
    cdef uint32_t *threshold = <uint32_t *> &words_view[0]
    cdef double *weights = <double *> &scaled_view[0]
    for i in range(n):
        weights[i] = start_probability[i] * n
    _fill_alias(weights, <uint32_t *> &stack_view[0], n, threshold, threshold + n, 1)
    self.memory += [words, start_state]
    self.c.start_threshold = threshold
    self.c.start_alias = threshold + n
    self.c.start_state = &start_state[0]
    self.c.n_starts = <uint32_t> n


cdef class Sampler:
    """The model of an environment as the compiled loop samples it, for tables of one type.

    Arrays are those of `cdq.MDP`, *actions* one flag per pair or None; *start_state* and *start_probability* list the
    states that an episode may start in.
    """

    def __cinit__(
        self, int64_t n_states, int64_t n_actions, int real_size,
        const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] probability,
        const double[::1] reward, const uint8_t[::1] terminated,
        const uint32_t[::1] start_state, const double[::1] start_probability, int64_t time_limit,
        const uint8_t[::1] actions=None,
    ):
        if real_size not in (4, 8):
            raise ValueError(f"rewards of {real_size} bytes are neither float32 nor float64")
        self.n_states, self.n_actions, self.real_size = n_states, n_actions, real_size
        self.c.n_pairs, self.n_outcomes = offsets.shape[0] - 1, next_state.shape[0]
        self.c.time_limit = time_limit
        cdef int64_t widest = 0, pair
        for pair in range(self.c.n_pairs):
            widest = max(widest, offsets[pair + 1] - offsets[pair])
        if widest <= WIDEST:
            _pack_records(self, widest, offsets, next_state, probability, reward, terminated)
        else:
            _pack_entries(self, widest, offsets, next_state, probability, reward, terminated)
        _pack_start(self, start_state, start_probability)
        if actions is not None:
            if actions.shape[0] != self.c.n_pairs:
                raise ValueError("actions are not one flag per pair")
            self.memory.append(actions)
            self.c.actions = &actions[0]
