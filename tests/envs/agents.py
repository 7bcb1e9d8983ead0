"""Environments of several agents for tests: small, and with outcomes that can be computed by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete

Answer = dict[str, Any]


class Corridors:
    """Agents who walk corridors of their own, each of another length; the goal at the end pays 1 and ends."""

    metadata: ClassVar = {"name": "corridors"}

    def __init__(self, lengths: tuple[int, ...] = (4, 5, 6), limit: int = 50) -> None:
        self.possible_agents = [f"n{number}" for number in range(len(lengths))]
        self.lengths, self.limit = dict(zip(self.possible_agents, lengths, strict=True)), limit
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> Discrete:
        return Discrete(self.lengths[agent])

    def action_space(self, agent: str) -> Discrete:
        return Discrete(2 + self.possible_agents.index(agent), start=3)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Answer, Answer]:
        self.agents, self.at, self.steps = (
            list(self.possible_agents),
            dict.fromkeys(self.possible_agents, 0),
            0,
        )
        return dict(self.at), {agent: {} for agent in self.agents}

    def step(self, actions: Answer) -> tuple[Answer, Answer, Answer, Answer, Answer]:
        assert set(actions) == set(self.agents)
        self.steps += 1
        for agent, action in actions.items():
            assert self.action_space(agent).contains(action)
            self.at[agent] = max(0, self.at[agent] + (1 if action == 4 else -1))
        observations = {agent: self.at[agent] for agent in actions}
        over = {agent: self.at[agent] == self.lengths[agent] - 1 for agent in actions}
        cut = dict.fromkeys(actions, self.steps >= self.limit)
        self.agents = [agent for agent in self.agents if not (over[agent] or cut[agent])]
        rewards = {agent: float(over[agent]) for agent in actions}
        return observations, rewards, over, cut, {agent: {} for agent in actions}


class Equal(Corridors):
    """Corridors of one length: agents with equal spaces."""

    def __init__(self, n: int = 3) -> None:
        super().__init__((5,) * n)

    def action_space(self, agent: str) -> Discrete:
        return Discrete(2, start=3)


class Lakes:
    """Frozen lakes side by side, one an agent, who comes back in the step after its episode ended.

    They are so many that not all episodes end in the same step, which ends the environment's own.
    """

    metadata: ClassVar = {"name": "lakes"}

    def __init__(self, n: int = 8) -> None:
        self.lakes = {f"n{number}": gymnasium.make("FrozenLake-v1") for number in range(n)}
        self.possible_agents = list(self.lakes)
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> Any:
        return self.lakes[agent].observation_space

    def action_space(self, agent: str) -> Any:
        return self.lakes[agent].action_space

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Answer, Answer]:
        self.agents = list(self.possible_agents)
        return {
            agent: lake.reset(seed=number)[0] for number, (agent, lake) in enumerate(self.lakes.items())
        }, {}

    def step(self, actions: Answer) -> tuple[Answer, Answer, Answer, Answer, Answer]:
        parts: tuple[Answer, ...] = ({}, {}, {}, {}, {})
        for agent, lake in self.lakes.items():
            answer = (
                lake.step(actions[agent]) if agent in actions else (lake.reset()[0], 0.0, False, False, {})
            )
            for part, value in zip(parts, answer, strict=True):
                part[agent] = value
        return parts  # type: ignore[return-value]


class Matrix:
    """Two agents who play a matrix game once an episode, with one reward for both."""

    metadata: ClassVar = {"name": "matrix"}
    possible_agents: ClassVar = ["row", "column"]

    def __init__(self, payoffs: Any = ((11, -30, 0), (-30, 7, 6), (0, 0, 5)), luck: bool = False) -> None:
        self.payoffs, self.luck = np.asarray(payoffs, np.float64), luck
        self.agents: list[str] = []
        self.random = np.random.default_rng()

    def observation_space(self, agent: str) -> Discrete:
        return Discrete(1)

    def action_space(self, agent: str) -> Discrete:
        return Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Answer, Answer]:
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        return dict.fromkeys(self.agents, 0), {}

    def step(self, actions: Answer) -> tuple[Answer, Answer, Answer, Answer, Answer]:
        pair = actions["row"], actions["column"]
        reward = float(self.payoffs[pair])
        if self.luck and pair == (1, 1):
            reward = 14.0 * float(self.random.random() < 0.5)
        both, self.agents = self.agents, []
        ends = dict.fromkeys(both, True)
        return dict.fromkeys(both, 0), dict.fromkeys(both, reward), ends, dict.fromkeys(both, False), {}


class Turns:
    """Agents who act in turn: each adds its action to a sum, and ends who brings it to *goal* or beyond.

    `last` sums rewards as PettingZoo does: every action pays its actor 1 and everybody else 10 for each unit.
    """

    metadata: ClassVar = {"name": "turns"}

    def __init__(self, n: int = 2, goal: int = 7) -> None:
        self.possible_agents = [f"p{number}" for number in range(n)]
        self.goal = goal
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> Discrete:
        return Discrete(self.goal + 3)

    def action_space(self, agent: str) -> Discrete:
        return Discrete(2, start=1)

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        self.agents, self.sum = list(self.possible_agents), 0
        self.agent_selection = self.agents[0]
        self.owed = dict.fromkeys(self.agents, 0.0)
        self.over = dict.fromkeys(self.agents, False)

    def last(self, observe: bool = True) -> tuple[int, float, bool, bool, Answer]:
        agent = self.agent_selection
        return self.sum, self.owed[agent], self.over[agent], False, {}

    def step(self, action: int | None) -> None:
        agent = self.agent_selection
        if self.over[agent]:
            assert action is None
            self.agents.remove(agent)
            self.agent_selection = self.agents[0] if self.agents else agent
            return
        assert action in {1, 2}
        self.owed[agent] = 0.0
        for other in self.agents:
            self.owed[other] += float(action) if other == agent else 10.0 * action
        self.sum += action
        if self.sum >= self.goal:
            self.over = dict.fromkeys(self.agents, True)
        self.agent_selection = self.agents[(self.agents.index(agent) + 1) % len(self.agents)]
