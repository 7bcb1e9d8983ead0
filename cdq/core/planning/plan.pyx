"""Planning kernels: Bellman backups of a whole model.

A model comes folded (see cdq.mdp.planning): pair p = state * n_actions + action owns the outcomes
offsets[p]:offsets[p + 1], weight[k] is the probability that outcome k goes on to next_state[k] (zero where it
ends), reward[p] is the mean reward of the pair. Callers have checked shapes, ranges and finiteness.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t, uint8_t

cdef double INFINITY = float("inf")


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


cdef inline int64_t copy_pair(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] weight, Py_ssize_t pair,
    int32_t[::1] chain_next, double[::1] chain_weight, int64_t at,
) noexcept nogil:
    """Copy the outcomes of a pair to the place *at*; return the next place."""
    cdef int64_t k
    for k in range(offsets[pair], offsets[pair + 1]):
        chain_next[at] = next_state[k]
        chain_weight[at] = weight[k]
        at += 1
    return at


def select(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    const int32_t[::1] policy,
    int64_t[::1] chain_offsets, int32_t[::1] chain_next, double[::1] chain_weight, double[::1] chain_reward,  # OUT
):
    """Copy the Markov chain of a policy."""
    cdef Py_ssize_t n_states = policy.shape[0], n_actions = reward.shape[0] // n_states, state, pair
    cdef int64_t at = 0
    with nogil:
        for state in range(n_states):
            pair = state * n_actions + policy[state]
            chain_offsets[state], chain_reward[state] = at, reward[pair]
            at = copy_pair(offsets, next_state, weight, pair, chain_next, chain_weight, at)
        chain_offsets[n_states] = at


def improve(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    double gamma,
    Py_ssize_t ahead,              # states to prefetch ahead; 0 where the values fit the cache
    const double[::1] state_values,  # IN   V
    double[::1] backed_up,           # OUT  TV
    int32_t[::1] policy,             # OUT  the greedy action, the lowest of equals
    # OUT  the chain of that policy, if given: cheap here, where its rows are read
    int64_t[::1] chain_offsets=None, int32_t[::1] chain_next=None,
    double[::1] chain_weight=None, double[::1] chain_reward=None,
):
    """Do one sweep of value iteration; return the least, greatest and mean of TV - V."""
    cdef Py_ssize_t n_states = state_values.shape[0], n_actions = reward.shape[0] // n_states
    cdef Py_ssize_t state, action, pair, far, best_action
    cdef Range delta = Range(INFINITY, -INFINITY)
    cdef int64_t at = 0
    cdef double best, value, total = 0.0
    cdef bint better, selects = chain_offsets is not None
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
                better = value > best  # no branch: which action is best is not to be predicted
                best = value if better else best
                best_action = action if better else best_action
            backed_up[state] = best
            widen(&delta, best - state_values[state])
            total += best - state_values[state]
            policy[state] = <int32_t>best_action
            if selects:
                pair = state * n_actions + best_action
                chain_offsets[state], chain_reward[state] = at, reward[pair]
                at = copy_pair(offsets, next_state, weight, pair, chain_next, chain_weight, at)
        if selects:
            chain_offsets[n_states] = at
    PyErr_CheckSignals()
    return delta.low, delta.high, total / n_states


cdef Range follow(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const double[::1] weight, const double[::1] reward,
    double gamma, Py_ssize_t ahead,
    const double[::1] state_values, double[::1] backed_up, bint backwards,
) noexcept nogil:
    """Do one sweep of V <- TV and return the range of the changes."""
    cdef Py_ssize_t n_states = state_values.shape[0], n_actions = reward.shape[0] // n_states
    cdef Py_ssize_t step = -1 if backwards else 1, first = n_states - 1 if backwards else 0
    cdef Py_ssize_t i, state, far, pair
    cdef Range delta = Range(INFINITY, -INFINITY)
    cdef double value
    for i in range(n_states):
        state = first + step * i
        far = state + step * ahead
        if ahead > 0 and 0 <= far < n_states:
            fetch(offsets, next_state, state_values, far * n_actions, (far + 1) * n_actions)
        pair = state * n_actions
        value = backup(offsets, next_state, weight, reward, state_values, gamma, pair)
        for pair in range(pair + 1, (state + 1) * n_actions):
            value = greater(value, backup(offsets, next_state, weight, reward, state_values, gamma, pair))
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
    """Do sweeps of V <- TV, policy evaluation where the arrays are those of a chain; return how many."""
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


def choose(
    const double[:, ::1] values,                         # IN
    const double[:, :] below, const double[:, :] above,  # IN   margins of the values
    double tie,                                          # actions whose values differ by more are told apart
    double[::1] best,                                    # OUT  the greatest of each row
    int64_t[::1] policy,                                 # OUT  the lowest action that may be as good
):
    """Fill the greedy choice of every state; return whether its value is the greatest everywhere."""
    cdef Py_ssize_t n_actions = values.shape[1], state, action
    cdef double most, floor
    cdef bint greatest = True
    with nogil:
        for state in range(values.shape[0]):
            most, floor = values[state, 0], values[state, 0] - below[state, 0]
            for action in range(1, n_actions):
                most = greater(most, values[state, action])
                floor = greater(floor, values[state, action] - below[state, action])
            action = 0
            while action < n_actions - 1 and not (
                values[state, action] + above[state, action] >= floor and values[state, action] >= most - tie
            ):
                action += 1
            best[state], policy[state] = most, action
            greatest = greatest and values[state, action] == most
    return greatest


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
