"""The loop over environments that are compiled: windows of Q-learning, and greedy episodes."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t

from cdq.core cimport turn
from cdq.core.lane cimport cdq_call, cdq_lane
from cdq.core.loops.exploration cimport cdq_exploration, cdq_explore, cdq_next_threshold
from cdq.core.loops.tally cimport cdq_episodes, cdq_row_left, cdq_tally, cdq_tally_sweeps, cdq_whole, tally_of
from cdq.core.loops.windows cimport Windows
from cdq.core.table.qfunction cimport STATE, SUCCESSOR, QFunction
from cdq.core.table.rows cimport Law, cdq_law


LANE_BYTES = sizeof(cdq_lane)
MOST_UNIFORMS, MOST_MASKED = 4, 64  # actions, where an environment says which are allowed

cdef int64_t CHUNK = 4096  # sweeps between two looks at the stop flag, the same as in rollout.pyx


cdef class Stepper(Windows):
    """A worker's lanes of a compiled environment, which learn on one Q-function.

    *step*, *reset*, *encode* (0: none) and *context* are addresses (lane.h); *agents* lanes, side by side, are one
    environment; *uniforms* says how many random numbers a step uses, for each lane, and *masked* whether lanes say
    which actions are allowed. *first* (n,) are the first rows of the lanes' blocks, of *n_own* rows each. *allowed_of*
    has the allowed actions of each row as bits, where they do not change.

    *words* (4, n), *elapsed* and *returns* (n,) and *own* are the lanes, borrowed, so that they can be saved and
    restored; *own* (n, `LANE_BYTES` and more) holds the structs of all lanes, and after them the environments' memory.
    *stop* is a flag that another thread may set. *failure* returns the exception of what, lane and step that failed.
    """

    cdef cdq_stepping c
    cdef cdq_tally tally
    cdef QFunction q
    cdef object memory, failure, error
    cdef const void *context
    cdef uint8_t *over          # lanes for which nothing is left to do
    cdef const volatile int32_t *stop
    cdef int64_t failed         # the first lane that failed, or -1
    cdef bint not_located       # it failed by its observation, else by its reward
    cdef int slot               # slot that failed: SUCCESSOR after an action, STATE after a reset

    def __init__(
        self, QFunction q not None, *, uintptr_t step, uintptr_t reset, uintptr_t encode, uintptr_t context,
        int64_t uniforms, int64_t time_limit, uint64_t[:, ::1] words, int64_t[::1] elapsed,
        double[::1] returns, uint8_t[:, ::1] own, double gamma, const int32_t[::1] stop, failure, bint masked=False,
        int64_t agents=1, const int64_t[::1] first=None, int64_t n_own=0, const uint64_t[::1] allowed_of=None,
    ):
        cdef int64_t n = q.n
        if not (words.shape[0] == 4 and words.shape[1] == elapsed.shape[0] == returns.shape[0] == own.shape[0] == n):
            raise ValueError("the lanes' arrays differ in length")
        if agents < 1 or n % agents:
            raise ValueError(f"{n} lanes are no environments of {agents} agents")
        cdef int64_t more = own.shape[1] - <int64_t> sizeof(cdq_lane)
        if more < 0 or more % 8 or <uintptr_t> &own[0, 0] % 8 or stop.shape[0] != 1:
            raise ValueError("the lanes are not of the size that they should be, or stop is not one flag")
        if q.reward_width != 1:
            raise ValueError("a compiled environment pays one number")
        if step == 0 or reset == 0 or not 0 <= uniforms <= MOST_UNIFORMS or (q.continuous and q.width > 8):
            raise ValueError("there is no function, or more numbers than a lane has")
        if masked and q.n_actions > MOST_MASKED:
            raise ValueError(f"{q.n_actions} actions, where a lane allows up to {MOST_MASKED}")
        self.c.masked = q.n_actions if masked else 0
        self.q, self.c.gamma, self.failure, self.context = q, gamma, failure, <const void *> context
        self.stop = &stop[0]
        self.c.n, self.c.width = n, q.width if q.continuous else 0
        self.c.agents, self.c.uniforms, self.c.time_limit = agents, uniforms, time_limit
        self.c.step, self.c.reset = <cdq_call> <void *> step, <cdq_call> <void *> reset
        self.c.encode = <cdq_call> <void *> encode
        self.c.words, self.c.elapsed, self.c.returns = &words[0, 0], &elapsed[0], &returns[0]
        self.c.lanes, self.c.memory_bytes = <cdq_lane *> &own[0, 0], more * agents
        self.c.memory = <unsigned char *> (self.c.lanes + n)
        self.memory = [words, elapsed, returns, own, stop, first, allowed_of]
        self.rows, self.n_lanes, self.plain, self.failed = q.rows, n, q.plain, -1
        if first is not None:
            if first.shape[0] != n or n_own < 1 or q.continuous:
                raise ValueError(f"{first.shape[0]} blocks of {n_own} rows for {n} lanes")
            self.c.first, self.c.n_own = &first[0], n_own
        if allowed_of is not None:
            self.c.allowed_of, self.c.n_allowed_of = &allowed_of[0], allowed_of.shape[0]
        self.c.placed = masked or first is not None
        self._allocate(n)

    cdef _allocate(self, int64_t n):
        scratch = memoryview(bytearray(8 * (6 + max(self.c.width, 1)) * n)).cast("q")
        cdef int64_t[::1] memory = scratch
        cdef uint8_t[::1] masks = bytearray(max(self.c.masked, 1) * n)
        self.memory += [scratch, masks]
        self.c.masks = &masks[0]
        self.c.bits, self.c.reward, self.c.index = <uint64_t *> &memory[0], <double *> &memory[n], &memory[2 * n]
        self.c.action = <uint32_t *> &memory[3 * n]
        self.c.ended = self.c.action + n
        self.c.discount = <double *> &memory[4 * n]
        self.over = <uint8_t *> &memory[5 * n]
        self.c.observation = <double *> &memory[6 * n]

    def reset(self):
        """Start an episode in every lane."""
        cdef int64_t i
        self.failed = -1
        cdq_set_addresses(&self.c, self.context, self.c.memory)
        for i in range(0, self.c.n, self.c.agents):
            self._begin(i)
        self._close()

    def run(
        self, Law law not None, int64_t sweeps, double explore_first, double explore_last, double[:, ::1] parts=None
    ):
        """Learn for a window; return whether it ran to its end, its episodes, their length sum and return sum.

        Ends early if the stop flag is set, or once the Q-function has diverged. Raises what *failure* returns where an
        environment fails. *parts* (n, 8) gets the figures of n parts of the window (tally.h).
        """
        cdef cdq_tally tally = tally_of(parts, self.c.n, sweeps)
        cdef bint completed
        if law.real_size != self.q.rows.c.real_size:
            raise ValueError("the law and the table differ in type")
        with nogil:
            turn.release()
            completed = self.learn(&law.c, sweeps, explore_first, explore_last, &tally)
            turn.take()
        self.check()
        cdef cdq_episodes whole = cdq_whole(&tally)
        return completed, whole.episodes, whole.length_sum, whole.return_sum

    cdef bint learn(
        self, const cdq_law *law, int64_t sweeps, double explore_first, double explore_last, cdq_tally *tally
    ) noexcept nogil:
        cdef cdq_exploration explore = cdq_explore(explore_first, explore_last, sweeps)
        cdef int64_t left = sweeps
        self.tally = tally[0]
        self._open()
        while left > 0 and self.failed < 0 and not self.stop[0] and not self.q.diverged() and self._has_room():
            left -= self._learn(law, &explore, min(left, CHUNK, cdq_row_left(&self.tally)))
        cdq_set_addresses(&self.c, NULL, NULL)
        tally[0] = self.tally
        return left == 0 and not self.q.diverged()

    cdef bint _has_room(self) noexcept nogil:
        """Make room for the rows of states that are new; return False where that failed."""
        if self.q.room() >= 2 * self.c.n:
            return True
        with gil:
            try:
                self.q.make_room()
            except BaseException as error:  # raised by `check`
                self.error = error
                return False
        if self.failed < 0:
            self._locate(STATE, 0, self.c.n)
        return True

    def check(self):
        """Raise what ended the last window, if it was an environment that failed, or memory that there is not."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        if self.failed >= 0:
            raise self._failure()

    def follow(self, double[::1] returns, int64_t[::1] lengths):
        """Play a greedy episode for every entry of *returns* and return how many were played to their end.

        Lane i plays the episodes i, i + n, i + 2 n and so on, and goes on, unseen, when it has played its own.
        """
        cdef int64_t left = returns.shape[0], i
        if lengths.shape[0] != left:
            raise ValueError("returns and lengths differ in length")
        played = memoryview(bytearray(8 * self.c.n)).cast("q")
        cdef int64_t[::1] episode = played
        for i in range(self.c.n):
            episode[i] = i
        self.reset()
        with nogil:
            self._open()
            while left > 0 and self.failed < 0 and not self.stop[0] and self._has_room():
                left = self._follow(returns, lengths, &episode[0], left)
        self._close()
        return returns.shape[0] - left

    cdef void _open(self) noexcept nogil:
        """Begin a window: the table may have changed, and the lanes."""
        self.failed = -1
        cdq_set_addresses(&self.c, self.context, self.c.memory)
        cdq_show_all(&self.c)
        if self._has_room():
            self.q.forget_actions(0, self.c.n)
            self._locate(STATE, 0, self.c.n)

    cdef _close(self):
        cdq_set_addresses(&self.c, NULL, NULL)
        self.check()

    cdef bint _locate(self, int slot, int64_t first, int64_t count) noexcept nogil:
        """Locate what lanes show; return whether one may not show it."""
        cdef int64_t failed = self.q.locate(cdq_shown(&self.c), slot, first, count)
        if failed >= 0:
            self.failed, self.not_located, self.slot = failed, True, slot
        return failed >= 0

    cdef const uint8_t *_masks(self) noexcept nogil:
        """Return the allowed actions of what the lanes show."""
        return self.c.masks if self.c.masked else NULL

    cdef bint _step(self) noexcept nogil:
        """Step all lanes by their actions; return whether one failed."""
        cdq_draw_uniforms(&self.c)
        self.failed = cdq_step_all(&self.c)
        self.not_located, self.slot = False, SUCCESSOR
        return self.failed >= 0 or self._locate(SUCCESSOR, 0, self.c.n)

    cdef int64_t _learn(self, const cdq_law *law, cdq_exploration *explore, int64_t sweeps) noexcept nogil:
        """Learn for so many sweeps; return how many were made before one failed, or there was no room."""
        cdef cdq_stepping *s = &self.c
        cdef int64_t made = 0, n_ended
        while made < sweeps and self.q.room() >= 2 * s.n:
            cdq_draw_bits(s)
            self.q.choose(cdq_next_threshold(explore), s.bits, self._masks(), s.action)
            if self._step():
                break
            self._judge()
            self.q.learn(law, s.action, s.reward, s.discount, self._masks(), NULL)
            n_ended = cdq_book(s)
            cdq_count_ended(s, n_ended, &self.tally, made)
            self.q.advance()
            if n_ended and self._begin_ended(n_ended) or s.n_apart and self._leave_successors():
                break
            made += 1
        cdq_tally_sweeps(&self.tally, made)
        return made

    cdef bint _leave_successors(self) noexcept nogil:
        """Act next on what is observed, where targets bootstrapped from something else; return whether one failed."""
        cdef int64_t i
        for i in range(self.c.n):
            if cdq_is_apart(self.c.lanes + i):
                cdq_show(&self.c, i)
                self.q.forget_actions(i, 1)
                if self._locate(STATE, i, 1):
                    return True
        return False

    cdef bint _begin(self, int64_t first) noexcept nogil:
        """Begin an episode in the environment of a lane; return whether a first state allows no action."""
        cdef int64_t stuck = cdq_begin_episode(&self.c, first)
        if stuck < 0:
            return False
        self.failed, self.not_located, self.slot = stuck, False, STATE
        return True

    cdef bint _begin_ended(self, int64_t n_ended) noexcept nogil:
        """Begin new episodes for those that ended; return whether one failed."""
        cdef int64_t j, i, first
        for j in range(n_ended):
            first = self.c.ended[j]
            for i in range(first, first + self.c.agents):
                self.q.end_episode(i)
            self.q.forget_actions(first, self.c.agents)
            if self._begin(first) or self._locate(STATE, first, self.c.agents):
                return True
        return False

    cdef int64_t _follow(
        self, double[::1] returns, int64_t[::1] lengths, int64_t *episode, int64_t left
    ) noexcept nogil:
        """Play until none is left, one failed, there is no room, or the flag is set; return how many are left."""
        cdef cdq_stepping *s = &self.c
        cdef int64_t j, i, n_ended
        while left > 0 and not self.stop[0] and self.q.room() >= 2 * s.n:
            self.q.greedy(self._masks(), s.action)
            if self._step():
                return left
            self._judge()
            n_ended = cdq_book(s)
            for j in range(n_ended):
                for i in range(s.ended[j], s.ended[j] + s.agents):
                    if episode[i] < returns.shape[0]:
                        returns[episode[i]], lengths[episode[i]] = s.returns[i], s.elapsed[i]
                        left -= 1
                    episode[i] += s.n
            self.q.advance()
            if n_ended and self._begin_ended(n_ended) or s.n_apart and self._leave_successors():
                return left
        return left

    cdef void _judge(self) noexcept nogil:
        """Make the rewards those of what the lanes act for, and end the episodes in which that has no more to do."""
        cdef int64_t i
        if not self.q.judges:
            return
        for i in range(self.c.n):
            self.over[i] = 0
        self.q.judge(self.c.action, self.c.reward, self.c.reward, self.over)
        for i in range(self.c.n):
            self.c.lanes[i].truncated |= self.over[i]

    cdef _failure(self):
        cdef int64_t i = self.failed, k
        acted = f" (action {self.c.action[i]})" if self.slot == SUCCESSOR else ""
        step = self.c.elapsed[i] + (self.slot == SUCCESSOR)
        cdef cdq_lane *lane = self.c.lanes + i
        if not self.not_located and not -1 <= lane.discount <= 1:
            what = f"its discount is {lane.discount}{acted}; allowed: -1 to 1"
        elif not self.not_located and self.c.width and cdq_is_apart(lane):
            what = f"its successor is {lane.successor}{acted}; a linear Q-function has none: leave it at -1"
        elif not self.not_located and cdq_is_stuck(&self.c, lane):
            what = f"it allows no action{acted}; allowed: at least one where the episode goes on"
        elif not self.not_located:
            what = f"its reward is {self.c.reward[i]}{acted}, not a finite number"
        elif self.q.continuous:
            seen = [self.c.observation[i * self.c.width + k] for k in range(self.c.width)]
            what = f"its observation is {seen}{acted}; all of it must be finite"
        else:
            seen = lane.successor if self.slot == SUCCESSOR and cdq_is_apart(lane) else lane.index
            most = self.c.n_own if self.c.first else self.q.rows.c.n_states
            what = f"its index is {seen}{acted}; allowed: 0 to {most - 1}"
        return self.failure(what, i, step)
