"""Environments of several agents that act at the same time, as compiled functions, and PettingZoo's face of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete

from cdq.core.loops.stepping import LANE_BYTES
from cdq.envs.compiled import CompiledEnv
from cdq.envs.lane import lane_dtype
from cdq.errors import ConfigError
from cdq.errors.checks import shown

MOST_AGENTS = 4096


class CompiledAgents(CompiledEnv):
    """Several agents that act at the same time, whose step and reset are compiled functions of all their lanes.

    The functions are called with a pointer to the first of as many lanes (`cdq_lane`) as there are agents, side by
    side. `QLearner` learns a table for each agent, or one that they share (``groups="shared"``). An episode ends for
    all agents where it ends for one; one that leaves earlier writes the discount 0, and then stays in a state of its
    own.

    By Gymnasium's interface, an action is one of each agent, an observation what each of them sees, and the reward the
    sum of theirs, which are in the info as `rewards`. `Parallel` is PettingZoo's interface.

    Parameters
    ----------
    step, reset : function
        Functions as core/lane.h describes them, in any form that `CompiledEnv` takes.
    agents : sequence of str
        Names of the agents, in the order of their lanes.
    n_actions, n_states : int
        Numbers of actions and states of each agent.
    **arguments
        The other arguments of `CompiledEnv`, but `observation_space`. *uniforms* are those of each agent, *memory* is
        that of all.

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

    def __init__(
        self, step: Any, reset: Any, *, agents: Sequence[str], n_actions: int, n_states: int, **arguments: Any
    ) -> None:
        self.agents, n = (names := _names(agents)), len(names)
        super().__init__(step, reset, n_actions=n_actions, n_states=n_states, **arguments)
        self.observation_space = MultiDiscrete(np.full(n, self.n_states))
        self.action_space = MultiDiscrete(np.full(n, self.n_actions))
        self._memory = np.zeros(LANE_BYTES * n, np.uint8)
        self._lane = self._memory.view(lane_dtype())

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self._lane = self._memory.view(lane_dtype())

    # ---- Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of all agents."""
        gymnasium.Env.reset(self, seed=seed)
        self._lane["uniform"] = self.np_random.random((len(self.agents), 4))
        self._call(self._reset)
        self._elapsed = 0
        return self._observation(), self._mask()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step of all agents."""
        if self._elapsed is None:
            raise gymnasium.error.ResetNeeded(f"{self.name} is stepped before it was reset")
        if not self.action_space.contains(np.asarray(action)):
            raise gymnasium.error.InvalidAction(
                f"actions {shown(action)}; allowed: 0 to {self.n_actions - 1} for each of {len(self.agents)} agents"
            )
        self._lane["action"] = action
        self._lane["uniform"][:, : self.uniforms] = self.np_random.random((len(self.agents), self.uniforms))
        self._call(self._step)
        self._elapsed += 1
        rewards, terminated = self._lane["reward"].copy(), bool(self._lane["terminated"].any())
        truncated = bool(self._lane["truncated"].any()) or self._elapsed == self.time_limit
        info = {"rewards": rewards, **self._mask()}
        return self._observation(), float(rewards.sum()), terminated, truncated, info

    def _observation(self) -> Any:
        return self._lane["index"].copy()

    def _mask(self) -> dict[str, Any]:
        if not self.masked:
            return {}
        bits = np.arange(self.n_actions, dtype=np.uint64)
        return {"action_mask": (self._lane["allowed"][:, np.newaxis] >> bits & np.uint64(1)).astype(np.int8)}


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
        The environment that gives its agents this interface.
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
        self._spaces = {
            name: (Discrete(base.n_states or 0), Discrete(base.n_actions)) for name in base.agents
        }
        self.metadata = {"name": base.name, **base.metadata}
        self.render_mode = env.render_mode

    def __repr__(self) -> str:
        return f"<{self._base.name}: {len(self.possible_agents)} agents>"

    @property
    def unwrapped(self) -> Parallel:
        """The environment itself: nothing is wrapped around it."""
        return self

    @property
    def num_agents(self) -> int:
        """Number of agents in the running episode."""
        return len(self.agents)

    @property
    def max_num_agents(self) -> int:
        """Number of all agents."""
        return len(self.possible_agents)

    def observation_space(self, agent: str) -> Discrete:
        """Return the space of an agent's observations."""
        return self._spaces[agent][0]

    def action_space(self, agent: str) -> Discrete:
        """Return the space of an agent's actions."""
        return self._spaces[agent][1]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode; return what each agent observes, and an info for each."""
        observations, _ = self.env.reset(seed=seed, options=options)
        self.agents = list(self.possible_agents)
        return self._each(observations.tolist()), self._each(
            [_info(lane, self._base) for lane in self._base._lane]
        )

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Take a step of all agents; return observation, reward, terminated, truncated and info of each by its name."""
        if sorted(actions) != sorted(self.agents):
            raise gymnasium.error.InvalidAction(
                f"actions of {shown(sorted(actions))}; allowed: one of each of {shown(sorted(self.agents))}"
            )
        joint = np.array([actions[name] for name in self.agents])
        observations, _, terminated, truncated, info = self.env.step(joint)
        lanes, ended, names = self._base._lane, terminated or truncated, self.agents
        ends = lanes["terminated"].astype(bool).tolist()
        self.agents = [] if ended else names
        return (
            self._each(observations.tolist()),
            self._each(info["rewards"].tolist()),
            self._each(ends),
            self._each([ended and not end for end in ends]),
            self._each([_info(lane, self._base) for lane in lanes]),
        )

    def render(self) -> Any:
        """Return what the environment draws."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _each(self, values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.possible_agents, values, strict=True))


def _info(lane: Any, env: CompiledAgents) -> dict[str, Any]:
    """Return what a lane says besides."""
    info: dict[str, Any] = {} if lane["discount"] == 1 else {"discount": float(lane["discount"])}
    if env.masked:
        allowed = int(lane["allowed"])
        info["action_mask"] = np.array([allowed >> a & 1 for a in range(env.n_actions)], np.int8)
    return info


def _names(agents: Any) -> tuple[str, ...]:
    names = tuple(agents) if isinstance(agents, Sequence) and not isinstance(agents, str) else ()
    if not 1 <= len(names) <= MOST_AGENTS or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"agents are {shown(agents)}; allowed: a list of 1 to {MOST_AGENTS:,} names")
    if len(set(names)) < len(names):
        raise ConfigError(f"agents are {shown(agents)}; allowed: each name once")
    return names
