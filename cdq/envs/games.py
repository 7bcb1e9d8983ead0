"""Games of two players in turn, compiled: tic-tac-toe, Nim, connect four."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.envs.envs import FUNCTIONS
from cdq.envs.compiled import CompiledEnv
from cdq.envs.drawing import checked_mode
from cdq.envs.finite import FiniteEnv, Outcome
from cdq.errors import ConfigError

_TEXT: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1, "players": 2}
_MOST_HEAPS, _MOST_MOVES = 8, 64
_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


class Game(CompiledEnv):
    """A compiled game of plies: what is observed is the position from the side of whoever moves.

    The reward is that of whoever has moved, and the discount of a step is -1 while the game goes on. The metadata
    entry "players" says that it is a game, which `QLearner` learns with ``opponent="self"``.
    """

    metadata = _TEXT

    def render(self) -> str | None:
        """Return the position as text."""
        return self.text_of(self._shown()) if self.render_mode == "ansi" else None

    def text_of(self, observation: Any) -> str:
        """Return a position as text, for people."""
        raise NotImplementedError

    def word_of(self, action: int) -> str:
        """Return an action as a person types it."""
        return str(action)


class TicTacToe(Game, FiniteEnv):
    """Tic-tac-toe: three of one's own in a line win, which pays 1; the cells are 0 to 8, row by row.

    A position is a number in base 3: the digit of cell i, which counts 3^i, is 0 where it is free, 1 where it is the
    mover's, 2 where it is the opponent's. A move to a taken cell loses, but masks forbid it.

    Parameters
    ----------
    render_mode : {"ansi"}, optional
        Result of `render`: text.

    Examples
    --------
    >>> import gymnasium, cdq.envs
    >>> env = gymnasium.make("cdq/TicTacToe-v0")
    >>> position, info = env.reset(seed=0)
    >>> int(env.step(4)[0])  # 2 * 3^4: the opponent, who moves next, sees a piece that is not its own
    162
    """

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        super().__init__(
            *FUNCTIONS["tictactoe"], n_actions=9, n_states=3**9, uniforms=0, masked=True, name="TicTacToe"
        )

    def mask_of(self, observation: Any) -> Any:
        """Return the free cells."""
        return np.array([digit == 0 for digit in _digits(observation)])

    def text_of(self, observation: Any) -> str:
        """Return the board: X is whoever began, O the other, a number a free cell."""
        digits = _digits(observation)
        mover = "OX"[digits.count(1) == digits.count(2)]
        sign = {1: mover, 2: "O" if mover == "X" else "X"}
        cells = [sign.get(digit, str(cell)) for cell, digit in enumerate(digits)]
        rows = [f" {' | '.join(cells[row : row + 3])} " for row in (0, 3, 6)]
        return "\n---+---+---\n".join(rows)

    def _outcomes(self, state: int, action: int) -> Iterator[Outcome]:
        board = _digits(state)
        if board[action] or any(_three_of(board, side) for side in (1, 2)):
            return
        board[action] = 1
        won = _three_of(board, 1)
        after = sum((0, 2, 1)[side] * 3**cell for cell, side in enumerate(board))
        yield 1.0, after, float(won), won or all(board)


class Nim(Game, FiniteEnv):
    """Nim: take any number from one heap; whoever takes the last piece wins, which pays 1.

    Action heap * largest + taken - 1 takes so many from a heap, the largest heap's size being *largest*. A game begins
    with any position that has a piece left, each as likely.

    Parameters
    ----------
    heaps : sequence of int
        Greatest size of each heap: up to 8 heaps, of which their number times the largest is at most 64.
    render_mode : {"ansi"}, optional
        Result of `render`: text.

    Notes
    -----
    The mover loses exactly where the sizes' binary sum is 0 (Bouton 1901).
    """

    def __init__(self, heaps: Sequence[int] = (7, 7, 7), *, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        self.heaps = _checked_heaps(heaps)
        n, largest, n_states = len(self.heaps), max(self.heaps), math.prod(size + 1 for size in self.heaps)
        self._strides = [math.prod(size + 1 for size in self.heaps[k + 1 :]) for k in range(n)]
        context = np.zeros(3 + 2 * _MOST_HEAPS, np.int64)
        context[:3] = n, largest, n_states
        context[3 : 3 + n], context[3 + _MOST_HEAPS : 3 + _MOST_HEAPS + n] = self.heaps, self._strides
        super().__init__(
            *FUNCTIONS["nim"],
            n_actions=n * largest,
            n_states=n_states,
            context=context,
            uniforms=0,
            masked=True,
            name="Nim",
        )

    def sizes_of(self, observation: Any) -> list[int]:
        """Return the sizes of the heaps."""
        pairs = zip(self._strides, self.heaps, strict=True)
        return [int(observation) // stride % (size + 1) for stride, size in pairs]

    def mask_of(self, observation: Any) -> Any:
        """Return the moves that there are."""
        taken = np.arange(1, max(self.heaps) + 1)
        return np.concatenate([taken <= size for size in self.sizes_of(observation)])

    def text_of(self, observation: Any) -> str:
        """Return the heaps, a line each."""
        return "\n".join(
            f"heap {k}: {'|' * size} {size}" for k, size in enumerate(self.sizes_of(observation))
        )

    def word_of(self, action: int) -> str:
        """Return the heap, and how many are taken."""
        heap, taken = divmod(action, max(self.heaps))
        return f"{heap} {taken + 1}"

    def _starts(self, n_states: int) -> npt.NDArray[np.float64]:
        return np.array([0.0] + [1.0] * (n_states - 1))

    def _outcomes(self, state: int, action: int) -> Iterator[Outcome]:
        heap, taken = divmod(action, max(self.heaps))
        if self.sizes_of(state)[heap] > taken:
            after = state - (taken + 1) * self._strides[heap]
            yield 1.0, after, float(after == 0), after == 0


class ConnectFour(Game):
    """Connect four: a piece falls to the lowest free cell of a column, 0 to 6; four of one's own in a line win.

    Winning pays 1. A position is a key of 49 bits, so that a table of it is a hashed one: ``table="hash"``.

    Parameters
    ----------
    render_mode : {"ansi"}, optional
        Result of `render`: text.

    Notes
    -----
    Columns are 7 bits each, of 6 cells. The key is the mover's pieces plus all pieces.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        super().__init__(
            *FUNCTIONS["connectfour"],
            n_actions=7,
            n_states=2**49,
            uniforms=0,
            masked=True,
            name="ConnectFour",
        )

    def mask_of(self, observation: Any) -> Any:
        """Return the columns that are not full."""
        return np.array([len(column) < 6 for column in _columns(observation)])

    def text_of(self, observation: Any) -> str:
        """Return the board: X is whoever began, O the other."""
        columns = _columns(observation)
        pieces = "".join(columns)
        mover = "OX"[pieces.count("m") == pieces.count("t")]
        sign = {"m": mover, "t": "O" if mover == "X" else "X"}
        lines = [
            " ".join(sign[column[row]] if row < len(column) else "." for column in columns)
            for row in range(5, -1, -1)
        ]
        return "\n".join([*lines, " ".join(map(str, range(7)))])


