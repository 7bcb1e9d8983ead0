"""Environments with every trap in them, small enough to be told from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

N_STATES, N_ACTIONS = 6, 3

# The same six states, each as another space: (space, observation of a state).
OBSERVATIONS: dict[str, tuple[Any, Callable[[int], Any]]] = {
    "discrete": (spaces.Discrete(6), int),
    "start": (spaces.Discrete(6, start=-2), lambda state: np.int64(state - 2)),
    "zero-dimensional": (spaces.Discrete(6), np.array),
    "box": (spaces.Box(3, 8, (1,), np.int16), lambda state: np.array([state + 3], np.int16)),
    "multi": (
        spaces.MultiDiscrete([3, 2], start=[5, 0]),
        lambda state: np.array([state // 2 + 5, state % 2]),
    ),
    "tuple": (
        spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary(1))),
        lambda s: (s // 2, np.array([s % 2], np.int8)),
    ),
    "dict": (
        spaces.Dict({"a": spaces.Discrete(3, start=1), "b": spaces.Discrete(2)}),
        lambda state: {"b": state % 2, "a": 1 + state // 2},
    ),
}

# The same again, with more possible states than an index has bits.
HASHED: dict[str, tuple[Any, Callable[[int], Any]]] = {
    "hashed": (
        spaces.Tuple((spaces.Discrete(6), spaces.MultiBinary(64))),
        lambda state: (state, np.full(64, state % 2, np.int8)),
    )
}


class Toy(gymnasium.Env[Any, Any]):
    """Goes where its own random numbers say; episodes terminate, are truncated, or both at once.

    Masks are in the *info* or in the *observation*; after a termination they are zeros, which mean nothing.
    """

    def __init__(self, kind: str = "discrete", masks: str = "", first_action: int = 0) -> None:
        space, self.observation_of = (OBSERVATIONS | HASHED)[kind]
        self.masks = masks
        self.action_space = spaces.Discrete(N_ACTIONS, start=first_action)
        self.observation_space = space
        if masks == "observation":
            mask = spaces.MultiBinary(N_ACTIONS)
            self.observation_space = spaces.Dict({"observation": space, "action_mask": mask})
        self.state, self.mask, self.over = 0, np.ones(N_ACTIONS, np.int8), True
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.over = False
        return self._arrive(False)

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        assert not self.over, "a step after the end"
        assert type(action) in (int, np.int64)
        assert self.action_space.contains(action)
        chosen = int(action - self.action_space.start)
        assert not self.masks or self.mask[chosen], "an action that the mask forbids"
        reward = self.np_random.choice([-1.0, 0.0, 0.1]) * (chosen + 1)
        terminated = self.np_random.random() < 0.15
        truncated = self.np_random.random() < 0.1
        self.over = terminated or truncated
        observation, info = self._arrive(terminated)
        return observation, reward, np.bool_(terminated), bool(truncated), info

    def _arrive(self, terminated: bool) -> tuple[Any, dict[str, Any]]:
        self.state = int(self.np_random.integers(N_STATES))
        self.mask = (self.np_random.random(N_ACTIONS) < 0.5).astype(np.int8)
        self.mask[self.np_random.integers(N_ACTIONS)] = 1
        if terminated:
            self.mask[:] = 0
        observation = self.observation_of(self.state)
        if self.masks == "observation":
            observation = {"observation": observation, "action_mask": self.mask}
        return observation, {"action_mask": self.mask} if self.masks == "info" else {}


class Plain(VectorEnv[Any, Any, Any]):
    """A user's own vector environment, of `Toy`s with discrete observations and no masks."""

    def __init__(self, n: int, mode: AutoresetMode | None, first_action: int = 0) -> None:
        self.envs = [Toy(first_action=first_action) for _ in range(n)]
        self.num_envs = n
        self.metadata = {} if mode is None else {"autoreset_mode": mode}
        self.mode = mode or AutoresetMode.NEXT_STEP
        self.single_action_space = spaces.Discrete(N_ACTIONS, start=first_action)
        self.single_observation_space = spaces.Discrete(N_STATES)
        self.action_space = spaces.MultiDiscrete([N_ACTIONS] * n, start=[first_action] * n)
        self.observation_space = spaces.MultiDiscrete([N_STATES] * n)
        self.observations = np.zeros(n, np.int64)  # handed out again and again
        self.done = np.zeros(n, np.bool_)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        mask = np.ones(self.num_envs, np.bool_) if options is None else options["reset_mask"]
        assert mask.any()
        for i in np.flatnonzero(mask):
            self.observations[i] = self.envs[i].reset(seed=None if seed is None else seed[i])[0]
        self.done[mask] = False
        return np.where(mask, self.observations, -1), {}  # what is not asked for means nothing

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        n = self.num_envs
        rewards, flags = np.zeros(n, np.float32), np.zeros((2, n), np.bool_)
        final = np.zeros(n, np.int64)  # a batch, as its observations are
        for i, env in enumerate(self.envs):
            if self.done[i]:
                assert self.mode is AutoresetMode.NEXT_STEP
                self.observations[i] = env.reset()[0]
                rewards[i], self.done[i] = 0.0, False
                continue
            self.observations[i], rewards[i], flags[0, i], flags[1, i], _ = env.step(actions[i])
            self.done[i] = flags[:, i].any()
            if self.done[i] and self.mode is AutoresetMode.SAME_STEP:
                final[i], self.observations[i], self.done[i] = self.observations[i], env.reset()[0], False
        infos = {"final_obs": final} if self.mode is AutoresetMode.SAME_STEP else {}
        return self.observations, rewards, flags[0], flags[1], infos
