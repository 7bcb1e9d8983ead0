"""Networks of the core as Keras models: the same values, and back to the bit."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cdq.errors import ConfigError
from cdq.qfunctions.keras.layers import Layers, read, write


def random_layers(hidden: tuple[int, ...] = (16, 8), width: int = 3, n_actions: int = 4) -> Layers:
    random = np.random.default_rng(0)
    sizes, tensors = (width, *hidden, n_actions), dict[str, np.ndarray]()
    for number, (before, after) in enumerate(pairwise(sizes)):
        tensors[f"layer.{number}.kernel"] = random.normal(size=(before, after)).astype(np.float32)
        tensors[f"layer.{number}.bias"] = random.normal(size=after).astype(np.float32)
        if number < len(hidden):
            tensors[f"norm.{number}.gain"] = random.normal(size=after).astype(np.float32)
            tensors[f"norm.{number}.bias"] = random.normal(size=after).astype(np.float32)
    return Layers(tensors, np.array([-1.2, 0.0, 0.3]), np.array([1.1, 0.0, 1 / 3]), 0.1)


def values_of(layers: Layers, observations: np.ndarray) -> np.ndarray:
    """Return the action values in the plainest way, in float64."""
    x = np.where(layers.scale == 0, observations, (observations - layers.low) * layers.scale - 1)
    tensors = {name: tensor.astype(float) for name, tensor in layers.tensors.items()}
    for number in range(len(layers.hidden)):
        x = x @ tensors[f"layer.{number}.kernel"] + tensors[f"layer.{number}.bias"]
        x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        x = np.maximum(x * tensors[f"norm.{number}.gain"] + tensors[f"norm.{number}.bias"], 0)
    last = len(layers.hidden)
    return (x @ tensors[f"layer.{last}.kernel"] + tensors[f"layer.{last}.bias"]) / layers.reward_scale


def equal(left: Layers, right: Layers) -> bool:
    arrays = [(left.tensors[name], right.tensors[name]) for name in left.tensors]
    arrays += [(left.low, right.low), (left.scale, right.scale)]
    same = all(np.array_equal(a, b) for a, b in arrays)
    return same and list(left.tensors) == list(right.tensors) and left.reward_scale == right.reward_scale


@pytest.mark.parametrize("hidden", [(8,), (16, 8), (8, 16, 24)])
def test_a_written_model_has_the_values_of_the_layers(hidden: tuple[int, ...]) -> None:
    layers = random_layers(hidden)
    observations = np.random.default_rng(1).normal(size=(4096, 3))
    values = values_of(layers, observations)
    np.testing.assert_allclose(
        np.asarray(write(layers)(observations)), values, rtol=1e-5, atol=1e-5 * np.abs(values).max()
    )


@pytest.mark.parametrize("reward_scale", [0.1, 0.02, 1.0, 1 / 3, 0.07, 49.0])
def test_a_model_that_was_saved_and_loaded_is_read_to_the_bit(reward_scale: float, tmp_path: Path) -> None:
    plain = random_layers()
    layers = Layers(plain.tensors, plain.low, plain.scale, reward_scale)
    write(layers).save(tmp_path / "model.keras")
    assert equal(read(keras.models.load_model(tmp_path / "model.keras"), 0.5), layers)
    assert equal(read(write(layers), 0.5), layers)


def hidden(units: int = 8) -> list[Any]:
    return [keras.layers.Dense(units), keras.layers.LayerNormalization(epsilon=1e-5), keras.layers.ReLU()]


def sequential(*layers: Any, width: int = 3) -> Any:
    return keras.Sequential([keras.Input((width,)), *layers])


def test_models_of_others_are_read() -> None:
    """Values are those of the model: inputs as they are, outputs in the units of the rewards."""
    x = given = keras.Input((3,))
    for layer in [*hidden(16), *hidden(), keras.layers.Dense(4)]:
        x = layer(x)
    relu = keras.layers.Activation("relu")
    pixels = keras.layers.Rescaling(1 / 255, offset=0.5)
    for model in (
        keras.Model(given, x),
        sequential(*hidden()[:2], relu, *hidden()[:2], relu, keras.layers.Dense(2)),
        sequential(pixels, *hidden(), keras.layers.Dense(2)),
    ):
        observations = np.random.default_rng(1).normal(size=(64, 3))
        layers = read(model, 0.1)
        np.testing.assert_allclose(
            np.asarray(model(observations)), values_of(layers, observations), atol=1e-5
        )
        assert layers.reward_scale == 0.1


L = keras.layers
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no model": (lambda: 3, "the model is 3"),
    "no input": (lambda: keras.Sequential([L.Dense(8)]), "no input"),
    "convolution": (
        lambda: sequential(L.Reshape((3, 1), name="cut"), L.Conv1D(8, 1), L.Dense(2)),
        "'cut' is Reshape",
    ),
    "dropout": (lambda: sequential(*hidden(), L.Dropout(0.1, name="drop"), L.Dense(2)), "'drop' is Dropout"),
    "epsilon": (
        lambda: sequential(L.Dense(8), L.LayerNormalization(name="norm"), L.ReLU(), L.Dense(2)),
        r"'norm' \(LayerNormalization\) has epsilon=0.001; allowed: 1e-05",
    ),
    "no normalization": (
        lambda: sequential(L.Dense(8), L.ReLU(name="rectify"), L.Dense(2)),
        "'rectify' is ReLU, where",
    ),
    "activation": (
        lambda: sequential(L.Dense(8, "relu", name="one"), *hidden()[1:], L.Dense(2)),
        "'one' .*activation='relu'",
    ),
    "last activation": (
        lambda: sequential(*hidden(), L.Dense(2, "tanh", name="out")),
        "'out' .*activation='tanh'",
    ),
    "other activation": (
        lambda: sequential(*hidden()[:2], L.Activation("tanh", name="curve"), L.Dense(2)),
        "'curve' is Activation",
    ),
    "leaky": (
        lambda: sequential(*hidden()[:2], L.ReLU(negative_slope=0.1, name="leaky"), L.Dense(2)),
        "'leaky' .*negative_slope",
    ),
    "no bias": (
        lambda: sequential(L.Dense(8, use_bias=False, name="one"), *hidden()[1:], L.Dense(2)),
        "use_bias=False",
    ),
    "regularizer": (
        lambda: sequential(L.Dense(8, kernel_regularizer="l2", name="one"), *hidden()[1:], L.Dense(2)),
        "'one' .*kernel_regularizer",
    ),
    "frozen": (lambda: sequential(L.Dense(8, trainable=False), *hidden()[1:], L.Dense(2)), "trainable=False"),
    "half precision": (
        lambda: sequential(L.Dense(8, dtype="mixed_float16"), *hidden()[1:], L.Dense(2)),
        "dtype='mixed_float16'; allowed: float32",
    ),
    "no hidden layer": (lambda: sequential(L.Dense(2)), "has 1 layers"),
    "no end": (lambda: sequential(*hidden()), "has 3 layers"),
    "nested": (
        lambda: sequential(keras.Sequential(hidden(), name="inner"), L.Dense(2)),
        "'inner' is Sequential",
    ),
    "image": (lambda: keras.Sequential([keras.Input((4, 4)), L.Flatten(), L.Dense(2)]), r"of shape \(4, 4\)"),
    "scale of 0": (lambda: sequential(L.Rescaling(0.0), *hidden(), L.Dense(2)), "scale of 0"),
    "offset at the end": (
        lambda: sequential(*hidden(), L.Dense(2), L.Rescaling(2.0, 1.0, name="end")),
        "'end' .*at the model's end",
    ),
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_other_models_are_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(make(), 0.1)


def test_branches_are_refused() -> None:
    x = given = keras.Input((3,))
    sides = [L.Dense(8)(x), L.Dense(8)(x)]
    with pytest.raises(ConfigError, match="'sum' .* has 2 inputs"):
        read(keras.Model(given, L.Dense(2)(L.Add(name="sum")(sides))), 0.1)
    with pytest.raises(ConfigError, match="1 inputs and 2 outputs"):
        read(keras.Model(given, sides), 0.1)


def test_weights_that_are_not_finite_are_refused() -> None:
    model = sequential(*hidden(), L.Dense(2, name="out"))
    model.layers[-1].set_weights([np.full((8, 2), np.nan), np.zeros(2)])
    with pytest.raises(ConfigError, match="'out' has weights that are not finite"):
        read(model, 0.1)
