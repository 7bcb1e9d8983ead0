"""cdq plot: a picture of what was learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cdq import plot as pictures
from cdq.errors import ConfigError, unknown_name
from cdq.learner import QLearner
from cdq.mdp import Solution
from cdq.plot.files import check_picture, write_picture
from cdq.qfunctions import QTable
from cdq.storage import read_tensors

_OF_RUNS: dict[str, Callable[[Any], Any]] = {
    "curve": pictures.learning_curve,
    "gap": pictures.gap,
    "bytes": pictures.communication,
    "speedup": pictures.speedup,
}
_OF_RESULTS: dict[str, Callable[[Any], Any]] = {
    "values": pictures.values,
    "visits": pictures.visits,
    "table": pictures.table,
    "surface": pictures.surface,
}
_KINDS = (*_OF_RUNS, *_OF_RESULTS)
_READERS: dict[Any, Callable[[Path], Any]] = {"table": QTable.load, "solution": Solution.load}

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...", help="Files that cdq train --save wrote, or directories of checkpoints."
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Picture: {', '.join(_KINDS)}.",
        show_default="values on a grid, else surface or curve",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Picture to write, PNG or SVG.", show_default="FILE.png, of the first file"
    ),
]
Env = Annotated[
    str | None, typer.Option(metavar="ENV", help="The environment.", show_default="what the file names")
]


def plot(files: Files, *, kind: Kind = "auto", out: Out = None, env: Env = None) -> None:
    """Draw what was learnt, to a PNG or SVG file; needs the extra plot.

    Several files are curves: those that differ in nothing but the seed are
    one line, the median, with a band of the quartiles.

    [bold]Examples[/bold]

    cdq plot lake.safetensors
    cdq plot run-*.safetensors --kind gap --out gap.svg
    """
    if kind not in {"auto", *_KINDS}:
        raise ConfigError(unknown_name("kind of picture", kind, ("auto", *_KINDS)))
    target = out or files[0].with_name(f"{files[0].resolve().stem}.png")
    check_picture(target)
    found = [_read(path, env) for path in files]
    chosen = _usual(found) if kind == "auto" else kind
    if chosen in _OF_RESULTS:
        if len(found) > 1:
            raise ConfigError(f"{len(files)} files for {chosen}, a picture of one; give one, or --kind curve")
        given: tuple[Any, ...] = (
            (found[0],) if env is None or chosen in {"table", "surface"} else (found[0], env)
        )
        write_picture(target, lambda: _OF_RESULTS[chosen](*given))
    else:
        runs = found if chosen == "speedup" else _by_settings(files, found)
        write_picture(target, lambda: _OF_RUNS[chosen](runs))
    print(f"{chosen}: {target}")


def _read(path: Path, env: str | None) -> Any:
    """Return what a file or a directory of checkpoints holds."""
    if path.is_dir():
        return QLearner.resume(path, env)
    reader = _READERS.get(read_tensors(path)[1].get("kind"))
    return reader(path) if reader else QLearner.load(path, env)


def _usual(found: list[Any]) -> str:
    """Return the kind of picture that says most."""
    one = found[0]
    if len(found) > 1:
        return "curve"
    if not isinstance(one, QLearner):
        return "table"
    if one.model is not None and one.model.grid is not None:
        return "values"
    return "surface" if one.input_bounds is not None and len(one.input_bounds[0]) == 2 else "curve"


def _by_settings(files: list[Path], found: list[Any]) -> Any:
    """Return runs by the name of the first file of those that differ in nothing but the seed."""
    names: dict[str, str] = {}
    runs: dict[str, list[Any]] = {}
    for path, one in zip(files, found, strict=True):
        if not isinstance(one, QLearner):
            raise ConfigError(f"{path} holds no run; give files of learners, or --kind table")
        settings = f"{one.name} {replace(one.settings, seed=0)}"
        runs.setdefault(names.setdefault(settings, path.stem), []).append(one)
    return runs if len(runs) > 1 else next(iter(runs.values()))
