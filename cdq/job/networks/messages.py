"""Layouts of contributions and results of jobs that train a network, and the checks before anything is believed.

Everything is little-endian and of a size that follows from the network and the lanes. A *contribution* is the part
that `NetworkContribution.cut` makes for one rank, the checksum of the network that it was learnt from, and the worker's
lanes after the window. A *result* is the next window and, after a round, the count of steps and the means.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.comm.contribution import Received
from cdq.core.lanes import Lanes
from cdq.job.messages import CHECKSUM, OpenWindow, check_summary, open_window, pack_window
from cdq.qfunctions import MergedNetwork, Parameters
from cdq.workers import LARGEST_SUMMARY, NETWORK_HEAD, Summary

_COUNT = struct.Struct("<q")


@dataclass(frozen=True)
class NetworkShape:
    """Sizes from which those of messages follow: of the network, the lanes, and the training of a worker."""

    n_parameters: int
    num_envs: int
    lanes: int
    rollout: int
    epochs: int
    minibatch: int

    @property
    def numbers(self) -> int:
        """Bytes of parameters and moments."""
        return 12 * self.n_parameters

    @property
    def largest(self) -> int:
        """Bytes of the largest contribution."""
        return NETWORK_HEAD.size + LARGEST_SUMMARY + self.numbers + CHECKSUM.size + self.lanes

    def steps(self, sweeps: int) -> int:
        """Return the number of steps of gradient descent in a window.

        Examples
        --------
        >>> NetworkShape(10, 16, 0, rollout=32, epochs=4, minibatch=64).steps(48)
        48
        """
        rollouts = [min(self.rollout, sweeps - begin) for begin in range(0, sweeps, self.rollout)]
        return self.epochs * sum(max(1, made * self.num_envs // self.minibatch) for made in rollouts)


class Brought(NamedTuple):
    """Contribution of a worker, taken apart; views of the message."""

    payload: Any
    lanes: memoryview
    checksum: int
    summary: Summary
    made: int
    numbers: npt.NDArray[np.float32]


def pack_contribution(part: bytes, checksum: int, lanes: bytes) -> bytes:
    """Return a contribution: head, summary and numbers (`NetworkContribution.cut`), and what follows them."""
    return b"".join((part, CHECKSUM.pack(checksum), lanes))


def open_contribution(payload: Any, shape: NetworkShape) -> Brought:
    """Take a contribution apart; `ValueError` if its size is wrong."""
    data = memoryview(payload)
    if len(data) < NETWORK_HEAD.size:
        raise ValueError(f"a contribution of {len(data)} bytes is too short")
    count, _ = NETWORK_HEAD.unpack_from(data)
    summary = Summary.unpack(data, NETWORK_HEAD.size)
    at = NETWORK_HEAD.size + summary.nbytes
    end = at + shape.numbers
    if len(data) != end + CHECKSUM.size + shape.lanes:
        raise ValueError(f"a contribution of {len(data)} bytes does not have the size of its network")
    numbers = np.frombuffer(data, np.float32, 3 * shape.n_parameters, at)
    (checksum,) = CHECKSUM.unpack_from(data, end)
    return Brought(payload, data[end + CHECKSUM.size :], checksum, summary, count, numbers)


def check_contribution(
    brought: Brought, shape: NetworkShape, count: int, sweeps: int, own_bytes: int
) -> None:
    """Raise `ValueError` unless a worker that began at *count* steps may have brought this of a window."""
    if brought.made != count + shape.steps(sweeps):
        raise ValueError(
            f"a contribution has made {brought.made} steps, not the {count + shape.steps(sweeps)} of its window"
        )
    if not np.isfinite(brought.numbers).all() or (brought.numbers[2 * shape.n_parameters :] < 0).any():
        raise ValueError("a contribution has parameters that are not finite, or moments that cannot be")
    check_summary(brought.summary, sweeps * shape.num_envs)
    check_lanes(brought.lanes, shape, own_bytes)


def check_lanes(data: Any, shape: NetworkShape, own_bytes: int) -> None:
    """Raise `ValueError` unless these bytes are lanes that a loop may go on from."""
    if len(data) != shape.lanes:
        raise ValueError(f"lanes of {len(data)} bytes are not those of {shape.num_envs} environments")
    lanes = Lanes(shape.num_envs, own_bytes)
    lanes.memory[:] = np.frombuffer(data, np.uint8)
    if not lanes.words.any(axis=0).all() or lanes.elapsed.min() < 0 or not np.isfinite(lanes.returns).all():
        raise ValueError("lanes have dead streams, or episodes that cannot be")


def pack_merged(count: int, numbers: npt.NDArray[np.float32]) -> bytes:
    """Return what a round has come to: the count of steps, parameters and moments."""
    return _COUNT.pack(count) + numbers.tobytes()


def take_merged(own: Parameters, merged: Any) -> None:
    """Let parameters become those of a round; `ValueError` if they are not of such a network."""
    size = len(own.values)
    if len(merged) != _COUNT.size + 12 * size:
        raise ValueError(f"a result of {len(merged)} bytes is none of a network of {size} parameters")
    own.count[0] = _COUNT.unpack_from(merged)[0]
    numbers = np.frombuffer(merged, np.float32, offset=_COUNT.size).reshape(3, size)
    own.values[:], own.first[:], own.second[:] = numbers


def result_parts(window: OpenWindow, merged: Received) -> tuple[Received, ...]:
    """Return the parts of a result."""
    return pack_window(window), merged


def open_result(payload: Any) -> tuple[OpenWindow, memoryview]:
    """Return the next window and what the round has come to; `ValueError` if it is none."""
    return open_window(payload)


def tensors_of(merged: MergedNetwork, lanes: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of a worker's start."""
    return {**merged.tensors(), "lanes": np.frombuffer(lanes, np.uint8)}
