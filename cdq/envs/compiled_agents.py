"""Environments of several agents that act at the same time, as compiled functions, and PettingZoo's face of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space

from cdq.core.loops.stepping import LANE_BYTES
from cdq.envs.compiled import CompiledEnv, lane_dtype
from cdq.errors import ConfigError
from cdq.errors.checks import shown

MOST_AGENTS = 4096


class CompiledAgents(CompiledEnv):
    """Several agents that act at the same time, whose step and reset are compiled functions of all their lanes.

    The functions are called with a pointer to the first of as many lanes (`cdq_lane`) as there are agents, side by
    side. `QLearner` learns a table for each agent, or one that they share (``groups="shared"``). An episode ends for
    all agents where it ends for one; one that leaves earlier writes the discount 0, and then stays in a state of its
    own.

    By Gymnasium's interface, actions and observations are those of all agents, one after another, and the reward is
    the sum. `parallel` gives PettingZoo's interface.

    Parameters
    ----------
    step, reset : function
        Functions as core/lane.h describes them, in any form that `CompiledEnv` takes.
    agents : sequence of str
        Names of the agents, in the order of their lanes.
    **arguments
        The other arguments of `CompiledEnv`. Numbers of states, actions and random numbers are those of each agent.

    Raises
    ------
    ConfigError
        If the agents are not named, or as `CompiledEnv`.

    Examples
    --------
    >>> env = gymnasium.make("cdq/Signals-v0", rows=1, columns=2).unwrapped
    >>> env.agents, env.reset(seed=0)[0].tolist()
    (('n0', 'n1'), [0, 0])
    """

    def __init__(self, step: Any, reset: Any, *, agents: Sequence[str], **arguments: Any) -> None:
        super().__init__(step, reset, **arguments)
        self.agents = _names(agents)
        self.agent_spaces: tuple[Space[Any], Space[Any]] = self.observation_space, self.action_space
        n = len(self.agents)
        self.observation_space, self.action_space = _joint(self.observation_space, n), _joint(self.action_space, n)
        self._memory = np.zeros(LANE_BYTES * n, np.uint8)
        self._lane = self._memory.view(lane_dtype())

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self._lane = self._memory.view(lane_dtype())

    def parallel(self) -> Parallel:
        """Return PettingZoo's interface of the agents of this environment."""
        return Parallel(self)

    # ---- Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of all agents."""
        gymnasium.Env.reset(self, seed=seed)
        self._lane["uniform"] = self.np_random.random((len(self.agents), 4))
        self._call(self._reset)
        self._elapsed = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step of all agents; the info has the reward of each."""
        if self._elapsed is None:
            raise gymnasium.error.ResetNeeded(f"{self.name} is stepped before it was reset")
        if not self.action_space.contains(np.asarray(action)):
            raise gymnasium.error.InvalidAction(f"actions {action!r}; allowed: one of {self.action_space}")
        self._lane["action"] = action
        self._lane["uniform"][:, : self.uniforms] = self.np_random.random((len(self.agents), self.uniforms))
        self._call(self._step)
        self._elapsed += 1
        rewards = self._lane["reward"].copy()
        truncated = bool(self._lane["truncated"].any()) or self._elapsed == self.time_limit
        info = {"rewards": rewards}
        return self._observation(), float(rewards.sum()), bool(self._lane["terminated"].any()), truncated, info

    def _observation(self) -> Any:
        space = self.observation_space
        if isinstance(space, Box):
            return self._lane["observation"][:, : space.shape[1]].astype(space.dtype)
        return self._lane["index"].copy()


class Parallel:
    """Compiled agents by the interface of PettingZoo's `ParallelEnv`; pettingzoo itself is not needed.

    `QLearner` steps them in compiled code, as it does the environment that they are of.

    Parameters
    ----------
    env : gymnasium.Env
        A `CompiledAgents`, or one in Gymnasium's wrappers for order, time limit and checks.

    Attributes
    ----------
    env : gymnasium.Env
        That environment.
    possible_agents, agents : list of str
        Names of all agents, and of those in the running episode.

    Raises
    ------
    ConfigError
        If it is another one.

    Examples
    --------
    >>> import cdq
    >>> city = cdq.Signals(rows=1, columns=2)
    >>> observations, infos = city.reset(seed=0)
    >>> observations, city.action_space("n0")
    ({'n0': 0, 'n1': 0}, Discrete(2))
    >>> rewards = city.step({"n0": 1, "n1": 0})[1]
    >>> sorted(rewards)
    ['n0', 'n1']
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        base = env.unwrapped
        if not isinstance(base, CompiledAgents):
            raise ConfigError(f"{env} has no agents; give a CompiledAgents")
        self.env, self._base = env, base
        self.possible_agents, self.agents = list(base.agents), list[str]()
        self.metadata = {"name": base.name, **base.metadata}
        self.render_mode = env.render_mode

    def __repr__(self) -> str:
        return f"<{self._base.name}: {len(self.possible_agents)} agents>"

    @property
    def unwrapped(self) -> Parallel:
        """This environment: nothing is wrapped around it."""
        return self

    @property
    def num_agents(self) -> int:
        """Number of agents in the running episode."""
        return len(self.agents)

    @property
    def max_num_agents(self) -> int:
        """Number of all agents."""
        return len(self.possible_agents)

    def observation_space(self, agent: str) -> Space[Any]:
        """Return the space of an agent's observations."""
        return self._base.agent_spaces[0]

    def action_space(self, agent: str) -> Space[Any]:
        """Return the space of an agent's actions."""
        return self._base.agent_spaces[1]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode; return what each agent observes, and an info for each."""
        observations, _ = self.env.reset(seed=seed, options=options)
        self.agents = list(self.possible_agents)
        return self._each(observations), {name: {} for name in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Take a step of all agents; return observation, reward, terminated, truncated and info of each by its name."""
        if sorted(actions) != sorted(self.agents):
            raise gymnasium.error.InvalidAction(
                f"actions of {shown(sorted(actions))}; allowed: one of each of {shown(sorted(self.agents))}"
            )
        observations, _, _, truncated, info = self.env.step(np.array([actions[name] for name in self.agents]))
        names, lanes = self.agents, self._base._lane
        ended = truncated or bool(lanes["terminated"].any() | lanes["truncated"].any())
        terminated = {name: bool(lane["terminated"]) for name, lane in zip(names, lanes, strict=True)}
        rewards = dict(zip(names, info["rewards"].tolist(), strict=True))
        if ended:
            self.agents = []
        return (
            self._each(observations),
            rewards,
            terminated,
            {name: ended and not terminated[name] for name in names},
            {name: {} if lane["discount"] == 1 else {"discount": float(lane["discount"])} for name, lane in zip(names, lanes, strict=True)},
        )

    def render(self) -> Any:
        """Return what the environment draws."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _each(self, observations: Any) -> dict[str, Any]:
        return dict(zip(self.possible_agents, observations, strict=True))


def _names(agents: Any) -> tuple[str, ...]:
    names = tuple(agents) if isinstance(agents, Sequence) and not isinstance(agents, str) else ()
    if not 1 <= len(names) <= MOST_AGENTS or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"agents are {shown(agents)}; allowed: a list of 1 to {MOST_AGENTS:,} names")
    if len(set(names)) < len(names):
        raise ConfigError(f"agents are {shown(agents)}; allowed: each name once")
    return names


def _joint(space: Space[Any], n: int) -> Space[Any]:
    """Return the space of as many agents side by side."""
    if isinstance(space, Discrete):
        return MultiDiscrete(np.full(n, space.n))
    assert isinstance(space, Box)
    return Box(np.stack([space.low] * n), np.stack([space.high] * n), dtype=space.dtype.type)
