"""Games with PettingZoo's AEC interface, written out, for tests that need them to misbehave."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces


class Takeaway:
    """Take one or two of some pieces; whoever takes the last wins. *pays* are the winner's and the loser's reward."""

    metadata: dict[str, Any] = {"render_modes": [], "name": "takeaway"}  # noqa: RUF012 - PettingZoo's
    render_mode = None

    def __init__(self, pieces: int = 5, pays: tuple[float, float] = (1.0, -1.0), players: int = 2) -> None:
        self.pieces, self.pays = pieces, pays
        self.possible_agents = [f"player_{i}" for i in range(players)]

    def observation_space(self, agent: str) -> Any:
        mask = spaces.Box(0, 1, (2,), np.int8)
        return spaces.Dict({"observation": spaces.Discrete(self.pieces + 1), "action_mask": mask})

    def action_space(self, agent: str) -> Any:
        return spaces.Discrete(2)

    def agent_iter(self) -> Any:
        raise NotImplementedError

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        self.agents = list(self.possible_agents)
        self.left, self.agent_selection = self.pieces, self.agents[0]
        self.rewards: dict[str, float] = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, Any] = {agent: {} for agent in self.agents}

    def observe(self, agent: str) -> Any:
        return {"observation": self.left, "action_mask": np.array([self.left >= 1, self.left >= 2], np.int8)}

    def step(self, action: int) -> None:
        mover = self.agent_selection
        self.left -= int(action) + 1
        assert self.left >= 0
        others = [agent for agent in self.agents if agent != mover]
        if self.left == 0:
            self.rewards = {mover: self.pays[0], **dict.fromkeys(others, self.pays[1])}
            self.terminations = dict.fromkeys(self.agents, True)
        self.agent_selection = self.next_of(mover)

    def next_of(self, mover: str) -> str:
        return self.agents[(self.agents.index(mover) + 1) % len(self.agents)]

    def render(self) -> None:
        return None

    def close(self) -> None:
        pass


class Again(Takeaway):
    """Whoever takes one piece of an odd number moves again."""

    def step(self, action: int) -> None:
        self.again = self.left % 2 == 1 and action == 0
        super().step(action)

    def next_of(self, mover: str) -> str:
        return mover if self.again else super().next_of(mover)


class Uneven(Takeaway):
    """The second player may take three."""

    def action_space(self, agent: str) -> Any:
        return spaces.Discrete(2 + self.possible_agents.index(agent))


class Together:
    """Agents that move at the same time, as PettingZoo's Parallel interface has them."""

    metadata: dict[str, Any] = {"name": "together"}  # noqa: RUF012 - PettingZoo's
    possible_agents = ("a", "b")

    def observation_space(self, agent: str) -> Any:
        return spaces.Discrete(2)

    def action_space(self, agent: str) -> Any:
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        raise NotImplementedError

    def step(self, actions: Any) -> Any:
        raise NotImplementedError
