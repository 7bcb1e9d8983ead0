"""Q-functions that are Keras models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from cdq.contracts import Floats, ObservationEncoder
from cdq.core.envs.encode import Encoding
from cdq.core.network.called import CalledQ, FlatShape
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Rows
from cdq.errors import ConfigError
from cdq.qfunctions.keras.model import Model
from cdq.qfunctions.network import Layout, MergedNetwork, Parameters, shown_bounds


class MergedModel(MergedNetwork):
    """The weights of a Keras model that the workers share.

    Parameters
    ----------
    layout : Layout
        The place of each variable.
    model : Model
        The model.
    """

    def __init__(self, layout: Layout, model: Model) -> None:
        super().__init__(layout)
        self._model = model

    def begin(self, seed: int) -> None:
        """Hold the weights with which the model begins; moments are 0."""
        self.values[:] = self._model.start(seed)

    def copy(self) -> MergedModel:
        """Return another one that holds the same."""
        other = MergedModel(self.layout, self._model)
        other.fill(self.tensors())
        return other


class KerasModel:
    """A Keras model of the numbers of an observation: a `cdq.contracts.QFunctionKind`.

    Parameters
    ----------
    encoder : ObservationEncoder
        ObservationEncoder of the environment.
    bounds : (low, high)
        Bounds of the observations' numbers, (width,) arrays.
    n_actions : int
        Number of actions.
    network : cdq.Network
        Function that returns the model, and how it is trained.
    minibatch : int
        Samples of a minibatch that are one worker's.
    """

    n_rows = 0
    step_scale = 1.0
    threads = False  # TensorFlow has one for all, and each process its own

    def __init__(
        self,
        encoder: ObservationEncoder,
        bounds: tuple[Floats, Floats],
        n_actions: int,
        network: Any,
        minibatch: int,
    ) -> None:
        self.input_bounds = shown_bounds(*bounds)
        self._encoder, self.network, self._minibatch = encoder, network, minibatch
        self._model = Model(network.build, encoder.width, n_actions)
        self._shape = FlatShape(encoder.width, self._model.tensors, n_actions)
        self.own_table, self.first_action = MergedModel(self._shape, self._model), encoder.first_action
        told = f"{network.reward_scale.hex()} {self._model.fingerprint()}"
        self.fingerprint = f"Keras model {hashlib.sha256(told.encode()).hexdigest()}"

    def __str__(self) -> str:
        return f"{self.network}: {self._model.size:,} parameters"

    def encoding(self) -> Encoding:
        """Return the encoding of observations as vectors."""
        return self._encoder.encoding(vectors=True)

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a worker's weights, for *n* lanes."""
        assert isinstance(rows, Parameters)
        network = self.network
        return self._over(rows, n, network.rollout, self._minibatch, network.trace)

    def reader(self, values: Floats, n: int) -> CalledQ:
        """Return the Q-function of these weights, to be read, for *n* lanes."""
        own = Parameters(0)
        own.values = own.first = own.second = values
        return self._over(own, n, 1, 1, 0.0)

    def _over(self, own: Parameters, n: int, rollout: int, minibatch: int, trace: float) -> CalledQ:
        self._model.require_process()
        return CalledQ(
            self._shape,
            self._model,
            own.values,
            own.first,
            own.second,
            own.count,
            n,
            rollout=rollout,
            minibatch=minibatch,
            trace=trace,
            reward_scale=self.network.reward_scale,
        )

    def initial(self, value: float) -> float:
        """Return *value*."""
        return value

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the model's value of each action; raises `ConfigError` if the observation is not finite."""
        vector = np.ascontiguousarray(self._encoder.vector_of(observation)[np.newaxis])
        found, q = np.empty((1, self._model.n_actions)), self.reader(values, 1)
        if q.action_values(vector, found) >= 0:
            raise ConfigError(f"the observation {vector[0].tolist()} is not finite")
        if q.is_divergent:  # which raises what the model raised
            raise ConfigError(f"the values of the observation {vector[0].tolist()} are not finite")
        values_of_one: Floats = found[0]
        return values_of_one

    def to_keras(self, values: Floats) -> Any:
        """Return the Keras model with these weights, its values in the units of the rewards."""
        return self._model.with_weights(values, 1 / self.network.reward_scale)

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        return self._encoder.split(observations)

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of an observation as a function, which later learning does not change."""
        return partial(self.action_values, values.copy())
