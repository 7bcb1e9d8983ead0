"""Pictures as files: PNG or SVG, by the ending of the name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cdq.errors import ConfigError
from cdq.plot.axes import matplotlib
from cdq.storage import check_replaceable, replacing

_FORMATS = (".png", ".svg")


def check_picture(path: Path) -> None:
    """Raise before any work starts if a picture could not be written to *path*.

    Raises
    ------
    ConfigError
        If the name does not end with .png or .svg.
    FileError
        If it is no regular file, or no file can be made in its directory.
    PackageMissing
        If matplotlib is not installed.
    """
    if path.suffix not in _FORMATS:
        raise ConfigError(f"the picture is {path}; allowed: a name that ends with {' or '.join(_FORMATS)}")
    matplotlib()
    check_replaceable(path)


def write_picture(path: Path, draw: Callable[[], Any]) -> None:
    """Write the picture that *draw* draws on new axes, which it returns, to a file, atomically.

    The same picture is the same file, without a date.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    check_picture(path)
    with matplotlib().rc_context({"backend": "agg", "svg.hashsalt": "cdq"}):
        from matplotlib import pyplot

        figure = draw().figure
        try:
            with replacing(path) as file:
                kind = path.suffix[1:]
                metadata = {"Date": None} if kind == "svg" else {}
                figure.savefig(file, format=kind, dpi=150, metadata=metadata, bbox_inches="tight")
        finally:
            pyplot.close(figure)
