"""Learning from logged transitions: a table by a loop of its own, every Q-function by the interface of all."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from cdq.core cimport turn
from cdq.core.envs.encode cimport Encoding
from cdq.core.loops.exploration cimport cdq_exploration, cdq_explore, cdq_next_threshold
from cdq.core.table.qfunction cimport STATE, SUCCESSOR, QFunction, TableQ
from cdq.core.table.rows cimport Law, Rows, cdq_law, cdq_rows


cdef extern from *:
    """
    #define CDQ_HEADER "loops/offline.h"
    #include "per_type.h"
    """
    int CDQ_FIRST_TOUCHES, CDQ_EVERY_UPDATE, CDQ_NOTHING

    ctypedef struct cdq_logged:
        int logging
        int64_t first, last
        const uint32_t *state
        const uint32_t *action
        const uint32_t *successor
        const void *reward
        const uint8_t *terminated

    void cdq_log_all_float(cdq_rows *rows) nogil
    void cdq_log_all_double(cdq_rows *rows) nogil
    void cdq_learn_log_float(cdq_rows *rows, const cdq_law *law, cdq_logged *steps, double gamma) nogil
    void cdq_learn_log_double(cdq_rows *rows, const cdq_law *law, cdq_logged *steps, double gamma) nogil


cdef extern from "table/mixed.h":
    uint64_t cdq_mixed(uint64_t x) nogil

# Transitions between two looks at the stop flag.
cdef int64_t CHUNK = 1 << 16


cdef int _open_log(cdq_rows *rows, int64_t updates) noexcept nogil:
    """Return what is logged of so many updates; a worker alone logs the whole table first if that is less."""
    if not rows.alone:
        return CDQ_FIRST_TOUCHES
    if updates < rows.n_states * rows.n_actions:
        return CDQ_EVERY_UPDATE
    if rows.real_size == 4:
        cdq_log_all_float(rows)
    else:
        cdq_log_all_double(rows)
    return CDQ_NOTHING


def learn_log(
    Rows rows not None, Law law not None, double gamma, const uint32_t[::1] states, const uint32_t[::1] actions,
    rewards, const uint32_t[::1] next_states, const uint8_t[::1] terminated, int64_t first, int64_t last,
    const int32_t[::1] stop,
):
    """Learn the transitions first .. last - 1 in order; return how many were, before the flag *stop* was set.

    *rewards* are of the table's type. States and actions must be checked: nothing is here.
    """
    cdef const unsigned char[::1] raw = memoryview(rewards).cast("B")
    cdef int64_t n = states.shape[0]
    cdef cdq_logged steps
    cdef const volatile int32_t *flag = &stop[0]
    if not (n == actions.shape[0] == next_states.shape[0] == terminated.shape[0]
            and raw.shape[0] == n * rows.c.real_size):
        raise ValueError("the columns of the log differ in length, or the rewards have another type than the table")
    if law.real_size != rows.c.real_size or not 0 <= first <= last <= n:
        raise ValueError(f"the law has another type than the table, or {first} to {last} is no part of {n}")
    if first == last:
        return 0
    steps.state, steps.action, steps.successor = &states[0], &actions[0], &next_states[0]
    steps.reward, steps.terminated, steps.last = &raw[0], &terminated[0], first
    with nogil:
        turn.release()
        steps.logging = _open_log(&rows.c, last - first)
        while steps.last < last and not flag[0]:
            steps.first, steps.last = steps.last, min(steps.last + CHUNK, last)
            if rows.c.real_size == 4:
                cdq_learn_log_float(&rows.c, &law.c, &steps, gamma)
            else:
                cdq_learn_log_double(&rows.c, &law.c, &steps, gamma)
        turn.take()
    return steps.last - first


cdef class Replay:
    """A Q-function that learns logged transitions whose observations it has to locate.

    *states* and *next_states* are (n, width) of int64 or float64, *rewards* of the table's type for tables and float64
    otherwise. A table locates as many observations at a time as it has lanes; other Q-functions have one lane. So has
    a table, whose *rewards* are then float64, with *masks*, (n, n_actions): which actions the next states allow; and
    one that is learnt by another rule than Q-learning.
    """

    cdef QFunction q
    cdef TableQ table            # None for other Q-functions, and with masks
    cdef object memory           # keeps the columns alive
    cdef const unsigned char *states
    cdef const unsigned char *next_states
    cdef const unsigned char *rewards
    cdef const uint32_t *actions
    cdef const uint8_t *terminated
    cdef const uint8_t *masks    # NULL where all actions are allowed
    cdef int64_t n, stride, real_size

    def __init__(self, QFunction q not None, states, const uint32_t[::1] actions, rewards, next_states,
                 const uint8_t[::1] terminated, masks=None):
        cdef const unsigned char[::1] before = memoryview(states).cast("B"), after = memoryview(next_states).cast("B")
        cdef const unsigned char[::1] paid = memoryview(rewards).cast("B")
        cdef const uint8_t[:, ::1] allowed = masks
        cdef bint is_table = isinstance(q, TableQ) and masks is None and q.rows.rule == 0
        self.q, self.n, self.stride = q, actions.shape[0], 8 * q.width
        self.real_size = q.rows.c.real_size if is_table else 8
        if not (terminated.shape[0] == self.n > 0 and paid.shape[0] == self.n * self.real_size * q.reward_width
                and before.shape[0] == after.shape[0] == self.n * self.stride):
            raise ValueError("the columns of the log differ in length or type")
        if masks is not None and (allowed.shape[0], allowed.shape[1]) != (self.n, q.n_actions):
            raise ValueError("there is no mask for each transition")
        if not is_table and q.n != 1:
            raise ValueError("a Q-function that is no table learns one transition at a time")
        self.table = q if is_table else None
        self.memory = (before, after, paid, actions, terminated, allowed)
        self.masks = NULL if masks is None else &allowed[0, 0]
        self.states, self.next_states, self.rewards = &before[0], &after[0], &paid[0]
        self.actions, self.terminated = &actions[0], &terminated[0]

    def learn(self, Law law not None, double gamma, double explored, int64_t turn_number, int64_t first,
              int64_t last, const int32_t[::1] stop):
        """Learn the transitions first .. last - 1 in order; return how many were, before the flag *stop* was set.

        A rule that values what exploration leads to takes *explored* for the probability of a random action. Random
        bits of a rule follow from *turn_number*, which tells one pass through the log from another, and a
        transition's place.
        """
        cdef int64_t at = first, count
        cdef const volatile int32_t *flag = &stop[0]
        cdef cdq_exploration explore = cdq_explore(explored, explored, 1)
        if law.real_size != self.q.rows.c.real_size or not 0 <= first <= last <= self.n:
            raise ValueError(f"the law has another type than the table, or {first} to {last} is no part of {self.n}")
        self.q.rule.c.threshold = cdq_next_threshold(&explore)
        while at < last and not flag[0] and not self.q.diverged():
            if self.q.room() < 2 * self.q.n:
                self.q.make_room()
            with nogil:
                while at < last and not flag[0] and self.q.room() >= 2 * self.q.n and not self.q.diverged():
                    count = min(self.q.n, last - at)
                    self.learn_some(&law.c, gamma, cdq_mixed(<uint64_t> turn_number), at, count)
                    at += count
        return at - first

    cdef void learn_some(
            self, const cdq_law *law, double gamma, uint64_t bits, int64_t at, int64_t count) noexcept nogil:
        cdef cdq_logged steps
        cdef double discount = 0.0 if self.terminated[at] else gamma, reward = 0.0
        cdef const double *paid
        self.q.locate(self.states + at * self.stride, STATE, 0, count)
        self.q.locate(self.next_states + at * self.stride, SUCCESSOR, 0, count)
        if self.table is None:
            self.q.rule.c.target_random[0] = cdq_mixed(bits + <uint64_t> at)
            paid = <const double *> self.rewards + at * self.q.reward_width
            reward = paid[0]
            self.q.judge(self.actions + at, paid, &reward, NULL)
            self.q.learn(
                law, self.actions + at, &reward, &discount,
                NULL if self.masks == NULL else self.masks + at * self.q.n_actions, NULL)
            return
        steps.first, steps.last, steps.logging = 0, count, CDQ_FIRST_TOUCHES
        if self.q.rows.c.alone:
            steps.logging = CDQ_EVERY_UPDATE
        steps.state, steps.successor = self.table.located[STATE], self.table.located[SUCCESSOR]
        steps.action, steps.terminated = self.actions + at, self.terminated + at
        steps.reward = self.rewards + at * self.real_size
        if self.real_size == 4:
            cdq_learn_log_float(&self.q.rows.c, law, &steps, gamma)
        else:
            cdq_learn_log_double(&self.q.rows.c, law, &steps, gamma)


def encode_batch(
    Encoding encoding not None, observations, const uint8_t[::1] skipped not None, out not None, masks not None,
):
    """Encode a batch into *out*, (n, width) of 8 bytes each; return -1, or the first that is outside the space.

    Those *skipped* may be outside. Masks that the observations hold go to *masks*, (n, n_actions) bytes.
    """
    cdef unsigned char[::1] raw = memoryview(out).cast("B")
    cdef uint8_t[:, ::1] allowed = masks
    cdef int64_t n = skipped.shape[0]
    if raw.shape[0] != 8 * n * encoding.width or n == 0 or (allowed.shape[0], allowed.shape[1]) != (
            n, encoding.n_actions):
        raise ValueError("there is no room for as many observations")
    return encoding.encode_all(
        observations, n, &raw[0], &allowed[0, 0] if encoding.n_actions else NULL, &skipped[0])
