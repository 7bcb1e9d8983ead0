"""Windows of Q-learning over a vector environment of Gymnasium, in each of its three ways to begin new episodes.

NEXT_STEP: the step after an episode's end starts the next one and is no transition. SAME_STEP: the step that ends an
episode answers with the next one's first observation; the true one is in the infos. DISABLED: whoever steps resets.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memchr, memcpy, memset

import numpy as np

from cdq.core.envs.encode cimport SINGLE, Encoding, read_masks, read_numbers, shown
from cdq.core.loops.answers cimport factor_of, has, same_space
from cdq.core.loops.gym cimport INFO, NOTHING, NOWHERE, RESETTING, STEPPING, UNKNOWN, Loop
from cdq.core.table.qfunction cimport STATE, QFunction

cdef enum:
    NEXT_STEP
    SAME_STEP
    DISABLED

MODES = {"NEXT_STEP": NEXT_STEP, "SAME_STEP": SAME_STEP, "DISABLED": DISABLED}


cdef class VectorLoop(Loop):
    """The loop over a vector environment, one call of `step` a sweep.

    *envs* is the environment, *mode* a key of `MODES`. *first_reset* makes the first reset, from *seeds*. Actions are
    given as an array of *dtype*, the first one as *first_action*. The other arguments are those of `Loop`.
    """

    cdef object envs, step_all, first_reset, dtype, spaces
    cdef list seeds
    cdef int mode
    cdef int64_t steps
    cdef object buffers
    cdef bint told             # true where the last infos gave discounts
    cdef int64_t *fresh        # (n, width): the observations that new episodes start with, where apart from following
    cdef uint8_t *masks_fresh
    cdef double *numbers       # (n,): what is read, before it is what it is for
    cdef uint8_t *pending      # lanes whose next step starts an episode (NEXT_STEP)
    cdef uint8_t *others       # lanes whose episode goes on while others' are reset

    def __init__(self, QFunction q not None, Encoding encoding not None, lanes, double gamma,
                 const int32_t[::1] stop, str masks, failure, envs, seeds, str mode, first_reset,
                 int64_t first_action, dtype):
        super().__init__(q, encoding, lanes, gamma, stop, masks, failure)
        if q.reward_width != 1:
            raise ValueError("a vector environment pays one number")
        cdef int64_t n = self.n, width = q.width
        cdef unsigned char[::1] memory = bytearray(n * (8 * (width + 1) + 2 + q.n_actions))
        self.envs, self.step_all, self.first_reset, self.seeds = envs, envs.step, first_reset, list(seeds)
        self.mode, self.first_action, self.dtype = MODES[mode], first_action, dtype
        self.spaces = (envs.single_action_space, envs.single_observation_space)
        self.buffers = memory
        self.fresh = <int64_t *> &memory[0]
        self.numbers = <double *> (self.fresh + n * width)
        self.pending = <uint8_t *> (self.numbers + n)
        self.others = self.pending + n
        self.masks_fresh = self.others + n

    cdef int restart(self) except -1:
        try:
            self.doing, self.acted = RESETTING, False
            answer = self.envs.reset() if self.seeds is None else self.first_reset(self.seeds)
            self.doing = NOTHING
            self.seeds, self.steps = None, 0
            if not isinstance(answer, tuple) or len(answer) != 2:
                raise ValueError(f"reset returned {shown(answer)}; allowed: a tuple of two, observations and infos")
            observations, infos = answer
            if self.masking == UNKNOWN:
                self.masking = INFO if has(infos, "action_mask") else NOWHERE
            memset(self.terminated, 0, self.n)
            memset(self.pending, 0, self.n)
            self.read(observations, infos, self.present, self.masks, self.terminated)
        except Exception as error:
            self.fail(error, None, None)
        return 0

    cdef int step(self) except -1:
        cdef int64_t i, n = self.n
        actions = np.empty(n, np.int64)
        cdef int64_t[::1] numbers = actions
        for i in range(n):
            numbers[i] = self.first_action + self.actions[i]
        try:
            self.doing, self.acted = STEPPING, True
            answer = self.step_all(actions if self.dtype is None else actions.astype(self.dtype))
            self.doing = NOTHING
            self.steps += 1
            if not isinstance(answer, tuple) or len(<tuple> answer) != 5:
                raise ValueError(
                    f"step returned {shown(answer)}; allowed: a tuple of five, observations, rewards, terminations, "
                    "truncations, infos")
            observations, rewards, terminations, truncations, infos = <tuple> answer
            self.read_column(rewards, "rewards", self.rewards)
            self.read_flags(terminations, "terminated", self.terminated)
            self.read_flags(truncations, "truncated", self.truncated)
            self.all_end()
            self.read_factors(infos)
            self.arrive(observations, infos)
        except self.failure:
            raise
        except Exception as error:
            self.fail(error, None, self.steps + (self.doing == STEPPING))
        return 0

    cdef int read_column(self, object column, str what, double *out) except -1:
        """Read a number for each lane."""
        try:
            read_numbers(column, self.n, 1, 1, True, out)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the {what} are {shown(column)}; allowed: {self.n} numbers ({error})") from error
        return 0

    cdef int read_flags(self, object flags, str what, uint8_t *out) except -1:
        cdef int64_t i
        self.read_column(flags, what, self.numbers)
        for i in range(self.n):
            if self.numbers[i] != 0 and self.numbers[i] != 1:
                wrong = ValueError(f"{what} is {self.numbers[i]}; allowed: True or False")
                self.fail(wrong, i, self.elapsed[i] + 1)
            out[i] = self.numbers[i] != 0
        return 0

    cdef int all_end(self) except -1:
        """Tell which lanes made a transition, and which episodes ended."""
        cdef int64_t i = 0
        try:
            for i in range(self.n):
                self.active[i] = not self.pending[i]
                if self.pending[i]:
                    self.rewards[i] = 0
                    self.terminated[i] = self.truncated[i] = self.ended[i] = False
                else:
                    self.end(i)
                self.pending[i] = self.mode == NEXT_STEP and self.ended[i]
        except Exception as error:
            self.fail(error, i, self.elapsed[i] + 1)
        return 0

    cdef int read_factors(self, object infos) except -1:
        """Read the discounts that infos give, of an episode that ended in the same step those of its own info."""
        cdef int64_t i = 0
        if self.told:
            self.forget_factors()
        final = infos["final_info"] if self.mode == SAME_STEP and has(infos, "final_info") else None
        self.told = has(infos, "discount") or final is not None
        try:
            for i in range(self.n if self.told else 0):
                if self.active[i]:
                    self.factors[i] = factor_in(final if final is not None and self.ended[i] else infos, i)
        except Exception as error:
            self.fail(error, i, self.elapsed[i] + 1)
        return 0

    cdef int arrive(self, object observations, object infos) except -1:
        """Read what the actions led to."""
        cdef int64_t i, width = self.q.width, n_actions = self.q.n_actions
        if self.mode != SAME_STEP:
            return self.read(observations, infos, self.following, self.masks_following, self.terminated)
        self.read(observations, infos, self.fresh, self.masks_fresh, self.pending)
        memcpy(self.following, self.fresh, 8 * self.n * width)
        memcpy(self.masks_following, self.masks_fresh, self.n * n_actions)
        for i in range(self.n):
            if self.terminated[i]:
                memset(self.masks_following + i * n_actions, 1, n_actions)
            elif self.truncated[i]:
                self.read_final(infos, i)
        return 0

    cdef int read(self, object observations, object infos, int64_t *cells, uint8_t *masks,
                  const uint8_t *skipped) except -1:
        """Read a batch of observations but for *others*, and their masks but for *skipped* lanes."""
        cdef int64_t i
        cdef int64_t lane = self.encoding.encode_all(observations, self.n, cells, masks, self.others)
        if lane >= 0:
            self.fail(ValueError(f"its observation is not in {self.encoding.name}"), lane, self.elapsed[lane] + 1)
        if self.masking == INFO:
            self.read_masks_of(infos, masks, skipped)
        if self.masking >= INFO:
            for i in range(self.n):
                if skipped[i]:
                    memset(masks + i * self.q.n_actions, 1, self.q.n_actions)
                else:
                    self.check_mask(i, masks)
        return 0

    cdef int read_masks_of(self, object infos, uint8_t *masks, const uint8_t *skipped) except -1:
        """Read the masks of all lanes from the infos, where an array tells who has one."""
        cdef int64_t i, n_actions = self.q.n_actions
        batch = infos["action_mask"] if has(infos, "action_mask") else None
        present = infos["_action_mask"] if has(infos, "_action_mask") else None
        whole = batch is not None and getattr(batch, "dtype", object) != object
        if whole:
            try:
                read_masks(batch, self.n, n_actions, masks, skipped)
            except ValueError:  # which lane is wrong is found out below
                whole = False
        for i in range(self.n):
            if not skipped[i]:
                if batch is None or present is not None and not present[i]:
                    self.fail(ValueError("there is no action_mask in the infos"), i, self.elapsed[i] + 1)
                if not whole:
                    self.read_mask_of(batch, i, masks + i * n_actions)
        return 0

    cdef int read_mask_of(self, object batch, int64_t i, uint8_t *mask) except -1:
        """Read the mask of a lane from those of all."""
        try:
            read_masks(batch[i], SINGLE, self.q.n_actions, mask, NULL)
        except (TypeError, ValueError, IndexError, KeyError) as error:
            self.fail(error, i, self.elapsed[i] + 1)
        return 0

    cdef int check_mask(self, int64_t i, uint8_t *masks) except -1:
        try:
            self.allow(i, masks)
        except ValueError as error:
            self.fail(error, i, self.elapsed[i] + 1)
        return 0

    cdef int read_final(self, object infos, int64_t i) except -1:
        """Read where a truncated episode ended, for its target bootstraps from there."""
        cdef uint8_t *mask = self.masks_following + i * self.q.n_actions
        try:
            final = infos["final_obs"] if has(infos, "final_obs") else None
            self.encoding.encode(entry(final, i), self.following + i * self.q.width, mask)
            if self.masking == INFO:
                final_info = infos["final_info"] if has(infos, "final_info") else None
                of_lane = final_info is not None and not isinstance(final_info, dict)
                masks = (final_info[i] if of_lane else final_info)["action_mask"]
                read_masks(masks if of_lane else masks[i], SINGLE, self.q.n_actions, mask, NULL)
            self.allow(i, self.masks_following)
        except Exception as error:
            self.fail(ValueError(f"its truncated episode has no true final observation or mask in the infos: {error}"),
                      i, self.elapsed[i] + 1)
        return 0

    cdef int revive(self) except -1:
        cdef int64_t i
        if not memchr(self.ended, 1, self.n) or self.mode == NEXT_STEP:
            return 0
        if self.mode == DISABLED:
            self.reset_ended()
        for i in range(self.n):
            if self.ended[i]:
                memcpy(self.present + i * self.q.width, self.fresh + i * self.q.width, 8 * self.q.width)
                memcpy(self.masks + i * self.q.n_actions, self.masks_fresh + i * self.q.n_actions, self.q.n_actions)
                self.locate(STATE, i, 1)
        return 0

    cdef int reset_ended(self) except -1:
        """Start an episode where one ended; the mask is new each time, for the environment may keep or alter it."""
        cdef int64_t i
        for i in range(self.n):
            self.others[i] = not self.ended[i]
        try:
            self.doing, self.acted = RESETTING, False
            ended = np.array([self.ended[i] for i in range(self.n)], np.bool_)
            observations, infos = self.envs.reset(options={"reset_mask": ended})
            self.doing = NOTHING
            self.read(observations, infos, self.fresh, self.masks_fresh, self.others)
        except self.failure:
            raise
        except Exception as error:
            self.fail(error, None, self.steps)
        memset(self.others, 0, self.n)
        return 0

    cdef int check(self) except -1:
        self.step_all = self.envs.step  # which a user may have replaced since
        try:
            same_space(self.envs.single_action_space, self.spaces[0], "action")
            same_space(self.envs.single_observation_space, self.spaces[1], "observation")
        except Exception as error:
            self.fail(error, None, self.steps)
        return 0


cdef double factor_in(object infos, int64_t i) except? -2.0:
    """Return the discount of a lane in infos: a dictionary of arrays, or a dictionary for each lane."""
    if not isinstance(infos, dict):
        return factor_of(infos[i]["discount"]) if has(infos[i], "discount") else 1.0
    if not has(infos, "discount") or has(infos, "_discount") and not infos["_discount"][i]:
        return 1.0
    return factor_of(infos["discount"][i])


cdef object entry(object batch, int64_t i):
    """Return the entry of a lane; of a batch of composed observations, that of each component."""
    if isinstance(batch, tuple):
        return tuple([entry(part, i) for part in batch])
    if isinstance(batch, dict):
        return {key: entry(part, i) for key, part in batch.items()}
    return batch[i]
