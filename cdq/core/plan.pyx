"""Planning kernels: Bellman backups of a whole model.

A model comes folded (see cdq.planning): pair p = state * n_actions + action owns the outcomes
offsets[p]:offsets[p + 1], weight[k] is the probability that outcome k goes on to next_state[k] (zero where it
ends), reward[p] is the mean reward of the pair. Callers have checked shapes, ranges and finiteness.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.float cimport DBL_MIN as LEAST
from libc.math cimport fabs, fmax
from libc.stdint cimport int32_t, int64_t, uint8_t

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
cdef double UNIT = 2.0**-53  # rounding of one operation


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
    double[::1] reward,   # OUT  (n_pairs,) mean reward; minus infinity where the state lacks the action
    uint8_t[::1] noisy,   # OUT  (n_states,) some outcome pays or costs
):
    """Fill the pairs' mean rewards; return whether some pair has rewards of both signs."""
    cdef Py_ssize_t n_states = noisy.shape[0], n_actions = reward.shape[0] // n_states, state, pair
    cdef int64_t k
    cdef double mean, value
    cdef bint pays, costs, mixed = False
    with nogil:
        for state in range(n_states):
            noisy[state] = 0
            for pair in range(state * n_actions, (state + 1) * n_actions):
                mean = 0.0 if offsets[pair] < offsets[pair + 1] else -INFINITY
                pays = costs = False
                for k in range(offsets[pair], offsets[pair + 1]):
                    value = outcome_reward[k]
                    mean += probability[k] * value
                    pays = pays or value > 0.0
                    costs = costs or value < 0.0
                reward[pair] = mean
                mixed = mixed or (pays and costs)
                noisy[state] = noisy[state] or pays or costs
    return mixed


def sizes(
    const int64_t[::1] offsets, const double[::1] probability, const double[::1] outcome_reward,
    double[::1] size,   # OUT  (n_pairs,)
):
    """Fill the mean of |reward| of every pair."""
    cdef Py_ssize_t pair
    cdef int64_t k
    cdef double mean
    with nogil:
        for pair in range(size.shape[0]):
            mean = 0.0
            for k in range(offsets[pair], offsets[pair + 1]):
                mean += probability[k] * fabs(outcome_reward[k])
            size[pair] = mean


cdef inline double error_of(Py_ssize_t n_outcomes, double size, double difference) noexcept nogil:
    """Bound the rounding of one backup whose absolute terms sum to size, and of its difference from V.

    In units of 2**-53: n + 2 for a sum of n products, n + 1 for the mean reward; the rest is to spare.
    Products that underflow add less than the least normal number.
    """
    return (2 * n_outcomes + 12) * UNIT * (size + fabs(difference)) + (LEAST if size > 0.0 else 0.0)


def certify(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward, const double[::1] size,
    double gamma,
    const double[::1] state_values,  # IN   V
    double[::1] low,                 # OUT  the greatest shift c that keeps V + c below T(V + c) in the state
    double[::1] high,                # OUT  the least that keeps it above
):
    """Fill shifts, rounding taken outwards; return how many residuals exceed rounding, and the most weight.

    V + c <= T(V + c) where c (1 - gamma kappa) <= q - V for some action, kappa its probability of going on.
    """
    cdef Py_ssize_t n_states = state_values.shape[0], n_actions = reward.shape[0] // n_states
    cdef Py_ssize_t state, pair, unsettled = 0
    cdef int64_t k
    cdef double value, best, total, bulk, kappa, most = 0.0, error, error_of_best, difference, unit, least
    with nogil:
        for state in range(n_states):
            value = state_values[state]
            low[state] = high[state] = best = -INFINITY
            error_of_best = 0.0
            for pair in range(state * n_actions, (state + 1) * n_actions):
                if offsets[pair] == offsets[pair + 1]:
                    continue
                total = bulk = kappa = 0.0
                for k in range(offsets[pair], offsets[pair + 1]):
                    total += weight[k] * state_values[next_state[k]]
                    bulk += weight[k] * fabs(state_values[next_state[k]])
                    kappa += weight[k]
                difference = reward[pair] + gamma * total - value
                error = error_of(offsets[pair + 1] - offsets[pair], fabs(size[pair]) + gamma * bulk, difference)
                unit = (offsets[pair + 1] - offsets[pair] + 4) * 2.0 * UNIT * kappa
                least = 1.0 - gamma * (kappa + unit)
                most = fmax(most, kappa + unit)
                low[state] = fmax(low[state], shift(difference - error, 1.0 - gamma * (kappa - unit), least))
                high[state] = fmax(high[state], -shift(-difference - error, 1.0 - gamma * (kappa - unit), least))
                if difference > best:
                    best = difference
                    error_of_best = error
            unsettled += not fabs(best) <= error_of_best
    PyErr_CheckSignals()
    return unsettled, most


cdef inline double shift(double difference, double widest, double narrowest) noexcept nogil:
    """Return a lower bound of difference / d for every d between the denominators; infinite where d may be 0."""
    if difference >= 0.0:
        return difference / widest * (1.0 - 4.0 * UNIT) if widest > 0.0 else INFINITY
    return difference / narrowest * (1.0 + 4.0 * UNIT) if narrowest > 0.0 else -INFINITY


