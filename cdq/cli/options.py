"""Options that commands share besides hyper-parameters, and checks of their values."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from cdq.cli.completion import environments
from cdq.cli.parameters import argument, option
from cdq.errors import ConfigError
from cdq.errors.checks import real

if TYPE_CHECKING:
    from cdq.comm.zmq.keys import Keys
    from cdq.training import Callback, ProgressBar, Until

EnvId = Annotated[
    str,
    argument(
        metavar="ENV",
        help="A Gymnasium id; one of your own package is module:Env-v0.",
        shell_complete=environments,
    ),
]
OptionalEnvId = Annotated[
    str | None,
    argument(metavar="[ENV]", help="A Gymnasium id, as for the other commands.", shell_complete=environments),
]
EnvArgs = Annotated[
    list[str] | None,
    option(
        "--env-arg",
        metavar="NAME=VALUE",
        help="Argument with which ENV is made, such as is_slippery=false; may be given again.",
    ),
]
Fleet = Annotated[
    list[str] | None,
    option(
        "--fleet",
        metavar="NAME=VALUE,...",
        help="One more worker, whose own ENV is made with these arguments; give it for each worker.",
    ),
]
Workers = Annotated[int, option(metavar="N", help="How many learn together.")]
Steps = Annotated[
    float,
    option(metavar="N", help="Environment steps, summed over all workers.", show_default="5e6"),
]
UntilOptimal = Annotated[
    float | None, option(metavar="X", help="Stop once certified to be within X of optimal.")
]
UntilReturn = Annotated[
    float | None, option(metavar="X", help="Stop once the greedy policy's mean return is X or more.")
]
CheckpointEvery = Annotated[
    float | None,
    option(
        metavar="N",
        help="Steps, of all workers, between two checkpoints.",
        show_default="a twentieth of --steps",
    ),
]
KeysDirectory = Annotated[
    Path | None,
    option(
        "--keys",
        metavar="DIR",
        help="Keys for zmq+curve, made by cdq keygen.",
        show_default="$CDQ_KEYS, or ~/.cdq",
    ),
]
HubUrl = Annotated[
    str,
    argument(
        metavar="URL", help="Of the hub: zmq+ipc:///PATH, zmq+curve://HOST:PORT or tcp://127.0.0.1:PORT."
    ),
]
KerasModel = Annotated[
    str | None,
    option(
        metavar="MODULE:FUNCTION",
        help="What returns the Keras model that was learnt: that it may be imported.",
        show_default="there is none",
    ),
]
JsonPath = Annotated[
    Path | None,
    option("--json", metavar="PATH", help="Write the figures as JSON; - prints them and nothing else."),
]

LogTo = Annotated[
    list[Path] | None,
    option(
        "--log-to",
        metavar="FILE|DIR",
        help="Write the history as it grows to FILE.csv, FILE.jsonl, or DIR for TensorBoard; may be given again.",
    ),
]

# Ends of names of files that somebody may hope for.
_OTHER_FILES = {".json", ".txt", ".log", ".tsv", ".parquet", ".xlsx", ".html", ".safetensors", ".png", ".svg"}
_COMMA = re.compile(r",(?![^\[(]*[\])])")  # between arguments, not within brackets
_WORDS = {"True": True, "False": False, "None": None}


Progress = Annotated[
    float,
    option(
        metavar="SECONDS", help="Between two lines of progress, where no terminal shows a bar; 0: show none."
    ),
]


def env_kwargs_of(texts: Sequence[str] | None, name_of: str = "--env-arg") -> dict[str, Any] | None:
    """Return the arguments of an environment that an option gives: JSON, True, False, None, tuples, or text.

    Raises
    ------
    ConfigError
        If one is not NAME=VALUE, or a name is given twice.

    Examples
    --------
    >>> env_kwargs_of(["is_slippery=false", "map_name=8x8", "shape=(10, 20)"])
    {'is_slippery': False, 'map_name': '8x8', 'shape': (10, 20)}
    """
    given: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"{name_of} is {text!r}; allowed: NAME=VALUE, such as is_slippery=false")
        if name in given:
            raise ConfigError(f"{name_of} gives {name} twice; give it once")
        given[name] = _WORDS[value] if value in _WORDS else _value_of(value)
    return given or None


def fleet_of(texts: Sequence[str] | None, common: Mapping[str, Any] | None) -> Any:
    """Return the arguments of each worker's environment that ``--fleet`` gives, beside *common* ones; else these.

    Examples
    --------
    >>> fleet_of(["length=0.3", "shape=(3,4),slip=0.2"], None)
    [{'length': 0.3}, {'shape': (3, 4), 'slip': 0.2}]
    """
    if not texts:
        return common
    return [{**(common or {}), **(env_kwargs_of(_COMMA.split(text), "--fleet") or {})} for text in texts]


def _value_of(text: str) -> Any:
    """Return what a text is as JSON, or as a tuple of that; else the text."""
    is_tuple = text.startswith("(") and text.endswith(")")
    try:
        if is_tuple:
            return tuple(json.loads(f"[{text[1:-1].rstrip(' ,')}]", parse_constant=str))
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text


def is_stdout(path: Path | None) -> bool:
    """Return whether *path* stands for standard output."""
    return path == Path("-")


def check_writable(path: Path | None) -> None:
    """Raise before any work starts if *path* could not be written after it.

    Raises
    ------
    FileError
        If it is no regular file, or no file can be made in its directory.
    """
    from cdq.storage import check_replaceable

    if path is not None and not is_stdout(path):
        check_replaceable(path)


def check_apart(**paths: Path | None) -> None:
    """Raise `ConfigError` if two options, here by name, are to write to one place."""
    named: dict[Path, str] = {}
    for name, path in paths.items():
        if path is None or is_stdout(path):
            continue
        other = named.setdefault(path.absolute(), name)
        if other != name:
            raise ConfigError(f"--{other} and --{name} both name {path}; name two places")


def progress_by(seconds: float) -> ProgressBar | None:
    """Return what shows progress, with a plain line every so many seconds; None where they are 0.

    Raises
    ------
    ConfigError
        If they are no number that is allowed.
    """
    from cdq.training import ProgressBar

    between = real("--progress", seconds, "a finite number of seconds above 0, or 0 to show none", 0.0)
    return ProgressBar(between) if between else None


def loggers_of(paths: Sequence[Path] | None) -> list[Callback]:
    """Return the loggers that ``--log-to`` stands for: by the end of a file's name, or of a directory for TensorBoard.

    Raises
    ------
    ConfigError
        If a name is one of a file of another kind, or given twice.
    PackageMissing
        If tensorboardX is not installed, for a directory.
    FileError
        If one could not be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> [type(one).__name__ for one in loggers_of([Path("run.csv"), Path("run.jsonl")])]
    ['CSVLogger', 'JSONLogger']
    """
    from cdq.storage import check_replaceable
    from cdq.training.loggers import CSVLogger, JSONLogger, TensorBoardLogger

    kinds: dict[str, Any] = {".csv": CSVLogger, ".jsonl": JSONLogger, ".ndjson": JSONLogger}
    found: dict[Path, Callback] = {}
    for path in paths or ():
        kind = kinds.get(path.suffix.lower())
        if path.absolute() in found:
            raise ConfigError(f"--log-to names {path} twice; name two places")
        if kind is None and not path.is_dir() and (path.exists() or path.suffix.lower() in _OTHER_FILES):
            raise ConfigError(
                f"--log-to is {path}; allowed: FILE.csv, FILE.jsonl, or a directory for TensorBoard"
            )
        check_replaceable(path if kind else _first_made(path))
        found[path.absolute()] = (kind or TensorBoardLogger)(path)
    return list(found.values())


def _first_made(directory: Path) -> Path:
    """Return what is made first where a logger writes to a directory: one above it, itself, or a file in it."""
    made = directory / "events"
    while not made.parent.exists():
        made = made.parent
    return made


def until_of(optimal: float | None, mean_return: float | None) -> Until | None:
    """Return when to stop, None if that was not given."""
    from cdq.training import MeanReturn, OptimalWithin

    if optimal is not None and mean_return is not None:
        raise ConfigError("--until-optimal and --until-return were both given; choose one")
    if optimal is not None:
        return OptimalWithin(optimal)
    return None if mean_return is None else MeanReturn(mean_return)


def given_in(context: click.Context) -> set[str]:
    """Return the names of the options that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def keys_in(directory: Path | None) -> Keys | None:
    """Return the keys that ``--keys`` names; None where it was not given."""
    from cdq.comm.zmq.keys import Keys

    return None if directory is None else Keys(directory)


@contextmanager
def alone() -> Iterator[None]:
    """Let learners that are made in this context be no ranks: a pod's shell has a rank's variables, too."""
    from cdq.comm.registry import VARIABLE

    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "inprocess"
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
