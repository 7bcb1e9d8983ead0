"""Networks: multilayer perceptrons of observations, and the parameters that the workers of a process share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.contracts import Floats, ObservationEncoder
from cdq.core.envs.encode import Encoding
from cdq.core.network.network import NetworkQ, Shape
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Rows
from cdq.errors import ConfigError, TableError
from cdq.qfunctions.merged import MergedTable, check_tensor

Numbers = npt.NDArray[np.float32]
_Bound = npt.NDArray[np.float64]
Tensors = Mapping[str, npt.NDArray[Any]]

# Spawn key of the stream from which the first parameters are drawn; a seed's other streams have other keys.
_FIRST_PARAMETERS = (3,)
_FORMAT = 1  # of the meaning of the parameters
# Inputs whose bounds are of the order of 1 are read as they are: 14 of 16 seeds learn Acrobot so, and 12 with all of
# them in [-1, 1]. Bounds beyond the last say that nobody knows them.
_USUAL_BOUNDS, _MOST_BOUND = (0.25, 100.0), 1e3
# A bound from which on Gymnasium means none, and how far an input without bounds is looked at.
_UNBOUNDED, _SHOWN = 1e30, 3.0
_MOMENTS = ("first", "second")


class Layout(Protocol):
    """The place of each tensor in a flat array of parameters."""

    @property
    def size(self) -> int:
        """Number of parameters."""

    @property
    def tensors(self) -> tuple[tuple[str, int, tuple[int, ...]], ...]:
        """Name, offset and shape of each tensor."""


class Parameters:
    """Parameters of a network, the moments of their gradients, and the number of steps that were made with them.

    Parameters
    ----------
    size : int
        Number of parameters.

    Attributes
    ----------
    values, first, second : (size,) arrays of float32
        The parameters, and the means of their gradients and of the squares of those.
    count : (1,) array of int64
        Number of steps of gradient descent.
    """

    # As a worker's table has them, for figures of what a window touched.
    touched = 0

    def __init__(self, size: int) -> None:
        self.values, self.first, self.second = np.zeros((3, size), np.float32)
        self.count = np.zeros(1, np.int64)

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """All of it."""
        return self.values, self.first, self.second, self.count

    def take(self, other: Parameters) -> None:
        """Hold what another one does."""
        for own, theirs in zip(self.arrays, other.arrays, strict=True):
            own[:] = theirs

    def checksum(self) -> int:
        """Return the CRC-32 of all of it."""
        result = 0
        for array in self.arrays:
            result = crc32(array.data, result)
        return result


class MergedNetwork(MergedTable):
    """The network that the workers of a process share, as of the last merge: a `MergedTable` without rows.

    Parameters
    ----------
    layout : Layout
        The place of each tensor.
    layers : Layers, optional
        Layers of a Keras model, with whose weights it begins.

    Attributes
    ----------
    values : (size,) array of float32
        The parameters, flat.
    count : (1,) array of int64
        Number of steps of gradient descent that led to them.
    """

    names = ("values", *_MOMENTS, "updates")

    def __init__(self, layout: Layout, layers: Any = None) -> None:
        self.layers = layers
        self.layout, self._held = layout, Parameters(layout.size)
        self.values, self.count = self._held.values, self._held.count
        self.clock, self.visits = np.zeros((0, 0), np.uint32), np.zeros((0, 0), np.int64)

    def begin(self, seed: int) -> None:
        """Draw the first parameters, where none are given: uniform weights, biases 0, gains 1; moments are 0.

        Weights are up to sqrt(6 / inputs), which keeps the size of what passes a ReLU (He et al. 2015), those of the
        last layer up to sqrt(3 / inputs).
        """
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=_FIRST_PARAMETERS))
        tensors = self.views(self.values)
        kernels = [name for name in tensors if name.endswith(".kernel")]
        for name, tensor in tensors.items():
            if self.layers is not None and self.layers.tensors:
                tensor[:] = self.layers.tensors[name]
            elif name in kernels:
                most = np.sqrt((3.0 if name == kernels[-1] else 6.0) / len(tensor))
                tensor[:] = random.uniform(-most, most, tensor.shape)
            else:
                tensor[:] = 1.0 if name.endswith(".gain") else 0.0

    def views(self, flat: Floats) -> dict[str, Floats]:
        """Return the tensors in a flat array, by name; views."""
        sizes = ((name, at, shape, int(np.prod(shape))) for name, at, shape in self.layout.tensors)
        return {name: flat[at : at + size].reshape(shape) for name, at, shape, size in sizes}

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors of files: those of the network by name, and their moments; views."""
        moments = {
            f"{kind}.{name}": tensor
            for kind in _MOMENTS
            for name, tensor in self.views(getattr(self._held, kind)).items()
        }
        return {**self.views(self.values), **moments, "updates": self._held.count}

    def fill(self, tensors: Tensors) -> None:
        """Hold what *tensors*, by name, do.

        Raises
        ------
        TableError
            If one has another size or type, or is not finite.
        """
        own = self.tensors()
        for name, tensor in own.items():
            check_tensor(name, tensors[name], tensor.shape, tensor.dtype)
            if not np.isfinite(tensors[name]).all():
                raise TableError(f"the file's {name} are not all finite; use another file")
        if tensors["updates"][0] < 0 or any(
            (tensors[f"second.{name}"] < 0).any() for name in self.views(self.values)
        ):
            raise TableError("the file's moments or updates are below 0; use another file")
        for name, tensor in own.items():
            tensor[:] = tensors[name]

    def copy(self) -> MergedNetwork:
        """Return another one that holds the same."""
        other = MergedNetwork(self.layout, self.layers)
        other._held.take(self._held)
        return other

    def mean_values(self) -> Floats:
        """Return the parameters, flat."""
        return self.values

    def updates(self) -> npt.NDArray[np.int64]:
        """Return nothing: no pair has visits."""
        return self.visits

    def digest(self) -> bytes:
        """Return the SHA-256 of parameters, moments and the count of steps."""
        result = hashlib.sha256()
        for array in self._held.arrays:
            result.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
        return result.digest()

    # ---- a worker's parameters, through a round

    def new_rows(self, memory: npt.NDArray[np.uint8] | None = None) -> Any:
        """Return a worker's parameters, which start from here."""
        own = Parameters(self.layout.size)
        own.take(self._held)
        return own

    def align_rows(self, rows: Any, comm: Communicator) -> None:
        """Do nothing: all workers have the same parameters."""

    def commit(self, rows: Any, slices: list[Any], *, keep: bool) -> float:
        """Make the parameters of a worker, to which a round has led, the merged ones."""
        if keep:
            self._held.take(rows)
        return 0.0

    def checksum(self, rows: Any) -> int:
        """Return the CRC-32 of a worker's parameters."""
        result: int = rows.checksum()
        return result

    def merged_checksum(self) -> int:
        """Return the checksum of a worker's parameters that are the merged ones."""
        return self._held.checksum()

    def accept(self, rows: Any) -> None:
        """Do nothing: no rows are added."""

    def close_window(self, rows: Any) -> None:
        """Make the parameters of a worker without peers the merged ones."""
        self._held.take(rows)

    def undo(self, rows: Any) -> None:
        """Undo a worker's window."""
        rows.take(self._held)


