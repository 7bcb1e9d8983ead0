"""A window of Q-learning over lanes, and episodes of a fixed policy, one scalar at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cdq.mdp.model import MDP
from tests.reference.rng import Xoshiro, below, halves
from tests.reference.schedules import Law

FEW = 8  # up to as many outcomes of every pair are drawn by cumulative thresholds
_NEVER = 2**32 - 1


def threshold(probability: float) -> int:
    """Return a probability in units of 2^-32."""
    return int(min(probability * 2**32 + 0.5, _NEVER))


def alias_table(probabilities: Sequence[float]) -> list[tuple[int, int]]:
    """Return (threshold, alias) of every entry (Vose, "A linear algorithm for generating random numbers")."""
    n = len(probabilities)
    scaled = [float(p) * n for p in probabilities]
    small = [i for i in range(n) if scaled[i] < 1]
    large = [i for i in range(n) if not scaled[i] < 1]
    table = [(_NEVER, i) for i in range(n)]
    while small and large:
        poor, rich = small.pop(), large[-1]
        table[poor] = threshold(scaled[poor]), rich
        scaled[rich] -= 1 - scaled[poor]
        if scaled[rich] < 1:
            small.append(large.pop())
    return table


def draw_alias(table: Sequence[tuple[int, int]], word: int) -> int:
    """Return an entry: the one that the high bits name, or its alias if the low bits reach its threshold."""
    high, low = halves(word)
    entry = below(high, len(table))
    limit, alias = table[entry]
    return entry if low < limit else alias


class Sampler:
    """The model as it is sampled; rewards of *dtype*."""

    def __init__(self, model: MDP, dtype: Any) -> None:
        self.model, self.real = model, np.dtype(dtype).type
        self.starts = np.flatnonzero(model.start)
        self.start_table = alias_table(model.start[self.starts])
        self.few = model.max_outcomes <= FEW
        self._draws: dict[int, Any] = {}

    def start(self, word: int) -> int:
        return int(self.starts[draw_alias(self.start_table, word)])

    def outcome(self, state: int, action: int, word: int) -> tuple[int, Any, bool]:
        """Return the successor, the reward and whether the episode terminated."""
        pair = state * self.model.n_actions + action
        first, last = self.model.offsets[pair], self.model.offsets[pair + 1]
        if pair not in self._draws:
            self._draws[pair] = self._prepare(self.model.probability[first:last])
        chosen = first + self._draw(self._draws[pair], word)
        terminated = bool(self.model.terminated[chosen])
        return int(self.model.next_state[chosen]), self.real(self.model.reward[chosen]), terminated

    def _prepare(self, probabilities: Any) -> Any:
        if not self.few:
            return alias_table(probabilities)
        cumulative, limits = 0.0, []
        for probability in probabilities[:-1]:
            cumulative += float(probability)
            limits.append(threshold(cumulative))
        return limits

    def _draw(self, prepared: Any, word: int) -> int:
        if not self.few:
            return draw_alias(prepared, word)
        return sum(halves(word)[0] >= limit for limit in prepared)


@dataclass
class Lane:
    stream: Xoshiro
    state: int = 0
    elapsed: int = 0
    episode_return: float = 0.0


@dataclass
class Window:
    """What a window brought."""

    log: list[int] = field(default_factory=list)
    episodes: int = 0
    length_sum: int = 0
    return_sum: float = 0.0
    targets: list[tuple[int, Any]] = field(default_factory=list)  # (pair, target) of every step, in order


class Learner:
    """A table and its lanes; *words* (4, lanes) are the states of the lanes' streams."""

    def __init__(self, model: MDP, gamma: float, dtype: Any, words: Any, initial_value: float = 0.0) -> None:
        self.model, self.sampler, self.real = model, Sampler(model, dtype), np.dtype(dtype).type
        self.gamma = self.real(gamma)
        shape = (model.n_states, model.n_actions)
        self.values = np.full(shape, initial_value, dtype)
        self.base = self.values.copy()
        self.visits = np.zeros(shape, np.uint32)
        self.clock = np.zeros(shape, np.uint32)
        self.lanes = [Lane(Xoshiro(column)) for column in words.T]
        for lane in self.lanes:
            lane.state = self.sampler.start(lane.stream.next())

    def run(self, law: Law, sweeps: int, explore_first: float, explore_last: float) -> Window:
        """Learn for *sweeps* steps of every lane; exploration moves in a line, in units of 2^-63."""
        window = Window()
        first = int(explore_first * 2.0**63)
        change = int((explore_last - explore_first) * 2.0**63 / max(sweeps, 1))
        for t in range(sweeps):
            self._sweep(law, window, (first + t * change) >> 31)
        return window

    def _sweep(self, law: Law, window: Window, explore: int) -> None:
        table = self.values.copy()  # everybody acts on the table of the sweep's start
        steps = [self._step(table, lane, explore) for lane in self.lanes]
        for lane, (choice, target, outcome) in zip(self.lanes, steps, strict=True):
            self._update(law, window, *choice, target)
            self._advance(lane, window, *outcome)

    def _step(self, table: Any, lane: Lane, explore: int) -> tuple[Any, Any, Any]:
        coin, bits = halves(lane.stream.next())
        word = lane.stream.next()
        allowed = self._allowed(lane.state)
        values = table[lane.state][allowed]
        candidates = allowed if coin < explore else allowed[values == values.max()]
        action = int(candidates[below(bits, len(candidates))])
        successor, reward, terminated = self.sampler.outcome(lane.state, action, word)
        target = (
            reward if terminated else reward + self.gamma * table[successor][self._allowed(successor)].max()
        )
        return (lane.state, action), target, (reward, successor, terminated)

    def _allowed(self, state: int) -> Any:
        """Return the actions that a state has."""
        every = np.ones((self.model.n_states, self.model.n_actions), bool)
        return np.flatnonzero((every if self.model.actions is None else self.model.actions)[state])

    def _update(self, law: Law, window: Window, state: int, action: int, target: Any) -> None:
        pair = state * self.model.n_actions + action
        if self.visits[state, action] == 0:
            window.log.append(pair)
        self.visits[state, action] += 1
        alpha = law.of(int(self.clock[state, action]) + int(self.visits[state, action]))
        self.values[state, action] += alpha * (target - self.values[state, action])
        window.targets.append((pair, target))

    def _advance(self, lane: Lane, window: Window, reward: Any, successor: int, terminated: bool) -> None:
        lane.state = successor
        lane.elapsed += 1
        lane.episode_return += float(reward)
        if terminated or lane.elapsed == self.model.time_limit:
            window.episodes += 1
            window.length_sum += lane.elapsed
            window.return_sum += lane.episode_return
            lane.state = self.sampler.start(lane.stream.next())
            lane.elapsed, lane.episode_return = 0, 0.0

    def commit(self) -> None:
        """Begin the next window of a worker without peers."""
        self.base[:] = self.values
        self.clock += self.visits
        self.visits[:] = 0


def follow(model: MDP, dtype: Any, policy: Any, words: Any, longest: int, episodes: int) -> tuple[Any, Any]:
    """Return the returns and lengths of episodes of *policy*; stream i serves episodes i, i + streams, ..."""
    sampler = Sampler(model, dtype)
    streams = [Xoshiro(column) for column in words.T]
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    for episode in range(episodes):
        stream = streams[episode % len(streams)]
        state, terminated = sampler.start(stream.next()), False
        while not terminated and lengths[episode] < longest:
            state, reward, terminated = sampler.outcome(state, int(policy[state]), stream.next())
            returns[episode] += float(reward)
            lengths[episode] += 1
    return returns, lengths
