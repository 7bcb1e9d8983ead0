"""State values, policies, visits and action values, on grids and as matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Model
from cdq.errors import ConfigError, TableError
from cdq.errors.checks import shown
from cdq.mdp import model_of
from cdq.plot.axes import COUNTS, VALUES, axes_for, colours
from cdq.plot.learners import is_learner
from cdq.qfunctions import QTable, kinds, signs

_LEAST_SIGN = 4.5  # points of a sign that can be read
_INCHES = 6.4
_MOST_LINES = 64  # rows or columns of a grid whose cells are told apart by lines
_MATRIX_STATES = 2000


def values(result: Any, model: Any = None, *, ax: Any = None) -> Any:
    """Draw the value of each cell of a grid, with the greedy policy's arrows.

    S marks the start where there is one, G the ends with the best reward, H ends with less. Cells in which no episode
    acts, such as walls, are grey.

    Parameters
    ----------
    result : QLearner, QTable, Solution, or (n_states, n_actions) array
        Action values.
    model : MDP, environment or id, optional
        The model, whose states are the cells of a grid; needed where the result does not know it, as of a file.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; by default new ones.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If there is no model, or it is no grid.
    TableError
        If the result has other states or actions than the model.
    PackageMissing
        If matplotlib is not installed.

    Examples
    --------
    >>> import cdq
    >>> agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(100_000)
    >>> [text.get_text() for text in cdq.plot.values(agent).texts][-1]
    'G'
    """
    known = _model(result, model)
    given = _values_of(result, known)
    kind = kinds(known)
    shown_values = np.where([not one for one in kind], given.max(axis=1), np.nan)
    ax = _grid_axes(ax, known)
    image = ax.imshow(shown_values.reshape(known.grid), cmap=colours(VALUES))
    ax.figure.colorbar(image, ax=ax, label="value of the best action")
    _write_signs(ax, image, signs(known, _policy_of(result, given)), shown_values, known)
    return ax


def visits(result: Any, model: Any = None, *, ax: Any = None) -> Any:
    """Draw the number of updates of each cell of a grid, of all its actions; else of each state and action.

    Parameters
    ----------
    result : QLearner or QTable
        A table with its visits.
    model, ax
        The same as for `values`; without a grid, the picture is a matrix of states and actions.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If the result has no visits.
    TableError
        If the result has other states or actions than the model.
    PackageMissing
        If matplotlib is not installed.

    Examples
    --------
    >>> import cdq
    >>> cdq.plot.visits(cdq.QLearner("Taxi-v4", seed=0).learn(100_000)).get_ylabel()
    'state'
    """
    held = result.table if is_learner(result) else result
    if not isinstance(held, QTable) or not held.visits.size:
        raise ConfigError(
            f"{shown(result)} has no visits; allowed: a learner or a QTable, with a state at least"
        )
    known = held.model if model is None else _model(result, model)
    if known is None or known.grid is None:
        return _matrix(held.visits.astype(np.float64), ax, "visits", counts=True)
    _values_of(held, known)
    ax = _grid_axes(ax, known)
    counts = held.visits.sum(axis=1).astype(np.float64).reshape(known.grid)
    image = ax.imshow(np.where(counts > 0, counts, np.nan), cmap=colours(COUNTS), norm=_norm(counts))
    ax.figure.colorbar(image, ax=ax, label="visits")
    return ax


def table(result: Any, *, ax: Any = None) -> Any:
    """Draw a table of action values as a matrix: a row per state, a column per action.

    Of a table of more than 2,000 states, the first 2,000 are drawn. Actions that a state does not have are grey.

    Parameters
    ----------
    result : QLearner, QTable, Solution, or (n_states, n_actions) array
        Action values.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; by default new ones.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If the result holds no table.
    PackageMissing
        If matplotlib is not installed.

    Examples
    --------
    >>> import cdq
    >>> cdq.plot.table(cdq.solve("Taxi-v4", gamma=0.99)).get_xlabel()
    'action'
    """
    return _matrix(_values_of(result), ax, "value", counts=False)


# ---- what is drawn


def _model(result: Any, model: Any) -> Model:
    """Return the model of a result: the one given, or its own."""
    if is_learner(result) and hasattr(result, "tables"):
        name, first = next(iter(result.tables.items()))
        if model is not None or first.model is not None:
            raise ConfigError(
                f"{result.name} has several tables; draw one of them, as in "
                f"cdq.plot.values(agent.tables[{name!r}]), or all by cdq.plot.table, --kind table"
            )
    own = result.model if isinstance(result, QTable) or is_learner(result) else None
    known: Model | None = own if model is None else model_of(model)
    if known is None and is_learner(result):
        raise ConfigError(
            f"{result.name} has no known model, and so no grid; use cdq.plot.surface or cdq.plot.table, "
            "or --kind surface or table"
        )
    if known is None:
        raise ConfigError(
            f"{shown(result)} does not know its model; give it: cdq.plot.values(result, model), where the model "
            "may be the id of an environment"
        )
    if known.grid is None:
        raise ConfigError(f"the states of {known.name} are no grid; use cdq.plot.table, or --kind table")
    return known


def _values_of(result: Any, model: Model | None = None) -> npt.NDArray[np.float64]:
    """Return the action values of a result, if they are those of a model."""
    held = result.table if is_learner(result) else result
    held = held.values if hasattr(held, "values") and not isinstance(held, np.ndarray) else held
    try:
        found = np.asarray(held, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.ndim != 2 or not found.size:
        raise ConfigError(
            f"{shown(result)} is no table of states and actions; allowed: a learner, a QTable, a Solution, "
            "or an array (n_states, n_actions)"
        )
    if model is not None and found.shape != (model.n_states, model.n_actions):
        raise TableError(
            f"the table has shape {found.shape}; {model.name} needs {(model.n_states, model.n_actions)}"
        )
    return found


def _policy_of(result: Any, given: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the policy of a result: its own where it has one as an array, as a solution does, else the greedy one."""
    own = getattr(result, "policy", None)
    best: npt.NDArray[np.int64] = own if isinstance(own, np.ndarray) else given.argmax(axis=1)
    return best


