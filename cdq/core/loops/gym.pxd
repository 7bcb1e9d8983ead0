"""Common part of the loops over environments stepped by Python; see gym.pyx."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.envs.encode cimport Encoding
from cdq.core.loops.tally cimport cdq_tally
from cdq.core.table.qfunction cimport QFunction
from cdq.core.table.rows cimport cdq_law


# Sources of masks.
cdef enum:
    UNKNOWN      # from infos, if the first has one
    NOWHERE
    INFO
    OBSERVATION

# Calls that an environment may be in, for messages.
cdef enum:
    NOTHING
    STEPPING
    RESETTING


cdef class Loop:
    cdef QFunction q
    cdef Encoding encoding
    cdef readonly int64_t n
    cdef int masking
    cdef int doing
    cdef bint started
    cdef bint acted                # true if the answer that is read is that of a step
    cdef int64_t first_action      # the environment's number of action 0
    cdef object failure            # the class of errors to raise
    cdef object memory             # keeps what follows alive
    cdef double gamma
    cdef double most               # the largest reward
    cdef const cdq_law *law
    cdef uint64_t *words           # the lanes: streams,
    cdef int64_t *lanes_elapsed    # and episodes, for whoever looks at them
    cdef double *lanes_returns
    cdef const volatile int32_t *stop
    cdef int64_t *elapsed          # the lanes' own copy: an environment cannot be rolled back, the lanes can
    cdef double *returns
    cdef int64_t *present          # (n, width): observations that the lanes act on, cells of int64 or double,
    cdef int64_t *following        # and those that their actions lead to
    cdef uint8_t *masks            # (n, n_actions): of the present observations,
    cdef uint8_t *masks_following  # and of the following ones
    cdef uint64_t *bits
    cdef uint32_t *actions
    cdef double *rewards           # of what the lanes act for,
    cdef double *paid              # made of (n, reward_width) numbers that the transitions pay
    cdef double *discounts
    cdef double *factors           # of gamma, as the infos say; 1 where they do not
    cdef uint8_t *terminated
    cdef uint8_t *truncated
    cdef uint8_t *ended            # lanes whose episode ended
    cdef uint8_t *active           # lanes that made a transition
    cdef uint8_t *seats            # 1 where the opponent of the first player moves, in games
    cdef uint8_t *idle             # lanes without another episode to run; only in `follow`
    cdef cdq_tally tally
    cdef int64_t next_turn         # when the GIL is to be released

    # Methods of each kind of loop:
    cdef int restart(self) except -1                # an episode in every lane: present, masks
    cdef int step(self) except -1                   # actions -> following, masks_following, rewards, flags
    cdef int revive(self) except -1                 # an episode where one ended: present, masks, slot STATE
    cdef int check(self) except -1                  # raise if the environment has changed

    cdef int tell(self) except -1
    cdef int look_up(self) except -1
    cdef int sweep(self) except -1
    cdef void forget_factors(self) noexcept
    cdef int move(self) except -1
    cdef int book(self) except -1
    cdef int end(self, int64_t lane) except -1
    cdef int locate(self, int slot, int64_t first, int64_t count) except -1
    cdef const uint8_t *masks_or_null(self, uint8_t *masks) noexcept
    cdef int allow(self, int64_t lane, uint8_t *masks) except -1
    cdef int fail(self, object error, object lane, object step) except -1
