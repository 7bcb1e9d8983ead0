"""Windows of Q-learning over environments that are stepped one after another, one call of `step` each."""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

from cdq.core.envs.encode cimport SINGLE, Encoding, brief, read_masks, shown
from cdq.core.loops.answers cimport factor_of, flag_of, has, reward_of, rewards_of, same_space
from cdq.core.loops.gym cimport INFO, NOTHING, NOWHERE, RESETTING, STEPPING, UNKNOWN, Loop
from cdq.core.table.qfunction cimport STATE, QFunction


cdef class EnvLoop(Loop):
    """The loop over one or several environments.

    *envs* are the environments, *seeds* those of their first reset; the arguments in between are those of `Loop`.
    """

    cdef tuple envs, steps, resets, actions_as_objects, spaces
    cdef list seeds

    def __init__(self, QFunction q not None, Encoding encoding not None, lanes, double gamma,
                 const int32_t[::1] stop, str masks, failure, envs, seeds, int64_t first_action):
        super().__init__(q, encoding, lanes, gamma, stop, masks, failure)
        self.envs, self.seeds = tuple(envs), list(seeds)
        if not len(self.envs) == len(self.seeds) == self.n:
            raise ValueError("environments, seeds and lanes differ in number")
        self.bind()
        self.spaces = tuple([(env.action_space, env.observation_space) for env in envs])
        self.first_action = first_action
        self.actions_as_objects = tuple(range(first_action, first_action + q.n_actions))

    cdef int bind(self) except -1:
        """Look the methods up, which a user may have replaced since."""
        self.steps = tuple([env.step for env in self.envs])
        self.resets = tuple([env.reset for env in self.envs])
        return 0

    cdef int restart(self) except -1:
        cdef int64_t i
        for i in range(self.n):
            self.start(i)
        self.seeds = None
        return 0

    cdef int start(self, int64_t i) except -1:
        """Start an episode in a lane."""
        cdef uint8_t *mask = self.masks + i * self.q.n_actions
        try:
            self.doing, self.acted = RESETTING, False
            answer = self.resets[i]() if self.seeds is None else self.resets[i](seed=self.seeds[i])
            self.doing = NOTHING
            if not isinstance(answer, tuple) or len(answer) != 2:
                raise ValueError(
                    f"reset returned {shown(answer)}; allowed: a tuple of two, observation and info; shimmy "
                    "wraps environments of the former gym, which return the observation alone")
            if self.masking == UNKNOWN:
                self.masking = INFO if has(answer[1], "action_mask") else NOWHERE
            self.encoding.encode(answer[0], self.present + i * self.q.width, mask)
            self.read_mask(answer[1], i, mask)
            self.allow(i, self.masks)
        except Exception as error:
            self.fail(error, i, None)
        return 0

    cdef int read_mask(self, object info, int64_t i, uint8_t *mask) except -1:
        if self.masking == INFO:
            if not has(info, "action_mask"):
                raise ValueError("there is no action_mask in the info")
            read_masks(info["action_mask"], SINGLE, self.q.n_actions, mask, NULL)
        return 0

    cdef int step(self) except -1:
        cdef int64_t i = 0, width = self.q.width
        try:
            for i in range(self.n):
                if self.idle[i]:
                    memcpy(self.following + i * width, self.present + i * width, 8 * width)
                else:
                    self.step_one(i, self.following + i * width, self.masks_following + i * self.q.n_actions)
        except Exception as error:
            self.fail(error, i, self.elapsed[i] + 1)
        return 0

    cdef int step_one(self, int64_t i, int64_t *following, uint8_t *mask) except -1:
        self.doing, self.acted = STEPPING, True
        answer = self.steps[i](self.actions_as_objects[self.actions[i]])
        self.doing = NOTHING
        if not isinstance(answer, tuple) or len(<tuple> answer) != 5:
            raise ValueError(not_five(answer))
        observation, reward, terminated, truncated, info = <tuple> answer
        self.pay(i, reward)
        self.terminated[i] = flag_of(terminated, "terminated")
        self.truncated[i] = flag_of(truncated, "truncated")
        self.factors[i] = factor_of(info["discount"]) if has(info, "discount") else 1.0
        self.end(i)
        self.encoding.encode(observation, following, mask)
        if self.masking >= INFO and not self.terminated[i]:
            self.read_mask(info, i, mask)
            self.allow(i, self.masks_following)
        return 0

    cdef int pay(self, int64_t i, object reward) except -1:
        """Read what a step pays: a number, or an array of them."""
        if self.q.reward_width == 1:
            self.paid[i] = reward_of(reward)
        else:
            rewards_of(reward, self.q.reward_width, self.paid + i * self.q.reward_width)
        return 0

    cdef int revive(self) except -1:
        cdef int64_t i
        for i in range(self.n):
            if self.ended[i] and not self.idle[i]:
                self.start(i)
                self.locate(STATE, i, 1)
        return 0

    cdef int check(self) except -1:
        cdef int64_t i = 0
        self.bind()
        try:
            for i in range(self.n):
                same_space(self.envs[i].action_space, self.spaces[i][0], "action")
                same_space(self.envs[i].observation_space, self.spaces[i][1], "observation")
        except Exception as error:
            self.fail(error, i, self.elapsed[i])
        return 0


cdef str not_five(object answer):
    """Return what is wrong with the answer of a step."""
    what = f"{len(answer)} values: {brief(answer)}" if isinstance(answer, tuple) else shown(answer)
    return (
        f"step returned {what}; allowed: a tuple of five, observation, reward, terminated, truncated, info; shimmy "
        "wraps environments of the former gym, which return four")
