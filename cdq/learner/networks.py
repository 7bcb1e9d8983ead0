"""Networks of a learner: lanes, windows, and the Q-function that an environment's observations get."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cdq.contracts import Environment, QFunctionKind
from cdq.errors import ConfigError
from cdq.qfunctions import Perceptron
from cdq.settings import Settings
from cdq.settings.of_networks import lanes_of, minibatch_of, with_window

if TYPE_CHECKING:
    from cdq.envs.spaces import Encoder


def lanes_to_open(env: Any, settings: Settings) -> int:
    """Return how many environments to make where each is stepped by itself; one that was given is one."""
    import gymnasium

    alone = settings.network is None or isinstance(env, gymnasium.Env)
    return settings.num_envs or (1 if alone else lanes_of(settings.workers))


def with_lanes(settings: Settings, environment: Environment) -> Settings:
    """Return settings with the number of environments of each worker, and of a network with its windows."""
    usual = environment.default_num_envs
    if settings.network is None:
        return replace(settings, num_envs=settings.num_envs or usual)
    lanes = lanes_of(settings.workers) if environment.threads else usual
    return with_window(replace(settings, num_envs=settings.num_envs or lanes))


def make_network(settings: Settings, environment: Environment, encoder: Encoder) -> QFunctionKind:
    """Return the network of an environment.

    Raises
    ------
    ConfigError
        If its observations are numbered states, a minibatch has fewer samples than there are workers, or a Keras model
        does not fit.
    PackageMissing
        If Keras, or TensorFlow, is needed and not installed.
    """
    if _are_states(encoder.space):
        raise ConfigError(
            f"{environment.name} shows numbered states, {encoder.in_words()}: a table learns them, and a network would "
            "take neighbouring numbers for neighbours; leave network out, or show them as vectors of 0 and 1: "
            "gymnasium.wrappers.FlattenObservation(env)"
        )
    network, minibatch, n_actions = settings.network, minibatch_of(settings), environment.n_actions
    assert network is not None
    if network.model is not None:
        from cdq.qfunctions.keras.kind import KerasModel

        return KerasModel(encoder, n_actions, network, minibatch)
    return Perceptron(encoder, (encoder.low, encoder.high), n_actions, network, minibatch)


def _are_states(space: Any) -> bool:
    """Return whether all numbers of a space are names of states."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return all(map(_are_states, space.spaces.values()))
    if isinstance(space, spaces.Tuple):
        return all(map(_are_states, space.spaces))
    return isinstance(space, (spaces.Discrete, spaces.MultiDiscrete))