class Perceptron:
    """A multilayer perceptron of the numbers of an observation: a `cdq.contracts.QFunctionKind`.

    Parameters
    ----------
    encoder : ObservationEncoder
        ObservationEncoder of the environment.
    bounds : (low, high)
        Bounds of the observations' numbers, (width,) arrays.
    n_actions : int
        Number of actions.
    network : cdq.Network
        Layers, and how they are trained.
    minibatch : int
        Samples of a minibatch that are one worker's.
    """

    n_rows = 0
    threads = True
    step_scale = 1.0

    def __init__(
        self,
        encoder: ObservationEncoder,
        bounds: tuple[Floats, Floats],
        n_actions: int,
        network: Any,
        minibatch: int,
    ) -> None:
        self._encoder, self.network, self._minibatch = encoder, network, minibatch
        self._shape = Shape(encoder.width, network.hidden, n_actions)
        given = network.layers
        self._low, self._scale = scaling(*bounds) if given is None else _scaling_of(given, self._shape)
        self.own_table, self.first_action = MergedNetwork(self._shape, given), encoder.first_action
        self.fingerprint = _fingerprint(self._shape, network.reward_scale, self._low, self._scale)
        self.input_bounds = shown_bounds(*bounds)

    def __str__(self) -> str:
        return f"{self.network}: {self._shape.size:,} parameters"

    def encoding(self) -> Encoding:
        """Return the encoding of observations as vectors."""
        return self._encoder.encoding(vectors=True)

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a worker's parameters, for *n* lanes."""
        assert isinstance(rows, Parameters)
        network = self.network
        return NetworkQ(
            self._shape,
            rows.values,
            rows.first,
            rows.second,
            rows.count,
            n,
            low=self._low,
            scale=self._scale,
            rollout=network.rollout,
            minibatch=self._minibatch,
            trace=network.trace,
            reward_scale=network.reward_scale,
        )

    def reader(self, values: Floats, n: int) -> NetworkQ:
        """Return the Q-function of these parameters, to be read, for *n* lanes."""
        nothing = np.zeros(1, np.int64)
        return NetworkQ(
            self._shape,
            values,
            values,
            values,
            nothing,
            n,
            low=self._low,
            scale=self._scale,
            rollout=1,
            minibatch=1,
            trace=0.0,
            reward_scale=self.network.reward_scale,
        )

    def initial(self, value: float) -> float:
        """Return *value*."""
        return value

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the network's value of each action; raises `ConfigError` if the observation is not finite."""
        vector = np.ascontiguousarray(self._encoder.vector_of(observation)[np.newaxis])
        found = np.empty((1, self._shape.actions))
        if self.reader(values, 1).action_values(vector, found) >= 0:
            raise ConfigError(f"the observation {vector[0].tolist()} is not finite")
        values_found: Floats = found[0]
        return values_found

    def to_keras(self, values: Floats) -> Any:
        """Return a Keras model of these parameters, from observations to values in the units of the rewards."""
        from cdq.qfunctions.keras.layers import Layers, write

        tensors = self.own_table.views(values)
        return write(Layers(tensors, self._low, self._scale, self.network.reward_scale))

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        return self._encoder.split(observations)

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of an observation as a function, which later learning does not change."""
        return partial(self.action_values, values.copy())


def _scaling_of(layers: Any, shape: Shape) -> tuple[Floats, Floats]:
    """Return the scaling of inputs of a Keras model's layers; raises `ConfigError` if they are not for such a shape."""
    sizes = len(layers.low), layers.n_actions if layers.tensors else shape.actions
    if sizes != (shape.inputs, shape.actions):
        raise ConfigError(
            f"the Keras model has {sizes[0]} inputs and {sizes[1]} outputs; the environment has {shape.inputs} numbers "
            f"in an observation and {shape.actions} actions"
        )
    return layers.low, layers.scale


