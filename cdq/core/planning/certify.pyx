"""Certificates of planning: backups with bounds of their rounding, and shifts that make values bounds.

The arguments are those of plan.pyx. size[p] is the mean of |reward| over the outcomes of pair p, up to its sign.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t

from cdq.core.planning.plan cimport backup, fetch, greater

cdef double INFINITY = float("inf")
cdef double UNIT = 2.0**-53  # rounding of one operation
cdef double LEAST = 2.0**-1020  # more than a product may lose by underflow; a subnormal number would be slow


cdef inline double error_of(Py_ssize_t n_outcomes, double size, double difference) noexcept nogil:
    """Bound the rounding of one backup whose absolute terms sum to size, and of its difference from V.

    In units of 2**-53: n + 2 for a sum of n products, n + 1 for the mean reward; the rest is to spare.
    Where products underflow, each loses a little more.
    """
    return (2 * n_outcomes + 12) * UNIT * (size + fabs(difference)) + (LEAST * (n_outcomes + 1) if size > 0.0 else 0.0)


def certify(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward, const double[::1] size,
    double gamma,
    Py_ssize_t ahead,                # states to prefetch ahead; 0 where the values fit the cache
    const double[::1] state_values,  # IN   V
    double[::1] low,                 # OUT  the greatest shift c that keeps V + c below T(V + c) in the state
    double[::1] high,                # OUT  the least that keeps it above
):
    """Fill shifts, rounding taken outwards; return the greatest residual in units of rounding, and the most weight.

    V + c <= T(V + c) where c (1 - gamma kappa) <= q - V for some action, kappa its probability of going on.
    """
    cdef Py_ssize_t n_states = state_values.shape[0], n_actions = reward.shape[0] // n_states
    cdef Py_ssize_t state, pair, far
    cdef int64_t k
    cdef double value, onward, best, total, bulk, kappa, error, error_of_best, difference, unit, least
    cdef double most = 0.0, excess = 0.0
    with nogil:
        for state in range(n_states):
            far = state + ahead
            if ahead > 0 and far < n_states:
                fetch(offsets, next_state, state_values, far * n_actions, (far + 1) * n_actions)
            value = state_values[state]
            low[state] = high[state] = best = -INFINITY
            error_of_best = 0.0
            for pair in range(state * n_actions, (state + 1) * n_actions):
                if offsets[pair] == offsets[pair + 1]:
                    continue
                total = bulk = kappa = 0.0
                for k in range(offsets[pair], offsets[pair + 1]):
                    onward = weight[k] * state_values[next_state[k]]
                    total += onward
                    bulk += fabs(onward)
                    kappa += weight[k]
                difference = reward[pair] + gamma * total - value
                error = error_of(offsets[pair + 1] - offsets[pair], fabs(size[pair]) + gamma * bulk, difference)
                unit = (offsets[pair + 1] - offsets[pair] + 4) * 2.0 * UNIT * kappa
                least = 1.0 - gamma * (kappa + unit)
                most = greater(most, kappa + unit)
                low[state] = greater(low[state], shift(difference - error, 1.0 - gamma * (kappa - unit), least))
                high[state] = greater(high[state], -shift(-difference - error, 1.0 - gamma * (kappa - unit), least))
                if difference > best:
                    best = difference
                    error_of_best = error
            if not fabs(best) <= excess * error_of_best:
                excess = fabs(best) / error_of_best if error_of_best > 0.0 else INFINITY
    PyErr_CheckSignals()
    return excess, most


cdef inline double shift(double difference, double widest, double narrowest) noexcept nogil:
    """Return a lower bound of difference / d for every d between the denominators; infinite where d may be 0."""
    if difference >= 0.0:
        return difference / widest * (1.0 - 4.0 * UNIT) if widest > 0.0 else INFINITY
    return difference / narrowest * (1.0 + 4.0 * UNIT) if narrowest > 0.0 else -INFINITY


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
    cdef double onward, total, bulk, off, greatest = 0.0
    cdef bint filled = error is not None
    with nogil:
        for pair in range(n_pairs):
            far = pair + ahead * n_actions
            if ahead > 0 and far < n_pairs:
                fetch(offsets, next_state, state_values, far, far + 1)
            total = bulk = off = 0.0
            for k in range(offsets[pair], offsets[pair + 1]):
                onward = weight[k] * state_values[next_state[k]]
                total += onward
                bulk += fabs(onward)
            values[pair] = reward[pair] + gamma * total
            if offsets[pair] < offsets[pair + 1]:
                off = error_of(offsets[pair + 1] - offsets[pair], fabs(size[pair]) + gamma * bulk, 0.0)
            greatest = greater(greatest, off)
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
                    growth = greater(growth, (value - old) / value)
                    values[leader[state]] = value
    PyErr_CheckSignals()
    return growth
