"""Network Q-functions: a multilayer perceptron with layer normalisation, learnt from rollouts of parallel lanes."""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t

from cdq.core.table.qfunction cimport STATE, QFunction
from cdq.core.table.rows cimport Rows, cdq_law

import os

import numpy as np


cdq_fill_bit_tables()

MOST_HIDDEN = CDQ_MOST_HIDDEN
LARGEST_HIDDEN = CDQ_LARGEST_HIDDEN

cdef const cdq_kernels *kernels = cdq_kernels_of(os.environ.get("CDQ_BASELINE") == "1")
KERNELS = kernels.name.decode()


cdef class Shape:
    """Layer sizes of a network, and where each tensor lies in its array of parameters, of *size* numbers.

    *hidden* is one to `MOST_HIDDEN` multiples of 8, up to `LARGEST_HIDDEN`. *tensors* has a name, an offset and a shape
    for each tensor.
    """

    def __init__(self, int64_t inputs, tuple hidden not None, int64_t actions):
        cdef int64_t i, n = len(hidden), offset = 0
        if inputs < 1 or actions < 1 or not 1 <= n <= CDQ_MOST_HIDDEN:
            raise ValueError(f"{inputs} inputs, {n} hidden layers, {actions} actions")
        if not all([8 <= units <= CDQ_LARGEST_HIDDEN and units % 8 == 0 for units in hidden]):
            raise ValueError(f"hidden layers of {hidden} units")
        tensors = []
        for i, width in enumerate((inputs, *hidden, actions)):
            self.c.width[i] = width
        for i in range(n + 1):
            units = self.c.width[i + 1]
            self.c.kernel[i] = offset
            self.c.bias[i] = self.c.kernel[i] + self.c.width[i] * self.c.width[i + 1]
            tensors += [(f"layer.{i}.kernel", self.c.kernel[i], (self.c.width[i], units))]
            tensors += [(f"layer.{i}.bias", self.c.bias[i], (units,))]
            offset = self.c.bias[i] + self.c.width[i + 1]
            if i < n:
                self.c.gain[i], self.c.shift[i] = offset, offset + self.c.width[i + 1]
                tensors += [(f"norm.{i}.gain", offset, (units,)), (f"norm.{i}.bias", self.c.shift[i], (units,))]
                offset += 2 * self.c.width[i + 1]
        self.c.n_hidden, self.c.size, self.c.padded = n, offset, (actions + 7) // 8 * 8
        self.tensors = tuple(tensors)

    @property
    def inputs(self):
        """Number of numbers in an observation."""
        return self.c.width[0]

    @property
    def hidden(self):
        """Numbers of units of the hidden layers."""
        return tuple([self.c.width[i + 1] for i in range(self.c.n_hidden)])

    @property
    def actions(self):
        """Number of actions."""
        return self.c.width[self.c.n_hidden + 1]

    @property
    def size(self):
        """Number of parameters."""
        return self.c.size


