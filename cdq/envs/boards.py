"""Boards: a game as it is played move by move, and all positions of a small one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Ply
from cdq.envs.toy_text import TransitionTable, name_of
from cdq.errors import ConfigError

# Positions of a game up to which all are played to: some seconds of Python.
MOST_POSITIONS = 20_000
_RESETS = 32  # to see whether games begin with one position


class EnvBoard:
    """A game that an environment of plies plays; actions are numbered from 0.

    Parameters
    ----------
    env : gymnasium.Env
        An environment of plies, for this board alone.
    first_action : int
        Name that the environment gives to action 0.
    """

    def __init__(self, env: Any, first_action: int = 0) -> None:
        self.env, self._first, self._base = env, first_action, env.unwrapped

    def begin(self, random: np.random.Generator) -> Ply:
        """Begin a game, and return the position."""
        observation, info = self.env.reset(seed=int(random.integers(2**31)))
        return Ply(observation, mask_in(observation, info), 0.0, False, False)

    def move(self, action: int) -> Ply:
        """Make a move, and return what came of it, seen by whoever is next."""
        observation, reward, terminated, truncated, info = self.env.step(action + self._first)
        over = bool(terminated) or bool(truncated)
        return Ply(
            observation, mask_in(observation, info), float(reward), over, info.get("discount", 1.0) < 0
        )

    def allowed(self, ply: Ply) -> list[int]:
        """Return the moves of a position."""
        return (
            list(range(self._base.action_space.n)) if ply.mask is None else np.flatnonzero(ply.mask).tolist()
        )

    def number_of(self, action: Any) -> int:
        """Return the number of an action of the environment."""
        return int(action) - self._first

    def text_of(self, ply: Ply) -> str:
        """Return a position as people see it: in the game's own words, where it has some."""
        return str(getattr(self._base, "text_of", str)(ply.observation))

    def word_of(self, action: int) -> str:
        """Return the word by which a person calls a move."""
        word = getattr(self._base, "word_of", None)
        return str(action + self._first) if word is None else str(word(action))


def mask_in(observation: Any, info: Any) -> Any:
    """Return the allowed actions, which the observation or the info says; None where neither does."""
    if isinstance(observation, dict) and "action_mask" in observation:
        return observation["action_mask"]
    return info.get("action_mask") if isinstance(info, dict) else None


Positions = tuple[TransitionTable, list[Any]]


def all_positions(env: Any, encode: Any, n_actions: int, first_action: int = 0) -> Positions:
    """Return the model of a small game without chance, and an observation of each of its positions.

    Parameters
    ----------
    env : gymnasium.Env
        An environment of plies, in which every position is played to.
    encode : callable
        Returns a number that stands for an observation.
    n_actions, first_action : int
        Number of actions, and the name that the environment gives to the first of them.

    Raises
    ------
    ConfigError
        If there are too many positions, games begin with several, or moves depend on chance.
    """
    name, rows = name_of(env), []
    _require_sure(env, encode, name)
    observation, info = env.reset(seed=0)
    numbers: dict[Any, int] = {encode(observation): 0}
    ways: list[tuple[int, ...]] = [()]
    seen, masks = [observation], [mask_in(observation, info)]
    for position, way in enumerate(ways):  # it grows
        for action in _allowed(masks[position], n_actions):
            observation, reward, terminated, truncated, info = _replayed(env, (*way, action), first_action)
            over = bool(terminated) or bool(truncated)
            if not over and not info.get("discount", 1.0) < 0:
                raise ConfigError(f"{name} lets one player move twice in a row, which its model cannot say")
            key = encode(observation)
            if not over and key not in numbers:
                numbers[key] = len(numbers)
                ways.append((*way, action))
                seen.append(observation)
                masks.append(mask_in(observation, info))
            rows.append((position, action, 0 if over else numbers[key], float(reward), over))
        if len(seen) > MOST_POSITIONS:
            raise ConfigError(
                f"{name} has more than {MOST_POSITIONS:,} positions, too many to look at all; "
                "evaluate(opponent=...) plays against one opponent"
            )
    return _table_of(rows, len(seen), n_actions, name), seen


def _replayed(env: Any, way: tuple[int, ...], first_action: int) -> Any:
    """Return what the last of some moves gives, from the beginning of a game: copies may be pristine environments."""
    env.reset(seed=0)
    for action in way[:-1]:
        env.step(action + first_action)
    return env.step(way[-1] + first_action)


def _require_sure(env: Any, encode: Any, name: str) -> None:
    """Raise `ConfigError` if games begin with several positions, or moves are known to draw random numbers."""
    starts = {encode(env.reset(seed=seed)[0]) for seed in range(_RESETS)}
    if len(starts) > 1 or getattr(env.unwrapped, "uniforms", None):
        raise ConfigError(
            f"{name} depends on chance, and has no table P that says how; evaluate(opponent=...) plays against one "
            "opponent"
        )


def _allowed(mask: Any, n_actions: int) -> Iterator[int]:
    return (action for action in range(n_actions) if mask is None or mask[action])


def _table_of(rows: list[Any], n_states: int, n_actions: int, name: str) -> TransitionTable:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    start: npt.NDArray[np.float64] = np.eye(1, n_states).ravel()
    return TransitionTable(
        state=columns[0],
        action=columns[1],
        next_state=columns[2],
        probability=np.ones(len(rows)),
        reward=columns[3],
        terminated=columns[4].astype(np.bool_),
        n_states=n_states,
        n_actions=n_actions,
        start=start,
        time_limit=None,
        name=name,
        grid=None,
        players=2,
    )
