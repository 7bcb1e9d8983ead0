"""Transitions of compiled environments whose table has blocks: those of several agents, or of parts of a state."""

from __future__ import annotations

import hashlib
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from cdq.contracts.blocks import Blocks, Placed
from cdq.core.loops.stepping import LANE_BYTES
from cdq.core.table.qfunction import QFunction
from cdq.envs.agents import OWN, Groups, grouped
from cdq.envs.blocks import BlockEncoder, blocks_of
from cdq.envs.compiled import CompiledEnvironment
from cdq.envs.compiled_agents import CompiledAgents, Parallel
from cdq.envs.drawn import is_compiled
from cdq.envs.spaces import Encoder
from cdq.envs.wrappers import change_by_wrappers
from cdq.errors import ConfigError
from cdq.schedules import Constant


class PartsEncoder(BlockEncoder):
    """The observations of an environment whose states are those of blocks, end to end: of one block by name, or of all.

    Parameters
    ----------
    blocks : Blocks
        The blocks.
    """

    def __init__(self, blocks: Blocks) -> None:
        super().__init__(blocks, [_encoder(block.rows, block.actions) for block in blocks.blocks])
        self._whole = _encoder(blocks.n_rows, blocks.n_actions)

    def split(self, given: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        return super().split(given) if isinstance(given, Placed) else self._whole.split(given)

    def _as_placed(self, given: Any) -> Placed:
        if isinstance(given, Placed):
            return given
        state = self._whole.state_of(given)
        number = int(self.blocks.of_rows(state))
        return Placed(number, state - int(self.blocks.first[number]))


class CompiledAgentsEnvironment(CompiledEnvironment):
    """The transitions of compiled agents: a lane of the loop for each.

    Parameters
    ----------
    env : gymnasium.Env
        A `CompiledAgents`, or one in Gymnasium's wrappers for order, time limit and checks.
    groups : str or dict
        Tables: "own", one for each agent, "shared", or one for each group.
    masks : bool
        False: take no notice of the actions that states do not have.

    Attributes
    ----------
    agents : tuple of str
        Names of the agents.
    blocks : Blocks
        The blocks of the table: one for each agent or group.
    encoder : BlockEncoder
        Observations and actions of all agents as numbers.
    lanes_each : int
        Lanes of an environment.

    Raises
    ------
    ConfigError
        If a group has agents that there are not.
    """

    step_size = Constant(0.05)  # what the others learn makes the problem of each drift

    def __init__(self, env: gymnasium.Env[Any, Any], *, groups: Groups = OWN, masks: bool = True) -> None:
        super().__init__(env, masks=masks)
        base: Any = env.unwrapped
        self.agents: tuple[str, ...] = base.agents
        self.lanes_each = len(self.agents)
        self.own_bytes = LANE_BYTES + 8 * -(-base.memory // (8 * self.lanes_each))
        tables = grouped(groups, self.agents)
        one = _encoder(base.n_states, base.n_actions)
        blocks = blocks_of(list(tables), [one] * len(tables))
        members = {agent: number for number, named in enumerate(tables.values()) for agent in named}
        self.encoder = BlockEncoder(blocks, [one] * len(tables), members)
        self.blocks = blocks
        self._first = blocks.first[[members[agent] for agent in self.agents]].astype(np.int64)
        self._n_own, self.n_states = base.n_states, blocks.n_rows

    def episodes(
        self, q: QFunction, words: npt.NDArray[np.uint64], n: int, longest: int, stop: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Play *n* greedy episodes; return the returns and steps of each agent in each, (n, agents)."""
        returns, lengths = super().episodes(q, words, n * self.lanes_each, longest, stop)
        return returns.reshape(n, -1), lengths.reshape(n, -1)

    def _of_agents(self, n: int) -> dict[str, Any]:
        first = np.tile(self._first, n // self.lanes_each)
        return {"agents": self.lanes_each, "first": first, "n_own": self._n_own}

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a learnt table depends on, as hexadecimal digits."""
        told = (
            f"{super().fingerprint()} {self.agents} {self.encoder.blocks.to_config()} {self._first.tolist()}"
        )
        return hashlib.sha256(told.encode()).hexdigest()


def _encoder(n_states: int, n_actions: int) -> Encoder:
    return Encoder(gymnasium.spaces.Discrete(n_states), gymnasium.spaces.Discrete(n_actions))


def compiled_in(env: Any) -> gymnasium.Env[Any, Any] | None:
    """Return the environment of Gymnasium that steps compiled agents; None where *env* is something else."""
    inner = env.env if isinstance(env, Parallel) else env
    return inner if isinstance(getattr(inner, "unwrapped", None), CompiledAgents) else None


def open_compiled(
    env: gymnasium.Env[Any, Any], *, stepping: str, masks: bool | str, bins: Any, groups: Groups
) -> CompiledAgentsEnvironment | str:
    """Return the transitions of compiled agents, or why they are stepped in Python.

    Raises
    ------
    ConfigError
        If an argument does not go with them.
    """
    base: Any = env.unwrapped
    if stepping != "auto":
        return f"stepping={stepping!r} says so"
    against = change_by_wrappers(env)
    if against is not None:
        return against
    if not is_compiled(base):
        return f"{type(base).__name__} has a step or reset of its own in Python"
    if bins is not None:
        raise ConfigError(f"bins do not go with {base.name}: its agents see whole numbers; leave bins out")
    return CompiledAgentsEnvironment(env, groups=groups, masks=masks is not False)
