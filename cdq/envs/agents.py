"""Environments of several agents, in the form of PettingZoo, each of which has a table, or shares one."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cdq.core.lanes import Lanes
from cdq.core.loops.agents import AgentsLoop
from cdq.core.loops.agents_parallel import ParallelLoop
from cdq.core.loops.agents_turns import TurnsLoop
from cdq.envs.blocks import BlockEncoder, blocks_of
from cdq.envs.python import seeds_of
from cdq.envs.spaces import Encoder
from cdq.envs.toy_text import make_any
from cdq.envs.turns import players_of, spaces_of
from cdq.errors import CdqError, ConfigError, EnvironmentFailure, UnsupportedEnvironment
from cdq.errors.checks import shown
from cdq.schedules import Constant

if TYPE_CHECKING:
    from cdq.core.table.qfunction import QFunction

SHARED, OWN = "shared", "own"
Groups = str | Mapping[str, Sequence[str]]


def has_agents(env: object) -> bool:
    """Return whether this is an environment of several agents: one with `possible_agents`, and spaces of each."""
    space = getattr(env, "observation_space", None)
    return hasattr(env, "possible_agents") and callable(space) and not isinstance(env, type)


def open_agents(
    env_like: Any,
    env: Any,
    num_envs: int,
    *,
    stepping: str,
    masks: bool | str,
    bins: Any,
    groups: Groups,
) -> AgentsEnvironment:
    """Return the transitions of an environment of several agents, *env*, which *env_like* is or has made.

    Raises
    ------
    UnsupportedEnvironment, ConfigError
        If an argument does not go with such an environment, or as `AgentsEnvironment`.
    """
    found = AgentsEnvironment(env_like, None if env is env_like else env, groups=groups, masks=masks)
    wrong = {
        "bins": (bins is not None, "let the environment give whole numbers, such as the number of a bin"),
        "stepping": (stepping == "model", "it is stepped in Python: leave stepping out"),
        "num_envs": (
            num_envs not in {1, found.default_num_envs},
            f"a worker steps one such environment, in {found.default_num_envs} lanes: leave num_envs out",
        ),
    }
    for name, (is_wrong, remedy) in wrong.items():
        if is_wrong:
            found.close()
            raise ConfigError(
                f"{name} does not go with an environment of several agents ({found.name}); {remedy}"
            )
    return found


class AgentsEnvironment:
    """Transitions of an environment of several agents.

    Its agents act at the same time (PettingZoo's ParallelEnv: `step` takes and returns dictionaries by agent) or in
    turn (AECEnv: its `last` says what came since the last turn of the agent that is `agent_selection`).

    Parameters
    ----------
    env : object
        The environment, or a callable that makes one. One that is given is never changed, only stepped and reset.
    made : object, optional
        An environment that *env* made, in which learning steps.
    groups : {"own", "shared"} or mapping of str to sequence of str
        Tables: one for each agent, one for all, or one for each group, by the names of its agents; agents that are in
        no group have a table each.
    masks : {"auto", True, False}
        Use of masks, in observations and infos.

    Attributes
    ----------
    encoder : BlockEncoder
        Observations and actions of all agents as numbers.
    blocks : Blocks
        The blocks of the table: one for each agent or group.
    agents : tuple of str
        Names of the agents.
    parallel : bool
        True if they act at the same time; each is then a lane.

    Raises
    ------
    UnsupportedEnvironment
        If an agent's spaces cannot be learnt.
    ConfigError
        If a group has agents that there are not, or agents whose spaces differ.
    """

    stepping = "multi-agent environment"
    own_bytes = 0
    threads = False  # they would take turns at the interpreter
    resumable = False
    time_limit = None
    step_size = Constant(
        0.05
    )  # what the others learn makes the problem of each drift: steps must not become small

    def __init__(
        self, env: Any, made: Any = None, *, groups: Groups = OWN, masks: bool | str = "auto"
    ) -> None:
        self._like, self._given = env, made is None
        self._env, self._copy = (env if made is None else made), None
        self._loop: AgentsLoop | None = None
        try:
            self.name = _name_of(self._env)
            self._players = players_of(self._env, self.name)
            self.agents = tuple(map(str, self._players))
            _require_agents(self.agents, self.name)
            self.parallel = not hasattr(self._env, "last")
            self._groups = grouped(groups, self.agents)
            self._encoders = [_encoder_of(self._env, player) for player in self._players]
            self._members = self._number_members()
            firsts = [self._encoders[self.agents.index(members[0])] for members in self._groups.values()]
            self.blocks = blocks_of(list(self._groups), firsts)
            self.encoder = BlockEncoder(self.blocks, firsts, self._members)
        except BaseException:
            self.close()
            raise
        self._masks = "auto" if isinstance(masks, str) else "info" if masks else "nowhere"
        self.n_actions = self.encoder.n_actions
        self.default_num_envs = len(self.agents) if self.parallel else 1

    def _number_members(self) -> dict[str, int]:
        """Return the number of the block of each agent; `ConfigError` if agents of one differ in their spaces."""
        numbers = {}
        for number, (group, members) in enumerate(self._groups.items()):
            first = self._encoders[self.agents.index(members[0])]
            for member in members:
                encoder = self._encoders[self.agents.index(member)]
                if not first.same_as(encoder):
                    raise ConfigError(
                        f"the agents {members[0]!r} and {member!r} of {group!r} differ in their spaces: "
                        f"{first.in_words()}, and {encoder.in_words()}; agents share a table only where both spaces "
                        "are equal"
                    )
                numbers[member] = number
        return numbers

    def loop(
        self, q: QFunction, lanes: Lanes, gamma: float, seeds: Sequence[int], stop: npt.NDArray[np.int32]
    ) -> AgentsLoop:
        """Return the loop of a worker; the first of *seeds* is that of the environment's first reset."""
        self._loop = self._loop_over(self._env, q, lanes, gamma=gamma, seed=seeds[0], stop=stop)
        return self._loop

    def episodes(
        self, q: QFunction, words: npt.NDArray[np.uint64], n: int, longest: int, stop: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Play *n* greedy episodes; return the returns and steps of each agent in each, (n, agents).

        They are played in another environment that the callable makes. One that was given plays them itself; training
        then goes on with a new episode.
        """
        if self._copy is None:
            self._copy = self._env if self._given else self._another()
        seed = seeds_of(words, 1)[0]
        loop = self._loop_over(self._copy, q, Lanes(q.n), gamma=0.0, seed=seed, stop=stop)
        returns, lengths = np.zeros((n, len(self.agents))), np.zeros((n, len(self.agents)), np.int64)
        loop.play(returns, lengths, longest)
        if self._given and self._loop is not None:
            self._loop.reset()
        return returns, lengths

    def _another(self) -> Any:
        made = make_any(self._like)
        if made is self._env:
            raise ConfigError(
                f"{self._like!r} returned the same environment twice; it must make a new one at each call"
            )
        return made

    def mask_of(self, observation: Any) -> Any:
        """Return the allowed actions, where the observation itself holds a mask that is heeded; else None."""
        return None if self._masks == "nowhere" else self.encoder.mask_of(observation)

    def kinds(self) -> list[str]:
        """Return the name of the environment's class."""
        kind = type(getattr(self._env, "unwrapped", self._env))
        return [f"{kind.__module__}.{kind.__qualname__}"]

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a learnt table depends on, as hexadecimal digits."""
        words = [encoder.in_words() for encoder in self._encoders]
        told = [
            self.kinds(),
            self.name,
            self.agents,
            words,
            self.blocks.to_config(),
            self._members,
            self._masks,
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def close(self) -> None:
        """Close the environments that were made here; one that was given stays open."""
        made = [] if self._given else [self._env, self._copy]
        self._env, self._copy, self._given = (self._env, None, True)
        for env in made:
            with contextlib.suppress(AttributeError):  # not all of them have something to close
                env.close()

    def _loop_over(
        self, env: Any, q: QFunction, lanes: Lanes, *, gamma: float, seed: int, stop: Any
    ) -> AgentsLoop:
        numbers = [self._members[agent] for agent in self.agents]
        blocks = [self.blocks.blocks[number] for number in numbers]
        kind = ParallelLoop if self.parallel else TurnsLoop
        return kind(
            q,
            lanes,
            gamma,
            stop,
            self._masks,
            EnvironmentFailure,
            env,
            seed,
            self._players,
            [encoder.encoding(vectors=False) for encoder in self._encoders],
            self.blocks.first[numbers].astype(np.int64),
            np.array([block.rows for block in blocks], np.uint64).astype(np.int64),
            np.array([block.actions for block in blocks], np.int64),
            [encoder.first_action for encoder in self._encoders],
        )


def _name_of(env: Any) -> str:
    """Return the name that the environment gives itself, as those of PettingZoo do, or else that of its class."""
    metadata = getattr(env, "metadata", None)
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) and name else type(getattr(env, "unwrapped", env)).__name__


def _require_agents(agents: Sequence[str], name: str) -> None:
    if not agents:
        raise UnsupportedEnvironment(
            f"{name} has no agents: possible_agents is empty; list all that may take part"
        )
    if len(set(agents)) < len(agents):
        raise UnsupportedEnvironment(
            f"{name} has agents of the same name in possible_agents: {shown(list(agents))}"
        )


def _encoder_of(env: Any, agent: Any) -> Encoder:
    spaces = spaces_of(env, agent)
    try:
        return Encoder(*spaces)
    except CdqError as error:
        raise UnsupportedEnvironment(f"agent {agent!r}: {error}") from None


def grouped(groups: Groups, agents: Sequence[str]) -> dict[str, list[str]]:
    """Return the agents of each table, by its name: those of groups, then agents that are in none.

    Raises
    ------
    ConfigError
        If a group names an agent that there is not, or that another one has.
    """
    if isinstance(groups, str):
        return {SHARED: list(agents)} if groups == SHARED else {agent: [agent] for agent in agents}
    found: dict[str, list[str]] = {}
    taken: dict[str, str] = {}
    for group, members in groups.items():
        for member in members:
            if member not in agents:
                raise ConfigError(
                    f"group {group!r} has {member!r}, who is no agent; the agents are {', '.join(agents)}"
                )
            if member in taken:
                raise ConfigError(
                    f"{member!r} is in the groups {taken[member]!r} and {group!r}; put it in one"
                )
            taken[member] = group
        found[group] = list(members)
    alone = [agent for agent in agents if agent not in taken]
    clash = [agent for agent in alone if agent in found]
    if clash:
        raise ConfigError(
            f"group {clash[0]!r} has the name of an agent that is not in it; give it another one"
        )
    return {**found, **{agent: [agent] for agent in alone}}
