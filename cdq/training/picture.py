"""Picture of a run in bounded size, as a JSON object: its curves, and its table on the grid or by its first rows."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats, Model
from cdq.mdp import MDP
from cdq.qfunctions import kinds, mean_of_tables, symbols
from cdq.training.history import History
from cdq.training.state import State

CURVES = ("mean_return", "greedy_return", "gap", "window", "bytes")
MOST_CELLS = 4096  # of a grid that is sent
_FRESH = 1.0  # seconds in which a picture is not made again
_POINTS, _PARTS = 256, 128  # of a curve
_ROWS, _COLUMNS = 12, 8  # of a table that is no grid


class Grid(NamedTuple):
    """Form of a grid: what of its picture does not change as it is learnt.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    arrows : list of str
        Sign of each action.
    kinds : list of str
        Kind of each cell, "" where episodes act.
    """

    shape: tuple[int, int]
    arrows: list[str]
    kinds: list[str]


def grid_of(model: Model | None) -> Grid | None:
    """Return the grid of a model; None where it has none, or one of too many cells."""
    if model is None or model.grid is None or model.n_states > MOST_CELLS:
        return None
    return Grid(model.grid, symbols(model), kinds(model))


def curves_of(history: History) -> dict[str, list[list[float]]]:
    """Return the curves of a history by name, each as its steps and its figures; those without a figure are left out.

    Examples
    --------
    >>> from cdq.training import Row
    >>> history = History()
    >>> history.append(Row(10, 0.1, math.nan, 0, 1, 512, 0.25, window=5.0))
    >>> curves_of(history)
    {'gap': [[10.0], [0.25]], 'window': [[10.0], [5.0]], 'bytes': [[10.0], [512.0]]}
    """
    steps = history["steps"].astype(np.float64)
    found = {}
    for name in CURVES:
        figures = history[name].astype(np.float64)
        known = np.flatnonzero(np.isfinite(figures))
        if len(known) and name == "mean_return":
            weights = np.diff(history["episodes"], prepend=0)[known]
            found[name] = _means(steps[known], figures[known], np.maximum(weights, 1))
        elif len(known):
            taken = known[np.unique(np.linspace(0, len(known) - 1, _POINTS).round().astype(np.int64))]
            found[name] = [steps[taken].tolist(), figures[taken].tolist()]
    return found


def _means(steps: Floats, figures: Floats, weights: npt.NDArray[np.int64]) -> list[list[float]]:
    """Return the mean figure of each part of the steps, at the part's last row: newer rows are of fewer episodes."""
    parts = np.floor(steps * (_PARTS / max(steps[-1], 1.0)))
    first = np.flatnonzero(np.append(True, parts[1:] != parts[:-1]))
    means = np.add.reduceat(figures * weights, first) / np.add.reduceat(weights, first)
    last = np.append(first[1:], len(steps)) - 1
    return [steps[last].tolist(), means.tolist()]


class Pictures:
    """Pictures of a run that goes on; each is made for all who ask within a second.

    Parameters
    ----------
    model : MDP or None
        The model that is learnt, where there is one.
    """

    def __init__(self, model: MDP | None) -> None:
        self._model = model
        self._due, self._last = -math.inf, dict[str, Any]()

    @cached_property
    def _grid(self) -> Grid | None:
        return grid_of(self._model)

    def of(self, state: State) -> dict[str, Any]:
        """Return the picture of a run as it is now, or was within the last second."""
        now = time.monotonic()
        if now >= self._due:
            values, actions = state.merged.values[:MOST_CELLS], state.actions
            table = action_values(values, state.merged.rule.tables, actions)
            n_rows = len(state.merged.values)
            self._last = {
                "curves": curves_of(state.history),
                "table": table_of(table, self._grid, n_rows=n_rows),
            }
            self._due = now + _FRESH
        return self._last


def action_values(values: Floats, tables: int, actions: npt.NDArray[np.bool_] | None) -> Floats:
    """Return action values of the first states out of what a run holds of them.

    Parameters
    ----------
    values : (n, columns) array
        Values of the first states, in all tables of the rule.
    tables : int
        Number of tables of the rule.
    actions : (m, n_actions) array of bool, optional
        Actions that states have, of as many states or more; the others are worth minus infinity.
    """
    means = mean_of_tables(values, tables)
    return means if actions is None else np.where(actions[: len(means)], means, -np.inf)


def table_of(
    values: Floats, grid: Grid | None, *, n_rows: int, keys: npt.NDArray[np.uint64] | None = None
) -> dict[str, Any]:
    """Return the picture of a table.

    Parameters
    ----------
    values : (n, n_actions) array
        Action values of the first states, of all where there is a grid.
    grid : Grid, optional
        Form of the grid.
    n_rows : int
        Number of states of the whole table.
    keys : (n,) array, optional
        Keys of the states, where the table is hashed.
    """
    if grid is not None and values.shape == (len(grid.kinds), len(grid.arrows)):
        return _on_grid(values, grid)
    shown = values[:_ROWS]
    return {
        "states": n_rows,
        "actions": values.shape[1],
        "names": [str(key) for key in (range(len(shown)) if keys is None else keys[:_ROWS].tolist())],
        "rows": [[_rounded(value) for value in row] for row in shown[:, :_COLUMNS].tolist()],
        "best": shown.argmax(axis=1).tolist() if values.shape[1] else [],
    }


def _on_grid(values: Floats, grid: Grid) -> dict[str, Any]:
    best, policy = values.max(axis=1).tolist(), values.argmax(axis=1).tolist()
    return {
        "grid": list(grid.shape),
        "values": [None if kind else _rounded(value) for kind, value in zip(grid.kinds, best, strict=True)],
        "signs": [kind or grid.arrows[action] for kind, action in zip(grid.kinds, policy, strict=True)],
    }


def _rounded(value: float) -> float | None:
    """Return four digits of a number, None where it is not finite: JSON has no others."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
