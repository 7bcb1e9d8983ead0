"""The loop of several tasks over a finite model: windows of Q-learning on wide rows."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cdq.core cimport turn
from cdq.core.loops.exploration cimport cdq_exploration, cdq_explore, cdq_next_threshold
from cdq.core.loops.model cimport Sampler, cdq_model
from cdq.core.loops.tally cimport (
    cdq_end_episode_after, cdq_episodes, cdq_row_left, cdq_tally, cdq_tally_sweeps, cdq_whole, tally_of)
from cdq.core.loops.windows cimport Windows
from cdq.core.table.qfunction cimport STATE, SUCCESSOR
from cdq.core.table.rows cimport Law, cdq_law
from cdq.core.table.wide cimport WideQ


cdef extern from *:
    """
    #define CDQ_HEADER "loops/numbered.h"
    #include "per_type.h"
    """
    uint32_t CDQ_TERMINATED
    uint32_t CDQ_STATE(uint32_t successor) nogil
    uint32_t cdq_start(const cdq_model *model, uint64_t bits) nogil
    void cdq_sample_numbered_float(
        const cdq_model *model, const uint32_t *state, const uint32_t *action, const uint64_t *random,
        uint32_t *successor, int64_t *outcome, int64_t n, int64_t n_actions) nogil
    void cdq_sample_numbered_double(
        const cdq_model *model, const uint32_t *state, const uint32_t *action, const uint64_t *random,
        uint32_t *successor, int64_t *outcome, int64_t n, int64_t n_actions) nogil

cdef extern from "rng.h":
    uint64_t cdq_next_of_lane(uint64_t *words, int64_t lanes, int64_t lane) nogil
    void cdq_next_of_all(uint64_t *words, int64_t lanes, uint64_t *out) nogil

# Sweeps between two looks at the stop flag, the same as in rollout.pyx.
cdef int64_t CHUNK = 4096


cdef class WideRollout(Windows):
    """A worker's loop: lanes that act on one table of several tasks in one model.

    The rewards of *sampler* are the numbers of its outcomes, which find the row of *signals*, (n_outcomes, width),
    that is paid to the tasks; goals are paid nothing. *lanes* has the arrays words (4, n), state, elapsed and returns
    (n,), borrowed. *stop* is a flag that another thread may set.
    """

    cdef WideQ q
    cdef Sampler sampler
    cdef double gamma
    cdef int64_t n_actions, width
    cdef uint64_t *words
    cdef uint32_t *state
    cdef int64_t *elapsed
    cdef double *returns
    cdef const double *signals
    cdef uint64_t *bits
    cdef uint64_t *bits_outcome
    cdef uint32_t *action
    cdef uint8_t *over             # lanes whose episode is over
    cdef double *rewards
    cdef double *discounts
    cdef int64_t *outcome
    cdef uint8_t *masks
    cdef object memory
    cdef const volatile int32_t *stop

    def __init__(self, WideQ q not None, Sampler sampler not None, signals, lanes, double gamma,
                 const int32_t[::1] stop):
        cdef uint64_t[:, ::1] words = lanes.words
        cdef uint32_t[::1] state = lanes.state
        cdef int64_t[::1] elapsed = lanes.elapsed
        cdef double[::1] returns = lanes.returns
        cdef const double[:, ::1] known = signals
        cdef int64_t n = q.n
        self.width = q.tasks.n_signals()
        if not (words.shape[0] == 4 and words.shape[1] == state.shape[0] == elapsed.shape[0] == returns.shape[0] == n):
            raise ValueError("the lanes' arrays differ in length")
        if (q.rows.c.n_states, q.n_actions, q.rows.c.real_size) != (
                sampler.n_states, sampler.n_actions, sampler.real_size) or stop.shape[0] != 1 or q.calls:
            raise ValueError("the table and the model differ in size or type, or stop is not one flag")
        if self.width and (known.shape[1] != self.width or known.shape[0] < sampler.n_outcomes):
            raise ValueError("there are no signals of each outcome")
        for i in range(n):
            if state[i] >= sampler.n_states:
                raise ValueError("a lane is in no state of the model")
        self.q, self.sampler, self.gamma, self.n_actions = q, sampler, gamma, q.n_actions
        self.rows, self.n_lanes, self.plain = q.rows, n, q.plain
        self.words, self.state = &words[0, 0], &state[0]
        self.elapsed, self.returns, self.stop = &elapsed[0], &returns[0], &stop[0]
        self.signals = &known[0, 0] if self.width else NULL
        cdef uint64_t[::1] scratch = memoryview(
            bytearray(8 * n * (6 + self.n_actions))).cast("Q")
        self.bits, self.bits_outcome = &scratch[0], &scratch[n]
        self.action = <uint32_t *> &scratch[2 * n]
        self.over = <uint8_t *> (self.action + n)
        self.rewards, self.discounts = <double *> &scratch[3 * n], <double *> &scratch[4 * n]
        self.outcome = <int64_t *> &scratch[5 * n]
        self.masks = <uint8_t *> &scratch[6 * n]
        self.memory = (words, state, elapsed, returns, known, stop, scratch)

    def reset(self):
        """Start an episode in every lane."""
        cdef int64_t i
        for i in range(self.n_lanes):
            self.begin(i)

    cdef void begin(self, int64_t i) noexcept nogil:
        self.state[i] = cdq_start(&self.sampler.c, cdq_next_of_lane(self.words, self.n_lanes, i))
        self.elapsed[i] = 0
        self.returns[i] = 0

    def run(
        self, Law law not None, int64_t sweeps, double explore_first, double explore_last, double[:, ::1] parts=None
    ):
        """Learn for a window; return whether it ran to its end, its episodes, their length sum and return sum.

        The exploration rate moves linearly from *explore_first* to *explore_last*. Ends early if the stop flag is set.
        *parts* (n, 8) gets the figures of n parts of the window (tally.h). Returns are those of the tasks for which
        the lanes act.
        """
        cdef cdq_tally tally = tally_of(parts, self.n_lanes, sweeps)
        cdef bint completed
        if law.real_size != self.q.rows.c.real_size:
            raise ValueError("the law and the table differ in type")
        with nogil:
            turn.release()
            completed = self.learn(&law.c, sweeps, explore_first, explore_last, &tally)
            turn.take()
        cdef cdq_episodes whole = cdq_whole(&tally)
        return completed, whole.episodes, whole.length_sum, whole.return_sum

    cdef bint learn(
        self, const cdq_law *law, int64_t sweeps, double explore_first, double explore_last, cdq_tally *tally
    ) noexcept nogil:
        cdef cdq_exploration explore = cdq_explore(explore_first, explore_last, sweeps)
        cdef int64_t left = sweeps, count, i
        self.q.forget_actions(0, self.n_lanes)
        while left > 0 and not self.stop[0]:
            count = min(left, CHUNK, cdq_row_left(tally))
            for i in range(count):
                self.sweep(law, cdq_next_threshold(&explore), tally, i)
            left -= count
            cdq_tally_sweeps(tally, count)
        return left == 0

    cdef void sweep(self, const cdq_law *law, uint64_t threshold, cdq_tally *tally, int64_t made) noexcept nogil:
        """Step every lane once, after *made* sweeps: all choices and targets are of the table as it stands."""
        cdef int64_t i
        cdef uint32_t *state = self.q.inner.located[STATE]
        cdef const uint8_t *masks
        cdq_next_of_all(self.words, self.n_lanes, self.bits)
        cdq_next_of_all(self.words, self.n_lanes, self.bits_outcome)
        for i in range(self.n_lanes):
            state[i] = self.state[i]
        masks = self.masks_of(state)
        self.q.choose(threshold, self.bits, masks, self.action)
        self.sample()
        masks = self.masks_of(self.q.inner.located[SUCCESSOR])
        self.q.learn(law, self.action, self.rewards, self.discounts, masks, NULL)
        for i in range(self.n_lanes):
            self.returns[i] += self.rewards[i]
            self.elapsed[i] += 1
            self.state[i] = self.q.inner.located[SUCCESSOR][i]
            if self.over[i] or self.elapsed[i] == self.sampler.c.time_limit:
                cdq_end_episode_after(tally, made, self.elapsed[i], self.returns[i])
                self.q.end_episode(i)
                self.begin(i)

    cdef const uint8_t *masks_of(self, const uint32_t *states) noexcept nogil:
        """Return the actions that states have; NULL where all states have all."""
        cdef int64_t i, n_actions = self.n_actions
        if self.sampler.c.actions == NULL:
            return NULL
        for i in range(self.n_lanes):
            memcpy(self.masks + i * n_actions, self.sampler.c.actions + states[i] * n_actions, n_actions)
        return self.masks

    cdef void sample(self) noexcept nogil:
        """Draw what the actions lead to, and find what that pays."""
        cdef int64_t i
        cdef uint32_t *successor = self.q.inner.located[SUCCESSOR]
        cdef const uint32_t *state = self.q.inner.located[STATE]
        if self.sampler.real_size == 4:
            cdq_sample_numbered_float(
                &self.sampler.c, state, self.action, self.bits_outcome, successor, self.outcome, self.n_lanes,
                self.n_actions)
        else:
            cdq_sample_numbered_double(
                &self.sampler.c, state, self.action, self.bits_outcome, successor, self.outcome, self.n_lanes,
                self.n_actions)
        for i in range(self.n_lanes):
            self.over[i] = (successor[i] & CDQ_TERMINATED) != 0
            self.discounts[i] = 0.0 if self.over[i] else self.gamma
            successor[i] = CDQ_STATE(successor[i])
            if self.width:
                self.q.c.signal[i] = self.signals + self.outcome[i] * self.width
            else:
                self.q.c.goal[i] = self.q.tasks.goal_of(successor[i])
        self.q.reward(self.rewards, self.over)
