"""The compiled loop: windows of Q-learning, and episodes of a fixed policy, over lanes of environments."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from cdq.core cimport turn
from cdq.core.loops.exploration cimport cdq_exploration, cdq_explore
from cdq.core.loops.model cimport Sampler, cdq_model
from cdq.core.loops.tally cimport cdq_episodes, cdq_tally, cdq_whole, tally_of
from cdq.core.loops.windows cimport Windows
from cdq.core.table.rows cimport Law, RuleLanes, Rows, cdq_forget_actions, cdq_law, cdq_rows, cdq_rule


cdef extern from *:
    """
    #define CDQ_HEADER "loops/window.h"
    #include "per_type.h"
    #define CDQ_HEADER "loops/episodes.h"
    #include "per_type.h"
    """
    ctypedef struct cdq_lanes:
        int64_t n
        uint64_t *words
        uint32_t *state
        int64_t *elapsed
        double *returns
        uint64_t *bits_action
        uint64_t *bits_outcome
        uint32_t *action
        uint32_t *successor
        void *reward
        void *target

    void cdq_fill_bit_tables()
    uint32_t cdq_start(const cdq_model *model, uint64_t bits) nogil
    uint64_t cdq_next_of_lane(uint64_t *words, int64_t lanes, int64_t lane) nogil
    void cdq_window_float(
        cdq_rows *rows, const cdq_law *law, const cdq_model *model, cdq_lanes *lanes,
        cdq_exploration *explore, cdq_tally *tally, cdq_rule *rule, double gamma, int64_t sweeps) nogil
    void cdq_window_double(
        cdq_rows *rows, const cdq_law *law, const cdq_model *model, cdq_lanes *lanes,
        cdq_exploration *explore, cdq_tally *tally, cdq_rule *rule, double gamma, int64_t sweeps) nogil
    void cdq_follow_float(
        const cdq_model *model, const uint32_t *policy, int64_t n_actions, uint64_t *words, int64_t lanes,
        int64_t lane, int64_t longest, double *episode_return, int64_t *length) nogil
    void cdq_follow_double(
        const cdq_model *model, const uint32_t *policy, int64_t n_actions, uint64_t *words, int64_t lanes,
        int64_t lane, int64_t longest, double *episode_return, int64_t *length) nogil


cdq_fill_bit_tables()

# Sweeps between two looks at the stop flag: a look costs nothing at this distance, a Ctrl-C waits milliseconds.
cdef int64_t CHUNK = 4096


cdef class Rollout(Windows):
    """A worker's loop: lanes that act on one table of one model.

    *words* (4, n), *state*, *elapsed* and *returns* (n,) are the lanes, borrowed, so that they can be saved and
    restored.
    *scratch* holds at least 40 bytes a lane. *stop* is a flag that another thread may set.
    """

    cdef cdq_lanes lanes
    cdef RuleLanes rule
    cdef Sampler sampler
    cdef double gamma
    cdef object memory
    cdef const volatile int32_t *stop

    def __cinit__(
        self, Rows rows not None, Sampler sampler not None, double gamma,
        uint64_t[:, ::1] words, uint32_t[::1] state, int64_t[::1] elapsed, double[::1] returns,
        int64_t[::1] scratch, const int32_t[::1] stop,
    ):
        cdef int64_t n = state.shape[0]
        if not (words.shape[0] == 4 and words.shape[1] == elapsed.shape[0] == returns.shape[0] == n > 0):
            raise ValueError("the lanes' arrays differ in length")
        if scratch.shape[0] < 5 * n or stop.shape[0] != 1:
            raise ValueError("scratch is too small, or stop is not one flag")
        if (rows.c.n_actions, rows.c.real_size) != (sampler.n_actions * rows.tables, sampler.real_size) or (
                rows.c.n_states < rows.own + sampler.n_states if rows.own else rows.c.n_states != sampler.n_states):
            raise ValueError("the table and the model differ in size or type")
        self.rows, self.sampler, self.gamma, self.plain = rows, sampler, gamma, True
        self.rule = RuleLanes(rows, n)
        self.memory = (words, state, elapsed, returns, scratch, stop)
        self.stop = &stop[0]
        self.lanes.n = self.n_lanes = n
        self.lanes.words, self.lanes.state = &words[0, 0], &state[0]
        self.lanes.elapsed, self.lanes.returns = &elapsed[0], &returns[0]
        self.lanes.bits_action, self.lanes.bits_outcome = <uint64_t *> &scratch[0], <uint64_t *> &scratch[n]
        self.lanes.action, self.lanes.successor = <uint32_t *> &scratch[2 * n], <uint32_t *> &scratch[2 * n] + n
        self.lanes.reward, self.lanes.target = &scratch[3 * n], &scratch[4 * n]

    def reset(self):
        """Start an episode in every lane."""
        cdef int64_t i
        for i in range(self.lanes.n):
            self.lanes.state[i] = cdq_start(&self.sampler.c, cdq_next_of_lane(self.lanes.words, self.lanes.n, i))
            self.lanes.elapsed[i] = 0
            self.lanes.returns[i] = 0

    def run(
        self, Law law not None, int64_t sweeps, double explore_first, double explore_last, double[:, ::1] parts=None
    ):
        """Learn for a window; return whether it ran to its end, its episodes, their length sum and return sum.

        The exploration rate moves linearly from *explore_first* to *explore_last*. Ends early if the stop flag is set.
        *parts* (n, 8) gets the figures of n parts of the window (tally.h).
        """
        cdef cdq_tally tally = tally_of(parts, self.lanes.n, sweeps)
        cdef bint completed
        if law.real_size != self.rows.c.real_size:
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
        cdef int64_t left = sweeps, n
        cdq_forget_actions(&self.rule.c, 0, self.lanes.n)
        while left > 0 and not self.stop[0]:
            n = min(left, CHUNK)
            if self.rows.c.real_size == 4:
                cdq_window_float(
                    &self.rows.c, law, &self.sampler.c, &self.lanes, &explore, tally,
                    &self.rule.c, self.gamma, n)
            else:
                cdq_window_double(
                    &self.rows.c, law, &self.sampler.c, &self.lanes, &explore, tally,
                    &self.rule.c, self.gamma, n)
            left -= n
        return left == 0


def follow(
    Sampler sampler not None, const uint32_t[::1] policy, uint64_t[:, ::1] words, int64_t longest,
    double[::1] returns, int64_t[::1] lengths, const int32_t[::1] stop,
):
    """Run an episode of *policy* (an action per state) for every entry of *returns*; return how many were run.

    Stream i % words.shape[1] serves episode i. An episode longer than *longest* steps is cut there.
    """
    cdef int64_t i = 0, episodes = returns.shape[0], lanes = words.shape[1]
    if policy.shape[0] != sampler.n_states or lengths.shape[0] != episodes or stop.shape[0] != 1:
        raise ValueError("policy, returns or lengths do not have the size they should")
    for i in range(sampler.n_states):
        if policy[i] >= sampler.n_actions or (
                sampler.c.actions != NULL and not sampler.c.actions[i * sampler.n_actions + policy[i]]):
            raise ValueError(f"state {i} does not have the action {policy[i]} of the policy")
    i = 0
    cdef const volatile int32_t *flag = &stop[0]
    with nogil:
        while i < episodes and not flag[0]:
            if sampler.real_size == 4:
                cdq_follow_float(&sampler.c, &policy[0], sampler.n_actions, &words[0, 0], lanes, i % lanes, longest,
                                 &returns[i], &lengths[i])
            else:
                cdq_follow_double(&sampler.c, &policy[0], sampler.n_actions, &words[0, 0], lanes, i % lanes, longest,
                                  &returns[i], &lengths[i])
            i += 1
    return i
