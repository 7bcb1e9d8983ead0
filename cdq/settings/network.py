"""Network: the layers of a Q-function that is a neural network, and how it is trained."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from cdq.errors import ConfigError
from cdq.errors.checks import described, real, shown, whole

if TYPE_CHECKING:
    from typing_extensions import Self

    from cdq.qfunctions.keras.layers import Layers

# Sizes of layers that the kernels take: whole vectors of 8 numbers.
_LANES, _MOST_UNITS, _MOST_LAYERS = 8, 512, 3
_MOST_ROLLOUT, _MOST_EPOCHS, _MOST_MINIBATCH = 4096, 1000, 65_536
_HIDDEN = f"one to {_MOST_LAYERS} multiples of {_LANES}, from {_LANES} to {_MOST_UNITS}, such as"
_LEAST_SCALE, _MOST_SCALE = 1e-9, 1e9
_FUNCTION = "a function without arguments that returns a Keras model, or its name, 'module:function'"


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
        Samples of a step of gradient descent, of all workers together; all of a rollout where it has fewer.
    trace : float
        The lambda of Peng's Q(lambda), from 0 to 1: 0 looks one step ahead.
    reward_scale : float
        Factor of rewards inside the network: such that a typical return, multiplied by it, is 1 to 10.
    model : str or callable, optional
        Function that returns a Keras 3 model with an output for each action, or its name, "module:function": learnt in
        place of the layers of *hidden*, by TensorFlow (the extra ``keras``).
    layers : Layers, optional
        Weights to begin with, and the scaling of inputs; `from_keras` gives them.

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
    model: str | Callable[[], Any] | None = field(default=None, repr=False)
    layers: Layers | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        checked = {
            "hidden": _checked_hidden(self.hidden) if self.model is None else (),
            "model": _checked_model(self.model),
            "layers": _checked_layers(self.layers),
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
        if self.model is not None:
            return f"Keras model of {self.model_name}"
        return f"network, hidden layers of {', '.join(map(str, self.hidden))} units"

    @property
    def model_name(self) -> str | None:
        """Name of the function that returns a Keras model, "module:function"; None without one."""
        if self.model is None or isinstance(self.model, str):
            return self.model
        kind = self.model if hasattr(self.model, "__qualname__") else type(self.model)
        return f"{kind.__module__}:{kind.__qualname__}"

    def build(self) -> Any:
        """Return the Keras model of the function *model*, which is imported where that is a name.

        Raises
        ------
        ConfigError
            If there is no such function, or it raises an error.
        """
        function = _imported(self.model) if isinstance(self.model, str) else self.model
        assert function is not None
        try:
            return function()
        except Exception as error:  # code of the user's
            raise ConfigError(f"network: {self.model_name} raised {described(error)}") from error

    @classmethod
    def from_keras(cls, model: Any, *, reward_scale: float = 0.1, **arguments: Any) -> Self:
        """Return the network of a Keras model of Dense, LayerNormalization and ReLU, with its weights to begin with.

        `QLearner.to_keras` is the way back. The model's outputs are action values in the units of the rewards.

        Parameters
        ----------
        model : keras.Sequential or keras.Model
            Chain of Dense, LayerNormalization (epsilon 1e-5) and ReLU for each hidden layer, and a Dense layer.
            Rescaling layers at its beginning scale the inputs, which are taken as they are without one.
        reward_scale : float
            The same as for `Network`; a Rescaling layer at the model's end, as `to_keras` makes it, tells it instead.
        **arguments
            *rollout*, *epochs*, *minibatch* and *trace*, as for `Network`.

        Raises
        ------
        PackageMissing
            If Keras or TensorFlow is not installed.
        ConfigError
            If the model has another layer, which is named, or Keras another backend than TensorFlow.

        Examples
        --------
        >>> from keras import Input, Sequential, layers  # doctest: +SKIP
        >>> hidden = [layers.Dense(64), layers.LayerNormalization(epsilon=1e-5), layers.ReLU()]  # doctest: +SKIP
        >>> Network.from_keras(Sequential([Input((4,)), *hidden, layers.Dense(2)])).hidden  # doctest: +SKIP
        (64,)
        """
        from cdq.qfunctions.keras.layers import read

        layers = read(
            model, real("reward_scale", reward_scale, "a number above 0", _LEAST_SCALE, _MOST_SCALE)
        )
        return cls(layers.hidden, reward_scale=layers.reward_scale, layers=layers, **arguments)


def _require_no_model(name: str, given: Any) -> None:
    """Raise `ConfigError` if a Keras model, or a class of Keras', is given, and no function that returns one."""
    kind = given if isinstance(given, type) else type(given)
    if not hasattr(kind, "trainable_variables") or (
        kind is given and kind.__module__.split(".")[0] != "keras"
    ):
        return  # a class of the user's may return a model without arguments
    said = f"the class {kind.__name__} of Keras" if kind is given else f"a Keras model, {kind.__name__}"
    raise ConfigError(
        f"{name} is {said}; allowed: cdq.Network.from_keras(model), or a function that returns the model"
    )


