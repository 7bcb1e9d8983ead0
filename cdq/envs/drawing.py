"""Pictures of environments on grids, as text and as pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError

METADATA = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}
"""Gymnasium's description of an environment that `draw` draws."""

AGENT, FREE, GOAL, START, WALL = "@", ".", "G", "S", "#"
MOST_CELLS = 64  # in a picture, along either side; a larger grid is shown around the agent
_PIXELS = 24  # along the side of a cell
_COLOURS = {
    FREE: (244, 241, 234),
    WALL: (58, 64, 74),
    START: (190, 214, 236),
    GOAL: (126, 191, 131),
    AGENT: (214, 88, 52),
}
_LINE = (214, 209, 199)

Cell = tuple[int, int]
Picture = str | npt.NDArray[np.uint8]


def checked_mode(kind: type, mode: str | None) -> str | None:
    """Return a render mode if environments of this class have it.

    Raises
    ------
    ConfigError
        If they do not; says which they have.
    """
    modes: list[str] = kind.metadata["render_modes"]  # type: ignore[attr-defined]
    if mode is None or mode in modes:
        return mode
    hint = "" if modes else ", for it draws no picture; cdq/GridWorld-v0 and cdq/DeepSea-v0 do"
    allowed = ", ".join(map(repr, [None, *modes]))
    raise ConfigError(f"render_mode of {kind.__name__} is {mode!r}; allowed: {allowed}{hint}")


def draw(mode: str, shape: Cell, agent: Cell, symbol_at: Callable[[Cell], str]) -> Picture:
    """Return a picture of a grid with its agent.

    Parameters
    ----------
    mode : {"ansi", "rgb_array"}
        Text of a line for each row, or pixels.
    shape, agent : (int, int)
        Rows and columns, and where the agent is.
    symbol_at : callable
        Returns the symbol of a cell.

    Returns
    -------
    str, or (height, width, 3) array of uint8
        Picture of at most 64 rows and columns, those around the agent.
    """
    rows, columns = (_shown(size, at) for size, at in zip(shape, agent, strict=True))
    symbols = [[AGENT if (r, c) == agent else symbol_at((r, c)) for c in columns] for r in rows]
    if mode == "ansi":
        return "".join("".join(line) + "\n" for line in symbols)
    under = symbol_at(agent)
    return np.vstack([np.hstack([_tile(symbol, under) for symbol in line]) for line in symbols])


def _shown(size: int, at: int) -> range:
    first = min(max(at - MOST_CELLS // 2, 0), max(size - MOST_CELLS, 0))
    return range(first, min(first + MOST_CELLS, size))


def _tile(symbol: str, under: str) -> npt.NDArray[np.uint8]:
    """Return the pixels of a cell; the agent is a disc on the symbol *under* it."""
    tile = np.empty((_PIXELS, _PIXELS, 3), np.uint8)
    tile[:] = _COLOURS[under if symbol == AGENT else symbol]
    tile[-1] = tile[:, -1] = _LINE
    if symbol == AGENT:
        from_centre = np.arange(_PIXELS) - 0.5 * (_PIXELS - 2)
        tile[np.hypot(from_centre, from_centre[:, None]) < 0.36 * _PIXELS] = _COLOURS[AGENT]
    return tile


def render(env: Any, shape: Cell, index: int, symbol_at: Callable[[Cell], str]) -> Picture | None:
    """Return the picture of an environment by its render mode; None, with Gymnasium's warning, without one."""
    import gymnasium

    if env.render_mode is None:
        gymnasium.logger.warn(
            f"render() of {env.name} draws nothing without a render mode: "
            f"gymnasium.make('cdq/{env.name}-v0', render_mode='ansi') has one"
        )
        return None
    row, column = divmod(index, shape[1])
    return draw(env.render_mode, shape, (row, column), symbol_at)
