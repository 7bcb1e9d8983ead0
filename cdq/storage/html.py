"""Small tables and pictures in HTML, for notebooks: nothing is loaded, and every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.storage.columns import in_digits

# Colours from low to high, which people with any kind of colour vision tell apart: those of matplotlib's viridis.
_RAMP = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_LINE, _GREY = "#0072b2", "#808080"  # seen on white and on black
_WIDTH, _HEIGHT, _EDGE = 420, 120, 14


class Cell(NamedTuple):
    """A cell of a grid: its sign, its colour from 0 to 1 (None: grey), and the text that the pointer shows."""

    sign: str
    level: float | None
    title: str


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """Return a table, with a caption above it.

    Examples
    --------
    >>> table(["state"], [["<3"]])
    '<table><thead><tr><th>state</th></tr></thead><tbody><tr><td>&lt;3</td></tr></tbody></table>'
    """
    above = f'<caption style="white-space:nowrap">{escape(caption)}</caption>' if caption else ""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{escape(str(value))}</td>" for value in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    first = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f"<table>{above}{first}<tbody>{body}</tbody></table>"


def grid(rows: Iterable[Iterable[Cell]], caption: str) -> str:
    """Return a grid of coloured cells."""
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    above = f'<caption style="white-space:nowrap">{escape(caption)}</caption>'
    return f'<table style="border-collapse:collapse;line-height:1">{above}<tbody>{lines}</tbody></table>'


def _cell(cell: Cell) -> str:
    red, green, blue = (200, 200, 200) if cell.level is None else _colour(cell.level)
    ink = "#000" if 299 * red + 587 * green + 114 * blue > 128_000 else "#fff"
    style = f"background:rgb({red},{green},{blue});color:{ink};width:1.8em;height:1.8em;padding:0;text-align:center"
    return f'<td style="{style}" title="{escape(cell.title)}">{escape(cell.sign)}</td>'


def _colour(level: float) -> tuple[int, int, int]:
    place = min(max(level, 0.0), 1.0) * (len(_RAMP) - 1)
    first = min(int(place), len(_RAMP) - 2)
    mixed = (
        low + (high - low) * (place - first) for low, high in zip(_RAMP[first], _RAMP[first + 1], strict=True)
    )
    red, green, blue = map(round, mixed)
    return red, green, blue


def levels(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return values as parts of their range, from 0 to 1.

    Examples
    --------
    >>> levels(np.array([-1.0, 0.0, 1.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    values = np.asarray(values, np.float64)
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    with np.errstate(over="ignore"):
        span = high - low
    if not 0.0 < span < np.inf:
        return np.full(values.shape, 0.5)
    return np.clip((values - low) / span, 0.0, 1.0)


def curve(x: npt.NDArray[Any], y: npt.NDArray[Any], name: str) -> str:
    """Return a line of figures over steps as SVG, with its least and greatest values; "" without two of them."""
    known = np.isfinite(y)
    x, y = np.asarray(x, np.float64)[known], np.asarray(y, np.float64)[known]
    if len(x) < 2:
        return ""
    across = _EDGE + levels(x) * (_WIDTH - 2 * _EDGE)
    down = _HEIGHT - _EDGE - levels(y) * (_HEIGHT - 3 * _EDGE)
    points = " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(across, down, strict=True))
    text = f"{escape(name)}: {in_digits(y.min())} to {in_digits(y.max())}, in {x[-1]:,.0f} steps"
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" style="display:block">'
        f'<polyline points="{points}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>'
        f'<text x="{_EDGE}" y="{_EDGE}" font-size="12" font-family="sans-serif" fill="{_GREY}">{text}</text></svg>'
    )
