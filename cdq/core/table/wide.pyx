"""Q-functions of several tasks on wide rows: each transition teaches all of them."""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from cdq.core.table.qfunction cimport STATE, SUCCESSOR, QFunction, TableQ
from cdq.core.table.rows cimport cdq_law, cdq_rows

import numpy as np


cdef extern from *:
    """
    #define CDQ_HEADER "table/wide.h"
    #include "per_type.h"
    """
    void cdq_fill_bit_tables()
    void cdq_wide_choose_float(
        const cdq_rows *rows, const cdq_wide *wide, uint64_t threshold, const uint64_t *random, const uint32_t *state,
        const uint8_t *masks, uint32_t *action, int64_t n) nogil
    void cdq_wide_choose_double(
        const cdq_rows *rows, const cdq_wide *wide, uint64_t threshold, const uint64_t *random, const uint32_t *state,
        const uint8_t *masks, uint32_t *action, int64_t n) nogil
    void cdq_wide_choose_lowest_float(
        const cdq_rows *rows, const cdq_wide *wide, const uint32_t *state, const uint8_t *masks, uint32_t *action,
        int64_t n) nogil
    void cdq_wide_choose_lowest_double(
        const cdq_rows *rows, const cdq_wide *wide, const uint32_t *state, const uint8_t *masks, uint32_t *action,
        int64_t n) nogil
    void cdq_wide_learn_float(
        cdq_rows *rows, const cdq_law *law, const cdq_wide *wide, const cdq_wide_steps *steps) nogil
    void cdq_wide_learn_double(
        cdq_rows *rows, const cdq_law *law, const cdq_wide *wide, const cdq_wide_steps *steps) nogil


cdq_fill_bit_tables()

KINDS = {"goals": CDQ_GOALS, "rewards": CDQ_REWARDS, "features": CDQ_FEATURES}


cdef class Tasks:
    """Tasks of wide rows, for tables whose states have *n_actions* actions.

    *kind* is a key of `KINDS`. Goals: *owner* is an int32 array with, for each state, the task whose goal it is, or
    -1. Features: *weights* is (n_tasks, parts). Rewards of all tasks, or features, are paid with each transition, or
    *function* makes them of states, actions, rewards and next states: arrays in, (n, n_tasks or parts) out, none
    larger than *most*. *paid* is how many numbers a transition pays to a function, or where goals take no notice of it.
    """

    def __init__(
        self, str kind, int64_t n_actions, int64_t n_tasks, *, owner=None, weights=None, function=None,
        double most=INFINITY, int64_t paid=1,
    ):
        cdef const int32_t[::1] owners = owner
        self.kind, self.n_actions, self.n_tasks = KINDS[kind], n_actions, n_tasks
        self.weights, self.function, self.parts = weights, function, 1
        self.most, self.paid = most, paid
        if n_actions < 1 or n_tasks < 1 or paid < 1 or (self.kind == CDQ_GOALS) != (owner is not None):
            raise ValueError("there is no action, no task, or no goal")
        if (self.kind == CDQ_FEATURES) != (weights is not None):
            raise ValueError("there are no features, or no weights")
        if owner is not None:
            self.n_named = owners.shape[0]
            self.owner = &owners[0] if self.n_named else NULL
        if weights is not None:
            if weights.ndim != 2 or weights.shape[0] != n_tasks or not weights.size:
                raise ValueError("there are no weights of each task")
            self.parts = weights.shape[1]
        self.memory = owner

    cdef int64_t n_signals(self) noexcept nogil:
        if self.kind == CDQ_GOALS:
            return 0
        return self.n_tasks if self.kind == CDQ_REWARDS else self.parts

    @property
    def columns(self):
        """The number of columns of a row."""
        return self.n_actions * self.n_tasks * self.parts


