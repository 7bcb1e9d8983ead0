"""Network Q-functions: a multilayer perceptron with layer normalisation, and its rollouts."""

from cdq.core.table.qfunction cimport QFunction


cdef class Shape:
    cdef readonly int inputs, actions
    cdef readonly tuple hidden
    cdef readonly int size
    cdef readonly tuple tensors


cdef class NetworkQ(QFunction):
    cdef readonly Shape shape
    cdef readonly int recorded       # sweeps since the last call of `targets`
    cdef readonly int samples        # of the rollout that is learnt
