"""A multilayer perceptron with layer normalisation, its gradient, RAdam and Peng's Q(lambda), written out.

Every sum is made in the order that the kernels promise, one addition after another, so that results in float32 are the
same bits. In float64 the same functions are compared with finite differences.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EPSILON = 1e-5


class Layer(NamedTuple):
    """Parameters of a layer; the last one has no gain and no shift."""

    kernel: Array
    bias: Array
    gain: Array | None = None
    shift: Array | None = None


def layers(parameters: Array, widths: list[int]) -> list[Layer]:
    """Return the parameters of each layer as views of the flat array; *widths* are inputs, hidden units, actions."""
    made, at = [], 0
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        vectors = 1 if i == len(widths) - 2 else 3
        kernel = parameters[at : at + inputs * outputs].reshape(inputs, outputs)
        at += inputs * outputs
        rest = parameters[at : at + vectors * outputs].reshape(vectors, outputs)
        at += vectors * outputs
        made.append(Layer(kernel, *rest))
    assert at == len(parameters)
    return made


def product(a: Array, b: Array, start: Array) -> Array:
    """Return start + a @ b, added over the inner index in order."""
    total = np.array(np.broadcast_to(start, (len(a), b.shape[1])))
    for k in range(len(b)):
        total = total + a[:, k, None] * b[k]
    return total


def tree(x: Array) -> Array:
    """Return the sums of rows: eight partial sums, added in pairs."""
    p = np.zeros((len(x), 8), x.dtype)
    for i in range(0, x.shape[1], 8):
        p = p + x[:, i : i + 8]
    p = p.T
    return ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]))


class Passed(NamedTuple):
    """State of a hidden layer after a forward pass."""

    x: Array  # its inputs
    normal: Array
    inverse: Array  # 1 / sqrt(variance + epsilon), a column
    active: Array  # its outputs


def hidden(layer: Layer, x: Array) -> Passed:
    """Return what a hidden layer makes of its inputs."""
    assert layer.gain is not None
    one, units = x.dtype.type(1), x.dtype.type(len(layer.bias))
    z = product(x, layer.kernel, layer.bias)
    centred = z - (tree(z) / units)[:, None]
    inverse = (one / np.sqrt(tree(centred * centred) / units + x.dtype.type(EPSILON)))[:, None]
    normal = centred * inverse
    active = normal * layer.gain + layer.shift
    return Passed(x, normal, inverse, np.where(active < 0, x.dtype.type(0), active))


def forward(parameters: Array, widths: list[int], x: Array) -> tuple[Array, list[Passed]]:
    """Return the values of inputs, (n, actions), and what each hidden layer made."""
    *inner, last = layers(parameters, widths)
    passed = []
    for layer in inner:
        passed.append(hidden(layer, x))
        x = passed[-1].active
    return product(x, last.kernel, last.bias), passed


def loss(parameters: Array, widths: list[int], x: Array, actions: Array, targets: Array) -> float:
    """Return the mean of (Q(s, a) - y)^2."""
    values = forward(parameters, widths, x)[0][np.arange(len(x)), actions]
    return float(np.mean((values - targets) ** 2))


def gradient(parameters: Array, widths: list[int], x: Array, actions: Array, targets: Array) -> Array:
    """Return the gradient of the loss, flat."""
    dtype = parameters.dtype.type
    *inner, last = layers(parameters, widths)
    into = np.zeros_like(parameters)
    *inner_into, last_into = layers(into, widths)
    values, passed = forward(parameters, widths, x)
    error = np.zeros_like(passed[-1].active)
    for i, (action, target) in enumerate(zip(actions, targets, strict=True)):
        difference = dtype(2) / dtype(len(x)) * (values[i, action] - target)
        last_into.bias[action] += difference
        last_into.kernel[:, action] += difference * passed[-1].active[i]
        error[i] = difference * last.kernel[:, action]
    for layer, made, out in reversed(list(zip(inner, passed, inner_into, strict=True))):
        error = hidden_back(layer, made, error, out)
        error = product(error, layer.kernel.T, np.zeros((), dtype))
    return into


def hidden_back(layer: Layer, made: Passed, error: Array, into: Layer) -> Array:
    """Return the gradient by z, of that by the layer's outputs; write those of its parameters."""
    assert into.gain is not None
    assert into.shift is not None
    assert layer.gain is not None
    units = error.dtype.type(error.shape[1])
    error = np.where(made.active > 0, error, error.dtype.type(0))
    for e, n in zip(error, made.normal, strict=True):
        into.gain[:] += e * n
        into.shift[:] += e
    error = error * layer.gain
    mean, slope = tree(error) / units, tree(error * made.normal) / units
    error = (error - mean[:, None] - made.normal * slope[:, None]) * made.inverse
    for e in error:
        into.bias[:] += e
    into.kernel[:] = product(made.x.T, error, into.kernel)
    return error