cdef class WideQ(QFunction):
    """The Q-function of *tasks* over the rows of *inner*, which locates observations.

    Lane i acts for the task (*first* + i + its episodes) modulo the number of tasks. *episodes*, (n,) uint64, is
    borrowed; without it all lanes act for the task *first*. A lane that reaches the goal of its task is over. Once the
    function failed, `is_divergent` is true, and `error` says why.
    """

    def __init__(self, TableQ inner not None, Tasks tasks not None, uint64_t[::1] episodes, int64_t first=0):
        cdef int64_t n = inner.n, i, words
        cdef int64_t[::1] memory
        if inner.rows.c.n_actions != tasks.columns or inner.rows.rule != 0 or not 0 <= first:
            raise ValueError("the table is not one of these tasks")
        if episodes is not None and episodes.shape[0] != n or episodes is None and first >= tasks.n_tasks:
            raise ValueError("there is no number of episodes for each lane, or no such task")
        self.lay_out(inner.rows, n)
        self.inner, self.tasks, self.n_actions, self.judges = inner, tasks, tasks.n_actions, True
        self.width, self.continuous, self.calls = inner.width, inner.continuous, tasks.function is not None
        self.reward_width, self.plain = tasks.n_signals(), inner.plain and not self.calls
        if self.calls or tasks.kind == CDQ_GOALS:
            self.reward_width = tasks.paid
        self.c.kind, self.c.n_actions = tasks.kind, tasks.n_actions
        self.c.tasks, self.c.parts = tasks.n_tasks, tasks.parts
        words = 2 * n + tasks.n_actions + n * (tasks.n_tasks * tasks.parts + tasks.n_signals())
        self.memory = memory = memoryview(bytearray(8 * words)).cast("q")
        self.c.task = <uint32_t *> &memory[0]
        self.c.goal = <int32_t *> (self.c.task + n)
        self.c.signal = <const double **> &memory[n]
        self.c.acting = &memory[2 * n]
        self.c.target = &memory[2 * n + tasks.n_actions]
        self.made = <double *> self.c.target + n * tasks.n_tasks * tasks.parts
        self.first, self.episodes = <uint64_t> first, NULL
        if episodes is not None:
            self.episodes = &episodes[0]
        real = "f4" if inner.rows.c.real_size == 4 else "f8"
        weights = np.ascontiguousarray(np.zeros((1, 1)) if tasks.weights is None else tasks.weights, real)
        cdef const uint8_t[::1] raw = weights.reshape(-1).view("u1")
        self.c.weights = &raw[0]
        self.arrays = (episodes, weights)
        for i in range(n):
            self.turn_to(i)

    cdef void turn_to(self, int64_t lane) noexcept nogil:
        """Have a lane act for the task that its number of episodes says."""
        cdef uint64_t turn = self.first
        if self.episodes != NULL:
            turn += <uint64_t> lane + self.episodes[lane]
        self.c.task[lane] = <uint32_t> (turn % <uint64_t> self.c.tasks)

    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil:
        return self.inner.locate(observations, slot, first, count)

    cdef void choose(
            self, uint64_t threshold, const uint64_t *bits, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        cdef const uint32_t *state = self.inner.located[STATE]
        if self.rows.c.real_size == 4:
            cdq_wide_choose_float(&self.rows.c, &self.c, threshold, bits, state, masks, actions, self.n)
        else:
            cdq_wide_choose_double(&self.rows.c, &self.c, threshold, bits, state, masks, actions, self.n)

    cdef void greedy(self, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        cdef const uint32_t *state = self.inner.located[STATE]
        if self.rows.c.real_size == 4:
            cdq_wide_choose_lowest_float(&self.rows.c, &self.c, state, masks, actions, self.n)
        else:
            cdq_wide_choose_lowest_double(&self.rows.c, &self.c, state, masks, actions, self.n)

    cdef void judge(
            self, const uint32_t *actions, const double *paid, double *rewards, uint8_t *over) noexcept nogil:
        self.make_signals(actions, paid)
        self.reward(rewards, over)

    cdef void reward(self, double *rewards, uint8_t *over) noexcept nogil:
        """Write what is paid for the tasks for which the lanes act, and which lanes reached their goal."""
        cdef int64_t i
        if self.c.kind != CDQ_GOALS:
            for i in range(self.n):
                rewards[i] = self.reward_of(i)
            return
        for i in range(self.n):
            rewards[i] = self.c.goal[i] == <int32_t> self.c.task[i]
        for i in range(self.n if over != NULL else 0):
            over[i] |= rewards[i] != 0

    cdef void make_signals(self, const uint32_t *actions, const double *paid) noexcept nogil:
        """Find which goals were entered, or what each transition pays."""
        cdef int64_t i, width = self.tasks.n_signals()
        if self.c.kind == CDQ_GOALS:
            for i in range(self.n):
                self.c.goal[i] = self.tasks.goal_of(self.inner.name_of(self.inner.located[SUCCESSOR][i]))
            return
        if self.calls and not self.failed:
            with gil:
                try:
                    self.call_function(actions, paid)
                except Exception as error:
                    self.error, self.failed = error, True
                    memset(self.made, 0, self.n * width * sizeof(double))
        for i in range(self.n):
            self.c.signal[i] = (self.made if self.calls else paid) + i * width

    cdef double reward_of(self, int64_t lane) noexcept nogil:
        """Return what a lane's transition pays to the task for which it acts."""
        cdef int64_t task = self.c.task[lane], i
        cdef const double *signal = self.c.signal[lane]
        cdef double total = 0.0
        if self.c.kind == CDQ_REWARDS:
            return signal[task]
        for i in range(self.c.parts):
            if self.rows.c.real_size == 4:
                total += signal[i] * (<const float *> self.c.weights)[task * self.c.parts + i]
            else:
                total += signal[i] * (<const double *> self.c.weights)[task * self.c.parts + i]
        return total

    cdef int call_function(self, const uint32_t *actions, const double *paid) except -1:
        cdef int64_t i, j, width = self.tasks.n_signals(), paid_width = self.reward_width
        cdef double[:, ::1] made
        rewards = np.array([paid[i] for i in range(self.n * paid_width)], np.float64)
        state, successor = self.inner.located[STATE], self.inner.located[SUCCESSOR]
        made = signals_of(
            self.tasks.function,
            np.array([self.inner.name_of(state[i]) for i in range(self.n)], np.int64),
            np.array([actions[i] for i in range(self.n)], np.int64),
            rewards if paid_width == 1 else rewards.reshape(self.n, paid_width),
            np.array([self.inner.name_of(successor[i]) for i in range(self.n)], np.int64), width, self.tasks.most)
        for i in range(self.n):
            for j in range(width):
                self.made[i * width + j] = made[i, j]
        return 0

    cdef void learn(
            self, const cdq_law *law, const uint32_t *actions, const double *rewards, const double *discounts,
            const uint8_t *masks, const uint8_t *active) noexcept nogil:
        cdef cdq_wide_steps steps = cdq_wide_steps(
            self.n, self.inner.located[STATE], self.inner.located[SUCCESSOR], actions, discounts, masks, active)
        if self.failed:
            return
        if self.rows.c.real_size == 4:
            cdq_wide_learn_float(&self.rows.c, law, &self.c, &steps)
        else:
            cdq_wide_learn_double(&self.rows.c, law, &self.c, &steps)

    cdef void end_episode(self, int64_t lane) noexcept nogil:
        if self.episodes != NULL:
            self.episodes[lane] += 1
            self.turn_to(lane)

    cdef void forget_actions(self, int64_t first, int64_t count) noexcept nogil:
        cdef int64_t i
        for i in range(first, first + count):  # the lanes may have been put back
            self.turn_to(i)

    cdef void advance(self) noexcept nogil:
        self.inner.advance()

    cdef int64_t room(self) noexcept nogil:
        return self.inner.room()

    cdef bint diverged(self) noexcept nogil:
        return self.failed

    cpdef make_room(self):
        self.inner.make_room()


def signals_of(function, states, actions, rewards, next_states, int64_t width, double most):
    """Return what a function makes of transitions, (n, *width*) float64; `ValueError` where that is something else.

    No number is to be larger than *most*.
    """
    n = len(states)
    made = np.asarray(function(states, actions, rewards, next_states))
    if made.shape != (n, width) or made.dtype.kind not in "biuf":
        raise ValueError(
            f"it returned {made.dtype} of shape {made.shape} for {n} transitions; allowed: numbers of shape "
            f"({n}, {width}), a row for each transition")
    made = np.ascontiguousarray(made, np.float64)
    wrong = ~(np.abs(made) <= most)
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise ValueError(
            f"it returned {made[i, j]} in column {j} for state {states[i]}, action {actions[i]}, reward {rewards[i]}, "
            f"next state {next_states[i]}; allowed: finite numbers up to {most:.3g}, whose sums the table holds")
    return made
