"""Networks of environments: the Q-function that their observations get."""

from __future__ import annotations

from typing import Any

from cdq.contracts import Environment
from cdq.qfunctions import Perceptron
from cdq.settings import Settings
from cdq.settings.of_networks import minibatch_of


def make_network(settings: Settings, environment: Environment, encoder: Any) -> Perceptron:
    """Return the network of an environment.

    Raises
    ------
    ConfigError
        If a minibatch has fewer samples than there are workers.
    """
    bounds = encoder.low, encoder.high
    return Perceptron(encoder, bounds, environment.n_actions, settings.network, minibatch_of(settings))