def shown_bounds(low: Floats, high: Floats) -> tuple[_Bound, _Bound]:
    """Return bounds between which inputs are looked at: those of the space, and from -3 to 3 where it has none.

    Examples
    --------
    >>> shown_bounds(np.array([-4.8, -np.inf, 1.0]), np.array([4.8, np.inf, np.inf]))
    (array([-4.8, -3. ,  1. ]), array([4.8, 3. , 7. ]))
    """
    lowest, highest = np.abs(low) < _UNBOUNDED, np.abs(high) < _UNBOUNDED
    first: _Bound = np.where(lowest, low, np.where(highest, high - 2 * _SHOWN, -_SHOWN)).astype(np.float64)
    return first, np.where(highest, high, first + 2 * _SHOWN).astype(np.float64)


def scaling(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return what is taken off each input, and by what the rest is multiplied; both are 0 where it is read as it is.

    Examples
    --------
    >>> scaling(np.array([0.0, -4.0, -np.inf]), np.array([200.0, 4.0, np.inf]))
    (array([0., 0., 0.]), array([0.01, 0.  , 0.  ]))
    """
    bound = np.maximum(np.abs(low), np.abs(high))
    usual = (bound >= _USUAL_BOUNDS[0]) & (bound <= _USUAL_BOUNDS[1])
    scaled = ~usual & (bound < _MOST_BOUND) & (low < high)
    first = np.where(scaled, low, 0.0)
    return first, np.where(scaled, 2.0 / np.where(scaled, high - first, 1.0), 0.0)


def _fingerprint(layout: Layout, reward_scale: float, low: Floats, scale: Floats) -> str:
    """Return the SHA-256 of all that gives the parameters their meaning."""
    told = [_FORMAT, layout.tensors, reward_scale.hex(), [x.hex() for x in (*low.tolist(), *scale.tolist())]]
    return f"network {hashlib.sha256(repr(told).encode()).hexdigest()}"
