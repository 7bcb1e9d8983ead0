"""Keras models of Dense, LayerNormalization and ReLU, read as the network of the core, and written from it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats
from cdq.errors import ConfigError
from cdq.errors.checks import shown
from cdq.qfunctions.keras.backend import keras

Tensors = Mapping[str, npt.NDArray[np.float32]]
_EPSILON = 1e-5  # of the layer normalization in the core
_FORM = "Dense, LayerNormalization, ReLU for each hidden layer, and a Dense layer"


@dataclass(frozen=True, eq=False)
class Layers:
    """Layers of a network: Dense, LayerNormalization and ReLU for each hidden layer, and a Dense layer.

    Attributes
    ----------
    tensors : mapping of str to array of float32
        "layer.0.kernel" (inputs, outputs), "layer.0.bias", "norm.0.gain", "norm.0.bias", and so on; none where a file
        tells of the layers, which holds them apart.
    low, scale : (inputs,) array of float64
        Input x is given to the first layer as (x - low) * scale - 1, and as it is where the scale is 0.
    reward_scale : float
        Outputs of the last layer are divided by it.
    weights : str
        SHA-256 of the tensors as they were read.
    """

    tensors: Tensors
    low: Floats
    scale: Floats
    reward_scale: float
    weights: str = ""

    @property
    def hidden(self) -> tuple[int, ...]:
        """Numbers of units of the hidden layers."""
        names = [name for name in self.tensors if name.endswith(".gain")]
        return tuple(len(self.tensors[name]) for name in names)

    @property
    def n_actions(self) -> int:
        """Number of outputs."""
        return len(list(self.tensors.values())[-1])

    def to_config(self) -> dict[str, Any]:
        """Return a JSON object of the layers, without the weights, of which it tells the SHA-256."""
        return {"low": self.low.tolist(), "scale": self.scale.tolist(), "weights": self.weights}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Layers:
        """Return the layers that `to_config` described; the network's file has their weights."""
        low, scale = (np.array([float(x) for x in config[name]], np.float64) for name in ("low", "scale"))
        if low.shape != scale.shape or not np.isfinite(low + scale).all():
            raise ValueError("low and scale are not a finite number for each input")
        return cls({}, low, scale, 1.0, str(config["weights"]))


def write(layers: Layers) -> Any:
    """Return a Keras model of the layers, from observations to action values in the units of the rewards.

    Raises
    ------
    PackageMissing, ConfigError
        If Keras is missing, or has another backend.
    """
    model = keras().Sequential([keras().Input((len(layers.low),)), *_parts(layers, keras().layers)])
    model.set_weights(list(layers.tensors.values()))
    return model


def _parts(layers: Layers, given: Any) -> Iterator[Any]:
    """Yield the layers of a model, as *given*, Keras, makes them."""
    scaled, last = layers.scale != 0, len(layers.hidden)
    if scaled.any():
        low, factor = np.where(scaled, layers.low, 0.0), np.where(scaled, layers.scale, 1.0)
        yield given.Rescaling(1.0, (-low).tolist(), name="shift", dtype="float32")
        yield given.Rescaling(
            factor.tolist(), np.where(scaled, -1.0, 0.0).tolist(), name="scale", dtype="float32"
        )
    for number, units in enumerate(layers.hidden):
        yield given.Dense(units, name=f"layer_{number}", dtype="float32")
        yield given.LayerNormalization(epsilon=_EPSILON, name=f"norm_{number}", dtype="float32")
        yield given.ReLU(name=f"relu_{number}", dtype="float32")
    yield given.Dense(layers.n_actions, name=f"layer_{last}", dtype="float32")
    yield given.Rescaling(1 / layers.reward_scale, name="unscale", dtype="float32")


def read(model: Any, reward_scale: float) -> Layers:
    """Return the layers of a Keras model: a Sequential one, or a functional one that is a chain.

    The model's outputs are action values in the units of the rewards. Where it ends with a Rescaling layer, as those of
    `write` do, that tells the reward scale; else the last layer is multiplied by *reward_scale*. Rescaling layers at
    its beginning scale the inputs; without one inputs are taken as they are.

    Raises
    ------
    PackageMissing, ConfigError
        If Keras is missing or has another backend, or the model is another one; names the layer.
    """
    layers = _chain(model)
    low, scale, layers = _scaling_of(layers, _input_width(model))
    if layers and _kind(layers[-1]) == "Rescaling":
        tensors, reward_scale = _tensors_of(layers[:-1], model.name), _reward_scale_of(layers[-1])
    else:
        tensors = _tensors_of(layers, model.name)
        for name in list(tensors)[-2:]:
            tensors[name] *= np.float32(reward_scale)
    weights = hashlib.sha256(b"".join(tensor.tobytes() for tensor in tensors.values()))
    return Layers(tensors, low, scale, reward_scale, weights.hexdigest())