cdef class NetworkQ(QFunction):
    """A network as the Q-function of *n* lanes, and the rollout that they record.

    *parameters*, their moments *first* and *second*, (shape.size,) each, and *updates*, (1,), are borrowed; `apply`
    writes to them. An input is (x - low) * scale - 1, or x where the scale is 0. Values are of rewards times
    *reward_scale*; `action_values` are not.

    `learn` records a sweep, and nothing else; a loop may run up to *rollout* of them. `targets` closes the rollout.
    Then, as often as one likes: `shuffle`, and for each of `minibatches`, `gradient` and `apply`. What lanes observe is
    valued anew when a loop begins to run. Gradients are the same on every processor, and so is what `apply` makes of
    them.
    """

    def __init__(
        self, Shape shape not None, float[::1] parameters not None, float[::1] first not None,
        float[::1] second not None, int64_t[::1] updates not None, int64_t n, *, const double[::1] low not None,
        const double[::1] scale not None, int64_t rollout, int64_t minibatch, double trace, double reward_scale,
    ):
        if not (parameters.shape[0] == first.shape[0] == second.shape[0] == shape.c.size and updates.shape[0] == 1):
            raise ValueError("parameters, moments or updates do not have the size of the network")
        if not low.shape[0] == scale.shape[0] == shape.c.width[0]:
            raise ValueError("low and scale do not have an entry per input")
        if rollout < 1 or minibatch < 1 or n < 1 or n * rollout > 2 ** 31 - 1:
            raise ValueError(f"a rollout of {rollout} sweeps of {n} lanes, in minibatches of {minibatch}")
        if not 0 <= trace <= 1 or not reward_scale > 0:
            raise ValueError(f"a trace of {trace}, rewards times {reward_scale}")
        self.lay_out(Rows.of_values(np.zeros((1, shape.actions), np.float32)), n)
        self.shape, self.width, self.continuous, self.minibatch = shape, shape.c.width[0], True, minibatch
        self.c.trace, self.c.reward_scale = trace, reward_scale
        self.memory = [parameters, first, second, updates, low, scale]
        self.parameters, self.first, self.second, self.updates = &parameters[0], &first[0], &second[0], &updates[0]
        self.low, self.scale = &low[0], &scale[0]
        self.powers.first = self.powers.second = 1.0
        self.lay_out_lanes(n, rollout)

    cdef int lay_out_lanes(self, int64_t n, int64_t rollout) except -1:
        cdef const cdq_network *net = &self.shape.c
        cdef int64_t slots = n * rollout, seen = n * (net.width[0] + net.padded)
        cdef int64_t scratch = cdq_lay_out_pass(net, &self.scratch, NULL)
        cdef int64_t floats = scratch + 2 * seen + net.size + slots * (net.width[0] + 6)
        cdef unsigned char[::1] memory = bytearray(4 * floats + 2 * slots + 64)
        cdef float *free = <float *> ((<uintptr_t> &memory[0] + 63) // 64 * 64)
        cdq_lay_out_pass(net, &self.scratch, free)
        self.mean = free + scratch
        self.state.input = self.mean + net.size
        self.state.value = self.state.input + n * net.width[0]
        self.successor.input = self.state.input + seen
        self.successor.value = self.state.value + seen
        self.c.input = self.successor.input + seen
        self.c.action = <uint32_t *> (self.c.input + slots * net.width[0])
        self.c.reward = <float *> self.c.action + slots
        self.c.discount, self.c.next = self.c.reward + slots, self.c.reward + 2 * slots
        self.c.target = self.c.reward + 3 * slots
        self.c.order = <int32_t *> (self.c.reward + 4 * slots)
        self.c.ended = <uint8_t *> (self.c.order + slots)
        self.c.learns = self.c.ended + slots
        self.c.n, self.c.room = n, rollout
        self.memory.append(memory)
        return 0

    @property
    def recorded(self):
        """Number of sweeps since the last call of `targets`."""
        return self.c.recorded

    cdef void see(self, cdq_seen *seen, int64_t first, int64_t count) noexcept nogil:
        """Value what some lanes observe."""
        cdef const cdq_network *net = &self.shape.c
        cdef float *value = seen.value + first * net.padded
        kernels.values(
            net, self.parameters, count, seen.input + first * net.width[0], &self.scratch, value)
        self.c.wrong |= not cdq_all_finite(value, count * net.padded)

    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil:
        cdef cdq_seen *seen = &self.state if slot == STATE else &self.successor
        cdef const double *all = <const double *> observations
        cdef int64_t i, inputs = self.shape.c.width[0]
        for i in range(first, first + count):
            if not cdq_read_input(inputs, all + i * inputs, self.low, self.scale, seen.input + i * inputs):
                return i
        self.see(seen, first, count)
        return -1

    cdef void choose(
            self, uint64_t threshold, const uint64_t *bits, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        cdq_mix_key(&self.c, bits)
        cdq_choose_actions(&self.shape.c, &self.state, threshold, bits, masks, actions, self.n)

    cdef void greedy(self, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        cdq_greedy_actions(&self.shape.c, &self.state, masks, actions, self.n)

    cdef void learn(
            self, const cdq_law *law, const uint32_t *actions, const double *rewards, const double *discounts,
            const uint8_t *masks, const uint8_t *active) noexcept nogil:
        cdef cdq_sweep sweep = cdq_sweep(actions, rewards, discounts, masks, active)
        cdq_record(&self.c, &self.shape.c, &self.state, &self.successor, &sweep)

    cdef void end_episode(self, int64_t lane) noexcept nogil:
        self.c.ended[(self.c.recorded - 1) * self.n + lane] = True

    cdef void advance(self) noexcept nogil:
        self.state, self.successor = self.successor, self.state

    cdef int64_t room(self) noexcept nogil:
        return INT64_MAX if self.c.recorded < self.c.room else 0

    cpdef make_room(self):
        if self.c.recorded == self.c.room:
            raise ValueError(f"a rollout has {self.c.room} sweeps, and all are recorded")

    cdef bint diverged(self) noexcept nogil:
        """Return whether a value, a parameter or a gradient was not finite."""
        return self.c.wrong

    def targets(self):
        """Close the rollout, which may be a short one; return the number of its samples."""
        with nogil:
            self.slots = self.c.recorded * self.n
            self.c.wrong |= not cdq_all_finite(self.parameters, self.shape.c.size)
            cdq_close_rollout(&self.c)
            self.c.recorded = 0
        return self.c.n_samples

    def forget(self):
        """Forget what was recorded."""
        self.c.recorded = self.c.n_samples = self.slots = 0

    def shuffle(self):
        """Put the samples into their next order, which follows from the random bits of the rollout."""
        with nogil:
            cdq_shuffle(&self.c)

    def minibatches(self):
        """Return the number of minibatches of an epoch, which depends on nothing but the number of sweeps."""
        return max(self.slots // self.minibatch, 1) if self.slots else 0

    def gradient(self, int64_t i, float[::1] into not None):
        """Write the gradient of minibatch *i*'s mean loss; zeros where none of its lanes made a transition."""
        cdef int64_t n = self.minibatches(), first
        cdef cdq_samples samples
        if not 0 <= i < n or into.shape[0] != self.shape.c.size:
            raise ValueError(f"minibatch {i} of {n}, or a gradient of another size than the network")
        with nogil:
            first = self.c.n_samples * i // n
            samples.n = self.c.n_samples * (i + 1) // n - first
            samples.input, samples.action, samples.target = self.c.input, self.c.action, self.c.target
            samples.order = self.c.order + first
            kernels.gradient(&self.shape.c, self.parameters, &samples, &self.scratch, &into[0])

    def apply(self, list gradients not None, double step_size):
        """Make an update by the mean of the ranks' *gradients*; none once the network has diverged."""
        cdef const float[::1] gradient
        cdef int64_t k, n = len(gradients)
        cdef uintptr_t[::1] addresses = np.zeros(n, np.uintp)
        cdef double squares
        cdef cdq_update update
        for k in range(n):
            gradient = gradients[k]
            if gradient.shape[0] != self.shape.c.size:
                raise ValueError("a gradient has another size than the network")
            addresses[k] = <uintptr_t> &gradient[0]
        if not n:
            raise ValueError("there is no gradient")
        with nogil:
            kernels.mean(self.shape.c.size, n, <const float **> &addresses[0], self.mean)
            squares = kernels.squares(self.shape.c.size, self.mean)
            self.c.wrong |= not squares - squares == 0
            if not self.c.wrong:
                self.updates[0] += 1
                cdq_raise(&self.powers, self.updates[0])
                update = cdq_rectify(&self.powers, squares, step_size)
                kernels.step(
                    self.shape.c.size, &update, self.mean, self.parameters, self.first, self.second)

    def action_values(self, const double[:, ::1] observations not None, double[:, ::1] values not None):
        """Write the values of *observations*, a row each, to *values*; return the first that is not finite, or -1."""
        cdef int64_t first = 0, n = observations.shape[0], wrong = -1
        if observations.shape[1] != self.width or values.shape[0] != n or values.shape[1] != self.n_actions:
            raise ValueError("observations or values do not have the size they should")
        with nogil:
            while first < n and wrong < 0:
                wrong = self.value_some(observations, values, first, min(self.n, n - first))
                first += self.n
        return wrong

    cdef int64_t value_some(
        self, const double[:, ::1] observations, double[:, ::1] values, int64_t first, int64_t count
    ) noexcept nogil:
        """Write the values of up to *n* observations, which take the place of the successors."""
        cdef const cdq_network *net = &self.shape.c
        cdef int64_t i, a
        for i in range(count):
            if not cdq_read_input(
                    net.width[0], &observations[first + i, 0], self.low, self.scale,
                    self.successor.input + i * net.width[0]):
                return first + i
        self.see(&self.successor, 0, count)
        for i in range(count):
            for a in range(self.n_actions):
                values[first + i, a] = self.successor.value[i * net.padded + a] / self.c.reward_scale
        return -1
