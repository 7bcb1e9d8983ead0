"""GridWorld: a compiled grid of any size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.envs.envs import FUNCTIONS
from cdq.envs.drawing import FREE, GOAL, METADATA, START, WALL, Picture, checked_mode, render
from cdq.envs.finite import LISTED_STATES, MASK, FiniteEnv, Outcome, mix
from cdq.errors import ConfigError

Cell = tuple[int, int]


class GridWorld(FiniteEnv):
    """A grid with walls, a goal and slippery ground, of any size: a cell's state is row * columns + column.

    Actions are 0 left, 1 down, 2 right, 3 up. Into a wall or out of the grid, one stays where one is. Reaching a goal
    ends the episode.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns. A table of 4 actions takes up to 10^9 cells, a hashed one any number.
    walls : float, or sequence of str, or (rows, columns) array of bool
        A number: the part of the cells that are walls, at most 0.9, by a hash of the cell and `seed`, so that they
        take no memory; a start and goals that are named are none. Or a map, which sets the shape: "#" is a wall, "S"
        the start, "G" a goal, and anything else free.
    seed : int
        Seed of the walls that a number places.
    slip : float
        Probability that a move goes at a right angle to its direction, to either side alike.
    start : (int, int), optional
        First cell of episodes; default: any cell that is neither wall nor goal, uniformly.
    goals : sequence of (int, int), optional
        Cells that end the episode; default: the last cell, if the map has none.
    step_reward, goal_reward : float
        Reward of a step, and of a step that reaches a goal.
    render_mode : {"ansi", "rgb_array"}, optional
        Result of `render`: text, in the letters of a map with "@" for the agent, or pixels.

    Examples
    --------
    >>> import gymnasium, cdq.envs
    >>> env = gymnasium.make("cdq/GridWorld-v0", walls=["S.#", "..G"])
    >>> int(env.reset(seed=0)[0]), int(env.step(1)[0])
    (0, 3)
    """

    metadata = METADATA

    def __init__(
        self,
        shape: tuple[int, int] = (8, 8),
        *,
        walls: float | Sequence[str] | npt.NDArray[np.bool_] = 0.0,
        seed: int = 0,
        slip: float = 0.0,
        start: Cell | None = None,
        goals: Sequence[Cell] | None = None,
        step_reward: float = -1.0,
        goal_reward: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        self._density, self._walls, shape, start, goals = _read_walls(walls, shape, start, goals)
        self._shape = rows, columns = _checked_shape(shape)
        self._start = -1 if start is None else self._cell(start, "start")
        self._goals = np.array(
            [self._cell(goal, "a goal") for goal in goals or [(rows - 1, columns - 1)]], np.int64
        )
        self._slip = _probability("slip", slip)
        self._rewards = _finite("step_reward", step_reward), _finite("goal_reward", goal_reward)
        self._seed = mix(seed & MASK)
        context = np.zeros(1, _GRID)
        limit = int(self._density * 2.0**64) & MASK
        sizes = (rows, columns, self._start, len(self._goals), self._seed, limit)
        context[0] = (*sizes, slip, *self._rewards, 0, 0)
        super().__init__(
            *FUNCTIONS["grid"],
            n_actions=4,
            n_states=rows * columns,
            context=context,
            uniforms=1 if slip else 0,
            name="GridWorld",
        )
        self._link()
        self._check_free()

    def _link(self) -> None:
        self._context["goals"] = self._goals.ctypes.data
        self._context["walls"] = self._walls.ctypes.data if self._walls.size else 0

    def render(self) -> Picture | None:
        """Return a picture; of a grid beyond 64 rows or columns, that of the agent's surroundings."""
        return render(self, self.shape, self._shown(), self._symbol)

    def _symbol(self, cell: Cell) -> str:
        state = cell[0] * self.shape[1] + cell[1]
        if state in self._goals:
            return GOAL
        return START if state == self._start else WALL if self._wall(state) else FREE

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape

    def is_wall(self, cell: Cell) -> bool:
        """Return whether a cell is a wall."""
        return self._wall(self._cell(cell, "a cell"))

    def parameters(self) -> bytes:
        """Return the bytes by which this grid differs from others."""
        about = (self.shape, self._density, self._seed, self._slip, self._start, self._rewards)
        return repr(about).encode() + self._goals.tobytes() + self._walls.tobytes()

    def _starts(self, n_states: int) -> npt.NDArray[np.float64]:
        if self._start >= 0:
            return np.eye(1, n_states, self._start).ravel()
        return np.array([not self._wall(s) and s not in self._goals for s in range(n_states)], np.float64)

    def _outcomes(self, state: int, action: int) -> Iterator[Outcome]:
        chances = ((1.0 - self._slip, action), (0.5 * self._slip, action + 1), (0.5 * self._slip, action + 3))
        for probability, direction in chances:
            if probability:
                after = self._neighbour(state, direction % 4)
                goal = after in self._goals
                yield probability, after, self._rewards[goal], goal

    def _neighbour(self, state: int, direction: int) -> int:
        (down, right), (row, column) = _MOVES[direction], divmod(state, self.shape[1])
        row, column = row + down, column + right
        inside = 0 <= row < self.shape[0] and 0 <= column < self.shape[1]
        after = row * self.shape[1] + column
        return after if inside and not self._wall(after) else state

    def _wall(self, cell: int) -> bool:
        if self._walls.size:
            return bool(self._walls.flat[cell])
        named = cell == self._start or cell in self._goals
        return not named and mix(cell ^ self._seed) < int(self._density * 2.0**64)

    def _cell(self, cell: Cell, what: str) -> int:
        row, column = cell
        if not (0 <= row < self.shape[0] and 0 <= column < self.shape[1]):
            raise ConfigError(
                f"{what} is {cell}; allowed: cells of a grid of {self.shape[0]} x {self.shape[1]}"
            )
        return int(row) * self.shape[1] + int(column)

    def _check_free(self) -> None:
        """Raise `ConfigError` where the start or a goal is a wall, or no cell is left to start in."""
        named = [cell for cell in (self._start, *self._goals) if cell >= 0 and self._wall(cell)]
        if named:
            raise ConfigError(f"the start or a goal, {divmod(named[0], self.shape[1])}, is a wall of the map")
        rows, columns = self.shape
        free = rows * columns - int(self._walls.sum()) - len(set(self._goals.tolist()))
        if self._start < 0 and (
            free < 1 or (self._density > 0 and rows * columns <= LISTED_STATES and self._full())
        ):
            raise ConfigError("the grid has no cell to start in; take fewer walls, or another seed")

    def _full(self) -> bool:
        return all(self._wall(s) or s in self._goals for s in range(self.n_states or 0))


