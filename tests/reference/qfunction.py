"""Q-functions one lane at a time: a table or a linear function, features by their definition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.reference.rng import below, halves


def cells(
    observation: Any, low: Any, high: Any, tiles: Sequence[int], tilings: int
) -> list[tuple[int, tuple[int, ...]]]:
    """Return the active tiles: of each tiling its number and the tile's coordinates."""
    inputs = np.clip(np.asarray(observation, float), low, high)
    scaled = (inputs - low) * (np.asarray(tiles, float) / (np.asarray(high) - low))
    if tilings == 1:
        return [(0, tuple(min(math.floor(x), n - 1) for x, n in zip(scaled, tiles, strict=True)))]
    return [
        (t, tuple(math.floor(x + t * (2 * j + 1) % tilings / tilings) for j, x in enumerate(scaled)))
        for t in range(tilings)
    ]


def cell_number(t: int, coordinates: Sequence[int], tiles: Sequence[int], tilings: int) -> int:
    """Number the cells: the first input fastest, then the others, then the tiling; in 64 bits."""
    number, stride = 0, 1
    for coordinate, n in zip(coordinates, tiles, strict=True):
        number += coordinate * stride
        stride *= n + (tilings > 1)
    return (number + t * stride) % 2**64


def mixed(x: int) -> int:
    """Return the 64-bit finaliser of splitmix64."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def polynomials(observation: Any, low: Any, high: Any, order: int) -> list[float]:
    """Return all products of powers of the inputs, scaled to [-1, 1], the first input's power fastest."""
    x = 2 * (np.clip(observation, low, high) - low) / (np.asarray(high) - low) - 1
    powers = itertools.product(range(order + 1), repeat=len(x))
    return [math.prod(float(v) ** k for v, k in zip(x[::-1], c, strict=True)) for c in powers]


def cosines(observation: Any, low: Any, high: Any, order: int) -> list[float]:
    """Return cos(pi c . x) / sqrt(length of c) for all c, the first input's frequency fastest."""
    x = (np.clip(observation, low, high) - low) / (np.asarray(high) - low)
    frequencies = [np.array(c[::-1]) for c in itertools.product(range(order + 1), repeat=len(x))]
    return [math.cos(math.pi * float(c @ x)) / math.sqrt(np.linalg.norm(c) or 1) for c in frequencies]


class QFunction:
    """Weights (n_rows, n_actions), counts and the log of a window.

    *phi* gives an observation's features as pairs of a row and a number. A table is the case of one feature, 1.
    """

    def __init__(self, values: Any, clock: Any, phi: Callable[[Any], list[tuple[int, Any]]]) -> None:
        self.values, self.phi, self.real = values, phi, values.dtype.type
        self.counts = np.array(clock, np.int64)
        self.log: list[int] = []
        self._touched: set[int] = set()

    def of(self, observation: Any) -> Any:
        """Return Q(s, .), summed one feature after another."""
        total = np.zeros(self.values.shape[1], self.values.dtype)
        for row, x in self.phi(observation):
            total += self.values[row] * self.real(x)
        return total

    def choose(self, observation: Any, threshold: int, word: int, mask: Any = None) -> int:
        """Return an epsilon-greedy action; n_actions where none is allowed."""
        q, (coin, bits) = self.of(observation), halves(int(word))
        allowed = np.flatnonzero(np.ones(len(q)) if mask is None else mask)
        if not len(allowed):
            return len(q)
        best = allowed if coin < threshold else allowed[q[allowed] == q[allowed].max()]
        return int(best[below(bits, len(best))])

    def greedy(self, observation: Any, mask: Any = None) -> int:
        """Return the greedy action of lowest index."""
        q = self.of(observation)
        allowed = np.flatnonzero(np.ones(len(q)) if mask is None else mask)
        return int(allowed[q[allowed].argmax()]) if len(allowed) else len(q)

    def learn(self, law: Any, gamma: float, transitions: Sequence[Any]) -> None:
        """Learn from (observation, action, reward, successor, terminated, mask) of every lane; None is skipped.

        A discount may follow, by which gamma is multiplied.
        """
        targets = [step and self._target(gamma, *step[2:]) for step in transitions]
        for step, target in zip(transitions, targets, strict=True):
            if step is not None:
                self._update(law, step[0], int(step[1]), target)

    def _target(
        self, gamma: float, reward: float, successor: Any, terminated: bool, mask: Any, discount: float = 1.0
    ) -> Any:
        if terminated:
            return self.real(reward)
        q = self.of(successor)
        allowed = q if mask is None else q[np.flatnonzero(mask)]
        return self.real(reward) + self.real(gamma * discount) * (
            allowed.max() if len(allowed) else self.real(0)
        )

    def _update(self, law: Any, observation: Any, action: int, target: Any) -> None:
        difference = target - self.of(observation)[action]
        for row, x in self.phi(observation):
            pair = row * self.values.shape[1] + action
            if pair not in self._touched:
                self.log.append(pair)
                self._touched.add(pair)
            self.counts[row, action] += 1
            alpha = law.of(int(self.counts[row, action]))
            self.values[row, action] += self._step_size(alpha, difference) * (difference * self.real(x))

    def _step_size(self, alpha: Any, difference: Any) -> Any:
        return alpha
