"""A Keras model as functions of its parameters: action values, and the gradient of a loss, each one `tf.function`.

The model itself is not changed: parameters are an argument, so that the same functions serve a worker, readers of what
was merged, and a window that is undone.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable, Iterator
from itertools import accumulate, count
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError
from cdq.errors.checks import shown
from cdq.qfunctions.keras.backend import FORKED, keras, tensorflow

Floats32 = npt.NDArray[np.float32]


class Model:
    """A Keras model as functions of its trainable variables, flat in one array.

    Parameters
    ----------
    build : callable
        Function without arguments that returns a Keras 3 model, its weights those to begin with.
    width, n_actions : int
        Numbers of an observation, and number of actions.

    Attributes
    ----------
    tensors : tuple of (str, int, tuple of int)
        Name, offset and shape of each variable, in Keras's order.
    size : int
        Number of parameters.

    Raises
    ------
    PackageMissing
        If Keras 3 or TensorFlow is not installed.
    ConfigError
        If Keras has another backend, or the model is not one that can be learnt; names the layer.
    """

    def __init__(self, build: Callable[[], Any], width: int, n_actions: int) -> None:
        self._build, self._model = build, _built(build, 0)
        _require_learnable(self._model)
        self._inputs = _input_shape(self._model, width)
        _require_outputs(self._model, n_actions)
        variables = self._model.trainable_variables
        sizes = [math.prod(variable.shape) for variable in variables]
        places = zip(count(), variables, accumulate(sizes, initial=0), strict=False)
        self.tensors = tuple((f"variable.{i}.{one.name}", at, tuple(one.shape)) for i, one, at in places)
        self.size = sum(sizes)
        self.n_actions, self.width = n_actions, width
        self._process = os.getpid()
        self._try(tensorflow())

    def start(self, seed: int) -> Floats32:
        """Return the parameters to begin with, the random ones those of a seed."""
        return _flat(_built(self._build, seed))

    def with_weights(self, parameters: Floats32, factor: float) -> Any:
        """Return a model of these weights, its outputs multiplied by a factor."""
        model = _built(self._build, 0)
        for variable, (_, at, shape) in zip(model.trainable_variables, self.tensors, strict=True):
            variable.assign(parameters[at : at + math.prod(shape)].reshape(shape))
        scaled = keras().layers.Rescaling(factor, name="unscale")(model.outputs[0])
        return keras().Model(model.inputs[0], scaled)

    def values(self, parameters: Floats32, observations: Floats32) -> Floats32:
        """Return the action values (n, n_actions) of observations, (n, width)."""
        values: Floats32 = self._forward(*self._tensors(parameters, observations)).numpy()
        return values

    def gradient(
        self, parameters: Floats32, observations: Floats32, actions: npt.NDArray[np.int32], targets: Floats32
    ) -> Floats32:
        """Return the gradient of the mean squared error of the actions' values, and of the model's own losses."""
        given = self._tensors(parameters, observations, actions, targets)
        gradient: Floats32 = self._gradient(*given).numpy()
        return gradient

    def _tensors(self, *arrays: Any) -> Iterator[Any]:
        return map(self._as_tensor, arrays)

    def fingerprint(self) -> str:
        """Return the model's layers and their arguments as text, with numbers for names that Keras counts up."""
        try:
            text = self._model.to_json()
        except (NotImplementedError, TypeError, ValueError):  # a class of the user's without `get_config`
            return str(self.tensors)
        for number, layer in enumerate(self._model._flatten_layers()):
            text = text.replace(json.dumps(layer.name), f'"{number}"')
        return str(text)

    def _functions(self, tf: Any) -> tuple[Any, Any]:
        """Return both functions, each traced once, whatever the number of observations."""
        model, sizes = self._model, [math.prod(shape) for _, _, shape in self.tensors]
        kind = model.inputs[0].dtype
        spec = [tf.TensorSpec((self.size,)), tf.TensorSpec((None, self.width))]
        more = [tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,))]

        def called(parameters: Any, observations: Any) -> tuple[Any, Any]:
            parts = zip(tf.split(parameters, sizes), self.tensors, strict=True)
            variables = [tf.reshape(part, shape) for part, (_, _, shape) in parts]
            inputs = tf.cast(tf.reshape(observations, (-1, *self._inputs)), kind)
            values, _, losses = model.stateless_call(variables, [], inputs, return_losses=True)
            return values, losses

        def forward(parameters: Any, observations: Any) -> Any:
            return called(parameters, observations)[0]

        def gradient(parameters: Any, observations: Any, actions: Any, targets: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                values, losses = called(parameters, observations)
                chosen = tf.gather(values, actions, batch_dims=1)
                loss = tf.add_n([tf.reduce_mean(tf.square(chosen - targets)), *losses])
            found = tape.gradient(loss, parameters)
            if found is None:
                raise ValueError("its values have no gradient by its weights")
            return found

        functions = tf.function(forward, spec), tf.function(gradient, [*spec, *more])
        return functions[0].get_concrete_function(), functions[1].get_concrete_function()

    def require_process(self) -> None:
        """Raise `ConfigError` in a fork of the process that made it, in which TensorFlow would hang."""
        if os.getpid() != self._process:
            raise ConfigError(FORKED)

    def _try(self, tf: Any) -> None:
        """Trace both functions; raise `ConfigError` if they fail, or values are random or not finite."""
        numbers, parameters = np.random.default_rng(0), _flat(self._model)
        if _flat(_built(self._build, 0)).tobytes() != parameters.tobytes():
            raise ConfigError(
                "network: the function returns a model of other weights each time; allowed: weights that follow from "
                "keras.utils.set_random_seed, which cdq calls, or are the same each time"
            )
        observations, actions = numbers.random((2, self.width), np.float32), np.zeros(2, np.int32)
        self._as_tensor = tf.convert_to_tensor
        try:
            self._forward, self._gradient = self._functions(tf)
            first, second = (self.values(parameters, observations) for _ in range(2))
            gradient = self.gradient(parameters, observations, actions, np.zeros(2, np.float32))
        except Exception as error:  # of TensorFlow, or of a layer of the user's
            raise ConfigError(f"network: model {self._model.name!r} fails: {_cause(error)}") from error
        if first.tobytes() != second.tobytes() or not np.isfinite([first.sum(), gradient.sum()]).all():
            raise ConfigError(
                f"network: model {self._model.name!r} gives random values, or values that are not finite; allowed: a "
                "function of its observation and its weights"
            )


def _cause(error: Exception) -> str:
    """Return the last line of an error that tells of it: TensorFlow says first where it was met."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith(('File "', "[[{{"))]
    return lines[-1][:300] if lines else type(error).__name__


def _flat(model: Any) -> Floats32:
    return np.concatenate([variable.numpy().ravel() for variable in model.trainable_variables])


def _built(build: Callable[[], Any], seed: int) -> Any:
    """Return the model of a function, its random weights those of a seed."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # which Keras seeds, too
    try:
        keras().utils.set_random_seed(seed % 2**32)
        model = build()
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
    if not isinstance(model, keras().Model):
        raise ConfigError(f"network: the function returned {shown(model)}; allowed: a Keras 3 model")
    if not model.built or not getattr(model, "inputs", None):
        raise ConfigError(f"network: model {model.name!r} has no input yet; begin it with keras.Input(shape)")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConfigError(
            f"network: model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "allowed: 1 of each"
        )
    return model


def _require_learnable(model: Any) -> None:
    """Raise `ConfigError` if a layer holds what gradients do not change: random state, statistics, frozen weights."""
    for layer in reversed(list(model._flatten_layers())):  # those that are inside others first
        fixed = [variable.name for variable in layer.non_trainable_variables]
        if fixed:
            raise ConfigError(
                f"network: layer {layer.name!r} ({type(layer).__name__}) has state that is not learnt "
                f"({', '.join(fixed)}); allowed: layers without random or frozen state, such as LayerNormalization in "
                "place of BatchNormalization, and no Dropout"
            )
        for variable in layer.trainable_variables:
            fault, remedy = "", ""
            if variable.constraint is not None:
                fault, remedy = f"with the constraint {type(variable.constraint).__name__}", "no constraints"
            elif variable.dtype != "float32":
                fault, remedy = f"of {variable.dtype}", "float32"
            if fault:
                raise ConfigError(
                    f"network: layer {layer.name!r} ({type(layer).__name__}) has {variable.name} {fault}; "
                    f"allowed: {remedy}"
                )
    if not model.trainable_variables:
        raise ConfigError(f"network: model {model.name!r} has no weights")


def _input_shape(model: Any, width: int) -> tuple[int, ...]:
    shape = tuple(model.inputs[0].shape[1:])
    if None in shape or math.prod(shape) != width:
        raise ConfigError(
            f"network: model {model.name!r} takes observations of shape {shape}; the environment's have {width} numbers"
        )
    return shape


def _require_outputs(model: Any, n_actions: int) -> None:
    shape = tuple(model.outputs[0].shape)
    if shape[1:] != (n_actions,):
        raise ConfigError(
            f"network: model {model.name!r} has outputs of shape {shape[1:]}; allowed: ({n_actions},), a value of each "
            "action"
        )
