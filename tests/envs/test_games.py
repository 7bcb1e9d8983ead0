"""Games of plies, compiled, beside the definition that enumerates them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.core.envs.envs import call
from cdq.core.loops.stepping import LANE_BYTES
from cdq.envs.games import ConnectFour, Nim, TicTacToe
from cdq.errors import ConfigError
from tests.envs.compiled import scripted
from tests.reference import games as reference


def test_the_definition_knows_the_size_and_the_value_of_tic_tac_toe() -> None:
    game = reference.tic_tac_toe()
    assert (len(game.positions), int(game.legal.sum())) == (4520, 16167)
    values = reference.solved(game)
    assert values[0].max() == 0.0
    assert [part[0] for part in reference.worst(game, reference.greedy(game, values))] == [0.0, 0.0]
    mine, theirs = reference.worst(game, np.where(game.legal, 0.0, -np.inf).argmax(axis=1))
    assert (mine[0], theirs[0]) == (-1.0, -1.0)


def test_the_definition_loses_nim_where_the_binary_sum_is_zero() -> None:
    game = reference.nim((3, 4, 5))
    best = reference.solved(game).max(axis=1)
    assert [value < 0 for value in best] == [reference.is_lost(position) for position in game.positions]


def test_self_play_learns_the_signs_of_nim() -> None:
    game = reference.nim((3, 3, 3))
    values = reference.self_play(game, 600, 64, 1.0, 0.3, lambda count: 0.5, seed=0)
    right = (values.max(axis=1) < 0) == [reference.is_lost(position) for position in game.positions]
    assert right.mean() >= 0.97


# ---- compiled games beside the definition


def code_of(board: Any) -> int:
    """Return the index of a board of tic-tac-toe."""
    return sum(side * 3**cell for cell, side in enumerate(board))


def index_of(position: Any, heaps: tuple[int, ...]) -> int:
    """Return the index of a position of Nim."""
    return int(np.ravel_multi_index(position, [heap + 1 for heap in heaps]))


GAMES: dict[str, tuple[Callable[[], Any], Callable[[], reference.Game], Callable[[Any], int]]] = {
    "tic-tac-toe": (TicTacToe, reference.tic_tac_toe, code_of),
    "nim": (lambda: Nim((3, 1, 2)), lambda: reference.nim((3, 1, 2)), lambda p: index_of(p, (3, 1, 2))),
}


@pytest.mark.parametrize("name", GAMES)
def test_p_and_masks_are_the_definition(name: str) -> None:
    make, define, number = GAMES[name]
    env, game = make(), define()
    table = env.P
    for row, position in enumerate(game.positions):
        state = number(position)
        assert env.mask_of(state).tolist() == game.legal[row].tolist()
        for action, listed in table[state].items():
            if not game.legal[row, action]:
                assert listed == []
                continue
            ((probability, after, reward, over),) = listed
            assert (probability, reward, over) == (1.0, game.reward[row, action], game.ends[row, action])
            assert over or after == number(game.positions[game.successor[row, action]])
    starts = np.flatnonzero(env.initial_state_distrib)
    assert starts.tolist() == sorted(number(game.positions[row]) for row in game.starts)


@pytest.mark.parametrize("name", GAMES)
def test_steps_are_the_definition(name: str) -> None:
    make, define, number = GAMES[name]
    env, game = make(), define()
    rows = {number(position): row for row, position in enumerate(game.positions)}
    random = np.random.default_rng(0)
    for episode in range(300):
        state, info = env.reset(seed=episode)
        over = False
        while not over:
            row = rows[int(state)]
            assert info["action_mask"].tolist() == game.legal[row].tolist()
            action = int(random.choice(np.flatnonzero(info["action_mask"])))
            state, reward, over, truncated, info = env.step(action)
            assert (reward, over, truncated) == (game.reward[row, action], game.ends[row, action], False)
            assert info.get("discount", 1) == (1 if over else -1)
            assert over or int(state) == number(game.positions[game.successor[row, action]])


class Board:
    """Connect four in plain Python: columns of pieces from the bottom, "m" the mover's and "t" the opponent's."""

    def __init__(self) -> None:
        self.columns: list[str] = [""] * 7

    def key(self) -> int:
        key = 0
        for column, pieces in enumerate(self.columns):
            bits = sum((1 + (piece == "m")) << row for row, piece in enumerate(pieces))
            key += bits << 7 * column
        return key

    def drop(self, column: int) -> bool:
        """Let a piece fall, see the board from the other side, and return whether it won."""
        self.columns[column] += "m"
        at = column, len(self.columns[column]) - 1
        ways = ((0, 1), (1, 0), (1, 1), (1, -1))
        won = any(self.run(at, way) + self.run(at, (-way[0], -way[1])) >= 3 for way in ways)
        self.columns = [pieces.translate({109: "t", 116: "m"}) for pieces in self.columns]
        return won

    def run(self, at: tuple[int, int], step: tuple[int, int]) -> int:
        """Return how many of the mover's pieces stand in a direction."""
        column, row = at[0] + step[0], at[1] + step[1]
        inside = 0 <= column < 7 and 0 <= row < len(self.columns[column])
        return 1 + self.run((column, row), step) if inside and self.columns[column][row] == "m" else 0


