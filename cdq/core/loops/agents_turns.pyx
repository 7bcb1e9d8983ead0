"""Windows of Q-learning over an environment whose agents act in turn.

A transition opens when an agent acts, and closes at its next turn, with the rewards in between, which `last` sums, and
one discount. A sweep is a turn: the agent whose turn it is acts, and the next one's transition closes. All agents share
the only lane.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, memset

from cdq.core.envs.encode cimport brief, shown
from cdq.core.loops.agents cimport AgentsLoop
from cdq.core.loops.answers cimport factor_of, flag_of, has, reward_of
from cdq.core.loops.gym cimport NOTHING, NOWHERE, STEPPING, UNKNOWN
from cdq.core.loops.tally cimport cdq_end_episode
from cdq.core.table.qfunction cimport STATE, SUCCESSOR


cdef class TurnsLoop(AgentsLoop):
    """The loop over one environment, one call of `step` a sweep, and more where agents leave; see `AgentsLoop`."""

    cdef int64_t now               # agent whose turn it is
    cdef int64_t turns
    cdef bint finished             # true if an episode ended when the turn was passed on
    cdef bint learning
    cdef object state              # keeps what follows alive
    cdef int64_t *cells            # (n_agents,): where each agent acted last
    cdef int64_t *lengths          # steps and returns of the agents' episodes
    cdef double *gains
    cdef int64_t *chosen           # its action there
    cdef uint8_t *opened           # agents that acted, and have not had their next turn

    def __init__(self, *arguments):
        super().__init__(*arguments)
        cdef unsigned char[::1] memory
        if self.n != 1:
            raise ValueError("agents that act in turn share one lane")
        self.state = memory = bytearray(33 * self.n_agents)
        self.cells = <int64_t *> &memory[0]
        self.lengths, self.chosen = self.cells + self.n_agents, self.cells + 2 * self.n_agents
        self.gains = <double *> (self.cells + 3 * self.n_agents)
        self.opened = <uint8_t *> (self.cells + 4 * self.n_agents)

    cdef int begin(self) except -1:
        try:
            self.call_reset()
            self.turns = 0
            if not len(self.env.agents):
                raise ValueError("reset left no agent")
        except Exception as error:
            self.fail(error, None, None)
        memset(self.opened, 0, self.n_agents)
        memset(self.lengths, 0, 8 * self.n_agents)
        memset(self.gains, 0, 8 * self.n_agents)
        self.q.forget_actions(0, 1)
        return self.pass_on()

    cdef int step(self) except -1:
        """Let the agent whose turn it is act, and pass the turn on."""
        self.cells[self.now], self.chosen[self.now] = self.present[0], self.actions[0]
        self.opened[self.now] = True
        self.act((<tuple> self.actions_as_objects[self.now])[self.actions[0]])
        return self.pass_on()

    cdef int act(self, object action) except -1:
        try:
            self.doing = STEPPING
            self.step_all(action)
            self.doing = NOTHING
            self.turns += 1
        except Exception as error:
            self.fail_of(self.now, error, self.turns + 1)
        return 0

    cdef int pass_on(self) except -1:
        """Find out whose turn is next, close its transition, and see what it observes; agents that end leave."""
        cdef bint gone = True
        cdef int64_t left = 2 * self.n_agents  # each of them once, and those that come in their place
        self.finished = False
        while gone:
            try:
                if not len(self.env.agents):
                    self.finished = True
                    return 0
                if left < 0:
                    raise ValueError("its episode has ended, and step(None) does not remove it from agents")
                left -= 1
                self.now = self.turn_of(self.env.agent_selection)
                gone = self.hear(self.env.last())
            except self.failure:
                raise
            except Exception as error:
                self.fail_of(self.now, error, self.turns)
            if gone:
                self.act(None)
        return 0

    cdef int64_t turn_of(self, object name) except -1:
        number = self.numbers.get(name)
        if number is None:
            raise ValueError(f"it is the turn of agent {brief(name)}, who is none of possible_agents")
        return number

    cdef bint hear(self, object answer) except -1:
        """Read what came since the agent's last turn; return whether its episode ended."""
        cdef int64_t i = self.now
        if not isinstance(answer, tuple) or len(<tuple> answer) != 5:
            raise ValueError(
                f"last returned {shown(answer)}; allowed: a tuple of five, observation, reward, terminated, truncated, "
                "info")
        observation, reward, terminated, truncated, info = <tuple> answer
        if self.masking == UNKNOWN:
            self.know_masks(info)
            self.masking = NOWHERE if self.masking == UNKNOWN else self.masking
        self.rewards[0] = reward_of(reward)
        self.terminated[0] = flag_of(terminated, "terminated")
        self.truncated[0] = flag_of(truncated, "truncated")
        self.factors[0] = factor_of((<dict> info)["discount"]) if has(info, "discount") else 1.0
        self.end(0)
        if self.terminated[0]:
            self.following[0] = self.cells[i] if self.opened[i] else self.present[0]  # which no target reads
            memcpy(self.masks_following, self.block_masks + i * self.q.n_actions, self.q.n_actions)
        else:
            self.see(i, observation, info, self.following, self.masks_following)
        if self.opened[i]:
            self.close(i)
        self.opened[i] = False
        self.present[0] = self.following[0]
        memcpy(self.masks, self.masks_following, self.q.n_actions)
        return self.ended[0]

    cdef int close(self, int64_t i) except -1:
        """Close an agent's transition: learn it, and note its reward."""
        self.gains[i] += self.rewards[0]
        self.lengths[i] += 1
        if not self.learning:
            return 0
        if self.q.room() < 4:
            self.q.make_room()
        self.present[0], self.actions[0] = self.cells[i], <unsigned int> self.chosen[i]
        self.locate(STATE, 0, 1)
        self.locate(SUCCESSOR, 0, 1)
        self.discounts[0] = 0.0 if self.terminated[0] else self.gamma * self.factors[0]
        self.q.learn(self.law, self.actions, self.rewards, self.discounts,
                     self.masks_or_null(self.masks_following), NULL)
        if self.ended[0]:
            cdq_end_episode(&self.tally.part, self.lengths[i], self.gains[i])
            self.lengths[i], self.gains[i] = 0, 0
            self.q.forget_actions(0, 1)
        return 0

    cdef int sweep(self) except -1:
        if self.q.room() < 4:
            self.q.make_room()
        self.learning = True
        try:
            self.step()
            self.revive()
        finally:
            self.learning = False
        return self.locate(STATE, 0, 1)

    cdef int revive(self) except -1:
        cdef int64_t tries = 0
        while self.finished:
            if tries == 2:
                self.fail(ValueError("an episode ends before an agent acts"), None, None)
            self.begin()
            tries += 1
        return 0

    cdef int play_one(self, double *returns, int64_t *lengths, int64_t longest) except -1:
        cdef int64_t i, played = 0
        self.begin()
        self.revive()
        while not self.finished and played < longest * self.n_agents and not self.stop[0]:
            self.locate(STATE, 0, 1)
            self.q.greedy(self.masks_or_null(self.masks), self.actions)
            self.step()
            played += 1
            self.look_up()
        for i in range(self.n_agents):
            returns[i], lengths[i] = self.gains[i], self.lengths[i]
        return 0
