"""Options that commands share, what they default to, and checks of what they are given."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cdq.errors import FileError
from cdq.learner import QLearner

# A default is stated once, in the signature of what it is passed to.
DEFAULT: dict[str, Any] = {
    name: parameter.default for name, parameter in inspect.signature(QLearner).parameters.items()
}

EnvId = Annotated[
    str, typer.Argument(metavar="ENV", help="A Gymnasium id; one of your own package is module:Env-v0.")
]
OptionalEnvId = Annotated[
    str | None,
    typer.Argument(metavar="ENV", help="A Gymnasium id, as for the other commands.", show_default=False),
]
Gamma = Annotated[float, typer.Option(metavar="X", help="Discount, above 0 and up to 1.")]
Workers = Annotated[int, typer.Option(metavar="N", help="How many learn together.")]
NumEnvs = Annotated[int, typer.Option(metavar="N", help="Environments that a worker steps in lockstep.")]
Dtype = Annotated[str, typer.Option(metavar="TYPE", help="Of the table: float64 or float32.")]
JsonPath = Annotated[
    Path | None,
    typer.Option("--json", metavar="PATH", help="Write the figures as JSON; - prints them and nothing else."),
]


def is_stdout(path: Path | None) -> bool:
    """Return whether *path* stands for standard output."""
    return path == Path("-")


def check_writable(path: Path | None) -> None:
    """Raise before any work starts if *path* could not be written after it.

    Raises
    ------
    FileError
        If it is no regular file, or it or its directory cannot be written.
    """
    if path is None or is_stdout(path):
        return
    if path.exists() and not path.is_file():
        raise FileError(f"cannot write {path}: it is not a regular file")
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise FileError(f"cannot write {path}: permission denied")