# ---- drawing


def _grid_axes(ax: Any, model: Model) -> Any:
    """Return axes for a grid, as large as its form needs, without numbers."""
    assert model.grid is not None
    rows, columns = model.grid
    width = _INCHES * min(1.0, max(columns / rows, 0.4)) + 0.9  # for the scale of colours
    height = max(_INCHES * min(1.0, rows / columns), 1.4)
    ax = axes_for(ax, (width, height))
    ax.set_xticks([])
    ax.set_yticks([])
    if max(rows, columns) <= _MOST_LINES:  # so that grey cells are told apart
        ax.set_xticks(np.arange(1, columns) - 0.5, minor=True)
        ax.set_yticks(np.arange(1, rows) - 0.5, minor=True)
        ax.grid(which="minor", color="white", linewidth=0.5, alpha=0.5)
        ax.tick_params(which="minor", length=0)
    return ax


def _write_signs(
    ax: Any, image: Any, texts: list[str], shown_values: npt.NDArray[np.float64], model: Model
) -> None:
    """Write a sign into each cell, in black or white, and an S where episodes start, where they can be read."""
    assert model.grid is not None
    rows, columns = model.grid
    box = ax.get_position()
    inches = ax.figure.get_size_inches()
    size = 72 * 0.55 * min(box.width * inches[0] / columns, box.height * inches[1] / rows)
    if size < _LEAST_SIGN:
        return
    levels = image.norm(shown_values)
    starts = np.flatnonzero(model.start)
    for state, text in enumerate(texts):
        row, column = divmod(state, columns)
        dark = np.isfinite(shown_values[state]) and levels[state] <= 0.6
        ink = "white" if dark else "black"
        if text != ".":
            ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=min(size, 18.0))
        if len(starts) == 1 and state == starts[0] and size * 0.6 >= _LEAST_SIGN:
            style = {"fontsize": min(size, 18.0) * 0.6, "fontweight": "bold"}
            ax.text(column - 0.42, row - 0.42, "S", ha="left", va="top", color=ink, **style)


def _matrix(given: npt.NDArray[np.float64], ax: Any, label: str, *, counts: bool) -> Any:
    given = np.where(np.isneginf(given), np.nan, given)[:_MATRIX_STATES]
    n_states, n_actions = given.shape
    ax = axes_for(ax, (min(2.4 + 0.5 * n_actions, 7.0), min(1.5 + 0.28 * n_states, 6.4)))
    drawn = np.where(given > 0, given, np.nan) if counts else given
    norm = _norm(given) if counts else None
    image = ax.imshow(
        drawn, cmap=colours(COUNTS if counts else VALUES), aspect="auto", interpolation="nearest", norm=norm
    )
    ax.figure.colorbar(image, ax=ax, label=label)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("action")
    ax.set_ylabel("state")
    return ax


def _norm(counts: npt.NDArray[np.float64]) -> Any:
    """Return a logarithmic scale for counts, where there are any."""
    from matplotlib.colors import LogNorm

    return LogNorm(1.0, max(float(counts.max()), 10.0))
