"""The loop over compiled environments, one lane at a time; only the environments' own functions are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cdq.core.envs.envs import call
from cdq.core.loops.stepping import LANE_BYTES
from cdq.envs import lane_dtype
from tests.reference.qfunction import QFunction
from tests.reference.rng import Xoshiro


@dataclass
class Lane:
    """A lane: its stream, its struct, and its episode."""

    stream: Xoshiro
    memory: Any
    elapsed: int = 0
    episode_return: float = 0.0  # in games that of the first seat

    @property
    def struct(self) -> Any:
        return self.memory.view(lane_dtype())[0]

    def draw(self, count: int) -> None:
        for k in range(count):
            self.struct["uniform"][k] = (self.stream.next() >> 12) * 2.0**-52


class Learner:
    """Lanes of *env*, a `CompiledEnv`, that learn on one Q-function; *words* (4, lanes) are their streams."""

    def __init__(self, env: Any, q: QFunction, gamma: float, words: Any, time_limit: int | None) -> None:
        self.env, self.q, self.gamma, self.time_limit = env, q, gamma, time_limit
        self.lanes = [Lane(Xoshiro(column), np.zeros(LANE_BYTES, np.uint8)) for column in words.T]
        self.ended: list[tuple[int, float]] = []

    def reset(self) -> None:
        for lane in self.lanes:
            self._begin(lane)

    def _begin(self, lane: Lane) -> None:
        lane.draw(4)
        self._call(lane, self.env.functions[1])
        lane.elapsed, lane.episode_return, lane.struct["seat"] = 0, 0.0, 0

    def _call(self, lane: Lane, function: int) -> None:
        lane.struct["terminated"] = lane.struct["truncated"] = 0
        lane.struct["discount"], lane.struct["successor"], lane.struct["allowed"] = 1.0, -1, 2**64 - 1
        call(function, lane.memory, self.env.context)
        if self.env.functions[2]:
            call(self.env.functions[2], lane.memory, self.env.context)
        lane.struct["context"] = 0

    def mask(self, lane: Lane) -> Any:
        """Return whether each action is allowed; None where states have every action."""
        bits = int(lane.struct["allowed"])
        return [bits >> action & 1 for action in range(self.env.n_actions)] if self.env.masked else None

    def observe(self, lane: Lane) -> Any:
        space = self.env.observation_space
        return (
            int(lane.struct["index"])
            if not space.shape
            else lane.struct["observation"][: space.shape[0]].copy()
        )

    def run(self, law: Any, sweeps: int, explore_first: float, explore_last: float) -> None:
        """Learn for *sweeps* steps of every lane; `ended` lists the episodes that did."""
        self.ended = []
        first = int(explore_first * 2.0**63)
        change = int((explore_last - explore_first) * 2.0**63 / max(sweeps, 1))
        for t in range(sweeps):
            self._sweep(law, (first + t * change) >> 31)

    def _sweep(self, law: Any, explore: int) -> None:
        states = [self.observe(lane) for lane in self.lanes]
        steps = []
        for lane, state in zip(self.lanes, states, strict=True):
            action = self.q.choose(state, explore, lane.stream.next(), self.mask(lane))
            steps.append(self._step(lane, state, action))
        self.q.learn(law, self.gamma, steps)
        for lane in self.lanes:
            self._settle(lane)

    def _step(self, lane: Lane, state: Any, action: int) -> tuple[Any, ...]:
        lane.struct["action"] = action
        lane.draw(self.env.uniforms)
        self._call(lane, self.env.functions[0])
        reward, terminated = float(lane.struct["reward"]), bool(lane.struct["terminated"])
        lane.elapsed += 1
        lane.episode_return += -reward if lane.struct["seat"] else reward
        discount = float(lane.struct["discount"])
        lane.struct["seat"] ^= discount < 0
        return state, action, reward, self.observe(lane), terminated, self.mask(lane), discount

    def _settle(self, lane: Lane) -> None:
        if lane.struct["terminated"] or lane.struct["truncated"] or lane.elapsed == self.time_limit:
            self.ended.append((lane.elapsed, lane.episode_return))
            self._begin(lane)


def follow(env: Any, q: QFunction, words: Any, limit: int, episodes: int) -> tuple[list[float], list[int]]:
    """Return the returns and lengths of greedy episodes; stream i serves episodes i, i + streams, ..."""
    learner = Learner(env, q, 1.0, words, limit)
    found: dict[int, tuple[int, float]] = {}
    for first, lane in enumerate(learner.lanes):
        learner._begin(lane)
        for episode in range(first, episodes, len(learner.lanes)):
            learner.ended = []
            while not learner.ended:
                state = learner.observe(lane)
                learner._step(lane, state, q.greedy(state, learner.mask(lane)))
                learner._settle(lane)
            found[episode] = learner.ended[0]
    return [found[i][1] for i in range(episodes)], [found[i][0] for i in range(episodes)]