_GRID = np.dtype(
    [(name, "i8") for name in ("rows", "columns", "start", "n_goals")]
    + [(name, "u8") for name in ("seed", "density")]
    + [(name, "f8") for name in ("slip", "step_reward", "goal_reward")]
    + [(name, "u8") for name in ("goals", "walls")]
)
_MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))


def _probability(what: str, value: float, most: float = 1.0) -> float:
    if not 0.0 <= value <= most:
        raise ConfigError(f"{what} is {value!r}; allowed: 0 to {most}")
    return float(value)


def _finite(what: str, value: float) -> float:
    if not math.isfinite(value):
        raise ConfigError(f"{what} is {value}; it must be a finite number")
    return float(value)


def _checked_shape(shape: Any) -> tuple[int, int]:
    rows, columns = int(shape[0]), int(shape[1])
    if rows < 1 or columns < 1 or rows * columns >= 2**52:
        raise ConfigError(f"shape is {shape}; allowed: at least 1 each, and less than 2**52 cells")
    return rows, columns


def _read_walls(
    walls: Any, shape: tuple[int, int], start: Cell | None, goals: Sequence[Cell] | None
) -> tuple[float, npt.NDArray[np.uint8], tuple[int, int], Cell | None, Sequence[Cell] | None]:
    """Return the density of walls by rule, those of a map, and the shape, start and goals that there are then."""
    if isinstance(walls, (int, float)):
        return _probability("walls", walls, 0.9), np.zeros(0, np.uint8), shape, start, goals
    if isinstance(walls, np.ndarray) and walls.dtype == np.bool_ and walls.ndim == 2 and walls.size:
        return 0.0, np.ascontiguousarray(walls, np.uint8), walls.shape, start, goals
    lines = walls if isinstance(walls, (list, tuple)) else ()
    if (
        not all(isinstance(line, str) for line in lines)
        or len({len(line) for line in lines}) != 1
        or not lines[0]
    ):
        raise ConfigError(
            "walls is no map; allowed: a number, lines of equal length, or a bool array (rows, columns)"
        )
    cells = np.array([list(line) for line in lines])
    starts, found = np.argwhere(cells == "S").tolist(), np.argwhere(cells == "G").tolist()
    if len(starts) > 1:
        raise ConfigError(f"the map has {len(starts)} starts; allowed: one, or none for anywhere")
    start = (starts[0][0], starts[0][1]) if starts and start is None else start
    goals = [(row, column) for row, column in found] if found and goals is None else goals
    return 0.0, (cells == "#").astype(np.uint8), (cells.shape[0], cells.shape[1]), start, goals
