"""Common part of the loops over environments of several agents; see agents.pyx."""

from libc.stdint cimport int64_t, uint8_t

from cdq.core.loops.gym cimport Loop


cdef class AgentsLoop(Loop):
    cdef readonly int64_t n_agents
    cdef object env, step_all
    cdef object seed               # of the first reset; then None
    cdef dict numbers              # number of each agent, by its name
    cdef tuple names, encodings, actions_as_objects
    cdef object of_agents          # keeps what follows alive
    cdef int64_t *first            # (n_agents,): first row of the agent's block,
    cdef int64_t *rows             # and its number of rows
    cdef int64_t *widths           # number of the agent's actions
    cdef double *sums              # of rewards, in `play`
    cdef uint8_t *block_masks      # (n_agents, n_actions): actions that the block has
    cdef bint heeds                # true if masks of observations and infos are heeded,
    cdef bint wants                # and true if there must be one

    # Methods of each kind of loop:
    cdef int begin(self) except -1                  # reset the environment: present, masks
    cdef int play_one(self, double *returns, int64_t *lengths, int64_t longest) except -1

    cdef object call_reset(self)
    cdef int see(self, int64_t agent, object observation, object info, int64_t *cell, uint8_t *mask) except -1
    cdef int know_masks(self, object info) except -1
    cdef int fail_of(self, int64_t agent, object error, object step) except -1
