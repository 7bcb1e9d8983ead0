"""Observations cut into bins: Gymnasium's wrapper, with edges and checks that hold for ranges of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cdq.core.envs import encode
from cdq.errors import UnsupportedEnvironment

if TYPE_CHECKING:
    import gymnasium

    from cdq.envs.spaces import Encoder

Numbers = npt.NDArray[np.float64]


def discretized(env: Any, bins: int | tuple[int, ...] | None) -> gymnasium.Env[Any, Any]:
    """Return *env*, or it in Gymnasium's wrapper that cuts each number of its observations into *bins*.

    Raises
    ------
    UnsupportedEnvironment
        If the observations are whole numbers, or a Box without finite bounds, or *bins* does not fit it.

    Notes
    -----
    Tuples and dictionaries that hold a Box are left as they are: a single tiling cuts their vectors.
    """
    from gymnasium.wrappers import DiscretizeObservation

    if bins is None or _is_mixed(env.observation_space):
        return env  # type: ignore[no-any-return]
    check_bins(env.observation_space, bins)
    with np.errstate(all="ignore"):
        wrapped = DiscretizeObservation(env, bins, multidiscrete=True)
    low, high = (np.ravel(bound).astype(np.float64) for bound in (wrapped.low, wrapped.high))
    edges = [
        _edges(*bounds) for bounds in zip(low.tolist(), high.tolist(), wrapped.bins.tolist(), strict=True)
    ]
    space = env.observation_space
    vectors = encode.Encoding(
        encode.Array(len(edges)), None, None, hashed=False, name=" ".join(str(space).split())
    )
    # Its own rounds edges to the space's type, and cuts off 1e-8, which may be more than the range.
    wrapped.observation = partial(_bins_of, vectors, edges, low, high)  # type: ignore[method-assign]
    return wrapped


def check_bins(space: Any, bins: int | Sequence[int]) -> None:
    """Raise `UnsupportedEnvironment` if observations in *space* cannot be cut into *bins*."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Box):
        raise UnsupportedEnvironment(_not_cut(space, bins))
    width = int(np.prod(space.shape))
    if isinstance(bins, Sequence) and len(bins) != width:
        raise UnsupportedEnvironment(
            f"bins={bins} does not fit the observations: expected {width}, got {len(bins)} numbers"
        )
    wrong = np.flatnonzero(~(np.isfinite(space.low) & np.isfinite(space.high)))
    if wrong.size:
        low, high = space.low.ravel()[wrong[0]], space.high.ravel()[wrong[0]]
        raise UnsupportedEnvironment(
            f"bins={bins} does not fit the observations: input {wrong[0]} has the bounds {low} and {high}, no "
            "finite ones. Give features=cdq.TileCoding(1, BINS, low=..., high=...), "
            "or --features tiles, which cuts between bounds of your "
            "own, or bound the observations by gymnasium.wrappers.TransformObservation"
        )


def _is_mixed(space: Any) -> bool:
    """Return whether observations are composed, and some of their numbers are no whole ones."""
    from gymnasium import spaces

    if isinstance(space, (spaces.Tuple, spaces.Dict)):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return any(_is_mixed(part) or _is_real(part) for part in parts)
    return False


def _is_real(space: Any) -> bool:
    return space.dtype is not None and space.dtype.kind == "f"


def refuse_bins(encoder: Encoder, bins: Any) -> None:
    """Raise `UnsupportedEnvironment` if *bins* are given where observations have a number each."""
    if bins is not None and encoder.countable:
        raise UnsupportedEnvironment(_not_cut(encoder.space, bins))


def _not_cut(space: Any, bins: Any) -> str:
    return (
        f"bins={bins} does not fit the observations in {' '.join(str(space).split())}: only those in a Box of numbers "
        "are cut. Leave out bins: a table has a row for each observation; or give features=cdq.TileCoding(...), "
        "or --features tiles"
    )


def _edges(low: float, high: float, bins: int) -> Numbers:
    """Return the edges between the bins of an input."""
    half = 0.5 if math.isinf(high - low) else 1.0  # a range beyond float64
    edges: Numbers = np.linspace(low * half, high * half, bins + 1)[1:-1] / half
    return edges


def _bins_of(
    vectors: encode.Encoding, edges: list[Numbers], low: Numbers, high: Numbers, observation: Any
) -> npt.NDArray[np.int64]:
    """Return the bin of each number of an observation; numbers out of bounds are in the first or last one."""
    vector = vectors.of(observation)
    if not np.isfinite(vector).all():
        raise ValueError(f"the observation {vector.tolist()} has a number that is not finite")
    alone = np.flatnonzero((low == high) & (vector != low))
    if alone.size:
        raise ValueError(
            f"input {alone[0]} of the observation is {vector[alone[0]]!r}; both of its bounds are {low[alone[0]]!r}. "
            "Give the space dtype=np.float64, and bounds that differ"
        )
    return np.array(
        [edge.searchsorted(number, "right") for edge, number in zip(edges, vector, strict=True)], np.int64
    )
