"""Planning kernels: Bellman backups of a whole model.

A model comes folded (see cdq.planning): pair p = state * n_actions + action owns the outcomes
offsets[p]:offsets[p + 1], weight[k] is the probability that outcome k goes on to next_state[k] (zero where it
ends), reward[p] is the mean reward of the pair. Callers have checked shapes, ranges and finiteness.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define CDQ_PREFETCH(address) __builtin_prefetch(address)
    #else
    #define CDQ_PREFETCH(address) ((void)0)
    #endif
    """
    void prefetch "CDQ_PREFETCH"(const void* address) noexcept nogil

cdef double INFINITY = float("inf")


cdef struct Range:
    double low
    double high


cdef inline void widen(Range* seen, double value) noexcept nogil:
    """Let the range hold value."""
    if value < seen.low:
        seen.low = value
    if value > seen.high:
        seen.high = value


cdef inline double backup(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    const double[::1] state_values, double gamma, Py_ssize_t pair,
) noexcept nogil:
    """Return reward[p] + gamma * sum_k weight[k] * V[next_state[k]]."""
    cdef double total = 0.0
    cdef int64_t k
    for k in range(offsets[pair], offsets[pair + 1]):
        total += weight[k] * state_values[next_state[k]]
    return reward[pair] + gamma * total


cdef inline void fetch(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] state_values,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    """Ask memory for the values of the successors of the pairs first..last - 1."""
    cdef int64_t k
    for k in range(offsets[first], offsets[last]):
        prefetch(&state_values[next_state[k]])


def fold(
    const int64_t[::1] offsets, const double[::1] probability, const double[::1] outcome_reward,
    double[::1] reward,  # OUT  (n_pairs,)
):
    """Fill the pairs' mean rewards."""
    cdef Py_ssize_t pair
    cdef int64_t k
    cdef double mean
    with nogil:
        for pair in range(reward.shape[0]):
            mean = 0.0
            for k in range(offsets[pair], offsets[pair + 1]):
                mean += probability[k] * outcome_reward[k]
            reward[pair] = mean


def improve(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    double gamma,
    Py_ssize_t ahead,              # states to prefetch ahead; 0 where the values fit the cache
    const double[::1] state_values,  # IN   V
    double[::1] backed_up,           # OUT  TV
    int32_t[::1] policy,             # OUT  the greedy action, the lowest of equals
):
    """Do one sweep of value iteration; return the least, greatest and mean of TV - V."""
    cdef Py_ssize_t n_states = state_values.shape[0], n_actions = reward.shape[0] // n_states
    cdef Py_ssize_t state, action, pair, far, best_action
    cdef Range delta = Range(INFINITY, -INFINITY)
    cdef double best, value, total = 0.0
    with nogil:
        for state in range(n_states):
            far = state + ahead
            if ahead > 0 and far < n_states:
                fetch(offsets, next_state, state_values, far * n_actions, (far + 1) * n_actions)
            best = -INFINITY
            best_action = 0
            for action in range(n_actions):
                pair = state * n_actions + action
                value = backup(offsets, next_state, weight, reward, state_values, gamma, pair)
                if value > best:
                    best = value
                    best_action = action
            backed_up[state] = best
            widen(&delta, best - state_values[state])
            total += best - state_values[state]
            policy[state] = <int32_t>best_action
    PyErr_CheckSignals()
    return delta.low, delta.high, total / n_states


cdef Range follow(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    double gamma, Py_ssize_t ahead, const int32_t[::1] policy,
    const double[::1] state_values, double[::1] backed_up, bint backwards,
) noexcept nogil:
    """Do one sweep of V <- T_policy V and return the range of the changes."""
    cdef Py_ssize_t n_states = state_values.shape[0], n_actions = reward.shape[0] // n_states
    cdef Py_ssize_t step = -1 if backwards else 1, first = n_states - 1 if backwards else 0
    cdef Py_ssize_t i, state, far, pair
    cdef Range delta = Range(INFINITY, -INFINITY)
    cdef double value
    for i in range(n_states):
        state = first + step * i
        far = state + step * ahead
        if ahead > 0 and 0 <= far < n_states:
            pair = far * n_actions + policy[far]
            fetch(offsets, next_state, state_values, pair, pair + 1)
        pair = state * n_actions + policy[state]
        value = backup(offsets, next_state, weight, reward, state_values, gamma, pair)
        widen(&delta, value - state_values[state])
        backed_up[state] = value
    return delta


def evaluate(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    double gamma, Py_ssize_t ahead,
    const int32_t[::1] policy,  # IN      (n_states,)
    double[::1] state_values,   # IN/OUT  V
    double[::1] work,           # SCRATCH (n_states,)
    bint in_place,              # Gauss-Seidel, forwards and backwards by turns; else Jacobi
    Py_ssize_t sweeps,          # at most so many, rounded up to an even number
    double until,               # stop when the changes of one sweep span no more than this
):
    """Do sweeps of policy evaluation; return how many."""
    cdef Py_ssize_t done = 0
    cdef Range delta = Range(-INFINITY, INFINITY)
    while done < sweeps and delta.high - delta.low > until:
        with nogil:
            if in_place:
                follow(
                    offsets, next_state, weight, reward, gamma, ahead, policy,
                    state_values, state_values, False,
                )
                delta = follow(
                    offsets, next_state, weight, reward, gamma, ahead, policy,
                    state_values, state_values, True,
                )
            else:
                follow(offsets, next_state, weight, reward, gamma, ahead, policy, state_values, work, False)
                delta = follow(
                    offsets, next_state, weight, reward, gamma, ahead, policy, work, state_values, False
                )
        done += 2
        PyErr_CheckSignals()
    return done


def action_values(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    double gamma, Py_ssize_t ahead,
    const double[::1] state_values,
    double[::1] values,              # OUT  (n_pairs,)
):
    """Fill the backup of every pair from V."""
    cdef Py_ssize_t n_pairs = values.shape[0], n_actions = n_pairs // state_values.shape[0], pair, far
    with nogil:
        for pair in range(n_pairs):
            far = pair + ahead * n_actions
            if ahead > 0 and far < n_pairs:
                fetch(offsets, next_state, state_values, far, far + 1)
            values[pair] = backup(offsets, next_state, weight, reward, state_values, gamma, pair)
    PyErr_CheckSignals()


def largest(const double[::1] values):
    """Return max |values|; NaN and infinities count as infinity."""
    cdef double result = 0.0
    cdef Py_ssize_t i
    with nogil:
        for i in range(values.shape[0]):
            if not fabs(values[i]) <= result:
                result = fabs(values[i]) if values[i] == values[i] else INFINITY
    return result