def test_connect_four_is_its_rules() -> None:
    env, random = ConnectFour(), np.random.default_rng(1)
    drawn = [int(column) for column in "555054466351352123041430222100021613443666"]
    for episode in range(100):
        board = Board()
        key, info = env.reset(seed=episode)
        moves = iter(drawn if episode == 0 else [])
        over = False
        while not over:
            assert int(key) == board.key()
            free = [len(column) < 6 for column in board.columns]
            assert env.mask_of(key).tolist() == info["action_mask"].astype(bool).tolist() == free
            action = next(moves, None) if episode == 0 else int(random.choice(np.flatnonzero(free)))
            assert action is not None
            won = board.drop(action)
            key, reward, over, _, info = env.step(action)
            full = all(len(column) == 6 for column in board.columns)
            assert (reward, over) == (float(won), won or full)
            assert info.get("discount", 1) == (1 if over else -1)
        assert (reward == 0.0) >= (episode == 0)


@pytest.mark.parametrize("name", ["TicTacToe", "Nim", "ConnectFour"])
def test_a_move_that_is_not_allowed_loses(name: str) -> None:
    env = gymnasium.make(f"cdq/{name}-v0")
    random = np.random.default_rng(0)
    for episode in range(50):
        _, info = env.reset(seed=episode)
        over = False
        while not over:
            wrong = np.flatnonzero(info["action_mask"] == 0)
            if len(wrong) and random.random() < 0.5:
                assert env.step(random.choice(wrong))[1:4] == (-1.0, True, False)
                break
            _, _, over, _, info = env.step(random.choice(np.flatnonzero(info["action_mask"])))


def test_positions_are_shown_to_people() -> None:
    env = gymnasium.make("cdq/TicTacToe-v0", render_mode="ansi")
    env.reset(seed=0)
    for cell in (4, 0):
        env.step(cell)
    assert env.render() == " O | 1 | 2 \n---+---+---\n 3 | X | 5 \n---+---+---\n 6 | 7 | 8 "
    nim = Nim((2, 3))
    assert nim.text_of(6) == "heap 0: | 1\nheap 1: || 2"
    assert [nim.word_of(action) for action in (0, 5)] == ["0 1", "1 3"]
    four = ConnectFour(render_mode="ansi")
    four.reset(seed=0)
    for column in (3, 3, 4):
        four.step(column)
    assert str(four.render()).splitlines()[-3:] == [". . . O . . .", ". . . X X . .", "0 1 2 3 4 5 6"]


@pytest.mark.parametrize("heaps", [(), (0,), (3, -1), (65,), (9,) * 8, (1.5, 2), "33", 7, (True, 2)])
def test_heaps_that_are_none_are_refused(heaps: Any) -> None:
    with pytest.raises(ConfigError, match="heaps is .*; allowed: 1 to 8 whole numbers"):
        Nim(heaps)


# ---- compiled environments that say which actions are allowed


def test_an_environment_that_allows_nothing_ends_the_run() -> None:
    def step(lane: Any) -> None:
        lane["allowed"] = 0

    def begin(lane: Any) -> None:
        lane["index"], lane["allowed"] = 0, 4

    with pytest.raises(cdq.errors.EnvironmentFailure, match=r"it allows no action \(action .\)"):
        cdq.QLearner(scripted(step, masked=True), seed=0).learn(100)
    with pytest.raises(cdq.errors.EnvironmentFailure, match="it allows no action; allowed: at least one"):
        cdq.QLearner(scripted(lambda lane: None, begin, masked=True), seed=0).learn(100)


def test_actions_that_are_not_allowed_are_neither_taken_nor_valued() -> None:
    taken = set()

    def step(lane: Any) -> None:
        taken.add((int(lane["integer"][0]), int(lane["action"])))
        lane["integer"][0] = lane["index"] = (lane["integer"][0] + 1) % 4
        lane["allowed"] = 1 + lane["index"] % 2
        lane["reward"] = -1.0

    def begin(lane: Any) -> None:
        lane["index"] = lane["integer"][0] = 0
        lane["allowed"] = 1

    agent = cdq.QLearner(scripted(step, begin, masked=True), seed=0, gamma=0.5, step_size=0.5).learn(4_000)
    assert taken == {(0, 0), (1, 1), (2, 0), (3, 1)}
    assert agent.table.values.max(axis=1).tolist() == [0.0] * 4
    np.testing.assert_allclose(agent.table.values.min(axis=1), -2.0, atol=1e-6)
    free = cdq.QLearner(scripted(step, begin, masked=True), seed=0, masks=False).learn(400)
    assert free.table.visits.min() > 0


def test_more_actions_than_bits_are_refused() -> None:
    with pytest.raises(ConfigError, match="n_actions is 65; allowed: a whole number from 1 to 64"):
        scripted(lambda lane: None, n_actions=65, masked=True)


def test_a_lane_of_a_game_is_all_that_a_ply_needs() -> None:
    """Two games in turn on lanes of their own do not mix."""
    memory = [np.zeros(LANE_BYTES, np.uint8) for _ in range(2)]
    env = TicTacToe()
    step, reset, _ = env.functions
    for lane in memory:
        call(reset, lane, 0)
    from cdq.envs import lane_dtype

    lanes = [lane.view(lane_dtype())[0] for lane in memory]
    for action in range(3):
        for lane, number in zip(memory, range(2), strict=True):
            lanes[number]["action"] = action + number
            call(step, lane, 0)
    assert [int(lane["index"]) for lane in lanes] == [2 * 1 + 3 + 2 * 9, 3 * (2 * 1 + 3 + 2 * 9)]