def _chain(model: Any) -> list[Any]:
    """Return the layers of a model in their order, each of which has the one before it as its only input."""
    given = keras()
    if not isinstance(model, given.Model):
        raise ConfigError(
            f"the model is {shown(model)}; allowed: a keras.Sequential or keras.Model, as network= "
            "takes a function that returns one"
        )
    if not model.built or not getattr(model, "inputs", None):
        raise ConfigError(
            f"model {model.name!r} has no order of layers that is known, or no input yet; allowed: a Sequential or "
            f"functional model that begins with keras.Input((width,)), a chain of {_FORM}"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConfigError(
            f"model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; allowed: 1 of each"
        )
    layers, tensor = [], model.outputs[0]
    while tensor is not model.inputs[0]:
        layer, node, _ = tensor._keras_history
        inputs = layer._inbound_nodes[node].input_tensors
        if len(inputs) != 1:
            raise ConfigError(
                f"layer {layer.name!r} ({type(layer).__name__}) has {len(inputs)} inputs; allowed: a chain of {_FORM}"
            )
        layers.append(layer)
        (tensor,) = inputs
    return layers[::-1]


def _input_width(model: Any) -> int:
    shape = model.inputs[0].shape[1:]
    if len(shape) != 1 or not shape[0]:
        raise ConfigError(
            f"model {model.name!r} takes observations of shape {shape}; allowed: (width,), or network= a function that "
            "returns the model, which is then learnt by Keras"
        )
    return int(shape[0])


def _scaling_of(layers: list[Any], width: int) -> tuple[Floats, Floats, list[Any]]:
    """Return low and scale of the Rescaling layers at the beginning (`Layers`), and the layers after them."""
    low, factor, offset = np.zeros(width), np.ones(width), np.zeros(width)
    while layers and type(layers[0]).__name__ == "Rescaling":
        scale, more = (np.broadcast_to(np.asarray(x, float), width) for x in _affine(layers[0]))
        shifts = (scale == 1) & (factor == 1) & (offset == 0)  # kept apart: so no bit is lost
        low = np.where(shifts, low - more, low)
        factor, offset = factor * scale, np.where(shifts, 0.0, offset * scale + more)
        layers = layers[1:]
    raw = (low == 0) & (factor == 1) & (offset == 0)
    if not np.all(np.isfinite(low + factor + offset) & (factor != 0)):
        raise ConfigError(
            "a Rescaling layer at the model's beginning has a scale of 0, or numbers not finite"
        )
    low = np.where(raw | (offset == -1), low, low - (offset + 1) / factor)
    return low, np.where(raw, 0.0, factor), layers


def _affine(layer: Any) -> tuple[Any, Any]:
    """Return scale and offset of a Rescaling layer."""
    _require_plain(layer, {"scale", "offset"}, 1.0)
    return layer.scale, layer.offset


def _reward_scale_of(layer: Any) -> float:
    """Return the reward scale that a Rescaling layer at the end stands for: the inverse of its scale."""
    scale, offset = _affine(layer)
    if np.ndim(scale) or not (0 < scale < math.inf) or np.any(offset):
        raise ConfigError(
            f"layer {layer.name!r} (Rescaling) at the model's end: allowed is a single scale above 0, and no offset"
        )
    inverse = 1 / float(scale)
    near = [math.nextafter(inverse, way) for way in (0, math.inf)]
    exact = [value for value in (inverse, *near) if 1 / value == scale]
    return min(exact or [inverse], key=lambda value: len(repr(value)))


def _tensors_of(layers: list[Any], name: str) -> dict[str, npt.NDArray[np.float32]]:
    """Return the tensors of a chain of Dense, LayerNormalization and ReLU; raises `ConfigError` for another one."""
    form = ["Dense", "LayerNormalization", "ReLU"]
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    for number, layer in enumerate(layers):
        place, wanted = number // 3, form[number % 3]
        if _kind(layer) != wanted:
            raise ConfigError(
                f"layer {layer.name!r} is {type(layer).__name__}, where a {wanted} layer is allowed: a network is "
                f"{_FORM}; network= a function that returns the model learns any by Keras"
            )
        if wanted == "Dense":
            _require_plain(layer, {"units"}, layer.units)
            tensors |= _arrays(layer, (f"layer.{place}.kernel", f"layer.{place}.bias"))
        elif wanted == "LayerNormalization":
            _require_plain(layer, {"axis"}, epsilon=_EPSILON)  # there is but one
            tensors |= _arrays(layer, (f"norm.{place}.gain", f"norm.{place}.bias"))
        elif type(layer).__name__ == "ReLU":
            _require_plain(layer, set())
    if len(layers) % 3 != 1 or len(layers) < 4:
        raise ConfigError(f"model {name!r} has {len(layers)} layers; allowed: {_FORM}, which ends with Dense")
    return tensors


def _kind(layer: Any) -> str:
    activation = type(layer).__name__ == "Activation" and layer.activation is keras().activations.relu
    return "ReLU" if activation else type(layer).__name__


def _arrays(layer: Any, names: tuple[str, str]) -> dict[str, npt.NDArray[np.float32]]:
    arrays = [np.array(weight, np.float32) for weight in layer.get_weights()]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ConfigError(f"layer {layer.name!r} has weights that are not finite")
    return dict(zip(names, arrays, strict=True))


def _require_plain(layer: Any, free: set[str], *arguments: Any, **known: Any) -> None:
    """Raise `ConfigError` if a layer has other arguments than one made of these; *free* ones may be any."""
    free = free | {"name", *(key for key in layer.get_config() if key.endswith("_initializer"))}
    plain = type(layer)(*arguments, **known, dtype="float32").get_config()
    for key, value in layer.get_config().items():
        if key not in free and value != plain.get(key):
            said = value.get("config", {}).get("name", value) if isinstance(value, dict) else value
            allowed = "float32" if key == "dtype" else repr(plain.get(key))
            raise ConfigError(
                f"layer {layer.name!r} ({type(layer).__name__}) has {key}={said!r}; allowed: {allowed}"
            )
