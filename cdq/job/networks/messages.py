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

from cdq.job.messages import CHECKSUM, check_lanes, check_summary
from cdq.qfunctions import Parameters
from cdq.workers import LARGEST_SUMMARY, NETWORK_HEAD, Summary

_STEPS = struct.Struct("<q")


@dataclass(frozen=True)
class NetworkShape:
    """Sizes from which those of messages follow: of the network, the lanes, and the training of a worker.

    Attributes
    ----------
    n_parameters : int
        Number of parameters.
    num_envs, lanes : int
        Lanes of a worker, and their bytes.
    rollout, epochs, minibatch : int
        Steps of every lane between two trainings, epochs of each, and samples of a worker in a minibatch.
    own_bytes : int
        Bytes of each lane's environment.
    """

    n_parameters: int
    num_envs: int
    lanes: int
    rollout: int
    epochs: int
    minibatch: int
    own_bytes: int = 0
    n_states = 1  # of lanes, which have none
    real = np.dtype(np.float32)
    keeps_own = False

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


class BroughtNetwork(NamedTuple):
    """Contribution of a worker, taken apart; views of the message."""

    payload: Any
    lanes: memoryview
    checksum: int
    summary: Summary
    made: int
    numbers: npt.NDArray[np.float32]
    own: None = None


def pack_contribution(part: bytes, checksum: int, lanes: bytes) -> bytes:
    """Return a contribution: head, summary and numbers (`NetworkContribution.cut`), and what follows them."""
    return b"".join((part, CHECKSUM.pack(checksum), lanes))


def open_contribution(payload: Any, shape: NetworkShape) -> BroughtNetwork:
    """Take a contribution apart; `ValueError` if its size is wrong."""
    data = memoryview(payload)
    if len(data) < NETWORK_HEAD.size:
        raise ValueError(f"a contribution of {len(data)} bytes is too short")
    made, _ = NETWORK_HEAD.unpack_from(data)
    summary = Summary.unpack(data, NETWORK_HEAD.size)
    at = NETWORK_HEAD.size + summary.nbytes
    end = at + shape.numbers
    if len(data) != end + CHECKSUM.size + shape.lanes:
        raise ValueError(f"a contribution of {len(data)} bytes does not have the size of its network")
    numbers = np.frombuffer(data, np.float32, 3 * shape.n_parameters, at)
    (checksum,) = CHECKSUM.unpack_from(data, end)
    return BroughtNetwork(payload, data[end + CHECKSUM.size :], checksum, summary, made, numbers)


def check_contribution(brought: BroughtNetwork, shape: NetworkShape, made: int, sweeps: int) -> None:
    """Raise `ValueError` unless a worker that began after *made* steps may have brought this of a window."""
    if brought.made != made + shape.steps(sweeps):
        raise ValueError(
            f"a contribution has made {brought.made} steps, not the {made + shape.steps(sweeps)} of its window"
        )
    if not np.isfinite(brought.numbers).all() or (brought.numbers[2 * shape.n_parameters :] < 0).any():
        raise ValueError("a contribution has parameters that are not finite, or moments that cannot be")
    check_summary(brought.summary, sweeps * shape.num_envs)
    check_lanes(brought.lanes, shape)


def pack_merged(made: int, numbers: npt.NDArray[np.float32]) -> bytes:
    """Return what a round has come to: the count of steps, parameters and moments."""
    return _STEPS.pack(made) + numbers.tobytes()


def take_merged(own: Parameters, merged: Any) -> None:
    """Let parameters become those of a round; `ValueError` if they are not of such a network."""
    size = len(own.values)
    if len(merged) != _STEPS.size + 12 * size:
        raise ValueError(f"a result of {len(merged)} bytes is none of a network of {size} parameters")
    own.count[0] = _STEPS.unpack_from(merged)[0]
    own.values[:], own.first[:], own.second[:] = np.frombuffer(
        merged, np.float32, offset=_STEPS.size
    ).reshape(3, size)