def _checked_layers(layers: Any) -> Layers | None:
    if layers is None:
        return None
    from cdq.qfunctions.keras.layers import Layers

    if not isinstance(layers, Layers):
        raise ConfigError(
            f"layers is {shown(layers)}; allowed: what cdq.Network.from_keras(model) gives a network of its own"
        )
    return layers


def _checked_model(model: Any) -> Any:
    _require_no_model("model", model)
    if model is None or callable(model) or (isinstance(model, str) and _names_function(model)):
        return model
    raise ConfigError(f"model is {shown(model)}; allowed: {_FUNCTION}")


def _names_function(text: str) -> bool:
    module, colon, name = text.partition(":")
    parts = [*module.split("."), *name.split(".")]
    return bool(colon) and all(part.isidentifier() for part in parts)


def _imported(name: str) -> Callable[[], Any]:
    """Return the function that a text names, as its user wrote it."""
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"network is {name!r}, which cannot be imported ({error}); allowed: {_FUNCTION}"
        ) from error
    _require_no_model(f"network {name!r}", found)
    if not callable(found):
        raise ConfigError(f"network is {name!r}, which is {shown(found)}; allowed: {_FUNCTION}")
    function: Callable[[], Any] = found
    return function


def _checked_hidden(hidden: Any) -> tuple[int, ...]:
    """Return the sizes of the hidden layers; a single number is one layer."""
    several = isinstance(hidden, Sequence) and not isinstance(hidden, (str, bytes))
    sizes = hidden if several else [hidden]
    try:
        units = tuple(whole("hidden", size, _LANES, _MOST_UNITS) for size in sizes)
    except ConfigError:
        units = ()
    if not 1 <= len(units) <= _MOST_LAYERS or any(size % _LANES for size in units):
        raise ConfigError(f"hidden is {shown(hidden)}; allowed: a tuple of {_HIDDEN} (64, 64)")
    return units


def checked_network(name: str, network: Any) -> Network | None:
    """Return the argument *network* of a learner."""
    if network is None or isinstance(network, Network):
        return network
    _require_no_model(name, network)
    named = isinstance(network, str) and _names_function(network)
    if named or (callable(network) and network is not Network):
        return Network(model=network)
    raise ConfigError(
        f"{name} is {shown(network)}; allowed: cdq.Network(...), {_FUNCTION}, or None for a table or features"
    )


def network_to_config(network: Network | None) -> dict[str, Any] | None:
    """Return a network as a JSON object; `network_from_config` reads it back."""
    if network is None:
        return None
    told = {
        one.name: getattr(network, one.name) for one in fields(network) if one.name not in {"model", "layers"}
    }
    told["hidden"] = list(network.hidden)
    if network.model is not None:
        told["model"] = network.model_name
    if network.layers is not None:
        told["layers"] = network.layers.to_config()
    return told


def network_from_config(config: Mapping[str, Any] | None) -> Network | None:
    """Return the network that `network_to_config` described."""
    if config is None:
        return None
    told = dict(config)
    if "layers" in told:
        from cdq.qfunctions.keras.layers import Layers

        told["layers"] = Layers.from_config(told["layers"])
    return Network(**told)


def network_of(text: str) -> Network:
    """Return the network that ``--network`` names.

    Examples
    --------
    >>> network_of("128,128").hidden, network_of("shop:model").model
    ((128, 128), 'shop:model')
    """
    if ":" in text:
        return Network(model=text)
    try:
        return Network(tuple(int(size) if size.isdecimal() else -1 for size in text.split(",")))
    except ConfigError:
        raise ConfigError(
            f"network is {text!r}; allowed: units of the hidden layers, {_HIDDEN} 64,64; or module:function, which "
            "returns a Keras model"
        ) from None


def told_network(path: object, config: Any, given: Any) -> Any:
    """Return the network that a file tells of as a JSON object, a Keras model by the function that its user gives.

    Raises
    ------
    ConfigError
        If it has a Keras model, and none is given: nothing is imported because a file names it; or if it has none.
    """
    model = config.get("model") if isinstance(config, Mapping) else None
    if model is None:
        if given is not None:
            has = "a table or features" if config is None else "a network"
            raise ConfigError(
                f"{path} has {has} of its own, and network is for the function of a Keras model alone, which no file "
                "holds; leave network out (--network on the command line)"
            )
        return config
    own = checked_network("network", given)
    if own is None or own.model is None:
        raise ConfigError(
            f"{path} was learnt with the Keras model of {model!r:.200}, and no module is imported because a file names "
            f"it; if you trust it, give network={model!r:.200} (--network on the command line), or the function itself"
        )
    return {**config, "model": own.model}


def named_model(header: Mapping[str, Any]) -> str | None:
    """Return the name of the function of a Keras model in a header, for who reads settings and makes no model."""
    settings = header.get("settings")
    network = settings.get("network") if isinstance(settings, Mapping) else None
    model = network.get("model") if isinstance(network, Mapping) else None
    return model if isinstance(model, str) else None