def _digits(observation: Any) -> list[int]:
    return [int(observation) // 3**cell % 3 for cell in range(9)]


def _three_of(board: list[int], side: int) -> bool:
    return any(all(board[cell] == side for cell in line) for line in _LINES)


def _columns(observation: Any) -> list[str]:
    """Return the pieces of each column from the bottom: "m", the mover's, or "t", the opponent's."""
    columns = []
    for column in range(7):
        bits = int(observation) >> (7 * column) & 0x7F
        # Of h pieces, mine + (2^h - 1): the height is the only one for which mine fits in h bits.
        height = next(h for h in range(7) if 0 <= bits - (2**h - 1) < 2**h)
        mine = bits - (2**height - 1)
        columns.append("".join("m" if mine >> cell & 1 else "t" for cell in range(height)))
    return columns


def _checked_heaps(heaps: Any) -> tuple[int, ...]:
    sizes = tuple(heaps) if isinstance(heaps, (list, tuple, np.ndarray)) else ()
    whole = all(isinstance(size, (int, np.integer)) and not isinstance(size, bool) for size in sizes)
    if (
        not sizes
        or not whole
        or min(sizes) < 1
        or len(sizes) > _MOST_HEAPS
        or len(sizes) * max(sizes) > _MOST_MOVES
    ):
        raise ConfigError(
            f"heaps is {heaps!r}; allowed: 1 to {_MOST_HEAPS} whole numbers from 1 on, whose number times the largest "
            f"is at most {_MOST_MOVES}: (7, 7, 7)"
        )
    return tuple(int(size) for size in sizes)
