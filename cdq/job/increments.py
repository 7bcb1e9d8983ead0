"""Asynchronous contributions: how much of the hub's value each visit left, and what was added to it.

While a worker learnt, others went on. Had it begun at the hub's value Q instead of its own base Q0, it would have come
to keep * Q + gain, as far as the law is concerned: keep is the weight that its visits leave to what was before, gain is
its value less keep * Q0. So a parameter server adds up what workers bring without losing what came in between.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.job.messages import Shape, check_lanes, check_summary
from cdq.workers import LARGEST_SUMMARY, Summary

_HEAD = struct.Struct("<qd")  # pairs, pooled mass of the worker's own visits
# 1 / i!
_TAYLOR = [1.0]
for _i in range(1, 16):
    _TAYLOR.append(_TAYLOR[-1] / _i)


class Increment(NamedTuple):
    """A worker's window, for whatever table.

    Attributes
    ----------
    summary : Summary
        Summary of the episodes that ended in the window.
    mass : float
        Visit-weighted mean over the pairs of the mass that its visits had.
    gain, keep : arrays of the table's type
        Parts of each touched pair: the new value is keep times the hub's value, plus gain.
    visits, pairs : arrays of uint32
        Number of visits of each touched pair, and the pairs' numbers, ascending.
    lanes : memoryview
        State of the lanes after the window, as bytes.
    """

    summary: Summary
    mass: float
    gain: npt.NDArray[Any]
    keep: npt.NDArray[Any]
    visits: npt.NDArray[np.uint32]
    pairs: npt.NDArray[np.uint32]
    lanes: Any

    def pack(self) -> bytes:
        """Return it as bytes, which `open_increment` takes apart."""
        head = self.summary.pack() + _HEAD.pack(len(self.pairs), self.mass)
        arrays = [part.tobytes() for part in (self.gain, self.keep, self.visits, self.pairs)]
        return b"".join((head, *arrays, self.lanes))

    def applied_to(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the values of its pairs in a flat table, with this applied."""
        new: npt.NDArray[Any] = self.keep * values[self.pairs] + self.gain
        return new


def largest(shape: Shape) -> int:
    """Return the bytes of the largest increment."""
    return LARGEST_SUMMARY + _HEAD.size + shape.n_pairs * (2 * shape.real.itemsize + 8) + shape.lanes


def open_increment(payload: Any, shape: Shape) -> Increment:
    """Take an increment apart; `ValueError` if its sizes, or its pairs, are wrong."""
    data, summary = memoryview(payload), Summary.unpack(payload)
    at = summary.nbytes + _HEAD.size
    if len(data) < at + shape.lanes:
        raise ValueError(f"an increment of {len(data)} bytes is too short")
    count, mass = _HEAD.unpack_from(data, summary.nbytes)
    real = shape.real.itemsize
    if not 0 <= count <= shape.n_pairs or len(data) != at + count * (2 * real + 8) + shape.lanes:
        raise ValueError(f"an increment of {count} pairs does not have {len(data)} bytes")
    parts = []
    for kind in (shape.real, shape.real, np.dtype(np.uint32), np.dtype(np.uint32)):
        parts.append(np.frombuffer(data, kind, count, at))
        at += count * kind.itemsize
    pairs = parts[3]
    if count and (pairs[-1] >= shape.n_pairs or (pairs[1:] <= pairs[:-1]).any()):
        raise ValueError("an increment names pairs that there are not, or out of order")
    return Increment(summary, mass, parts[0], parts[1], parts[2], pairs, data[at:])


def check_increment(brought: Increment, shape: Shape, values: npt.NDArray[Any], sweeps: int) -> None:
    """Raise `ValueError` unless a worker that learnt *sweeps* steps of each lane may have brought this."""
    visits, steps = int(brought.visits.sum(dtype=np.int64)), sweeps * shape.num_envs
    fits = visits == steps * shape.updates if shape.updates else visits <= steps * shape.n_pairs
    if not brought.visits.all() or not fits:
        raise ValueError(f"an increment has {visits} visits, not the {steps} of its window")
    if not (brought.keep >= 0).all() or not (brought.keep <= 1).all() or not 0 <= brought.mass < 1e6:
        raise ValueError("an increment keeps what cannot be")
    with np.errstate(all="ignore"):
        fits = np.isfinite(brought.applied_to(values)).all()
    if not fits:
        raise ValueError("an increment leads to values that are not finite")
    check_summary(brought.summary, steps)
    check_lanes(brought.lanes, shape)


def weights(log_keep: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the exponential of numbers up to 0, by multiplications and additions alone: the same everywhere.

    Examples
    --------
    >>> weights(np.array([0.0, -1.0])).round(12)
    array([1.        , 0.36787944])
    """
    y = np.maximum(log_keep, -45.0) / 64.0
    result = np.full_like(y, _TAYLOR[-1])
    for coefficient in reversed(_TAYLOR[:-1]):
        result = result * y + coefficient
    for _ in range(6):
        result = result * result
    return result


def own_mass(log_keep: npt.NDArray[np.float64], visits: npt.NDArray[np.uint32]) -> float:
    """Return the visit-weighted mean of the mass that visits had; in integers, so that no order matters."""
    scaled = (np.minimum(-log_keep, 45.0) * 2**20).astype(np.int64)
    return int((scaled * visits).sum()) / 2**20 / max(1, int(visits.sum(dtype=np.int64)))
