"""cdq plot: a picture of what was learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cdq.cli.parameters import argument, option

# Help is shown without loading the library; a test holds these against `cdq.cli.pictures`.
KINDS = ("curve", "gap", "bytes", "speedup", "values", "visits", "table", "surface")

Files = Annotated[
    list[Path],
    argument(metavar="FILE...", help="Files that cdq train --save wrote, or directories of checkpoints."),
]
Kind = Annotated[
    str,
    option(
        metavar="NAME",
        help=f"Picture: {', '.join(KINDS)}.",
        show_default="values on a grid, else surface or curve",
    ),
]
Out = Annotated[
    Path | None,
    option(metavar="PATH", help="Picture to write, PNG or SVG.", show_default="FILE.png, of the first file"),
]
Env = Annotated[
    str | None, option(metavar="ENV", help="The environment.", show_default="what the file names")
]


def plot(files: Files, *, kind: Kind = "auto", out: Out = None, env: Env = None) -> None:
    """Draw what was learnt, to a PNG or SVG file; needs the extra plot.

    Several files are curves: those that differ in nothing but the seed are
    one line, the median, with a band of the quartiles.

    [bold]Examples[/bold]

    cdq plot lake.safetensors
    cdq plot run-*.safetensors --kind gap --out gap.svg
    """
    from cdq.cli.pictures import draw

    target = out or files[0].with_name(f"{files[0].resolve().stem}.png")
    print(f"{draw(list(files), kind, target, env)}: {target}")
