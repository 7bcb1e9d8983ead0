"""Windows of Q-learning over an environment whose agents act at the same time, each of which is a lane.

An agent takes part from the first observation of it until its episode ends; it may come back later. Lanes of agents
that are absent make no transition. The environment is reset once no agent is left.
"""

from cpython.dict cimport PyDict_Check, PyDict_GetItemWithError, PyDict_SetItem
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from cdq.core.envs.encode cimport brief, shown
from cdq.core.loops.agents cimport AgentsLoop
from cdq.core.loops.answers cimport factor_of, flag_of, has, reward_of
from cdq.core.loops.gym cimport NOTHING, NOWHERE, STEPPING, UNKNOWN
from cdq.core.table.qfunction cimport STATE, SUCCESSOR

cdef tuple PARTS = ("observations", "rewards", "terminations", "truncations", "infos")


cdef class ParallelLoop(AgentsLoop):
    """The loop over one environment, one call of `step` a sweep; lane i is agent i. See `AgentsLoop`."""

    cdef int64_t n_alive
    cdef int64_t steps
    cdef object state              # keeps what follows alive
    cdef uint8_t *alive            # agents that act in the next step
    cdef uint8_t *over             # agents whose episode ended, and that have not come back
    cdef bint finished             # true once the environment is to be reset

    def __init__(self, *arguments):
        super().__init__(*arguments)
        cdef unsigned char[::1] memory
        if self.n != self.n_agents:
            raise ValueError("there is not a lane for each agent")
        self.state = memory = bytearray(2 * self.n)
        self.alive, self.over = &memory[0], &memory[0] + self.n

    cdef int begin(self) except -1:
        cdef int64_t i = -1, n = self.n, seen = 0
        cdef uint8_t *mask
        cdef PyObject *observation
        cdef object infos
        try:
            answer = self.call_reset()
            self.steps = 0
            if not isinstance(answer, tuple) or len(<tuple> answer) != 2 or not PyDict_Check((<tuple> answer)[0]):
                raise ValueError(
                    f"reset returned {shown(answer)}; allowed: a tuple of two dictionaries, observations and infos, by "
                    "agent")
            observations, infos = <tuple> answer
            if self.masking == UNKNOWN and PyDict_Check(infos):
                for info in (<dict> infos).values():
                    self.know_masks(info)
            self.masking = NOWHERE if self.masking == UNKNOWN else self.masking
            for i in range(n):
                mask = self.masks + i * self.q.n_actions
                observation = PyDict_GetItemWithError(observations, self.names[i])
                self.alive[i], self.over[i] = observation != NULL, False
                if observation == NULL:
                    self.present[i] = self.first[i]
                    memcpy(mask, self.block_masks + i * self.q.n_actions, self.q.n_actions)
                    continue
                seen += 1
                self.see(i, <object> observation, entry(infos, self.names[i]), &self.present[i], mask)
            self.n_alive, self.finished = seen, False
            i = -1
            self.require_known(observations, seen)
            if not seen:
                raise ValueError("reset returned no agent's observation")
        except Exception as error:
            self.fail_of(i, error, None) if i >= 0 else self.fail(error, None, None)
        return 0

    cdef int stand_by(self, int64_t i) except -1:
        """Let an agent's lane stay on its row, which its target does not read."""
        cdef int64_t n_actions = self.q.n_actions
        self.following[i] = self.present[i]
        memcpy(self.masks_following + i * n_actions, self.block_masks + i * n_actions, n_actions)
        return 0

    cdef int require_known(self, object observations, int64_t seen) except -1:
        if len(<dict> observations) != seen:
            for name in observations:
                if name not in self.numbers:
                    raise ValueError(f"an observation of agent {brief(name)}, who is none of possible_agents")
        return 0

    cdef int step(self) except -1:
        cdef int64_t i, seen = 0
        cdef dict actions = {}
        cdef object observations, rewards, terminations, truncations, infos
        for i in range(self.n):
            if self.alive[i]:
                PyDict_SetItem(actions, self.names[i], (<tuple> self.actions_as_objects[i])[self.actions[i]])
        i = -1
        try:
            self.doing, self.acted = STEPPING, True
            answer = self.step_all(actions)
            self.doing = NOTHING
            self.steps += 1
            require_five(answer)
            observations, rewards, terminations, truncations, infos = <tuple> answer
            for i in range(self.n):
                if self.alive[i]:
                    seen += self.hear(i, observations, rewards, terminations, truncations, infos)
                else:
                    seen += self.await_(i, observations, terminations, truncations, infos)
            i = -1
            self.require_known(observations, seen)
            self.look_for_end()
        except Exception as error:
            if i >= 0:
                self.fail_of(i, error, self.elapsed[i] + 1)
            self.fail(error, None, self.steps + (self.doing == STEPPING))
        return 0

    cdef int hear(self, int64_t i, object observations, object rewards, object terminations, object truncations,
                  object infos) except -1:
        """Read what an agent's action led to; return whether there is an observation of it."""
        cdef object name = self.names[i]
        cdef PyObject *observation = PyDict_GetItemWithError(observations, name)
        cdef PyObject *reward = PyDict_GetItemWithError(rewards, name)
        cdef PyObject *found
        cdef object info
        self.active[i] = reward != NULL
        if reward == NULL and observation != NULL:
            raise ValueError("there is an observation of it, and no reward")
        if reward == NULL:  # it left without a word
            return self.leave(i)
        info = entry(infos, name)
        self.rewards[i] = reward_of(<object> reward)
        found = PyDict_GetItemWithError(terminations, name)
        self.terminated[i] = found != NULL and flag_of(<object> found, "terminated")
        found = PyDict_GetItemWithError(truncations, name)
        self.truncated[i] = found != NULL and flag_of(<object> found, "truncated")
        self.factors[i] = factor_of((<dict> info)["discount"]) if has(info, "discount") else 1.0
        self.end(i)
        if observation == NULL and not self.terminated[i]:
            raise ValueError("there is a reward of it, and no observation, though its episode did not terminate")
        if self.terminated[i]:
            self.stand_by(i)
        else:
            self.see(i, <object> observation, info, &self.following[i], self.masks_following + i * self.q.n_actions)
        if self.ended[i]:
            self.alive[i], self.over[i] = False, True
            self.n_alive -= 1
        return observation != NULL

    cdef int leave(self, int64_t i) except -1:
        self.alive[i] = self.terminated[i] = self.truncated[i] = self.ended[i] = False
        self.n_alive -= 1
        self.rewards[i] = 0
        return self.stand_by(i)

    cdef int await_(self, int64_t i, object observations, object terminations, object truncations,
                    object infos) except -1:
        """Let an absent agent begin an episode where there is an observation of it; return whether there is."""
        cdef PyObject *observation = PyDict_GetItemWithError(observations, self.names[i])
        cdef PyObject *flag
        self.active[i] = self.terminated[i] = self.truncated[i] = self.ended[i] = False
        self.rewards[i] = 0
        self.stand_by(i)
        if observation == NULL:
            return 0
        for flags in (terminations, truncations):
            flag = PyDict_GetItemWithError(flags, self.names[i])
            if flag != NULL and flag_of(<object> flag, "a flag"):
                return 1  # its last episode's end, told once more
        self.see(i, <object> observation, entry(infos, self.names[i]), &self.following[i],
                 self.masks_following + i * self.q.n_actions)
        self.returns[i], self.elapsed[i] = 0, 0
        self.alive[i], self.over[i] = True, False
        self.n_alive += 1
        return 1

    cdef int look_for_end(self) except -1:
        """Note whether the environment's episode is over: no agent is left, or but for those whose episode ended."""
        cdef int64_t i
        cdef object agents = self.env.agents
        if not len(agents):
            for i in range(self.n):
                if self.alive[i] and self.active[i]:  # it was cut off without a word
                    self.truncated[i] = self.ended[i] = True
            self.finished = True
        elif not self.n_alive:
            self.finished = True
            for name in agents:
                if name not in self.numbers:
                    raise ValueError(f"agents has {brief(name)}, who is none of possible_agents")
                if not self.over[<int64_t> self.numbers[name]]:
                    self.finished = False
        return 0

    cdef int revive(self) except -1:
        cdef int64_t i
        if self.finished:
            self.begin()
            self.locate(STATE, 0, self.n)
            for i in range(self.n):
                self.returns[i], self.elapsed[i] = 0, 0
            self.q.forget_actions(0, self.n)
        return 0

    cdef int play_one(self, double *returns, int64_t *lengths, int64_t longest) except -1:
        cdef int64_t i, played = 0
        self.begin()
        self.locate(STATE, 0, self.n)
        while not self.finished and played < longest and not self.stop[0]:
            self.q.greedy(self.masks_or_null(self.masks), self.actions)
            self.step()
            self.locate(SUCCESSOR, 0, self.n)
            self.move()
            for i in range(self.n):
                if self.active[i]:
                    returns[i] += self.rewards[i]
                    lengths[i] += 1
            played += 1
            self.look_up()
        return 0


cdef object entry(object infos, object name):
    """Return the info of an agent, or None."""
    cdef PyObject *found = PyDict_GetItemWithError(infos, name) if PyDict_Check(infos) else NULL
    return None if found == NULL else <object> found


cdef int require_five(object answer) except -1:
    """Raise unless the answer of a step is five dictionaries."""
    if not isinstance(answer, tuple) or len(<tuple> answer) != 5:
        what = f"{len(answer)} values: {brief(answer)}" if isinstance(answer, tuple) else shown(answer)
        raise ValueError(f"step returned {what}; allowed: a tuple of five dictionaries, {', '.join(PARTS)}")
    for what, part in zip(PARTS[:4], <tuple> answer):
        if not PyDict_Check(part):
            raise ValueError(f"the {what} are {shown(part)}; allowed: a dictionary with an entry for each agent")
    return 0
