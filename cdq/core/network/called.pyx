"""Networks whose values and gradients Python computes, of the same rollouts and with the same steps."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from cdq.core.network.network cimport NetworkQ, Shape, cdq_seen

import math

import numpy as np


cdef class FlatShape(Shape):
    """Place of each tensor of a model that Python computes: (name, offset, shape), one after another."""

    def __init__(self, int64_t inputs, tuple tensors not None, int64_t actions):
        if inputs < 1 or actions < 1 or not tensors:
            raise ValueError(f"{inputs} inputs, {len(tensors)} tensors, {actions} actions")
        self.c.n_hidden, self.c.width[0], self.c.width[1] = 0, inputs, actions
        self.c.padded = (actions + 7) // 8 * 8
        self.c.size = sum([math.prod(shape) for _, _, shape in tensors])
        self.tensors = tensors


cdef class CalledQ(NetworkQ):
    """A `NetworkQ` that asks a *model* of Python for values and gradients.

    ``model.values(parameters, observations)`` returns the values of (n, inputs) observations, and
    ``model.gradient(parameters, observations, actions, targets)`` the gradient of their mean squared error, flat. What
    it raises ends the window, and is raised where one looks whether the values diverge.
    """

    cdef object model, flat, failed

    def __init__(
        self, FlatShape shape not None, model, float[::1] parameters not None, float[::1] first not None,
        float[::1] second not None, int64_t[::1] updates not None, int64_t n, *, int64_t rollout, int64_t minibatch,
        double trace, double reward_scale,
    ):
        as_they_are = np.zeros(shape.c.width[0])
        super().__init__(
            shape, parameters, first, second, updates, n, low=as_they_are, scale=as_they_are, rollout=rollout,
            minibatch=minibatch, trace=trace, reward_scale=reward_scale)
        self.model, self.flat = model, np.asarray(parameters)

    @property
    def is_divergent(self):
        """True if the values diverge; raises what the model raised."""
        if self.failed is not None:
            raise self.failed
        return self.diverged()

    cdef void see(self, cdq_seen *seen, int64_t first, int64_t count) noexcept nogil:
        with gil:
            try:
                self.ask(seen, first, count)
            except Exception as error:
                self.failed, self.c.wrong = error, True

    cdef int ask(self, cdq_seen *seen, int64_t first, int64_t count) except -1:
        """Write the model's values of some lanes."""
        cdef int64_t i, a, inputs = self.shape.c.width[0]
        cdef float[:, ::1] given = <float[:count, :inputs]> (seen.input + first * inputs)
        cdef const float[:, ::1] values = self.model.values(self.flat, np.array(given))
        cdef float *value = seen.value + first * self.shape.c.padded
        if values.shape[0] != count or values.shape[1] != self.n_actions:
            raise ValueError("the model's values do not have the size that they should")
        for i in range(count):
            for a in range(self.n_actions):
                value[i * self.shape.c.padded + a] = values[i, a]
                self.c.wrong |= not values[i, a] - values[i, a] == 0
        return 0

    def gradient(self, int64_t i, float[::1] into not None):
        """Write the gradient of minibatch *i*'s mean loss; zeros where none of its lanes made a transition."""
        cdef int64_t n = self.minibatches(), first, end, inputs = self.shape.c.width[0]
        if not 0 <= i < n or into.shape[0] != self.shape.c.size:
            raise ValueError(f"minibatch {i} of {n}, or a gradient of another size than the network")
        first, end = self.c.n_samples * i // n, self.c.n_samples * (i + 1) // n
        whole = np.asarray(into)
        if first == end:
            whole[:] = 0
            return
        rows = np.array(<int32_t[:end - first]> (self.c.order + first))
        observations = np.asarray(<float[:self.slots, :inputs]> self.c.input)[rows]
        actions = np.asarray(<uint32_t[:self.slots]> self.c.action)[rows].astype(np.int32)
        targets = np.asarray(<float[:self.slots]> self.c.target)[rows]
        whole[:] = self.model.gradient(self.flat, observations, actions, targets)
