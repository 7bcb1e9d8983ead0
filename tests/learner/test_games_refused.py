"""Games that are refused: whose players cannot be asked, and what goes with no game."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import cdq
from cdq.errors import ConfigError, UnsupportedEnvironment
from tests.envs.aec import Takeaway


@pytest.mark.parametrize("listed", [None, "ab", 2])
def test_players_that_are_no_list(listed: Any) -> None:
    game = Takeaway()
    game.possible_agents = listed
    with pytest.raises(
        UnsupportedEnvironment, match=r"takeaway: possible_agents is .*; allowed: a list of names"
    ):
        cdq.QLearner(game, opponent="self")


def test_a_player_without_spaces() -> None:
    class Spaceless(Takeaway):
        def observation_space(self, agent: str) -> Any:
            raise KeyError(agent)

    with pytest.raises(UnsupportedEnvironment, match="'player_0': its spaces cannot be had: KeyError"):
        cdq.QLearner(Spaceless, opponent="self")


@pytest.mark.parametrize("env", ["cdq/TicTacToe-v0", "cdq/Nim-v0", Takeaway])
def test_a_game_is_one_task(env: Any) -> None:
    with pytest.raises(ConfigError, match="tasks and opponent exclude each other"):
        cdq.QLearner(env, opponent="self", tasks=cdq.Goals([1]))


class Broken(Takeaway):
    """A game whose third ply raises."""

    def step(self, action: int) -> None:
        if self.left <= 3:
            raise RuntimeError("the board is gone")
        super().step(action)


class Odd(Takeaway):
    """A game that has actions which are real numbers."""

    def action_space(self, agent: str) -> Any:
        return spaces.Box(0.0, 1.0, (2,))


class Unmovable(Takeaway):
    """A game in which nothing is allowed."""

    def observe(self, agent: str) -> Any:
        return {**super().observe(agent), "action_mask": np.zeros(2, np.int8)}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Broken, r"ply 2 of a game of takeaway failed: RuntimeError: the board is gone"),
        (Odd, "continuous"),
        (Unmovable, "ply 1 of a game of takeaway has no action that is allowed, and the game is not over"),
    ],
)
def test_games_that_cannot_be_played(make: Any, words: str) -> None:
    with pytest.raises(UnsupportedEnvironment, match=words):
        cdq.QLearner(make, opponent="self")
