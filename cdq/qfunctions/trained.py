"""Training of a network between the rollouts of a loop, and the exchange of gradients for it."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.contracts import Floats, Loop
from cdq.core.table.rows import Law
from cdq.errors import LearningDiverged

_COUNTS, _LEAST, _GREATEST = slice(4), [4, 6], [5, 7]  # numbers of a tally (`cdq.workers.tallies`)
_EPISODES = 1


class TrainedQ(Protocol):
    """A Q-function that records what its loop learns, and is trained by minibatches of it."""

    @property
    def is_divergent(self) -> bool:
        """True if the values diverge."""

    def forget(self) -> None:
        """Drop what was recorded."""

    def targets(self) -> int:
        """End the rollout, and return the number of its samples."""

    def shuffle(self) -> None:
        """Put the samples in another order."""

    def minibatches(self) -> int:
        """Return the number of minibatches, the same on all workers."""

    def gradient(self, i: int, into: Any) -> None:
        """Write the gradient of a minibatch's mean loss."""

    def apply(self, gradients: list[Any], step_size: float) -> None:
        """Step along the mean of gradients, which are added in their order."""


class Trained:
    """A loop after each of whose rollouts its Q-function is trained.

    Parameters
    ----------
    loop : Loop
        The loop that steps the environments.
    q : TrainedQ
        The Q-function that it learns.
    size : int
        Number of parameters.
    network : cdq.Network
        The rollout's length, and the number of epochs.
    name : str
        Name of the environment, for messages.

    Attributes
    ----------
    comm : Communicator, optional
        Connection to the other workers, where they average the gradients of each minibatch.
    """

    def __init__(self, loop: Loop, q: TrainedQ, size: int, network: Any, name: str) -> None:
        self._loop, self._q, self._name = loop, q, name
        self._rollout, self._epochs = network.rollout, network.epochs
        self._gradient, self._before = np.zeros((2, size), np.float32)  # others may still read the one before
        self.comm: Communicator | None = None
        self.reset = loop.reset

    def run(
        self, law: Law, sweeps: int, explore_first: float, explore_last: float, parts: Floats | None = None
    ) -> tuple[bool, int, int, float]:
        """Learn for a window: rollouts, each followed by training; raises `LearningDiverged`."""
        self._q.forget()
        episodes, length_sum, return_sum = 0, 0, 0.0
        begins = range(0, sweeps, self._rollout)
        tallies = _tallies(parts, len(begins))
        slope = (explore_last - explore_first) / sweeps
        for begin, tally in zip(begins, tallies, strict=True):
            end = min(begin + self._rollout, sweeps)
            rates = explore_first + slope * begin, explore_first + slope * end
            completed, *ended = self._loop.run(law, end - begin, *rates, tally)
            if not completed and not self._q.is_divergent:
                return False, 0, 0, 0.0
            episodes, length_sum, return_sum = map(operator.add, (episodes, length_sum, return_sum), ended)
            self._train(float(law.arrays[0][0]))
        return True, episodes, length_sum, return_sum

    def _train(self, step_size: float) -> None:
        q = self._q
        if not q.is_divergent:
            q.targets()
            for _ in range(self._epochs):
                q.shuffle()
                for i in range(q.minibatches()):
                    self._gradient, self._before = self._before, self._gradient
                    q.gradient(i, self._gradient)
                    q.apply(self._gradients(), step_size)
        if q.is_divergent:
            raise LearningDiverged(
                f"the network learnt on {self._name} diverges; use a smaller step_size, a smaller reward_scale "
                "(such that a typical return, multiplied by it, is 1 to 10), or a smaller gamma"
            )

    def _gradients(self) -> list[npt.NDArray[np.float32]]:
        """Return the gradients of all workers, in rank order; those of threads are read where they are."""
        if self.comm is None:
            return [self._gradient]
        return [np.frombuffer(part, np.float32) for part in self.comm.allgather_shared(self._gradient)]


def _tallies(parts: Floats | None, rollouts: int) -> Iterator[Floats | None]:
    """Yield for each of so many rollouts the tallies that it fills; those of several are added where parts are few."""
    if parts is None:
        yield from [None] * rollouts
        return
    for number in range(rollouts):
        first, end = number * len(parts) // rollouts, (number + 1) * len(parts) // rollouts
        if len(parts) >= rollouts:
            yield parts[first:end]
            continue
        own = np.zeros((1, parts.shape[1]))
        yield own
        _add(parts[first], own[0])


def _add(tally: Floats, further: Floats) -> None:
    """Add the figures of further episodes to a tally."""
    if further[_EPISODES]:
        began = tally[_EPISODES] > 0
        least, greatest = further[_LEAST], further[_GREATEST]
        tally[_LEAST] = np.minimum(tally[_LEAST], least) if began else least
        tally[_GREATEST] = np.maximum(tally[_GREATEST], greatest) if began else greatest
    tally[_COUNTS] += further[_COUNTS]
