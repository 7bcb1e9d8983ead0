"""cdq play: a game of a person against a table that was saved before."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cdq.cli.options import EnvId, alone
from cdq.cli.output import printable
from cdq.cli.parameters import option
from cdq.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from cdq.envs.boards import EnvBoard
    from cdq.learner import QLearner

_LONGEST = 200  # characters of a line that is read
_LEAVE = {"q", "quit", "exit"}
_RESULTS = {1: "You win.", 0: "A draw.", -1: "The table wins."}
Table = Annotated[
    Path, option(metavar="PATH", help="A file that cdq train --save wrote.", show_default=False)
]


class _Left(Exception):
    """The person leaves."""


def play(env: EnvId, *, table: Table) -> None:
    """Play a game of two players against the greedy policy of a saved table, in the terminal.

    The first game begins with your move, the next one with the table's, and
    so on. A move is one of the words that the question lists; q, or the end
    of the input, ends it all.

    [bold]Examples[/bold]

    cdq train cdq/TicTacToe-v0 --opponent self --save board.safetensors
    cdq play cdq/TicTacToe-v0 --table board.safetensors
    """
    import numpy as np  # here: help has no use for it

    from cdq.learner import QLearner, stage

    with alone():
        agent = QLearner.load(table, env)
    if agent.settings.opponent is None:
        raise ConfigError(f"{env} is no game of two players; cdq evaluate plays other environments")
    board, random = stage(agent), np.random.default_rng()
    results: list[float] = []
    try:
        while True:
            first = len(results) % 2 == 0
            print("A new game: " + ("you move first." if first else "the table moves first."))
            results.append(_game(agent, board, random, person=0 if first else 1))
            print(_RESULTS[(results[-1] > 0) - (results[-1] < 0)] + "\n")
    except _Left:
        won, lost = sum(result > 0 for result in results), sum(result < 0 for result in results)
        print(f"\nGoodbye. Games: {len(results)}, won {won}, drawn {len(results) - won - lost}, lost {lost}.")


def _game(agent: QLearner, board: EnvBoard, random: np.random.Generator, person: int) -> float:
    """Play a game; return the person's sum of rewards."""
    ply, turn, total = board.begin(random), 0, 0.0
    while not ply.over:
        mine = turn == person
        if mine:
            print(f"\n{board.text_of(ply)}\n")
        action = _asked(board, ply) if mine else board.number_of(agent.predict(ply.observation, ply.mask))
        if not mine:
            print(f"The table plays {board.word_of(action)}.")
        ply = board.move(action)
        total += ply.reward if mine else -ply.reward
        turn ^= ply.turns
    print(f"\n{board.text_of(ply)}\n")
    return total


def _asked(board: EnvBoard, ply: Any) -> int:
    """Return the move that the person types; ask again until it is one."""
    words = {board.word_of(int(action)): int(action) for action in board.allowed(ply)}
    question = f"Your move ({', '.join(words)}): "
    while True:
        print(question, end="", flush=True)
        line = sys.stdin.readline(_LONGEST) if sys.stdin is not None else ""
        word = " ".join(line.split())
        if not line or word.lower() in _LEAVE:
            raise _Left
        if word in words:
            return words[word]
        print(f"{printable(word)!r} is no move here." if word else "Type a move, or q to leave.")
