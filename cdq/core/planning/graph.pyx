"""Graph of a model: the states that are visited, and those from which episodes can or must end.

Pair p = state * n_actions + action owns the outcomes offsets[p]:offsets[p + 1]; weight[k] is the probability
that outcome k goes on to next_state[k], zero where it ends. Callers have checked shapes and ranges.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t, uint8_t


def visit(
    const int64_t[::1] offsets, const int32_t[::1] next_state,
    const uint8_t[::1] goes_on,   # IN   per outcome: it may happen and does not end
    Py_ssize_t n_actions,
    uint8_t[::1] seen,            # IN/OUT  the states to begin with; at return all that they lead to
    int32_t[::1] queue,           # SCRATCH (n_states,)
):
    """Walk the graph of the model, breadth first."""
    cdef Py_ssize_t n_states = seen.shape[0], head = 0, tail = 0, state
    cdef int64_t k
    cdef int32_t successor
    with nogil:
        for state in range(n_states):
            if seen[state]:
                queue[tail] = <int32_t>state
                tail += 1
        while head < tail:
            state = queue[head]
            head += 1
            for k in range(offsets[state * n_actions], offsets[(state + 1) * n_actions]):
                successor = next_state[k]
                if goes_on[k] and not seen[successor]:
                    seen[successor] = 1
                    queue[tail] = successor
                    tail += 1


def spread(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] weight,
    Py_ssize_t n_actions,
    uint8_t[::1] marked,    # IN/OUT  at return every state that may lead to one that was marked
    int64_t[::1] first,     # SCRATCH zeros, (n_states + 2,)
    int32_t[::1] sources,   # SCRATCH as many as the outcomes of states that are not marked
    int32_t[::1] queue,     # SCRATCH (n_states,)
):
    """Walk the graph of the model against its arrows, breadth first."""
    cdef Py_ssize_t n_states = marked.shape[0], head = 0, tail = 0, state
    cdef int64_t k
    with nogil:
        for state in range(n_states):  # first[s + 2]: how many arrows enter s
            if marked[state]:
                queue[tail] = <int32_t>state
                tail += 1
                continue
            for k in range(offsets[state * n_actions], offsets[(state + 1) * n_actions]):
                first[next_state[k] + 2] += weight[k] > 0.0
        for state in range(n_states):
            first[state + 2] += first[state + 1]
        for state in range(n_states):  # first[s + 1]: where the next source of s goes
            if not marked[state]:
                for k in range(offsets[state * n_actions], offsets[(state + 1) * n_actions]):
                    if weight[k] > 0.0:
                        sources[first[next_state[k] + 1]] = <int32_t>state
                        first[next_state[k] + 1] += 1
        while head < tail:
            state = queue[head]
            head += 1
            for k in range(first[state], first[state + 1]):
                if not marked[sources[k]]:
                    marked[sources[k]] = 1
                    queue[tail] = sources[k]
                    tail += 1
    PyErr_CheckSignals()


cdef inline bint stays_within(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] weight,
    const uint8_t[::1] inside, Py_ssize_t pair,
) noexcept nogil:
    """Return whether every outcome of the pair that goes on leads to a state inside."""
    cdef int64_t k
    for k in range(offsets[pair], offsets[pair + 1]):
        if weight[k] > 0.0 and not inside[next_state[k]]:
            return False
    return True


cdef inline bint touches(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] weight,
    const uint8_t[::1] inside, Py_ssize_t pair,
) noexcept nogil:
    """Return whether some outcome of the pair goes on to a state inside."""
    cdef int64_t k
    for k in range(offsets[pair], offsets[pair + 1]):
        if weight[k] > 0.0 and inside[next_state[k]]:
            return True
    return False


def rest(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] weight,
    const uint8_t[::1] quiet,   # IN   per pair: no outcome pays anything
    uint8_t[::1] resting,       # OUT  states that can go on for ever, or end, without any reward
    int32_t[::1] policy,        # OUT  the action that does, at those states
):
    """Find the largest set of states that some policy never leaves and never pays in."""
    cdef Py_ssize_t n_states = resting.shape[0], n_actions = quiet.shape[0] // n_states
    cdef Py_ssize_t state, action, pair
    cdef bint changed = True
    resting[:] = 1
    while changed:
        changed = False
        with nogil:
            for state in range(n_states):
                if not resting[state]:
                    continue
                for action in range(n_actions):
                    pair = state * n_actions + action
                    if quiet[pair] and stays_within(offsets, next_state, weight, resting, pair):
                        policy[state] = <int32_t>action
                        break
                else:
                    resting[state] = 0
                    changed = True
        PyErr_CheckSignals()


cdef Py_ssize_t attract(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] weight,
    const uint8_t[::1] ends, const uint8_t[::1] within,
    uint8_t[::1] reached, int32_t[::1] policy, bint backwards,
) noexcept nogil:
    """Add to reached the states with an action that stays within and may end or go to a reached state."""
    cdef Py_ssize_t n_states = reached.shape[0], n_actions = ends.shape[0] // n_states
    cdef Py_ssize_t i, state, action, pair, added = 0
    for i in range(n_states):
        state = n_states - 1 - i if backwards else i
        if reached[state] or not within[state]:
            continue
        for action in range(n_actions):
            pair = state * n_actions + action
            if not (ends[pair] or touches(offsets, next_state, weight, reached, pair)):
                continue
            if stays_within(offsets, next_state, weight, within, pair):
                reached[state] = 1
                policy[state] = <int32_t>action
                added += 1
                break
    return added


def ending(
    const int64_t[::1] offsets, const int32_t[::1] next_state, const double[::1] weight,
    const uint8_t[::1] ends,     # IN   per pair: some outcome ends
    const uint8_t[::1] resting,  # IN   states that count as ended
    uint8_t[::1] within,         # IN/OUT  all ones; at return the states from which some policy surely ends
    uint8_t[::1] reached,        # SCRATCH
    int32_t[::1] policy,         # OUT  that policy, except at resting states
):
    """Find the states from which some policy ends with probability one (nested fixed points)."""
    cdef Py_ssize_t n_states = within.shape[0], state, added, lost = 1
    cdef bint backwards = False
    while lost:
        reached[:] = resting
        added = 1
        while added:
            with nogil:
                added = attract(offsets, next_state, weight, ends, within, reached, policy, backwards)
            backwards = not backwards
            PyErr_CheckSignals()
        lost = 0
        for state in range(n_states):
            lost += within[state] != reached[state]
        within[:] = reached


def components(
    const int64_t[::1] first,         # IN   where the outcomes of each state begin, (n_states + 1,)
    const int32_t[::1] next_state,
    const uint8_t[::1] counts,        # IN   per outcome: it is an arrow of the graph
    int32_t[::1] component,           # OUT  of each state, numbered so that arrows lead to the same or a lower one
    int64_t[:, ::1] scratch,          # SCRATCH (5, n_states)
):
    """Find the strongly connected components (Tarjan's algorithm, without recursion); return how many."""
    cdef Py_ssize_t n_states = component.shape[0], root
    cdef int64_t[::1] index = scratch[0], low = scratch[1], stack = scratch[2], path = scratch[3], at = scratch[4]
    cdef int64_t number = 0, found = 0, height = 0, depth = 0, state, k, successor
    index[:] = -1
    component[:] = -1
    with nogil:
        for root in range(n_states):
            if index[root] >= 0:
                continue
            path[0] = root
            depth = 1
            while depth > 0:
                state = path[depth - 1]
                if index[state] < 0:
                    index[state] = low[state] = number
                    number += 1
                    stack[height] = state
                    height += 1
                    at[state] = first[state]
                k = at[state]
                while k < first[state + 1]:
                    successor = next_state[k]
                    if counts[k]:
                        if index[successor] < 0:
                            break
                        if component[successor] < 0:
                            low[state] = min(low[state], low[successor])
                    k += 1
                at[state] = k
                if k < first[state + 1]:
                    path[depth] = next_state[k]
                    depth += 1
                    continue
                depth -= 1
                if low[state] == index[state]:
                    while True:
                        height -= 1
                        component[stack[height]] = <int32_t>found
                        if stack[height] == state:
                            break
                    found += 1
    PyErr_CheckSignals()
    return found
