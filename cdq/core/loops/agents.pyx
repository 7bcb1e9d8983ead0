"""Common part of the loops over environments of several agents, each of which has a block of the table.

The rows of an agent are those of its block, from its first row on. Columns that it has no action for are masked.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from cdq.core.envs.encode cimport SINGLE, Encoding, read_masks
from cdq.core.loops.answers cimport has
from cdq.core.loops.gym cimport INFO, NOTHING, NOWHERE, OBSERVATION, RESETTING, UNKNOWN, Loop
from cdq.core.table.qfunction cimport QFunction


cdef class AgentsLoop(Loop):
    """The loop over an environment of several agents.

    *env* is the environment and *seed* that of its first reset. Of each agent, in the order of *names*: *encodings* its
    observations, *first* and *rows* its block, *widths* its number of actions, *first_actions* the environment's number
    of the first. The other arguments are those of `Loop`.
    """

    def __init__(self, QFunction q not None, lanes, double gamma, const int32_t[::1] stop, str masks, failure,
                 env, seed, names, encodings, const int64_t[::1] first, const int64_t[::1] rows,
                 const int64_t[::1] widths, first_actions):
        super().__init__(q, encodings[0], lanes, gamma, stop, masks, failure)
        cdef int64_t n = len(names), n_actions = q.n_actions, i, a
        if not n == len(encodings) == first.shape[0] == rows.shape[0] == widths.shape[0] == len(first_actions):
            raise ValueError("names, encodings and blocks of the agents differ in number")
        cdef unsigned char[::1] memory = bytearray(n * (32 + n_actions))
        self.n_agents, self.of_agents = n, memory
        self.first = <int64_t *> &memory[0]
        self.rows, self.widths = self.first + n, self.first + 2 * n
        self.sums = <double *> (self.first + 3 * n)
        self.block_masks = <uint8_t *> (self.first + 4 * n)
        for i in range(n):
            if first[i] < 0 or rows[i] < 1 or not 1 <= widths[i] <= n_actions:
                raise ValueError("a block has no rows or actions, or more actions than the table")
            self.first[i], self.rows[i], self.widths[i] = first[i], rows[i], widths[i]
            for a in range(widths[i]):
                self.block_masks[i * n_actions + a] = 1
        self.env, self.seed, self.step_all = env, seed, env.step
        self.names, self.encodings = tuple(names), tuple(encodings)
        self.numbers = {name: number for number, name in enumerate(names)}
        self.actions_as_objects = tuple(
            [tuple(range(least, least + width)) for least, width in zip(first_actions, widths)])
        self.heeds, self.wants = self.masking != NOWHERE, self.masking == INFO
        if min(widths) < n_actions or self.heeds and any([encoding.n_actions for encoding in encodings]):
            self.masking = OBSERVATION

    def play(self, double[:, ::1] returns not None, int64_t[:, ::1] lengths not None, int64_t longest):
        """Play a greedy episode for every row of *returns*, (n, agents), of at most *longest* steps of an agent.

        *lengths* gets the steps of each agent, 0 where it took no part. The loop's own episodes are over.
        """
        cdef int64_t i
        if not returns.shape[1] == lengths.shape[1] == self.n_agents or returns.shape[0] != lengths.shape[0]:
            raise ValueError("returns and lengths have a column for each agent")
        for i in range(returns.shape[0]):
            if self.stop[0]:
                break
            memset(&returns[i, 0], 0, 8 * self.n_agents)
            memset(&lengths[i, 0], 0, 8 * self.n_agents)
            self.play_one(&returns[i, 0], &lengths[i, 0], longest)
        self.started = False

    cdef int begin(self) except -1:
        raise NotImplementedError

    cdef int play_one(self, double *returns, int64_t *lengths, int64_t longest) except -1:
        raise NotImplementedError

    cdef int restart(self) except -1:
        return self.begin()

    cdef object call_reset(self):
        """Reset the environment, with a seed the first time; return its answer."""
        cdef object seed = self.seed
        self.doing, self.acted = RESETTING, False
        answer = self.env.reset() if seed is None else self.env.reset(seed=seed)
        self.doing, self.seed = NOTHING, None
        return answer

    cdef int know_masks(self, object info) except -1:
        """Note whether infos have masks, where that is not known yet."""
        if self.masking == UNKNOWN and has(info, "action_mask"):
            self.masking = INFO
        return 0

    cdef int see(self, int64_t agent, object observation, object info, int64_t *cell, uint8_t *mask) except -1:
        """Read an agent's observation as a row of the table, and the actions that it may take."""
        cdef int64_t n_actions = self.q.n_actions
        cdef Encoding encoding = <Encoding> self.encodings[agent]
        if self.masking < INFO:
            encoding.encode(observation, cell, mask)
        else:
            memcpy(mask, self.block_masks + agent * n_actions, n_actions)
            encoding.encode(observation, cell, mask)
            if not self.heeds:
                memcpy(mask, self.block_masks + agent * n_actions, n_actions)
            elif has(info, "action_mask"):
                read_masks(info["action_mask"], SINGLE, self.widths[agent], mask, NULL)
            elif self.wants and not encoding.n_actions:
                raise ValueError("there is no action_mask in its observation or info")
            self.allow(0, mask)
        cell[0] = self.first[agent] + (cell[0] if cell[0] < self.rows[agent] else cell[0] % self.rows[agent])
        return 0

    cdef int check(self) except -1:
        self.step_all = self.env.step  # which a user may have replaced since
        return 0

    cdef int fail_of(self, int64_t agent, object error, object step) except -1:
        """Raise what is wrong with the answer to an agent, by its name."""
        if self.doing == NOTHING:
            error = ValueError(f"{self.names[agent]}: {error}")
        return self.fail(error, None, step)
