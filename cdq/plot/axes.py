"""Axes to draw on, and the colours that all pictures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cdq.errors import ConfigError, PackageMissing

# After Okabe and Ito, "Color universal design", 2008: seen on white and on black, and by people of any colour vision.
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLES = ("-", "--", "-.", ":")  # once the colours are used up
NEUTRAL = "#808080"
VALUES, COUNTS = "viridis", "cividis"
_LINE, _SAMPLE = 66, 8  # characters that fit above axes of the usual width, and that a line's sample takes
NOTHING = "#a8a8a8"  # of cells without a value; black texts are read on it


def axes_for(ax: Any, figsize: tuple[float, float] | None = None) -> Any:
    """Return axes to draw on: those given, or new ones of pyplot, so that notebooks show them.

    Raises
    ------
    PackageMissing
        If matplotlib is not installed.
    ConfigError
        If *ax* is something else.
    """
    matplotlib()
    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(figsize=figsize, layout="constrained")[1]
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise ConfigError(f"ax is {type(ax).__name__}; allowed: axes of matplotlib, or None for new ones")
    return ax


def matplotlib() -> Any:
    """Return matplotlib; raises `PackageMissing` without it."""
    try:
        import matplotlib as found
    except ImportError as error:
        raise PackageMissing(f'a picture needs matplotlib ({error}): pip install "cdq[plot]"') from None
    return found


def colours(name: str) -> Any:
    """Return a map of colours, grey where there is nothing."""
    return matplotlib().colormaps[name].with_extremes(bad=NOTHING)


def style_of(number: int) -> dict[str, Any]:
    """Return colour and style of a line by its number among those of a picture."""
    again, colour = divmod(number, len(LINES))
    return {"color": LINES[colour], "linestyle": STYLES[again % len(STYLES)]}


def legend_above(ax: Any, names: Sequence[str], title: str | None = None) -> None:
    """Put the legend of lines with these names above the axes, where it hides nothing."""
    place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2}
    widest = max(map(len, names)) + _SAMPLE
    columns = max(1, min(len(names), 3, _LINE // widest))
    ax.legend(**place, ncols=columns, frameon=False, title=title, alignment="left", fontsize="medium")


def plain(ax: Any) -> None:
    """Leave out the frame's upper and right sides, and draw faint lines behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color=NEUTRAL, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)


def engineering(axis: Any) -> None:
    """Write numbers of an axis as 250 k or 2 M."""
    from matplotlib.ticker import EngFormatter, NullFormatter

    axis.set_major_formatter(EngFormatter(sep=" "))
    axis.set_minor_formatter(NullFormatter())


def logarithms(ax: Any, floor: float) -> None:
    """Make both axes logarithmic; the upward one begins at *floor*, where it has anything so low."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(10.0, subs=(1.0, 2.0, 5.0) if high < 200 * low else (1.0,)))
    engineering(ax.xaxis)
    reached = ax.dataLim.y0 <= floor * 1.001
    if reached:
        ax.set_ylim(bottom=floor)
    ax.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: f"<{y:g}" if reached and y <= floor * 1.001 else f"{y:g}")
    )
    ax.yaxis.set_minor_formatter(NullFormatter())
