"""Games of two players in turn, learnt by self-play: what is refused, what is learnt, and how it is judged."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cdq
from cdq.errors import ConfigError, EnvironmentFailure, UnsupportedEnvironment
from cdq.learner.matches import Match, Worst
from tests.envs.aec import Again, Takeaway, Together, Uneven
from tests.envs.test_games import GAMES
from tests.reference import games as reference

NIM: dict[str, Any] = {"env": "cdq/Nim-v0", "env_kwargs": {"heaps": (2, 3)}, "opponent": "self", "seed": 0}
BOARD: dict[str, Any] = {"env": "cdq/TicTacToe-v0", "opponent": "self", "seed": 0, "table": "hash"}


class Ply(gymnasium.Env[Any, Any]):
    """A game of one ply."""

    observation_space, action_space = gymnasium.spaces.Discrete(1), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> Any:
        return 0, 1.0, True, False, {}


# ---- what is refused


NEED: list[Any] = [
    *("cdq/TicTacToe-v0", "cdq/Nim-v0", "cdq/ConnectFour-v0"),
    cdq.MDP.from_gymnasium("cdq/Nim-v0"),
]


@pytest.mark.parametrize("env", NEED, ids=range(len(NEED)))
def test_a_game_needs_its_opponent(env: Any) -> None:
    with pytest.raises(ConfigError, match=r"is a game of two players in turn; give opponent='self'"):
        cdq.QLearner(env, table="dense")


NONE: list[Any] = ["FrozenLake-v1", "Blackjack-v1", "CartPole-v1", cdq.MDP.garnet(5, 2, branching=2, seed=0)]


@pytest.mark.parametrize("env", NONE, ids=range(len(NONE)))
def test_an_opponent_needs_a_game(env: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"opponent='self' is for games of two players in turn, and .* is none"
    ):
        cdq.QLearner(env, opponent="self")


def test_a_log_has_no_opponent() -> None:
    for arguments in (NIM, BOARD):
        with pytest.raises(ConfigError, match="a game is learnt by playing, and this is a log"):
            cdq.QLearner(**arguments).learn_from([1], [0], [1.0], [0], [True])
    with pytest.raises(
        ConfigError, match="opponent='self' is for games of two players in turn, and a log is none"
    ):
        cdq.QLearner.from_log([0], [0], [1.0], [0], [True], opponent="self")


@pytest.mark.parametrize("players", ["two", 2.5, 0, True, None])
def test_a_number_of_players_that_is_none(players: Any) -> None:
    class Odd(Ply):
        metadata = {"players": players, "render_modes": []}  # noqa: RUF012 - Gymnasium's

    with pytest.raises(
        ConfigError, match=r"metadata\['players'\] of Odd is .*; allowed: a whole number of at least 1"
    ):
        cdq.QLearner(Odd)


@pytest.mark.parametrize("opponent", ["other", "random", True, 3])
def test_an_opponent_that_is_none(opponent: Any) -> None:
    with pytest.raises(ConfigError, match="opponent is .*; allowed: None or 'self'"):
        cdq.QLearner("cdq/Nim-v0", opponent=opponent)


def test_more_players_than_two() -> None:
    with pytest.raises(ConfigError, match="takeaway has 3 players; opponent='self' learns games of two"):
        cdq.QLearner(partial(Takeaway, players=3), opponent="self")


@pytest.mark.parametrize("pays", [(1.0, 0.0), (2.0, -1.0), (1.0, float("nan"))])
@pytest.mark.parametrize("given", [True, False])
def test_a_game_that_is_not_zero_sum(pays: tuple[float, float], given: bool) -> None:
    make = partial(Takeaway, 3, pays)
    with pytest.raises(UnsupportedEnvironment, match=r"ply \d of a game of takeaway pays player_\d"):
        cdq.QLearner(make() if given else make, opponent="self")


def test_a_ply_that_stops_being_zero_sum_ends_the_run() -> None:
    game = Takeaway(4)
    agent = cdq.QLearner(game, opponent="self", seed=0)
    game.pays = (1.0, 0.0)
    with pytest.raises(EnvironmentFailure, match=r"ply \d of a game of takeaway pays"):
        agent.learn(100)


def test_agents_that_move_together() -> None:
    with pytest.raises(UnsupportedEnvironment, match="together has agents that move at the same time"):
        cdq.QLearner(Together(), opponent="self")


def test_players_with_different_spaces() -> None:
    with pytest.raises(
        UnsupportedEnvironment, match="takeaway: player_0 and player_1 see or do different things"
    ):
        cdq.QLearner(Uneven, opponent="self")


@pytest.mark.parametrize(
    "name", ["pettingzoo.classic.nothing_v1", "pettingzoo.nothing", "pettingzoo.classic"]
)
def test_modules_that_are_no_games(name: str) -> None:
    with pytest.raises(UnsupportedEnvironment, match=f"{name} (cannot be imported|is no game of PettingZoo)"):
        cdq.QLearner(name, opponent="self")


# ---- what is learnt


@pytest.mark.parametrize("table", ["dense", "hash"])
@pytest.mark.parametrize("name", GAMES)
def test_values_are_those_of_the_game(name: str, table: str) -> None:
    make, define, number = GAMES[name]
    game, env = define(), make()
    steps = 300_000 if name == "nim" else 600_000
    agent = cdq.QLearner(env, opponent="self", seed=0, gamma=0.9, step_size=0.5, table=table).learn(steps)
    best = reference.solved(game, 0.9)
    learnt, off = agent.table, []
    keys = range(len(learnt.values)) if learnt.keys is None else learnt.keys.tolist()
    rows = {key: row for row, key in enumerate(keys)}
    for row, position in enumerate(game.positions):
        place, legal = rows.get(number(position)), game.legal[row]
        if place is not None and (learnt.visits[place][legal] > 50).all():
            off.append(np.abs(learnt.values[place][legal] - best[row][legal]).max())
    assert len(off) >= (20 if name == "nim" else 100)
    assert np.mean(np.array(off) < 0.01) > 0.9


def test_actions_that_are_not_legal_are_not_taken() -> None:
    agent = cdq.QLearner(**BOARD, exploration=1.0).learn(50_000)
    game = reference.tic_tac_toe()
    legal = {
        sum(s * 3**i for i, s in enumerate(board)): game.legal[row]
        for row, board in enumerate(game.positions)
    }
    assert agent.table.keys is not None
    for key, visits in zip(agent.table.keys.tolist(), agent.table.visits, strict=True):
        assert not visits[~legal[key]].any()
    assert len(agent.table.keys) <= len(game.positions)


def test_a_prediction_is_a_move_that_is_allowed() -> None:
    agent = cdq.QLearner(**BOARD, initial_value=-1.0)
    assert [agent.predict(sum(3**i for i in range(n))) for n in range(9)] == list(range(9))


def test_exploration_is_higher_by_default() -> None:
    assert cdq.QLearner(**NIM).settings.exploration == cdq.Constant(0.3)
    assert cdq.QLearner("FrozenLake-v1").settings.exploration == cdq.Constant(0.1)
    assert cdq.QLearner(**NIM, exploration=0.25).settings.exploration == cdq.Constant(0.25)
    hints = cdq.QLearner(**NIM, exploration=0.05).learn(1000).report()["hints"]
    assert any("0.2" in hint and "exploration" in hint for hint in hints)
    assert not any("exploration" in hint for hint in cdq.QLearner(**NIM).learn(1000).report()["hints"])


@pytest.mark.parametrize("table", ["dense", "hash"])
def test_the_history_tells_what_the_first_seat_gains(table: str) -> None:
    """Of a game whose first player always wins; the second one gains what is lost."""
    for heaps, expected in (((1,), 1.0), ((1, 1), -1.0)):
        env = gymnasium.make("cdq/Nim-v0", heaps=heaps)
        agent = cdq.QLearner(env, opponent="self", seed=0, table=table, exploration=1.0).learn(20_000)
        mean = agent.history["mean_return"].mean()
        if heaps == (1,):
            assert mean == expected
        else:  # one game in three begins with both heaps, and is lost
            assert mean == pytest.approx(1 / 3, abs=0.1)


# ---- PettingZoo


@pytest.mark.parametrize("make", [Takeaway, Again])
def test_a_game_of_the_aec_interface(make: Any) -> None:
    agent = cdq.QLearner(partial(make, 7), opponent="self", seed=0, gamma=1.0, step_size=0.5).learn(3_000)
    shown = [{"observation": n, "action_mask": [1, 1]} for n in range(1, 8)]
    values = [float(agent.action_values(one)[: min(n, 2)].max()) for n, one in enumerate(shown, 1)]
    if make is Takeaway:
        np.testing.assert_allclose(values, [1, 1, -1, 1, 1, -1, 1], atol=1e-3)
        assert agent.exploit() == Worst(1.0, -1.0)
        assert agent.evaluate(50).first.losses == 0.0
        return
    best = {0: 0.0}  # whoever takes one of an odd number moves again
    for n in range(1, 8):
        moves = [
            1.0 if n == k else (best[n - k] if k == 1 and n % 2 else -best[n - k]) for k in (1, 2) if k <= n
        ]
        best[n] = max(moves)
    np.testing.assert_allclose(values, [best[n] for n in range(1, 8)], atol=1e-3)
    with pytest.raises(ConfigError, match="lets one player move twice in a row"):
        agent.exploit()


def test_rewards_are_read_at_the_ply_and_by_seat() -> None:
    """What the opponent's move pays is its own: the loser's last move gets nothing but the opponent's value."""
    agent = cdq.QLearner(partial(Takeaway, 3), opponent="self", seed=0, gamma=1.0, step_size=1.0).learn(500)
    one, two = (agent.action_values({"observation": n, "action_mask": [1, 1]}) for n in (1, 2))
    assert one[0] == 1.0
    assert two.tolist() == [-1.0, 1.0]
    assert agent.action_values({"observation": 3, "action_mask": [1, 1]}).tolist() == [-1.0, -1.0]


