"""Tables for people: as text, and in notebooks, on their grid where they have one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats, Model
from cdq.qfunctions.grid import LEGEND, kinds, policy_lines, signs
from cdq.storage import html, in_digits

_ROWS, _HTML_ROWS, _COLUMNS = 20, 8, 8  # that are shown
_HTML_CELLS = 1024


def as_text(values: Floats, model: Model | None, keys: npt.NDArray[np.uint64] | None) -> str:
    """Return the greedy policy as arrows on its grid, else the first rows of a table: state, values, best action."""
    if model is not None and model.grid is not None:
        return "\n".join([*policy_lines(model, values.argmax(axis=1)), "", LEGEND])
    head = _head(values, keys)
    body = [head, *islice(_rows(values, keys), _ROWS)]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in body]
    more = len(values) - _ROWS
    return "\n".join([*lines, *([f"... {more:,} more states"] if more > 0 else [])])


def as_html(caption: str, values: Floats, model: Model | None, keys: npt.NDArray[np.uint64] | None) -> str:
    """Return the state values as a coloured grid with the greedy policy's arrows, else the first rows of a table."""
    if model is not None and model.grid is not None and model.n_states <= _HTML_CELLS:
        return html.grid(_cells(values, model), caption)
    more = len(values) - _HTML_ROWS
    rows = [*islice(_rows(values, keys), _HTML_ROWS)]
    if more > 0:
        rows.append([f"... {more:,} more"])
    return html.table(_head(values, keys), rows, caption)


def _head(values: Floats, keys: npt.NDArray[np.uint64] | None) -> list[str]:
    first = "state" if keys is None else "key"
    n_actions = values.shape[1]
    several = [f"action {action}" for action in range(min(n_actions, _COLUMNS))]
    return [
        first,
        *several,
        *([f"... {n_actions - _COLUMNS:,} more"] if n_actions > _COLUMNS else []),
        "best",
    ]


def _rows(values: Floats, keys: npt.NDArray[np.uint64] | None) -> Iterator[list[str]]:
    for state, row in enumerate(values):
        name = state if keys is None else int(keys[state])
        several = [in_digits(value) for value in row[:_COLUMNS]]
        yield [str(name), *several, *(["..."] if len(row) > _COLUMNS else []), str(int(row.argmax()))]


def _cells(values: Floats, model: Model) -> Iterator[list[html.Cell]]:
    assert model.grid is not None
    best, policy, kind = values.max(axis=1), values.argmax(axis=1), kinds(model)
    shown = np.where([not one for one in kind], best, np.nan)
    level = html.levels(shown)
    cells: list[Any] = [
        html.Cell(
            sign,
            None if kind[state] else float(level[state]),
            f"state {state}" if kind[state] else f"state {state}: {in_digits(best[state])}",
        )
        for state, sign in enumerate(signs(model, policy))
    ]
    columns = model.grid[1]
    for first in range(0, len(cells), columns):
        yield cells[first : first + columns]


def model_as_html(model: Model, caption: str) -> str:
    """Return a model as its grid: S where episodes may start, G and H where they end; else its sizes."""
    if model.grid is None or model.n_states > _HTML_CELLS:
        sizes = {"states": model.n_states, "actions": model.n_actions, "outcomes": model.n_outcomes}
        starts = int(np.count_nonzero(model.start))
        rewards = f"{in_digits(model.reward.min())} to {in_digits(model.reward.max())}"
        rows = [
            *((name, f"{n:,}") for name, n in sizes.items()),
            ("first states", f"{starts:,}"),
            ("rewards", rewards),
        ]
        return html.table((), rows, caption)
    few = np.count_nonzero(model.start) == 1
    marks = [
        kind or ("S" if few and chance else "")
        for kind, chance in zip(kinds(model), model.start, strict=True)
    ]
    cells = [
        html.Cell(mark, {"G": 1.0, "S": 0.25, "": 0.5}.get(mark), f"state {state}")
        for state, mark in enumerate(marks)
    ]
    columns = model.grid[1]
    return html.grid((cells[first : first + columns] for first in range(0, len(cells), columns)), caption)
