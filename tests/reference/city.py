"""Traffic signals and packet routing, and the loop over several agents, one vehicle, packet and lane at a time."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from tests.reference.qfunction import QFunction, mixed
from tests.reference.rng import Xoshiro

UNIFORMS = 2.0**-52
MASK = 2**64 - 1


class City:
    """Crossings with traffic lights; `reset` and `step` take four uniform numbers of each agent."""

    uniforms = 4

    def __init__(self, rows: int, columns: int, rates: tuple[float, float], reward: str = "local") -> None:
        self.rows, self.columns, self.rates, self.reward = rows, columns, rates, reward
        self.n = rows * columns

    def reset(self, uniform: Any) -> list[int]:
        self.waiting = [[0, 0, 0, 0] for _ in range(self.n)]
        self.green = [0] * self.n
        return self.observations()

    def observations(self) -> list[int]:
        def bin_of(count: int) -> int:
            return sum(count > bound for bound in (0, 2, 5, 10))

        return [
            green * 25 + bin_of(north + south) * 5 + bin_of(east + west)
            for green, (north, east, south, west) in zip(self.green, self.waiting, strict=True)
        ]

    def before(self, i: int, approach: int) -> int | None:
        """Return the crossing that vehicles of an approach come from; None: from outside."""
        row, column = divmod(i, self.columns)
        row, column = [(row - 1, column), (row, column + 1), (row + 1, column), (row, column - 1)][approach]
        inside = 0 <= row < self.rows and 0 <= column < self.columns
        return row * self.columns + column if inside else None

    def arrivals(self, uniform: float, rate: float) -> list[bool]:
        """Return at which of five ticks a vehicle comes: the sets of ticks are numbered by their bits."""
        passed = 0.0
        for pattern in range(32):
            n = bin(pattern).count("1")
            passed += float(np.float64(rate) ** n * np.float64(1.0 - rate) ** (5 - n))
            if uniform < passed or pattern == 31:
                return [bool(pattern >> tick & 1) for tick in range(5)]
        raise AssertionError

    def step(self, actions: list[int], uniform: Any) -> list[dict[str, Any]]:
        red = [2 if action != green else 0 for action, green in zip(actions, self.green, strict=True)]
        self.green = list(actions)
        coming = [
            [self.arrivals(float(uniform[i][k]), self.rates[k % 2]) for k in range(4)] for i in range(self.n)
        ]
        waited = [0] * self.n
        for tick in range(5):
            left = [[False] * 4 for _ in range(self.n)]
            for i in range(self.n):
                for k in range(4):
                    if tick >= red[i] and k % 2 == self.green[i] and self.waiting[i][k]:
                        self.waiting[i][k] -= 1
                        left[i][k] = True
            for i in range(self.n):
                for k in range(4):
                    before = self.before(i, k)
                    if before is not None:
                        self.waiting[i][k] += left[before][k]
                    elif self.waiting[i][k] < 40:
                        self.waiting[i][k] += coming[i][k][tick]
                waited[i] += sum(self.waiting[i])
        paid = [sum(waited)] * self.n if self.reward == "global" else waited
        return [
            {"reward": -one / 5, "index": index} for one, index in zip(paid, self.observations(), strict=True)
        ]


class Network:
    """A network that passes packets on; a lane. *neighbours* of each node; a step has one uniform number."""

    uniforms, n = 1, 1

    def __init__(self, neighbours: list[list[int]], load: float, ticks: int, packets: int) -> None:
        self.neighbours, self.load, self.ticks, self.packets = neighbours, load, ticks, packets
        self.n_nodes = len(neighbours)

    def draw(self) -> float:
        self.bits = mixed(self.bits + 0x9E3779B97F4A7C15 & MASK)
        return (self.bits >> 11) * 2.0**-53

    def reset(self, uniform: Any) -> list[int]:
        self.bits = int(uniform[0][0] * 2.0**52)
        self.queues: list[deque[list[int]]] = [deque() for _ in range(self.n_nodes)]
        self.flying: list[tuple[int, list[int]]] = []
        self.delivered = self.delay = self.lost = self.inside = 0
        self.tick, self.node = -1, self.n_nodes
        return [self.go_on()]

    def go_on(self) -> int:
        while self.node == self.n_nodes or not self.queues[self.node]:
            self.node += 1
            if self.node > self.n_nodes:
                self.next_tick()
        return self.node * self.n_nodes + self.queues[self.node][0][0]

    def next_tick(self) -> None:
        self.tick += 1
        for to, packet in self.flying:
            self.queues[to].append(packet)
        self.flying = []
        still = self.draw()
        while still > math.exp(-self.load):
            start = int(self.draw() * self.n_nodes)
            end = int(self.draw() * self.n_nodes)
            if start != end and self.inside == self.packets:
                self.lost += 1
            elif start != end:
                self.queues[start].append([end, self.tick, self.tick])
                self.inside += 1
            still *= self.draw()
        self.node = 0

    def step(self, actions: list[int], uniform: Any) -> list[dict[str, Any]]:
        self.bits = int(uniform[0][0] * 2.0**52)
        node, packet = self.node, self.queues[self.node].popleft()
        end, came, born = packet
        near = self.neighbours[node]
        to = near[actions[0]] if actions[0] < len(near) else node
        told: dict[str, Any] = {"reward": float(came - self.tick - 1)}
        if to == end:
            told["discount"] = 0.0
            self.delivered, self.delay, self.inside = (
                self.delivered + 1,
                self.delay + self.tick + 1 - born,
                self.inside - 1,
            )
        else:
            told["successor"] = to * self.n_nodes + end
            self.flying.append((to, [end, self.tick + 1, born]))
        self.node += 1
        told["index"] = self.go_on()
        told["truncated"] = self.tick >= self.ticks
        return [told]

    def mask(self, index: int, n_actions: int) -> list[int]:
        n = len(self.neighbours[index // self.n_nodes])
        return [1] * n + [0] * (n_actions - n)


class Learner:
    """Environments of agents that learn on one Q-function; *words* (4, lanes), *first* the first row of each agent."""

    def __init__(
        self, envs: list[Any], q: QFunction, gamma: float, words: Any, first: list[int], limit: int
    ) -> None:
        self.envs, self.q, self.gamma, self.limit = envs, q, gamma, limit
        self.agents = envs[0].n
        self.first = first * len(envs)
        self.streams = [Xoshiro(column) for column in words.T]
        self.elapsed, self.returns = [0] * len(self.streams), [0.0] * len(self.streams)
        self.index = [0] * len(self.streams)
        self.ended: list[tuple[int, float]] = []
        for number in range(len(envs)):
            self.begin(number)

    def uniform(self, number: int, count: int) -> list[list[float]]:
        lanes = range(number * self.agents, (number + 1) * self.agents)
        return [[(self.streams[i].next() >> 12) * UNIFORMS for _ in range(count)] for i in lanes]

    def begin(self, number: int) -> None:
        shown = self.envs[number].reset(self.uniform(number, 4))
        for agent, index in enumerate(shown):
            i = number * self.agents + agent
            self.index[i], self.elapsed[i], self.returns[i] = index, 0, 0.0

    def mask(self, i: int, index: int) -> Any:
        env = self.envs[i // self.agents]
        return env.mask(index, self.q.values.shape[1]) if hasattr(env, "mask") else None

    def run(self, law: Any, sweeps: int, explore: float) -> None:
        for _ in range(sweeps):
            self.sweep(law, int(explore * 2.0**63) >> 31)

    def sweep(self, law: Any, explore: int) -> None:
        actions = [
            self.q.choose(self.first[i] + index, explore, self.streams[i].next(), self.mask(i, index))
            for i, index in enumerate(self.index)
        ]
        told: list[dict[str, Any]] = []
        for number, env in enumerate(self.envs):
            lanes = slice(number * self.agents, (number + 1) * self.agents)
            told += env.step(actions[lanes], self.uniform(number, env.uniforms))
        steps = []
        for i, one in enumerate(told):
            successor = one.get("successor", one["index"])
            steps.append(
                (
                    self.first[i] + self.index[i],
                    actions[i],
                    one["reward"],
                    self.first[i] + successor,
                    False,
                    self.mask(i, successor),
                    one.get("discount", 1.0),
                )
            )
            self.index[i] = one["index"]
            self.elapsed[i] += 1
            self.returns[i] += one["reward"]
        self.q.learn(law, self.gamma, steps)
        for number in range(len(self.envs)):
            lanes = slice(number * self.agents, (number + 1) * self.agents)
            if self.elapsed[lanes][0] == self.limit or any(one.get("truncated") for one in told[lanes]):
                self.ended += zip(self.elapsed[lanes], self.returns[lanes], strict=True)
                self.begin(number)
