"""Environments with a table P, of which some do something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

import cdq

Answer = tuple[Any, Any, Any, Any, dict[str, Any]]


class Lake(FrozenLakeEnv):
    """A frozen lake with a step of its own, which does what the given function makes of Gymnasium's answer."""

    def __init__(
        self, change: Callable[[Any, Answer], Answer] = lambda _, answer: answer, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.change, self.elapsed = change, 0

    def reset(self, **arguments: Any) -> Any:
        self.elapsed = 0
        return super().reset(**arguments)

    def step(self, a: Any) -> Any:
        self.elapsed += 1
        return self.change(self, super().step(a))


def paying(_: Any, answer: Answer) -> Answer:
    """Pay -1 a step, -10 in holes, and 20 at the goal."""
    observation, reward, terminated, *others = answer
    return (observation, (20.0 if reward else -10.0) if terminated else -1.0, terminated, *others)


class Walk(gymnasium.Env[Any, Any]):
    """Four states in a row, of which the last ends the episode and pays 1; action 1 goes on, action 0 stays.

    *first* is what it calls its first state and its first action.
    """

    def __init__(self, table: Any = None, *, start: bool = True, first: tuple[int, int] = (0, 0)) -> None:
        self.first = first
        self.observation_space = spaces.Discrete(4, start=first[0])
        self.action_space = spaces.Discrete(2, start=first[1])
        self.price, self.at = 1.0, 0
        if table is not None:
            self.P = table
        if start:
            self.initial_state_distrib = np.eye(4)[0]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = 0
        return self.first[0], {}

    def step(self, action: Any) -> Answer:
        assert action in self.action_space
        self.at = min(3, self.at + int(action) - self.first[1])
        ends = self.at == 3
        return self.at + self.first[0], self.price * ends, ends, False, {}


def table_of_walk(
    first: tuple[int, int] = (0, 0),
) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
    """Return what P is of a `Walk`."""

    def outcome(state: int, action: int) -> tuple[float, int, float, bool]:
        after = min(3, state + action)
        return 1.0, after + first[0], float(after == 3 > state), after == 3

    return {
        state + first[0]: {action + first[1]: [outcome(state, action)] for action in range(2)}
        for state in range(4)
    }


def lake(**arguments: Any) -> Any:
    return gymnasium.make("FrozenLake-v1", **{"is_slippery": False, **arguments})


def learnt(env: Any, steps: int = 5000, **arguments: Any) -> cdq.QLearner:
    return cdq.QLearner(env, seed=0, **{"exploration": 0.5, **arguments}).learn(steps)


def return_of(agent: cdq.QLearner, env: Any, episodes: int = 1, longest: int = 200) -> float:
    """Play an environment by hand as `predict` says; return the mean return."""
    total = 0.0
    for episode in range(episodes):
        observation, over, steps = env.reset(seed=episode)[0], False, 0
        while not over and steps < longest:
            observation, reward, terminated, truncated, _ = env.step(agent.predict(observation))
            total, over, steps = total + float(reward), terminated or truncated, steps + 1
    return total / episodes
