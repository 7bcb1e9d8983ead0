"""Traffic lights at the crossings of a grid of streets, and policies to compare what is learnt with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from cdq.core.envs.envs import FUNCTIONS
from cdq.envs.compiled_agents import CompiledAgents, Parallel
from cdq.envs.drawing import checked_mode
from cdq.errors import ConfigError
from cdq.errors.checks import one_of, real, shown, whole

TICKS = 5  # of a decision
STATES = 50  # of a crossing
_MOST = 64  # rows or columns
_CITY = np.dtype([("rows", "i8"), ("columns", "i8"), ("global", "i8"), ("arrivals", "f8", (2, 2**TICKS))])

Policy = Callable[["Signals", Mapping[str, int]], Mapping[str, int]]
"""A policy: of the city and what its agents observe, the action of each."""


class SignalsEnv(CompiledAgents):
    """The city of `cdq.Signals` as a Gymnasium environment: an action is one of each agent, a reward their sum.

    Parameters
    ----------
    rows, columns, rates, reward
        The same as for `cdq.Signals`.

    Raises
    ------
    ConfigError
        If an argument is not allowed.
    """

    def __init__(
        self,
        rows: int = 3,
        columns: int = 3,
        *,
        rates: Sequence[float] = (0.35, 0.05),
        reward: str = "local",
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        rows, columns = whole("rows", rows, 1, _MOST), whole("columns", columns, 1, _MOST)
        one_of("reward", reward, ("local", "global"))
        context = np.zeros(1, _CITY)
        context[0] = (rows, columns, reward == "global", [_patterns(rate) for rate in _rates(rates)])
        super().__init__(
            *FUNCTIONS["signals"],
            agents=[f"n{i}" for i in range(rows * columns)],
            n_actions=2,
            n_states=STATES,
            context=context,
            uniforms=4,
            name="Signals",
        )

    def waiting(self) -> npt.NDArray[np.int64]:
        """Return how many vehicles wait at each crossing, from north, east, south and west: (agents, 4)."""
        return np.array(self._lane["integer"][:, :4])


class Signals(Parallel):
    """A city of traffic lights, by PettingZoo's interface: an agent at each crossing of a grid of streets.

    Vehicles come to the crossings on the border, cross the city straight on, and leave it. A crossing has four
    approaches, from north, east, south and west. An action, 0 green for north and south or 1 for east and west, holds
    for 5 ticks; after a change all approaches have red in the first 2. With green, a vehicle of each approach moves to
    the next crossing in a tick. At most 40 wait before a crossing on the border to come in.

    An agent observes its green direction and how many vehicles wait from north and south and from east and west, each
    in the bins 0, 1-2, 3-5, 6-10 and more: (green * 5 + bin) * 5 + bin, of 50 states. Its reward is minus the number of
    vehicles that wait at its crossing, a mean over the ticks.

    `QLearner` steps it in compiled code, as it does ``gymnasium.make("cdq/Signals-v0")``, which takes the same
    arguments but for `time_limit`.

    Parameters
    ----------
    rows, columns : int
        Size of the grid, 1 to 64. The agents are n0, n1 and so on, row by row.
    rates : (float, float)
        Probability that a vehicle comes, in each tick and on each street: on those from north and south, and on those
        from east and west.
    reward : {"local", "global"}
        "global": the reward of each agent is that of all, the sum.
    time_limit : int
        Decisions of an episode.

    Raises
    ------
    ConfigError
        If an argument is not allowed.

    Examples
    --------
    >>> city = Signals(rows=2, columns=2)
    >>> observations, infos = city.reset(seed=0)
    >>> observations, rewards, *_ = city.step(dict.fromkeys(city.agents, 1))
    >>> observations["n3"], city.waiting().shape
    (30, (4, 4))
    """

    def __init__(
        self,
        rows: int = 3,
        columns: int = 3,
        *,
        rates: Sequence[float] = (0.35, 0.05),
        reward: str = "local",
        time_limit: int = 1000,
    ) -> None:
        given = {"rows": rows, "columns": columns, "rates": rates, "reward": reward}
        limit = whole("time_limit", time_limit, 1)
        super().__init__(
            gymnasium.make("cdq/Signals-v0", max_episode_steps=limit, disable_env_checker=True, **given)
        )

    def waiting(self) -> npt.NDArray[np.int64]:
        """Return how many vehicles wait at each crossing, from north, east, south and west: (agents, 4)."""
        city: Any = self._base
        found: npt.NDArray[np.int64] = city.waiting()
        return found


def fixed_cycle(decisions: int = 1) -> Policy:
    """Return the policy that changes all lights after so many decisions."""
    time = 0

    def policy(city: Signals, observations: Mapping[str, int]) -> Mapping[str, int]:
        nonlocal time
        time += 1
        return dict.fromkeys(observations, (time - 1) // decisions % 2)

    return policy


def longest_queue(city: Signals, observations: Mapping[str, int]) -> Mapping[str, int]:
    """Act by the policy that gives green to the direction on which more vehicles wait, and else leaves it."""
    waiting = city.waiting()
    more = np.sign(waiting[:, 1] + waiting[:, 3] - waiting[:, 0] - waiting[:, 2]).tolist()
    green = [state // 25 for state in observations.values()]
    chosen = [now if sign == 0 else int(sign > 0) for sign, now in zip(more, green, strict=True)]
    return dict(zip(observations, chosen, strict=True))


def learnt(agent: Any) -> Policy:
    """Return the greedy policy of what a `QLearner` has learnt by now."""
    return lambda city, observations: {name: agent.predict(seen, name) for name, seen in observations.items()}


def mean_queued(city: Signals, policy: Policy, decisions: int, seed: int | None = 0) -> float:
    """Return how many vehicles wait in a city that follows a policy, a mean over the ticks of so many decisions.

    Examples
    --------
    >>> round(mean_queued(Signals(), longest_queue, 3000))
    24
    """
    total = 0.0
    observations = city.reset(seed=seed)[0]
    for _ in range(whole("decisions", decisions, 1)):
        observations, rewards, _, _, _ = city.step(policy(city, observations))
        total -= sum(rewards.values())
        if not city.agents:
            observations = city.reset()[0]
    return total / decisions


def _rates(rates: Any) -> tuple[float, float]:
    if isinstance(rates, (str, Mapping)) or not hasattr(rates, "__len__") or len(rates) != 2:
        raise ConfigError(f"rates is {shown(rates)}; allowed: two numbers from 0 to 1, such as (0.35, 0.05)")
    one, other = (real("rates", rate, "numbers from 0 to 1", 0.0, 1.0) for rate in rates)
    return one, other


def _patterns(rate: float) -> npt.NDArray[np.float64]:
    """Return the cumulative probability of each set of ticks of a decision, as bits, at which a vehicle comes."""
    n = np.array([pattern.bit_count() for pattern in range(2**TICKS)])
    cumulative: npt.NDArray[np.float64] = (rate**n * (1.0 - rate) ** (TICKS - n)).cumsum()
    return cumulative