@pytest.mark.parametrize("form", ["id", "callable", "object"])
def test_tic_tac_toe_of_pettingzoo(form: str) -> None:
    name: Any = "pettingzoo.classic.tictactoe_v3"
    if form != "id":
        from pettingzoo.classic.tictactoe.tictactoe import (
            env as make,  # tictactoe_v3 itself warns of its future
        )

        name = make if form == "callable" else make()
    agent = cdq.QLearner(name, opponent="self", seed=0, table="hash").learn(6_000)
    found = agent.evaluate(40, seed=1)
    assert isinstance(found, Match)
    assert found.first.wins > 0.7
    assert found.first.games == found.second.games == 40
    assert agent.stepping == "Python environment"
    assert agent.name == (name if form == "id" else "tictactoe_v3")


@pytest.mark.slow
def test_pettingzoo_plays_the_same_tic_tac_toe() -> None:
    """Read from its positions, the model is the definition's; and it is learnt until nobody beats it."""
    agent = cdq.QLearner("pettingzoo.classic.tictactoe_v3", opponent="self", seed=0, table="hash")
    model, seen = agent._task.positions()
    assert (model.n_states, model.n_outcomes, len(seen)) == (4520, 16167, 4520)
    assert cdq.solve(model, 1.0).state_values[0] == 0.0
    assert agent.learn(400_000).exploit() == Worst(0.0, 0.0)


