"""A Keras model as functions of its parameters: values, gradients, and models that are refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from cdq.errors import ConfigError
from cdq.qfunctions.keras.model import Model

L = keras.layers


def dense(*more: Any, n_actions: int = 2, **arguments: Any) -> Any:
    layers = [
        L.Dense(8, **arguments),
        L.LayerNormalization(),
        L.ReLU(),
        *more,
        L.Dense(n_actions, name="last"),
    ]
    return keras.Sequential([keras.Input((3,)), *layers])


def convolution() -> Any:
    layers = [L.Conv2D(4, 3), L.LayerNormalization(), L.ReLU(), L.Flatten(), L.Dense(3)]
    return keras.Sequential([keras.Input((5, 5, 2)), *layers])


def batch(model: Model, n: int = 6) -> tuple[Any, Any, Any]:
    numbers = np.random.default_rng(1)
    observations = numbers.random((n, model.width), np.float32)
    return observations, numbers.integers(0, model.n_actions, n, np.int32), numbers.random(n, np.float32)


@pytest.mark.parametrize(("build", "width", "n_actions"), [(dense, 3, 2), (convolution, 50, 3)])
def test_values_are_those_of_the_model(build: Callable[[], Any], width: int, n_actions: int) -> None:
    model = Model(build, width, n_actions)
    keras.utils.set_random_seed(7)
    plain = build()
    observations, _, _ = batch(model)
    expected = plain(observations.reshape(6, *plain.input_shape[1:]))
    np.testing.assert_allclose(
        model.values(model.start(7), observations), np.asarray(expected), rtol=1e-5, atol=1e-6
    )
    assert [shape for _, _, shape in model.tensors] == [tuple(one.shape) for one in plain.trainable_variables]


@pytest.mark.parametrize(("build", "width", "n_actions"), [(dense, 3, 2), (convolution, 50, 3)])
def test_gradients_are_finite_differences(build: Callable[[], Any], width: int, n_actions: int) -> None:
    model = Model(build, width, n_actions)
    observations, actions, targets = batch(model)

    def loss(parameters: Any) -> float:
        values = model.values(parameters, observations).astype(float)
        return float(np.mean((values[np.arange(len(actions)), actions] - targets) ** 2))

    gradient = model.gradient(model.start(7), observations, actions, targets)
    random_direction = np.random.default_rng(2).normal(size=model.size).astype(np.float32)
    step = random_direction / np.linalg.norm(random_direction) * np.float32(1e-2)
    slope = (loss(model.start(7) + step) - loss(model.start(7) - step)) / 2e-2
    assert slope == pytest.approx(float(gradient @ (step * 100)), rel=2e-2, abs=1e-4)


def test_losses_of_the_model_count() -> None:
    plain = Model(dense, 3, 2)
    held = Model(lambda: dense(kernel_regularizer=keras.regularizers.L2(0.5)), 3, 2)
    difference = held.gradient(held.start(7), *batch(held)) - plain.gradient(plain.start(7), *batch(plain))
    expected = np.zeros(plain.size, np.float32)
    expected[:24] = plain.start(7)[:24]  # of 0.5 w ** 2, in the first kernel alone
    np.testing.assert_allclose(difference, expected, atol=1e-6)


def test_a_seed_gives_the_same_weights_and_leaves_other_random_numbers_alone() -> None:
    first = Model(dense, 3, 2)
    before = random.getstate()
    second = Model(dense, 3, 2)
    assert first.start(7).tobytes() == second.start(7).tobytes() != first.start(8).tobytes()
    assert (first.tensors, first.fingerprint()) == (second.tensors, second.fingerprint())
    assert random.getstate() == before
    assert first.fingerprint() != Model(lambda: dense(activation="tanh"), 3, 2).fingerprint()


def test_the_same_bits_each_time() -> None:
    model = Model(convolution, 50, 3)
    results = {model.gradient(model.start(7), *batch(model, 256)).tobytes() for _ in range(5)}
    assert len(results) == 1


def frozen() -> Any:
    model = dense()
    model.layers[-1].trainable = False
    return model


class Rounded(L.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return keras.ops.cast(keras.ops.cast(x, "int32"), "float32") * 0


class Failing(L.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        import tensorflow as tf

        tf.debugging.assert_less(x, -1e9, message="too large")
        return x


def two_outputs() -> Any:
    given = keras.Input((3,))
    return keras.Model(given, [L.Dense(2)(given), L.Dense(2)(given)])


def other_each_time() -> Any:
    model = dense()
    model.layers[-1].bias.assign(np.random.default_rng().random(2))
    return model


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "dropout": (
        lambda: dense(L.Dropout(0.5, name="drop")),
        r"layer 'drop' \(Dropout\) has state that is not learnt",
    ),
    "noise": (lambda: dense(L.GaussianNoise(0.5, name="noise")), "layer 'noise'"),
    "statistics": (lambda: dense(L.BatchNormalization(name="batch")), r"'batch' \(BatchNormalization\)"),
    "nested": (lambda: dense(keras.Sequential([L.Dense(8), L.Dropout(0.5, name="drop")])), "layer 'drop'"),
    "normalization": (lambda: dense(L.Normalization(name="norm")), "layer 'norm'"),
    "other weights": (other_each_time, "of other weights each time"),
    "frozen": (frozen, "layer 'last'"),
    "constraint": (
        lambda: dense(kernel_constraint="non_neg", name="first"),
        "layer 'first' .* has kernel with the constraint NonNeg; allowed: no constraints$",
    ),
    "half": (
        lambda: dense(dtype="float64", name="first"),
        "layer 'first' .* has kernel of float64; allowed: float32$",
    ),
    "outputs": (lambda: dense(n_actions=3), r"outputs of shape \(3,\); allowed: \(2,\)"),
    "two outputs": (two_outputs, "1 inputs and 2 outputs"),
    "image": (convolution, r"takes observations of shape \(5, 5, 2\); the environment's have 3 numbers"),
    "no input": (lambda: keras.Sequential([L.Dense(2)]), "has no input yet"),
    "no model": (lambda: L.Dense(2), "the function returned .*Dense"),
    "no weights": (lambda: keras.Sequential([keras.Input((3,)), L.ReLU()]), "has no weights"),
    "no gradient": (
        lambda: keras.Sequential([keras.Input((3,)), L.Dense(2), Rounded()]),
        "fails: ValueError: its values have no gradient",
    ),
    "failing": (lambda: dense(Failing(name="failing")), r"fails: assertion failed: \[too large\]"),
    "not finite": (lambda: dense(L.Rescaling(float("nan"))), "values that are not finite"),
}


@pytest.mark.parametrize(("build", "said"), REFUSED.values(), ids=REFUSED)
def test_other_models_are_refused(build: Callable[[], Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Model(build, 3, 2)
