"""Games that are refused: whose players cannot be asked, and what goes with no game."""

from __future__ import annotations

from typing import Any

import pytest

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
