"""Networks of environments: the Q-function that their observations get."""

from __future__ import annotations

from typing import Any

from cdq.contracts import Environment, QFunctionKind
from cdq.qfunctions import Perceptron
from cdq.settings import Settings
from cdq.settings.of_networks import minibatch_of


def make_network(settings: Settings, environment: Environment, encoder: Any) -> QFunctionKind:
    """Return the network of an environment.

    Raises
    ------
    ConfigError
        If a minibatch has fewer samples than there are workers, or a Keras model does not fit.
    PackageMissing
        If Keras, or TensorFlow, is needed and not installed.
    """
    network, minibatch, n_actions = settings.network, minibatch_of(settings), environment.n_actions
    assert network is not None
    bounds = encoder.low, encoder.high
    if network.model is not None:
        from cdq.qfunctions.keras.kind import KerasModel

        return KerasModel(encoder, bounds, n_actions, network, minibatch)
    return Perceptron(encoder, bounds, n_actions, network, minibatch)
