"""An update of a network by 256 samples, and values of 32 observations: cdq, NumPy and TensorFlow, in turn in one run.

Run: python -m tests.benchmarks.network [--repeats 21] [--hidden 64,64] [--inputs 4] [--actions 2] [--samples 256]

All do the same: forwards, backwards, clip by the global norm, RAdam; D -> H -> LayerNorm -> ReLU -> ... -> A, float32.
TensorFlow, where it is installed, has one `tf.function` for an update and one for the values. All have one thread.
Prints a row each: CPU time in microseconds, the median and the spread of the rounds, and how often that of cdq goes
into it. CDQ_BASELINE=1 in the environment turns the kernels for AVX2 off.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"  # before anything starts threads
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np  # noqa: E402

from cdq.core.network.network import KERNELS, NetworkQ, Shape  # noqa: E402
from cdq.core.probe import Probe  # noqa: E402
from cdq.schedules import Constant, build_law  # noqa: E402
from tests.benchmarks.tables import begin, row, spread  # noqa: E402

Work = Callable[[], Any]
LANES = 32
STEP_SIZE = 1e-5


def parameters_of(shape: Shape) -> Any:
    """Return random parameters, gains of 1."""
    parameters = np.random.default_rng(0).normal(size=shape.size).astype(np.float32) * np.float32(0.2)
    for name, offset, size in shape.tensors:
        if name.endswith("gain"):
            parameters[offset : offset + size[0]] = 1
    return parameters


def views(shape: Shape, flat: Any) -> dict[str, Any]:
    """Return the tensors of a flat array."""
    return {n: flat[at : at + int(np.prod(size))].reshape(size) for n, at, size in shape.tensors}


def batch(shape: Shape, n: int) -> tuple[Any, Any, Any]:
    """Return inputs, actions and targets."""
    random = np.random.default_rng(1)
    x = random.normal(size=(n, shape.inputs)).astype(np.float32)
    return x, random.integers(0, shape.actions, n), random.normal(size=n).astype(np.float32)


def by_cdq(shape: Shape, samples: int) -> tuple[Work, Work]:
    """Return the update and the values of cdq, as a loop and the training call them."""
    parameters, zeros = parameters_of(shape), np.zeros(shape.inputs)
    law = build_law(Constant(0.1), 0, 1.0, "float32")

    def q_of(n: int) -> NetworkQ:
        moments = [np.zeros_like(parameters) for _ in range(2)]
        updates = np.zeros(1, np.int64)
        return NetworkQ(
            shape, parameters, *moments, updates, n, low=zeros, scale=zeros, rollout=1, minibatch=samples,
            trace=0.9, reward_scale=0.1,
        )  # fmt: skip

    q, lanes = q_of(samples), Probe(q_of(LANES))
    x, actions, rewards = batch(shape, samples)
    seen = np.ascontiguousarray(x[:LANES], np.float64)
    probe = Probe(q)
    probe.locate(x.astype(np.float64))
    probe.learn(law, 0.9, actions.astype(np.uint32), rewards.astype(np.float64), np.ones(samples, np.uint8))
    q.targets()
    gradient = np.zeros_like(parameters)

    def update() -> None:
        q.gradient(0, gradient)
        q.apply([gradient], STEP_SIZE)

    return update, lambda: lanes.locate(seen)


def by_numpy(shape: Shape, samples: int) -> tuple[Work, Work]:
    """Return the update and the values of NumPy, products of matrices by its BLAS."""
    flat = parameters_of(shape)
    p, into = views(shape, flat), np.zeros_like(flat)
    g, first, second = views(shape, into), np.zeros_like(flat), np.zeros_like(flat)
    x, actions, targets = batch(shape, samples)
    seen, rows, depth = x[:LANES].copy(), np.arange(samples), len(shape.hidden)
    clock = [0, 1.0, 1.0]

    def forward(x: Any) -> tuple[Any, list[Any]]:
        passed = []
        for i in range(depth):
            z = x @ p[f"layer.{i}.kernel"] + p[f"layer.{i}.bias"]
            z -= z.mean(1, keepdims=True)
            inverse = 1 / np.sqrt((z * z).mean(1, keepdims=True) + np.float32(1e-5))
            z *= inverse
            out = np.maximum(z * p[f"norm.{i}.gain"] + p[f"norm.{i}.bias"], 0)
            passed.append((x, z, inverse, out))
            x = out
        return x @ p[f"layer.{depth}.kernel"] + p[f"layer.{depth}.bias"], passed

    def update() -> None:
        values, passed = forward(x)
        error = np.zeros_like(values)
        error[rows, actions] = np.float32(2 / samples) * (values[rows, actions] - targets)
        np.matmul(passed[-1][3].T, error, out=g[f"layer.{depth}.kernel"])
        error.sum(0, out=g[f"layer.{depth}.bias"])
        for i in reversed(range(depth)):
            before, normal, inverse, out = passed[i]
            error = (error @ p[f"layer.{i + 1}.kernel"].T) * (out > 0)
            (error * normal).sum(0, out=g[f"norm.{i}.gain"])
            error.sum(0, out=g[f"norm.{i}.bias"])
            error *= p[f"norm.{i}.gain"]
            slope = (error * normal).mean(1, keepdims=True)
            error = (error - error.mean(1, keepdims=True) - normal * slope) * inverse
            np.matmul(before.T, error, out=g[f"layer.{i}.kernel"])
            error.sum(0, out=g[f"layer.{i}.bias"])
        step(into)

    def step(gradient: Any) -> None:
        nonlocal first, second
        norm = float(np.sqrt(gradient @ gradient))
        clipped = gradient if norm <= 10 else gradient * np.float32(10 / norm)
        clock[:] = clock[0] + 1, clock[1] * 0.9, clock[2] * 0.999
        first *= np.float32(0.9)
        first += np.float32(0.1) * clipped
        second *= np.float32(0.999)
        second += np.float32(0.001) * clipped * clipped
        size, root = rectified(*clock)
        flat[:] -= (
            np.float32(size) * first / (np.sqrt(second) * np.float32(root) + np.float32(1e-8))
            if root
            else np.float32(size) * first
        )

    return update, lambda: forward(seen)[0]


def rectified(t: int, first: float, second: float) -> tuple[float, float]:
    """Return the step size of RAdam, and what the root of the second moment is multiplied by; 0: momentum alone."""
    most = 2 / (1 - 0.999) - 1
    length = most - 2 * t * second / (1 - second)
    if length <= 5:
        return STEP_SIZE / (1 - first), 0.0
    factor = ((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)) ** 0.5
    return STEP_SIZE * factor / (1 - first), 1 / (1 - second) ** 0.5


def by_tensorflow(shape: Shape, samples: int) -> tuple[Work, Work]:
    """Return the update and the values of TensorFlow, a `tf.function` each; RAdam past its first steps."""
    import tensorflow as tf

    flat = parameters_of(shape)
    p = {name: tf.Variable(value) for name, value in views(shape, flat).items()}
    moments = {name: (tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for name, v in p.items()}
    x, actions, targets = map(tf.constant, batch(shape, samples))
    seen, depth = x[:LANES], len(shape.hidden)
    size, root = rectified(1000, 0.9**1000, 0.999**1000)

    def forward(x: Any) -> Any:
        for i in range(depth):
            z = tf.matmul(x, p[f"layer.{i}.kernel"]) + p[f"layer.{i}.bias"]
            mean, variance = tf.nn.moments(z, 1, keepdims=True)
            normal = (z - mean) * tf.math.rsqrt(variance + 1e-5)
            x = tf.nn.relu(normal * p[f"norm.{i}.gain"] + p[f"norm.{i}.bias"])
        return tf.matmul(x, p[f"layer.{depth}.kernel"]) + p[f"layer.{depth}.bias"]

    @tf.function
    def update() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.gather(forward(x), actions, batch_dims=1) - targets) ** 2)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, list(p.values())), 10.0)
        for name, gradient in zip(p, gradients, strict=True):
            first, second = moments[name]
            first.assign(0.9 * first + 0.1 * gradient)
            second.assign(0.999 * second + 0.001 * gradient * gradient)
            p[name].assign_sub(size * first / (tf.sqrt(second) * root + 1e-8))

    values = tf.function(forward)
    return update, lambda: values(seen)


def microseconds(work: Work, times: int) -> float:
    """Return the CPU time of a call."""
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times * 1e6


def measure(makers: dict[str, Work], rounds: int, times: int) -> dict[str, list[float]]:
    """Return the CPU times of all, which take turns; the first round, in which functions are traced, is left out."""
    made: dict[str, list[float]] = {name: [] for name in makers}
    for number in range(rounds + 1):
        for name, work in makers.items():
            taken = microseconds(work, times)
            made[name] += [taken] if number else []
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--hidden", default="64,64")
    parser.add_argument("--inputs", type=int, default=4)
    parser.add_argument("--actions", type=int, default=2)
    parser.add_argument("--samples", type=int, default=256)
    options = parser.parse_args()
    shape = Shape(options.inputs, tuple(map(int, options.hidden.split(","))), options.actions)
    makers = {f"cdq ({KERNELS})": by_cdq, "NumPy": by_numpy}
    if importlib.util.find_spec("tensorflow"):
        makers["TensorFlow"] = by_tensorflow
    pairs = {name: make(shape, options.samples) for name, make in makers.items()}
    sizes = f"{options.inputs}-{options.hidden.replace(',', '-')}-{options.actions}"
    begin(f"A network of {sizes}, CPU time", "what", "us", "times cdq's", "goal")
    for i, what in enumerate((f"update of {options.samples}", f"values of {LANES}")):
        taken = measure({name: pair[i] for name, pair in pairs.items()}, options.repeats, 50)
        ours = taken[next(iter(taken))]
        for name, times in taken.items():
            ratios = [theirs / own for theirs, own in zip(times, ours, strict=True)]
            goal = None if times is ours else 3.0
            row(
                f"{what}, {name}",
                spread(times, ".1f"),
                spread(ratios, ".1f", goal),
                "" if goal is None else "3",
            )


if __name__ == "__main__":
    main()