def test_connect_four_of_pettingzoo() -> None:
    agent = cdq.QLearner("pettingzoo.classic.connect_four_v3", opponent="self", seed=0, table="hash").learn(
        2_000
    )
    assert agent.evaluate(5).episodes == 10
    with pytest.raises(ConfigError, match="too many states for a table"):
        cdq.QLearner("pettingzoo.classic.connect_four_v3", opponent="self")


def test_a_file_of_a_game_is_loaded(tmp_path: Path) -> None:
    for arguments in (NIM, BOARD, {"env": "pettingzoo.classic.tictactoe_v3", "opponent": "self", "seed": 0}):
        agent = cdq.QLearner(**arguments).learn(2_000)
        agent.save(tmp_path / "game")
        other = cdq.QLearner.load(tmp_path / "game")
        assert other.settings.opponent == "self"
        assert other.table.digest() == agent.table.digest()
        assert other.evaluate(20, seed=3) == agent.evaluate(20, seed=3)


# ---- how it is judged


@given(st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_the_worst_result_is_that_of_exhaustive_search(seed: int) -> None:
    game = reference.nim((2, 3))
    agent = cdq.QLearner(**{**NIM, "seed": seed}).learn(200)
    policy = np.array([agent.predict(int(np.ravel_multi_index(p, (3, 4)))) for p in game.positions])
    mine, theirs = reference.worst(game, policy)
    assert agent.exploit() == pytest.approx((mine.mean(), theirs.mean()))


def test_the_worst_result_of_tic_tac_toe() -> None:
    game = reference.tic_tac_toe()
    agent = cdq.QLearner(**BOARD)
    for steps in (0, 60_000):
        agent.learn(steps)
        numbers = [sum(s * 3**i for i, s in enumerate(board)) for board in game.positions]
        policy = np.array([agent.predict(number) for number in numbers])
        mine, theirs = reference.worst(game, policy)
        assert agent.exploit() == (mine[0], theirs[0])


def test_what_cannot_be_looked_at_all() -> None:
    with pytest.raises(ConfigError, match="more than 20,000 positions"):
        cdq.QLearner("cdq/ConnectFour-v0", opponent="self", table="hash").exploit()
    with pytest.raises(ConfigError, match="exploit is for games, and FrozenLake-v1 is none"):
        cdq.QLearner("FrozenLake-v1").exploit()


def test_seats_have_shares_and_standard_errors() -> None:
    agent = cdq.QLearner(**BOARD).learn(100_000)
    found = agent.evaluate(300, seed=5)
    assert isinstance(found, Match)
    for seat in (found.first, found.second):
        assert seat.games == 300
        assert seat.wins + seat.draws + seat.losses == pytest.approx(1)
        assert seat.mean_return == pytest.approx(seat.wins - seat.losses)
        assert seat.wins_error == pytest.approx(np.sqrt(seat.wins * (1 - seat.wins) / 299))
    assert found.first.wins > found.second.wins > 0.5
    assert found.opponent == "random"
    assert found.episodes == 600
    assert found.mean_return == pytest.approx((found.first.mean_return + found.second.mean_return) / 2)
    assert agent.evaluate(300, seed=5) == found != agent.evaluate(300, seed=6)


def test_opponents() -> None:
    agent = cdq.QLearner(**NIM).learn(30_000)
    asked = []

    def lowest(position: Any, mask: Any) -> int:
        asked.append((int(position), mask.tolist()))
        return int(np.flatnonzero(mask)[0])

    found = agent.evaluate(50, opponent=lowest, seed=1)
    assert isinstance(found, Match)
    assert (found.opponent, found.mean_return > 0.4) == ("lowest", True)
    assert all(any(mask) for _, mask in asked)
    itself = agent.evaluate(200, opponent=agent, seed=1)
    assert isinstance(itself, Match)
    assert itself.mean_return == pytest.approx(0, abs=0.2)
    weak = cdq.QLearner(**NIM)
    stronger = agent.evaluate(100, opponent=weak)
    assert isinstance(stronger, Match)
    assert stronger.mean_return > 0.3


@pytest.mark.parametrize(
    ("opponent", "match"),
    [
        ("best", "opponent is 'best'; allowed: 'random', a learner of the same game, or a function"),
        (3, "opponent is 3; allowed: 'random'"),
        (cdq.QLearner, "opponent is .*; allowed: 'random'"),
        (lambda position, mask: 99, "the opponent plays 99 in .*; allowed: "),
        (lambda position, mask: None, "the opponent plays None in .*; allowed: "),
        (lambda position, mask: 10**30, r"the opponent plays 10{30} in \d+; allowed: "),
        (lambda position, mask: 1 / 0, r"the opponent failed in \d+: ZeroDivisionError: division by zero"),
        (lambda position: 0, r"the opponent failed in \d+: TypeError: .* positional argument"),
        (lambda position, mask: int(np.flatnonzero(mask == 0)[0]), r"the opponent plays \d in .*; allowed: "),
    ],
)
def test_opponents_that_are_none(opponent: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        cdq.QLearner(**BOARD).evaluate(5, opponent=opponent)


def test_an_opponent_of_another_game() -> None:
    with pytest.raises(ConfigError, match="the opponent has learnt cdq/Nim-v0, and this is cdq/TicTacToe-v0"):
        cdq.QLearner(**BOARD).evaluate(5, opponent=cdq.QLearner(**NIM))
    with pytest.raises(ConfigError, match="an opponent is for games, and FrozenLake-v1 is none"):
        cdq.QLearner("FrozenLake-v1").evaluate(5, opponent="random")


def test_a_condition_on_returns_is_one_on_both_seats() -> None:
    agent = cdq.QLearner(**BOARD).learn(2_000_000, until=cdq.MeanReturn(0.85))
    assert 0 < agent.steps < 2_000_000


def test_the_report_has_the_seats() -> None:
    report = cdq.QLearner(**NIM).learn(100_000).report()
    assert report["opponent"] == "random"
    assert report["seats"]["first"]["wins"] > 0.85
    assert report["gap"] < 1e-9
    assert report["mean_return"] > 0.3
