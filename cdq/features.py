"""Features of continuous observations, in which Q-functions are linear: tile coding, polynomials, Fourier bases."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.linear.linear import MOST_INPUTS, Features
from cdq.core.table.rows import Rows
from cdq.errors import ConfigError, unknown_name
from cdq.errors.checks import real, shown

# Beyond so many tiles, cells are hashed: a million rows of three actions take 40 MB.
MOST_TILES = 2**20
MOST_FEATURES = 2**28
MOST_TILINGS = 4096
MOST_BASIS_FUNCTIONS = 2**16

# Gymnasium writes "no bound" as infinity or as the largest float32.
_UNBOUNDED = 1e30

_APART = (
    "low must be below high: give others, or the space dtype=np.float64 if float32 cannot tell them apart"
)
_LEAST_SPAN = 1e-290  # between bounds; tiles divided by less are no number of float64
_GIVE_BOUNDS = "give low and high, a finite number for each of the {} inputs, to which it is clipped"

Inputs = npt.NDArray[np.float64]
Bound = Sequence[float | None] | float | None


def _whole(what: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{what} is {shown(value)}; allowed: an integer from {least} to {most:,}")
    return int(value)


def _bound(what: str, value: Any) -> Any:
    """Return a bound as a number, a tuple of numbers and Nones, or None."""
    if isinstance(value, Real) or value is None:
        numbers: tuple[Any, ...] = (value,)
    elif isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        numbers = tuple(value)
    else:
        numbers = (math.nan,)
    try:
        exact = tuple(None if x is None else real(what, x, "a finite number") for x in numbers or (math.nan,))
    except ConfigError:
        raise ConfigError(
            f"{what} is {shown(value)}; allowed: a finite number, a sequence of one per input of the observation "
            "(None: that of the space), or None"
        ) from None
    return exact[0] if isinstance(value, Real) or value is None else exact


@dataclass(frozen=True)
class _Bounded:
    """Bounds of the inputs, which all features have."""

    def _check_bounds(self, low: Any, high: Any) -> None:
        object.__setattr__(self, "low", _bound("low", low))
        object.__setattr__(self, "high", _bound("high", high))

    def bounds(self, low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[Inputs, Inputs]:
        """Return the bounds of inputs: the given ones, else those of a Box space, which are *low* and *high*."""
        space, own = (low, high), (self.low, self.high)  # type: ignore[attr-defined]  # of each basis
        lowest, highest = (np.asarray(bound, np.float64).reshape(-1) for bound in space)
        if len(lowest) != len(highest) or not 0 < len(lowest) <= MOST_INPUTS:
            hint = ". Observe fewer, or give bins=... with table='hash'" if len(lowest) else ""
            raise ConfigError(f"an observation has {len(lowest)} inputs; allowed: 1 to {MOST_INPUTS}{hint}")
        lows, highs = _merged("low", own[0], lowest), _merged("high", own[1], highest)
        missing = ~(np.isfinite(lows) & np.isfinite(highs))
        self._refuse(missing, lows, highs, _GIVE_BOUNDS.format(len(lows)))
        self._refuse(~(lows < highs), lows, highs, _APART)
        with np.errstate(over="ignore"):
            span = highs - lows
        wrong = ~((span > _LEAST_SPAN) & (span < np.inf))
        self._refuse(wrong, lows, highs, "float64 has no scale for them: observe it in another unit")
        return lows, highs

    @staticmethod
    def _refuse(wrong: npt.NDArray[np.bool_], lows: Inputs, highs: Inputs, why: str) -> None:
        """Raise `ConfigError` for the first input that is *wrong*."""
        if wrong.any():
            j = int(np.flatnonzero(wrong)[0])
            raise ConfigError(
                f"input {j} of the observation has the bounds {lows[j]:.9g} and {highs[j]:.9g}; {why}"
            )


def _merged(what: str, given: Any, of_space: Inputs) -> Inputs:
    wanted = given if isinstance(given, tuple) else (given,) * len(of_space)
    if len(wanted) != len(of_space):
        raise ConfigError(f"{what} has {len(wanted)} numbers; the observation has {len(of_space)} inputs")
    bounds = np.where(np.abs(of_space) < _UNBOUNDED, of_space, np.copysign(np.inf, of_space))
    return np.array([space if own is None else own for own, space in zip(wanted, bounds, strict=True)])


def _tiles(value: Any) -> int | tuple[int, ...]:
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) and len(value):
        return tuple(_whole("tiles of an input", n, 1, MOST_TILES) for n in value)
    return _whole("tiles", value, 1, MOST_TILES)


def _partition(lows: Inputs, highs: Inputs, tiles: Sequence[int]) -> tuple[Inputs, Inputs]:
    """Return bounds and scales with which a single tiling has its highest tile at the high bound, and none beyond."""
    most = np.array(tiles, np.float64)
    scale, clipped = most / (highs - lows), highs
    while (over := (clipped - lows) * scale >= most).any():
        clipped = np.where(over, np.nextafter(clipped, lows), clipped)
    coarse = (clipped - lows) * scale < most - 1  # the next number is in another tile: move the tiles instead
    clipped = np.where(coarse, highs, clipped)
    while (over := (clipped - lows) * scale >= most).any():
        scale = np.where(over, np.nextafter(scale, 0.0), scale)
    return clipped, scale


def _strides(sizes: Sequence[int]) -> list[int]:
    """Return by how much the number of a tile grows with each input, and from tiling to tiling.

    Beyond 2**64 tiles, products of even numbers are 0 modulo 2**64, and inputs would not count: strides are odd then.
    """
    exact = [math.prod(sizes[:j]) for j in range(len(sizes) + 1)]
    if exact[-1] < 2**64:
        return exact
    return [pow(0x9E3779B97F4A7C15, j + 1, 2**64) for j in range(len(sizes) + 1)]


@dataclass(frozen=True)
class TileCoding(_Bounded):
    """Overlapping grids over the observation: every tiling has one tile that is active (Sutton & Barto 2018, 9.5.4).

    A step size of alpha removes the part alpha of the error at an observation: each weight gets alpha / tilings. A
    single tiling cuts each input into equal bins; several need one tile more in every input.

    Parameters
    ----------
    tilings : int
        Number of grids; a power of two, at least four times the number of inputs, spreads them best.
    tiles : int or sequence of int
        Tiles of each grid between the bounds, of every input or of each.
    low, high : float or sequence of float, optional
        Bounds to which inputs are clipped; None, in all or for one input: that of the observation space.
    size : int, optional
        Number of features. Where there are more tiles, they are hashed to so many. By default there are as many as
        tiles, and at most 2 ** 20.

    Raises
    ------
    ConfigError
        If one is not allowed.

    Examples
    --------
    >>> TileCoding(tilings=8, tiles=8).bind([-1.2, -0.07], [0.6, 0.07]).n_features
    648
    """

    tilings: int = 8
    tiles: int | Sequence[int] = 8
    low: Bound = None
    high: Bound = None
    size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tilings", _whole("tilings", self.tilings, 1, MOST_TILINGS))
        object.__setattr__(self, "tiles", _tiles(self.tiles))
        if self.size is not None:
            object.__setattr__(self, "size", _whole("size", self.size, 1, MOST_FEATURES))
        self._check_bounds(self.low, self.high)

    def bind(self, low: npt.ArrayLike, high: npt.ArrayLike) -> Features:
        """Return the features of observations of a Box space with these bounds, as the kernels use them.

        Raises
        ------
        ConfigError
            If an input has no finite bounds, or if the numbers of inputs differ.
        """
        lows, highs = self.bounds(low, high)
        width = len(lows)
        tiles = [self.tiles] * width if isinstance(self.tiles, int) else list(self.tiles)
        if len(tiles) != width:
            raise ConfigError(f"tiles has {len(tiles)} numbers; the observation has {width} inputs")
        more = 1 if self.tilings > 1 else 0  # the tile that a displaced grid needs
        sizes = [n + more for n in tiles]
        scale = np.array(tiles, np.float64) / (highs - lows)
        if not more:
            highs, scale = _partition(lows, highs, tiles)
        n_tiles = self.tilings * math.prod(sizes)
        size = min(n_tiles, self.size or MOST_TILES)
        steps = np.arange(self.tilings) * (2 * np.arange(width)[:, None] + 1) % self.tilings
        return Features(
            size,
            lows,
            highs,
            scale,
            np.ascontiguousarray(steps / self.tilings),
            np.array(_strides(sizes), np.uint64),
            hashed=size < n_tiles,
            step_scale=1 / self.tilings,
            fingerprint=_fingerprint(self, lows, highs, 1 if n_tiles < 2**64 else 2),
        )


@dataclass(frozen=True)
class PolynomialBasis(_Bounded):
    """Products of powers of the inputs up to *order* each, the inputs scaled to [-1, 1] (Sutton & Barto, 9.5.1).

    A step size of alpha removes at most the part alpha of the error at an observation: each weight gets alpha divided
    by the number of features.

    Parameters
    ----------
    order : int
        Highest power of an input; (order + 1) ** inputs features.
    low, high : float or sequence of float, optional
        Bounds to which inputs are clipped; None, in all or for one input: that of the observation space.

    Examples
    --------
    >>> PolynomialBasis(order=3).bind([-1.2, -0.07], [0.6, 0.07]).n_features
    16
    """

    order: int = 3
    low: Bound = None
    high: Bound = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", _whole("order", self.order, 1, 1000))
        self._check_bounds(self.low, self.high)

    def bind(self, low: npt.ArrayLike, high: npt.ArrayLike) -> Features:
        """Return the features of observations of a Box space with these bounds, as the kernels use them."""
        lows, highs = self.bounds(low, high)
        n = _n_products(self.order, len(lows))
        return Features(
            n,
            lows,
            highs,
            2 / (highs - lows),
            order=self.order,
            step_scale=1 / n,
            fingerprint=_fingerprint(self, lows, highs),
        )


@dataclass(frozen=True)
class FourierBasis(_Bounded):
    """cos(pi c . x) for all c in {0, ..., order} ** inputs, the inputs x scaled to [0, 1] (Konidaris et al. 2011).

    As there, the step size of a feature falls with the length of its c. A step size of alpha removes at most the part
    alpha of the error at an observation.

    Parameters
    ----------
    order : int
        Highest frequency of an input; (order + 1) ** inputs features.
    low, high : float or sequence of float, optional
        Bounds to which inputs are clipped; None, in all or for one input: that of the observation space.

    Examples
    --------
    >>> FourierBasis(order=3).bind([-1.2, -0.07], [0.6, 0.07]).n_features
    16
    """

    order: int = 3
    low: Bound = None
    high: Bound = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", _whole("order", self.order, 1, 1000))
        self._check_bounds(self.low, self.high)

    def bind(self, low: npt.ArrayLike, high: npt.ArrayLike) -> Features:
        """Return the features of observations of a Box space with these bounds, as the kernels use them."""
        lows, highs = self.bounds(low, high)
        n = _n_products(self.order, len(lows))
        # Scaling a feature by s scales what a step does to its weight's part of Q by s ** 2: s = 1 / sqrt(length of c).
        squares = sum(
            (np.arange(n) // (self.order + 1) ** j % (self.order + 1)) ** 2 for j in range(len(lows))
        )
        norm = np.maximum(squares, 1.0) ** -0.25
        return Features(
            n,
            lows,
            highs,
            1 / (highs - lows),
            norm=norm,
            order=self.order,
            step_scale=1 / math.fsum(norm**2),
            fingerprint=_fingerprint(self, lows, highs),
        )


FeatureMap = TileCoding | PolynomialBasis | FourierBasis

_KINDS: dict[str, type[Any]] = {
    "tile-coding": TileCoding,
    "polynomial-basis": PolynomialBasis,
    "fourier-basis": FourierBasis,
}


def _n_products(order: int, width: int) -> int:
    n: int = (order + 1) ** width
    if n > MOST_BASIS_FUNCTIONS:
        raise ConfigError(
            f"order {order} makes {n:,} features of {width} inputs; allowed: up to {MOST_BASIS_FUNCTIONS:,}. Take "
            f"{'a lower order, or ' if 2**width <= MOST_BASIS_FUNCTIONS else ''}TileCoding"
        )
    return n


def _fingerprint(features: FeatureMap, low: Inputs, high: Inputs, version: int = 1) -> str:
    """Return the SHA-256 of all that the values of the features depend on, of the *version* of their definition too."""
    text = json.dumps(
        [version, to_config(features), [x.hex() for x in low.tolist()], [x.hex() for x in high.tolist()]]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def to_config(features: FeatureMap) -> dict[str, Any]:
    """Return *features* as a JSON object; `from_config` reads it back."""
    kind = next(name for name, cls in _KINDS.items() if type(features) is cls)
    fields = dataclasses.asdict(features)
    return {"kind": kind, **{name: list(x) if isinstance(x, tuple) else x for name, x in fields.items()}}


def from_config(config: Mapping[str, Any]) -> FeatureMap:
    """Return the features that `to_config` described.

    Raises
    ------
    ConfigError
        If that is no description of features.
    """
    fields = dict(config)
    kind = fields.pop("kind", None)
    if kind not in _KINDS:
        raise ConfigError(unknown_name("features", kind, _KINDS))
    try:
        features: FeatureMap = _KINDS[kind](**fields)
    except TypeError as error:
        raise ConfigError(f"features {kind!r}: {error}") from None
    return features


def initial_weight(features: Features, value: float) -> float:
    """Return the weight of every feature with which every observation has the value *value*.

    Raises
    ------
    ConfigError
        If there is none: the functions of a basis add up to something else at every observation.
    """
    if value and not features.tiles:
        raise ConfigError(f"initial_value is {value}; allowed with a basis: 0")
    return value / features.n_active


def action_values(
    features: Features, weights: npt.NDArray[np.floating[Any]], observations: npt.ArrayLike
) -> Inputs:
    """Return Q of one observation, (n_actions,), or of a batch, (n, n_actions).

    Parameters
    ----------
    features : Features
        Features that `bind` returned.
    weights : (n_features, n_actions) array of float32 or float64
        Weights that were learnt.
    observations : (width,) or (n, width) array

    Raises
    ------
    ConfigError
        If an observation is not finite, or does not have *width* numbers.
    """
    given = np.asarray(observations, np.float64)
    rows = np.ascontiguousarray(np.atleast_2d(given))
    if rows.ndim != 2 or rows.shape[1] != features.width:
        raise ConfigError(f"the observation has the shape {given.shape}; allowed: {features.width} numbers")
    values = np.empty((len(rows), weights.shape[1]))
    wrong = features.action_values(Rows.of_values(np.ascontiguousarray(weights)), rows, values)
    if wrong >= 0:
        raise ConfigError(f"the observation {rows[wrong].tolist()} is not finite")
    return values if given.ndim == 2 else values[0]
