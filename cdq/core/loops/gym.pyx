"""Windows of Q-learning over environments that are stepped by calling Python.

A sweep is that of window.h: all lanes act on the table as it stands, all targets are of that table, and the updates are
applied in lane order. A lane draws one word a sweep: the environments have random numbers of their own.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport fabs, isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

from cdq.core.envs.encode cimport Encoding
from cdq.core.loops.exploration cimport cdq_exploration, cdq_explore, cdq_next_threshold
from cdq.core.loops.tally cimport cdq_end_episode, cdq_episodes, cdq_tally_sweeps, cdq_whole, tally_of
from cdq.core.table.qfunction cimport STATE, SUCCESSOR, QFunction
from cdq.core.table.rows cimport Law


cdef extern from "rng.h":
    void cdq_next_of_all(uint64_t *words, int64_t lanes, uint64_t *out) nogil

cdef extern from "atomics.h":
    int64_t cdq_now() noexcept nogil

# Sweeps between two looks at what else there is to do: signals, threads that wait for the GIL, a divergence.
cdef int64_t CHUNK = 1024
# Nanoseconds between two releases of the GIL. Whoever waits for it asks for it after 5 ms in which nobody released it,
# and gets it then; a release that comes sooner is over before a waiting thread is awake, which with a release every
# 0.1 ms waited for up to 44 s.
cdef int64_t TURN = 20_000_000

cdef int64_t LONGEST_TEXT = 1000  # letters of what an exception says
cdef double LONGEST = 1e12  # steps: without discount a value may become the sum of all that there is time for

MASKING = {"auto": UNKNOWN, "nowhere": NOWHERE, "info": INFO, "observation": OBSERVATION}


cdef class Loop:
    """Common part of the loops over environments in Python.

    *lanes* has the arrays words (4, n), elapsed and returns (n,), which are borrowed. *masks* is a key of `MASKING`.
    *stop* is a flag that another thread may set. *failure* makes the error to raise where an environment fails, from
    a message, a lane and a step.
    """

    def __init__(self, QFunction q not None, Encoding encoding not None, lanes, double gamma,
                 const int32_t[::1] stop, str masks, failure):
        cdef uint64_t[:, ::1] words = lanes.words
        cdef int64_t[::1] elapsed = lanes.elapsed
        cdef double[::1] returns = lanes.returns
        cdef int64_t n = q.n, width = q.width, n_actions = q.n_actions
        cdef int64_t apart = 0 if q.reward_width == 1 else q.reward_width
        if not (words.shape[0] == 4 and words.shape[1] == elapsed.shape[0] == returns.shape[0] == n):
            raise ValueError("the lanes and the Q-function differ in number")
        if q.continuous != encoding.real or width != encoding.width or stop.shape[0] != 1:
            raise ValueError("the observations are not what the Q-function reads, or stop is not one flag")
        cdef unsigned char[::1] memory = bytearray(n * (8 * (2 * width + 7 + apart) + 6 + 2 * n_actions))
        self.q, self.encoding, self.n, self.gamma = q, encoding, n, gamma
        self.most = largest_reward(q.rows.c.real_size, gamma)
        self.masking, self.failure = MASKING[masks], failure
        self.memory = (memory, words, elapsed, returns, stop)
        self.words, self.stop = &words[0, 0], &stop[0]
        self.lanes_elapsed, self.lanes_returns = &elapsed[0], &returns[0]
        self.present = <int64_t *> &memory[0]
        self.following = self.present + n * width
        self.elapsed = self.following + n * width
        self.returns = <double *> (self.elapsed + n)
        self.rewards = self.returns + n
        self.discounts = self.rewards + n
        self.factors = self.discounts + n
        self.bits = <uint64_t *> (self.factors + n)
        self.actions = <uint32_t *> (self.bits + n)
        self.paid = <double *> (self.bits + 2 * n) if apart else self.rewards
        self.terminated = <uint8_t *> (self.bits + 2 * n + apart * n)
        self.truncated, self.ended = self.terminated + n, self.terminated + 2 * n
        self.active, self.idle = self.terminated + 3 * n, self.terminated + 4 * n
        self.seats = self.terminated + 5 * n
        self.masks = self.terminated + 6 * n
        self.masks_following = self.masks + n * n_actions
        memset(self.active, 1, n)
        self.forget_factors()

    def reset(self):
        """Start an episode in every lane."""
        memset(self.idle, 0, self.n)
        memset(self.seats, 0, self.n)
        memset(self.elapsed, 0, 8 * self.n)
        memset(self.returns, 0, 8 * self.n)
        self.restart()
        self.started = True
        self.tell()

    def run(
        self, Law law not None, int64_t sweeps, double explore_first, double explore_last, double[:, ::1] parts=None
    ):
        """Learn for a window; return whether it ran to its end, its episodes, their length sum and return sum.

        The exploration rate moves linearly from *explore_first* to *explore_last*. Ends early if the stop flag is set,
        or once the Q-function has diverged. *parts* (n, 8) gets the figures of n parts of the window (tally.h).
        """
        cdef cdq_exploration explore = cdq_explore(explore_first, explore_last, sweeps)
        cdef int64_t t = 0
        if law.real_size != self.q.rows.c.real_size or not self.started:
            raise ValueError("the law and the table differ in type, or no episode was started")
        self.law = &law.c
        self.tally = tally_of(parts, self.n, sweeps)
        self.check()
        if self.doing != NOTHING:  # the last window was interrupted within a call
            self.reset()
        if self.q.room() < 2 * self.n:
            self.q.make_room()
        self.q.forget_actions(0, self.n)
        self.locate(STATE, 0, self.n)
        while t < sweeps and not self.stop[0]:
            cdq_next_of_all(self.words, self.n, self.bits)
            self.q.choose(cdq_next_threshold(&explore), self.bits, self.masks_or_null(self.masks), self.actions)
            self.sweep()
            t += 1
            cdq_tally_sweeps(&self.tally, 1)
            if t % CHUNK == 0:
                if self.q.diverged():  # looks at all that was learnt
                    break
                self.look_up()
        self.tell()
        cdef cdq_episodes whole = cdq_whole(&self.tally)
        return t == sweeps, whole.episodes, whole.length_sum, whole.return_sum

    def follow(self, double[::1] returns, int64_t[::1] lengths, int64_t longest):
        """Run a greedy episode for every entry of *returns*, *n* at a time; return how many were run.

        An episode longer than *longest* steps is cut there. The loop's own episodes are over.
        """
        cdef int64_t first = 0, i, left
        while first < returns.shape[0] and not self.stop[0]:
            self.reset()
            self.locate(STATE, 0, self.n)
            left = min(self.n, returns.shape[0] - first)
            for i in range(left, self.n):
                self.idle[i] = True
            while left and not self.stop[0]:
                self.q.greedy(self.masks_or_null(self.masks), self.actions)
                self.step()
                self.locate(SUCCESSOR, 0, self.n)
                self.q.judge(self.actions, self.paid, self.rewards, self.ended)
                self.move()
                for i in range(self.n):
                    if not self.idle[i] and self.active[i]:
                        self.returns[i] += self.rewards[i]
                        self.elapsed[i] += 1
                        if self.ended[i] or self.elapsed[i] == longest:
                            returns[first + i], lengths[first + i] = self.returns[i], self.elapsed[i]
                            self.idle[i] = True
                            left -= 1
                self.revive()
                self.look_up()
            first += self.n
        self.started = False
        return min(first, returns.shape[0])

    cdef int look_up(self) except -1:
        """Heed signals, and threads that wait for the GIL, of which an environment in C takes no notice."""
        cdef int64_t now = cdq_now()
        PyErr_CheckSignals()
        if now >= self.next_turn:
            self.next_turn = now + TURN
            with nogil:
                pass
        return 0

    cdef int sweep(self) except -1:
        """Take the chosen actions and learn from what they bring."""
        cdef QFunction q = self.q
        cdef int64_t i
        self.step()
        if q.room() < 2 * self.n:
            q.make_room()
        self.locate(SUCCESSOR, 0, self.n)
        for i in range(self.n):
            self.discounts[i] = 0.0 if self.terminated[i] else self.gamma * self.factors[i]
        q.judge(self.actions, self.paid, self.rewards, self.ended)
        q.learn(self.law, self.actions, self.rewards, self.discounts,
                self.masks_or_null(self.masks_following), self.active)
        self.move()
        self.book()
        return self.revive()

    cdef void forget_factors(self) noexcept:
        cdef int64_t i
        for i in range(self.n):
            self.factors[i] = 1.0

    cdef int move(self) except -1:
        """Make the following observations the present ones."""
        self.q.advance()
        self.present, self.following = self.following, self.present
        self.masks, self.masks_following = self.masks_following, self.masks
        return 0

    cdef int book(self) except -1:
        cdef int64_t i
        for i in range(self.n):
            if self.active[i]:
                self.returns[i] += -self.rewards[i] if self.seats[i] else self.rewards[i]
                self.seats[i] ^= self.factors[i] < 0
                self.elapsed[i] += 1
                if self.ended[i]:
                    self.seats[i] = 0
                    cdq_end_episode(&self.tally.part, self.elapsed[i], self.returns[i])
                    self.returns[i] = 0
                    self.elapsed[i] = 0
                    self.q.end_episode(i)
                    self.q.forget_actions(i, 1)
        return 0

    cdef int restart(self) except -1:
        raise NotImplementedError

    cdef int step(self) except -1:
        raise NotImplementedError

    cdef int revive(self) except -1:
        raise NotImplementedError

    cdef int check(self) except -1:
        raise NotImplementedError

    cdef int tell(self) except -1:
        """Write the episodes to the lanes."""
        memcpy(self.lanes_elapsed, self.elapsed, 8 * self.n)
        memcpy(self.lanes_returns, self.returns, 8 * self.n)
        return 0

    cdef int locate(self, int slot, int64_t first, int64_t count) except -1:
        """Look up the present observations, or the following ones, of some lanes."""
        cdef int64_t *observations = self.present if slot == STATE else self.following
        cdef int64_t lane = self.q.locate(observations, slot, first, count)
        cdef int64_t width = self.q.width
        if lane < 0:
            return 0
        if self.q.continuous:
            cells = [(<double *> observations)[lane * width + i] for i in range(width)]
            error = f"the observation {cells} has a number that is not finite"
        else:
            error = f"the observation's index {observations[lane]} is not one of the table's"
        self.acted = slot == SUCCESSOR
        return self.fail(ValueError(error), lane, self.elapsed[lane] + (slot == SUCCESSOR))

    cdef const uint8_t *masks_or_null(self, uint8_t *masks) noexcept:
        return masks if self.masking >= INFO else NULL

    cdef int end(self, int64_t lane) except -1:
        """Note whether a lane's step, which has just been read, ended its episode; check its reward."""
        cdef int64_t i
        cdef double reward
        for i in range(self.q.reward_width):
            reward = self.paid[lane * self.q.reward_width + i]
            if not fabs(reward) <= self.most:
                allowed = f"up to {self.most:.3g}, whose sums float{8 * self.q.rows.c.real_size} holds"
                raise ValueError(
                    f"the reward is {reward}; allowed: {allowed if isfinite(reward) else 'a finite number'}")
        self.ended[lane] = self.terminated[lane] | self.truncated[lane]
        return 0

    cdef int allow(self, int64_t lane, uint8_t *masks) except -1:
        """Check that a mask allows an action."""
        if self.masking >= INFO and not memchr(masks + lane * self.q.n_actions, 1, self.q.n_actions):
            raise ValueError("no action is allowed: an action out of range from a mask of zeros")
        return 0

    cdef int fail(self, object error, object lane, object step) except -1:
        """Raise what the environment raised, or what is wrong with what it returned, as a failure of it."""
        cdef int doing = self.doing
        text = said(error)
        if self.acted and lane is not None:
            what, mark, allowed = text.partition("; allowed")
            text = f"{what} (action {self.first_action + self.actions[<int64_t> lane]}){mark}{allowed}"
        self.doing, self.started = NOTHING, False
        if doing == NOTHING:
            raise self.failure(text, lane=lane, step=step) from error.__cause__
        call = "step" if doing == STEPPING else "reset"
        raise self.failure(f"{call} raised {type(error).__name__}: {text}", lane=lane, step=step) from error


cdef str said(object error):
    """Return what an exception says as one line of letters that can be printed, of a length that can be read."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # code of the user's, too
        return "its text cannot be made"
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


cdef double largest_reward(int64_t real_size, double gamma) noexcept:
    """Return the largest reward whose discounted sums, and differences of these, numbers of that size hold."""
    cdef double steps = max(1.0 / max(1.0 - gamma, 0.0) if gamma < 1.0 else LONGEST, 1.0)
    return (FLT_MAX if real_size == 4 else DBL_MAX) / (2.0 * min(steps, LONGEST))
