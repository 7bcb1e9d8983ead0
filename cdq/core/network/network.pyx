"""Network Q-functions: a multilayer perceptron with layer normalisation, learnt from rollouts of parallel lanes."""

from cdq.core.table.qfunction cimport QFunction
from cdq.core.table.rows cimport Rows

import numpy as np

MOST_HIDDEN = 3
LARGEST_HIDDEN = 512
KERNELS = "baseline"


cdef class Shape:
    """Layer sizes of a network, and where each tensor lies in its array of parameters.

    *tensors* has a name, an offset and a shape for each.
    """

    def __init__(self, int inputs, tuple hidden not None, int actions):
        if inputs < 1 or actions < 1 or not 1 <= len(hidden) <= MOST_HIDDEN:
            raise ValueError(f"{inputs} inputs, {len(hidden)} hidden layers, {actions} actions")
        if not all([8 <= units <= LARGEST_HIDDEN and units % 8 == 0 for units in hidden]):
            raise ValueError(f"hidden layers of {hidden} units")
        self.inputs, self.hidden, self.actions = inputs, hidden, actions
        tensors, offset = [], 0
        widths = (inputs, *hidden, actions)
        for i in range(len(hidden) + 1):
            layer = [(f"layer.{i}.kernel", widths[i:i + 2]), (f"layer.{i}.bias", widths[i + 1:i + 2])]
            if i < len(hidden):
                layer += [(f"norm.{i}.gain", widths[i + 1:i + 2]), (f"norm.{i}.bias", widths[i + 1:i + 2])]
            for name, shape in layer:
                tensors.append((name, offset, shape))
                offset += shape[0] * (shape[1] if len(shape) == 2 else 1)
        self.tensors, self.size = tuple(tensors), offset


cdef class NetworkQ(QFunction):
    """A Q-function that is a network, for *n* lanes."""

    def __init__(
        self, Shape shape not None, float[::1] parameters not None, float[::1] first not None,
        float[::1] second not None, long[::1] updates not None, int n, *, const double[::1] low not None,
        const double[::1] scale not None, int rollout, int minibatch, double trace, double reward_scale,
    ):
        self.lay_out(Rows.of_values(np.zeros((1, shape.actions), np.float32)), n)
        self.shape, self.width, self.continuous = shape, shape.inputs, True

    def targets(self):
        raise NotImplementedError

    def forget(self):
        raise NotImplementedError

    def shuffle(self):
        raise NotImplementedError

    def minibatches(self):
        raise NotImplementedError

    def gradient(self, int i, float[::1] into not None):
        raise NotImplementedError

    def apply(self, list gradients not None, double step_size):
        raise NotImplementedError

    def action_values(self, const double[:, ::1] observations not None, double[:, ::1] values not None):
        raise NotImplementedError