def squares(x: Array) -> float:
    """Return the sum of squares in float64, as eight partial sums."""
    p = [0.0] * 8
    for i, number in enumerate(x.tolist()):
        p[i % 8] += number * number
    return ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]))


class RAdam:
    """Parameters and their moments, in float32."""

    def __init__(self, parameters: Array) -> None:
        self.parameters = parameters.copy()
        self.first, self.second = np.zeros_like(parameters), np.zeros_like(parameters)
        self.updates, self.powers = 0, (1.0, 1.0)

    def step(self, gradients: list[Array], step_size: float) -> None:
        """Make an update by the mean of gradients, added in order."""
        f = np.float32
        mean = gradients[0]
        for other in gradients[1:]:
            mean = mean + other
        mean = mean / f(len(gradients))
        norm = math.sqrt(squares(mean))
        mean = mean * f(10 / norm if norm > 10 else 1)
        self.updates += 1
        self.powers = (self.powers[0] * 0.9, self.powers[1] * 0.999)
        self.first = f(0.9) * self.first + f(0.1) * mean
        self.second = f(0.999) * self.second + f(0.001) * mean * mean
        most = 2 / (1 - 0.999) - 1
        length = most - 2 * self.updates * self.powers[1] / (1 - self.powers[1])
        step = step_size / (1 - self.powers[0])
        if length > 5:
            step *= math.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
            root = f(1 / math.sqrt(1 - self.powers[1]))
            self.parameters = self.parameters - f(step) * self.first / (np.sqrt(self.second) * root + f(1e-8))
        else:
            self.parameters = self.parameters - f(step) * self.first


def orders(bits: list[list[int]], samples: list[int], epochs: int) -> list[list[int]]:
    """Return the orders of samples in each epoch, from the random bits that chose actions, sweep by sweep."""
    key = 0
    for word in itertools.chain.from_iterable(bits):
        key = mixed((key + word) % 2**64)
    order, made = list(samples), []
    for _ in range(epochs):
        for i in reversed(range(1, len(order))):
            key = (key + 0x9E3779B97F4A7C15) % 2**64
            j = (mixed(key) >> 32) * (i + 1) >> 32
            order[i], order[j] = order[j], order[i]
        made.append(list(order))
    return made


def mixed(x: int) -> int:
    """Return the finaliser of MurmurHash3."""
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD % 2**64
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 % 2**64
    return x ^ x >> 33


def targets(
    rewards: Array, discounts: Array, following: Array, ended: Array, learns: Array, trace: float
) -> Array:
    """Return the targets of one lane's steps, (T,) float32 each; *following* are the largest values of successors."""
    f = np.float32
    made = np.zeros(len(rewards), f)
    for t in reversed(range(len(rewards))):
        value = following[t]
        if not ended[t] and t + 1 < len(rewards) and learns[t + 1]:
            value = f(trace) * made[t + 1] + (f(1) - f(trace)) * value
        made[t] = rewards[t] if discounts[t] == 0 else rewards[t] + discounts[t] * value
    return made
