"""Games of PettingZoo's AEC interface, of two players in turn, as environments of plies; nothing of it is imported.

An AEC environment has `possible_agents`, spaces by agent, and `agent_selection`, which says whose turn it is.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from cdq.errors import CdqError, UnsupportedEnvironment
from cdq.errors.checks import described, shown

_ID = re.compile(r"pettingzoo(\.\w+)+")
_ROUNDING = 1e-9
_REHEARSED, _LONGEST = 8, 1000  # games that are played before any work, and plies of each


def is_aec(env: Any) -> bool:
    """Return whether an environment has PettingZoo's AEC interface."""
    return _has_agents(env) and hasattr(env, "agent_iter") and hasattr(env, "observe")


def _has_agents(env: Any) -> bool:
    several = not isinstance(env, (type, gymnasium.Env)) and hasattr(env, "possible_agents")
    return several and callable(getattr(env, "observation_space", None))


def players_of(env: Any, name: str) -> list[Any]:
    """Return all agents that may take part; `UnsupportedEnvironment` if they are no list."""
    listed = env.possible_agents
    if isinstance(listed, str) or not isinstance(listed, Iterable):
        raise UnsupportedEnvironment(f"{name}: possible_agents is {shown(listed)}; allowed: a list of names")
    return list(listed)


def spaces_of(env: Any, agent: Any) -> tuple[Any, Any]:
    """Return the spaces of observations and actions of an agent; `UnsupportedEnvironment` if it has none."""
    try:
        return env.observation_space(agent), env.action_space(agent)
    except Exception as error:
        raise UnsupportedEnvironment(
            f"agent {agent!r}: its spaces cannot be had: {described(error)}"
        ) from error


def as_plies(env: Any) -> Any:
    """Return an AEC environment as one of plies, and anything else as it is.

    Raises
    ------
    UnsupportedEnvironment
        If its agents move at the same time, or it is no game of two players who see and do the same.
    """
    if is_aec(env):
        return Plies(env)
    if _has_agents(env):
        raise UnsupportedEnvironment(
            f"{_name(env)} has agents that move at the same time, whose best policies are random; opponent='self' "
            "learns games of two players in turn (PettingZoo's AEC environments)"
        )
    return env


def by_plies(env_like: Any) -> Any:
    """Return what makes an environment, or one that exists, such that an AEC environment is one of plies."""
    if isinstance(env_like, (list, tuple)):
        return [by_plies(one) for one in env_like]
    if _has_agents(env_like):
        return as_plies(env_like)
    exists = isinstance(env_like, (gymnasium.Env, gymnasium.vector.VectorEnv))
    return partial(_make_by_plies, env_like) if callable(env_like) and not exists else env_like


def _make_by_plies(make: Callable[..., Any], **arguments: Any) -> Any:
    return as_plies(make(**arguments))


def register(env_id: Any) -> None:
    """Make an id such as "pettingzoo.classic.tictactoe_v3" one of Gymnasium's."""
    if isinstance(env_id, str) and _ID.fullmatch(env_id) and env_id not in gymnasium.registry:
        gymnasium.register(env_id, entry_point="cdq.envs.turns:make_module", kwargs={"module": env_id})


def make_module(module: str, **kwargs: Any) -> Plies:
    """Return the game that a module of PettingZoo makes."""
    if not _ID.fullmatch(module):
        raise UnsupportedEnvironment(
            f"{module!r} is no module of PettingZoo: pettingzoo.classic.tictactoe_v3 is one"
        )
    try:
        made = importlib.import_module(module).env(**kwargs)
    except ImportError as error:
        raise UnsupportedEnvironment(
            f"{module} cannot be imported: {error}; PettingZoo's classic games need pettingzoo and pygame-ce"
        ) from None
    except AttributeError as error:
        raise UnsupportedEnvironment(f"{module} is no game of PettingZoo: {error}") from None
    env: Plies = as_plies(made)
    return env


