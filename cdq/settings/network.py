"""Network: the layers of a Q-function that is a neural network, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any

from cdq.errors import ConfigError
from cdq.errors.checks import real, shown, whole

# Sizes of layers that the kernels take: whole vectors of 8 numbers.
_LANES, _MOST_UNITS, _MOST_LAYERS = 8, 512, 3
_MOST_ROLLOUT, _MOST_EPOCHS, _MOST_MINIBATCH = 4096, 1000, 65_536
_HIDDEN = f"one to {_MOST_LAYERS} multiples of {_LANES}, from {_LANES} to {_MOST_UNITS}, such as (64, 64)"
_LEAST_SCALE, _MOST_SCALE = 1e-9, 1e9


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron in place of a table: layers of units, each followed by LayerNorm and ReLU.

    It is learnt by PQN: many environments in parallel, Peng's Q(lambda), RAdam, no replay and no target network. What
    it costs and where tiles are better is on the page "Networks: when, and when not".

    Parameters
    ----------
    hidden : sequence of int
        Units of each hidden layer: one to three multiples of 8, from 8 to 512.
    rollout : int
        Steps of every environment between two trainings.
    epochs : int
        Number of times that each training goes through the samples of a rollout.
    minibatch : int
        Samples of a step of gradient descent, of all workers together.
    trace : float
        The lambda of Peng's Q(lambda), from 0 to 1: 0 looks one step ahead.
    reward_scale : float
        Factor of rewards inside the network: such that a typical return, multiplied by it, is 1 to 10.

    Raises
    ------
    ConfigError
        If an argument is not allowed; the message says what is.

    Notes
    -----
    PQN is of Gallici et al. (2024), Q(lambda) of Peng and Williams (1994), RAdam of Liu et al. (2020).

    Examples
    --------
    >>> Network((32, 16), minibatch=128)
    Network(hidden=(32, 16), rollout=32, epochs=4, minibatch=128, trace=0.9, reward_scale=0.1)
    """

    hidden: tuple[int, ...] = (64, 64)
    _: KW_ONLY
    rollout: int = 32
    epochs: int = 4
    minibatch: int = 256
    trace: float = 0.9
    reward_scale: float = 0.1

    def __post_init__(self) -> None:
        checked = {
            "hidden": _checked_hidden(self.hidden),
            "rollout": whole("rollout", self.rollout, 1, _MOST_ROLLOUT),
            "epochs": whole("epochs", self.epochs, 1, _MOST_EPOCHS),
            "minibatch": whole("minibatch", self.minibatch, 1, _MOST_MINIBATCH),
            "trace": real("trace", self.trace, "a number from 0 to 1", 0.0, 1.0),
            "reward_scale": real(
                "reward_scale", self.reward_scale, "a number from 1e-9 to 1e9", _LEAST_SCALE, _MOST_SCALE
            ),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return f"network, hidden layers of {', '.join(map(str, self.hidden))} units"


def _checked_hidden(hidden: Any) -> tuple[int, ...]:
    """Return the sizes of the hidden layers; a single number is one layer."""
    several = isinstance(hidden, Sequence) and not isinstance(hidden, (str, bytes))
    sizes = hidden if several else [hidden]
    if not 1 <= len(sizes) <= _MOST_LAYERS:
        raise ConfigError(f"hidden has {len(sizes)} layers; allowed: {_HIDDEN}")
    units = tuple(whole("hidden", size, _LANES, _MOST_UNITS) for size in sizes)
    if any(size % _LANES for size in units):
        raise ConfigError(f"hidden is {shown(hidden)}; allowed: {_HIDDEN}")
    return units


def checked_network(name: str, network: Any) -> Network | None:
    """Return the argument *network* of a learner."""
    if network is not None and not isinstance(network, Network):
        raise ConfigError(f"{name} is {shown(network)}; allowed: cdq.Network(...), or None for a table or features")
    return network


def network_to_config(network: Network | None) -> dict[str, Any] | None:
    """Return a network as a JSON object; `network_from_config` reads it back."""
    return None if network is None else {**asdict(network), "hidden": list(network.hidden)}


def network_from_config(config: Mapping[str, Any] | None) -> Network | None:
    """Return the network that `network_to_config` described."""
    return None if config is None else Network(**config)


def network_of(text: str) -> Network:
    """Return the network that ``--network`` names.

    Examples
    --------
    >>> network_of("128,128").hidden
    (128, 128)
    """
    sizes = text.split(",")
    if not all(size.isdecimal() for size in sizes):
        raise ConfigError(f"network is {text!r}; allowed: units of the hidden layers, {_HIDDEN[:-10]}: 64,64")
    return Network(tuple(map(int, sizes)))