def select(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    const int32_t[::1] policy,
    int64_t[::1] chain_offsets, int32_t[::1] chain_next, double[::1] chain_weight, double[::1] chain_reward,  # OUT
):
    """Copy the Markov chain of a policy."""
    cdef Py_ssize_t n_states = policy.shape[0], n_actions = reward.shape[0] // n_states, state, pair
    cdef int64_t k, at = 0
    with nogil:
        for state in range(n_states):
            pair = state * n_actions + policy[state]
            chain_offsets[state] = at
            chain_reward[state] = reward[pair]
            for k in range(offsets[pair], offsets[pair + 1]):
                chain_next[at] = next_state[k]
                chain_weight[at] = weight[k]
                at += 1
        chain_offsets[n_states] = at


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
    double gamma, Py_ssize_t ahead,
    const double[::1] state_values, double[::1] backed_up, bint backwards,
) noexcept nogil:
    """Do one sweep of V <- r + gamma P V over a chain and return the range of the changes."""
    cdef Py_ssize_t n_states = state_values.shape[0]
    cdef Py_ssize_t step = -1 if backwards else 1, first = n_states - 1 if backwards else 0
    cdef Py_ssize_t i, state, far
    cdef Range delta = Range(INFINITY, -INFINITY)
    cdef double value
    for i in range(n_states):
        state = first + step * i
        far = state + step * ahead
        if ahead > 0 and 0 <= far < n_states:
            fetch(offsets, next_state, state_values, far, far + 1)
        value = backup(offsets, next_state, weight, reward, state_values, gamma, state)
        widen(&delta, value - state_values[state])
        backed_up[state] = value
    return delta


def evaluate(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    double gamma, Py_ssize_t ahead,
    double[::1] state_values,   # IN/OUT  V
    double[::1] work,           # SCRATCH (n_states,)
    bint in_place,              # Gauss-Seidel, forwards and backwards by turns; else Jacobi
    Py_ssize_t sweeps,          # at most so many, rounded up to an even number
    double until,               # stop when the changes of one sweep span no more than this
):
    """Do sweeps of policy evaluation over a chain; return how many."""
    cdef Py_ssize_t done = 0
    cdef Range delta = Range(-INFINITY, INFINITY)
    while done < sweeps and delta.high - delta.low > until:
        with nogil:
            if in_place:
                follow(offsets, next_state, weight, reward, gamma, ahead, state_values, state_values, False)
                delta = follow(offsets, next_state, weight, reward, gamma, ahead, state_values, state_values, True)
            else:
                follow(offsets, next_state, weight, reward, gamma, ahead, state_values, work, False)
                delta = follow(offsets, next_state, weight, reward, gamma, ahead, work, state_values, False)
        done += 2
        PyErr_CheckSignals()
    return done


def action_values(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward, const double[::1] size,
    double gamma, Py_ssize_t ahead,
    const double[::1] state_values,
    double[::1] values,              # OUT  (n_pairs,)
    double[::1] error,               # OUT  (n_pairs,) bounds of the rounding; may be None
):
    """Fill the backup of every pair from V; return the greatest error."""
    cdef Py_ssize_t n_pairs = values.shape[0], n_actions = n_pairs // state_values.shape[0], pair, far
    cdef int64_t k
    cdef double bulk, off, greatest = 0.0
    cdef bint filled = error is not None
    with nogil:
        for pair in range(n_pairs):
            far = pair + ahead * n_actions
            if ahead > 0 and far < n_pairs:
                fetch(offsets, next_state, state_values, far, far + 1)
            values[pair] = backup(offsets, next_state, weight, reward, state_values, gamma, pair)
            bulk = off = 0.0
            for k in range(offsets[pair], offsets[pair + 1]):
                bulk += weight[k] * fabs(state_values[next_state[k]])
            if offsets[pair] < offsets[pair + 1]:
                off = error_of(offsets[pair + 1] - offsets[pair], fabs(size[pair]) + gamma * bulk, 0.0)
            greatest = fmax(greatest, off)
            if filled:
                error[pair] = off
    PyErr_CheckSignals()
    return greatest


def climb(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    double gamma,
    const int32_t[::1] leader,  # IN      where the value of a state is kept; next_state names leaders
    double[::1] values,         # IN/OUT  they only rise
    bint backwards,
):
    """Do one sweep of value iteration in place; return the greatest relative rise."""
    cdef Py_ssize_t n_states = leader.shape[0], n_actions = reward.shape[0] // n_states
    cdef Py_ssize_t i, state, pair
    cdef double value, old, growth = 0.0
    with nogil:
        for i in range(n_states):
            state = n_states - 1 - i if backwards else i
            for pair in range(state * n_actions, (state + 1) * n_actions):
                if offsets[pair] == offsets[pair + 1]:
                    continue
                value = backup(offsets, next_state, weight, reward, values, gamma, pair)
                old = values[leader[state]]
                if value > old:
                    growth = fmax(growth, (value - old) / value)
                    values[leader[state]] = value
    PyErr_CheckSignals()
    return growth


def onward(const int64_t[::1] offsets, const double[::1] weight):
    """Return the least and the greatest probability of going on, and the most outcomes of a pair."""
    cdef Py_ssize_t pair
    cdef int64_t k, most = 0
    cdef double total
    cdef Range seen = Range(INFINITY, -INFINITY)
    with nogil:
        for pair in range(offsets.shape[0] - 1):
            if offsets[pair] == offsets[pair + 1]:
                continue
            total = 0.0
            for k in range(offsets[pair], offsets[pair + 1]):
                total += weight[k]
            widen(&seen, total)
            most = max(most, offsets[pair + 1] - offsets[pair])
    return seen.low, seen.high, most


def largest(const double[::1] values):
    """Return max |values|; NaN and infinities count as infinity."""
    cdef double result = 0.0
    cdef Py_ssize_t i
    with nogil:
        for i in range(values.shape[0]):
            if not fabs(values[i]) <= result:
                result = fabs(values[i]) if values[i] == values[i] else INFINITY
    return result