class Plies(gymnasium.Env[Any, Any]):
    """A game of two players in turn, ply by ply, from the side of whoever moves.

    The reward of a step is that of whoever has moved, at that ply. The discount in the info is -1 where the other
    player is next. Only plies that pay the other player as much as the mover loses are let pass.

    Parameters
    ----------
    aec : pettingzoo.AECEnv
        The game.

    Raises
    ------
    UnsupportedEnvironment
        If it has not two players, or they have different spaces.
    """

    def __init__(self, aec: Any) -> None:
        self._aec, self.game, self._ply = aec, _name(aec), 0
        self._agents = players_of(aec, self.game)
        modes = getattr(aec, "metadata", {}).get("render_modes", [])
        self.metadata = {"render_modes": modes, "render_fps": 1, "players": len(self._agents)}
        self.render_mode = getattr(aec, "render_mode", None)
        spaces = [spaces_of(aec, agent) for agent in self._agents]
        if len(self._agents) == 2 and spaces[0] != spaces[1]:
            first, second = self._agents
            raise UnsupportedEnvironment(
                f"{self.game}: {first} and {second} see or do different things, {spaces[0]} and {spaces[1]}; "
                "opponent='self' learns both sides from one table, so that their spaces must be equal"
            )
        self.observation_space, self.action_space = spaces[0]

    def __repr__(self) -> str:
        return f"<{self.game}, by plies>"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin a game."""
        super().reset(seed=seed)
        self._aec.reset(seed=seed, options=options)
        self._ply = 0
        return self._aec.observe(self._aec.agent_selection), self._info(self._aec.agent_selection)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make a move."""
        aec = self._aec
        mover = aec.agent_selection
        aec.step(action)
        self._ply += 1
        reward = self._reward(mover, aec.rewards)
        after = aec.agent_selection
        terminated = any(aec.terminations.values())
        truncated = not terminated and any(aec.truncations.values())
        info = self._info(after)
        if after != mover:
            info["discount"] = -1.0
        return aec.observe(after), reward, terminated, truncated, info

    def _reward(self, mover: Any, rewards: Any) -> float:
        """Return what the ply pays whoever has moved, where it costs the other as much."""
        paid = float(rewards.get(mover, 0.0))
        if not abs(sum(map(float, rewards.values()))) <= _ROUNDING * max(1.0, abs(paid)):
            raise UnsupportedEnvironment(
                f"ply {self._ply} of a game of {self.game} pays {_listed(rewards)}, whose sum is not 0; "
                "opponent='self' learns zero-sum games, where what one player gains the other loses"
            )
        return paid

    def _info(self, agent: Any) -> dict[str, Any]:
        return dict(self._aec.infos.get(agent) or {})

    def rehearse(self) -> None:
        """Play some games of random moves: a game that is not zero-sum shows before any work is done.

        Raises
        ------
        UnsupportedEnvironment
            If one is not, or a ply fails; says which ply.
        """
        if len(self._agents) != 2 or not hasattr(self.action_space, "n"):  # refused anyway
            return
        try:
            self._play_some()
        except CdqError:
            raise
        except Exception as error:
            raise UnsupportedEnvironment(
                f"ply {self._ply + 1} of a game of {self.game} failed: {described(error)}"
            ) from error

    def _play_some(self) -> None:
        random = np.random.default_rng(0)
        for game in range(_REHEARSED):
            observation, info = self.reset(seed=game)
            for _ in range(_LONGEST):
                observation, _, terminated, truncated, info = self.step(
                    self._any_move(observation, info, random)
                )
                if terminated or truncated:
                    break
        self.reset()

    def _any_move(self, observation: Any, info: Any, random: np.random.Generator) -> int:
        space: Any = self.action_space
        mask = observation.get("action_mask") if isinstance(observation, dict) else info.get("action_mask")
        allowed = range(space.n) if mask is None else np.flatnonzero(mask)
        if not len(allowed):
            raise UnsupportedEnvironment(
                f"ply {self._ply + 1} of a game of {self.game} has no action that is allowed, and the game is not over"
            )
        return int(getattr(space, "start", 0) + random.choice(allowed))

    def render(self) -> Any:
        """Return what the game draws."""
        return self._aec.render()

    def close(self) -> None:
        """Close the game."""
        self._aec.close()


def _name(env: Any) -> str:
    """Return the name of a game: that of its metadata, or else its class."""
    metadata = getattr(env, "metadata", None)
    told = metadata.get("name") if isinstance(metadata, dict) else None
    return str(told or type(env).__name__)


def _listed(rewards: Any) -> str:
    return ", ".join(f"{agent} {float(paid):g}" for agent, paid in rewards.items())
