"""Options that commands share, with their defaults, and checks of their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

import cdq
from cdq.cli.parameters import argument, option
from cdq.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from cdq.comm.zmq.keys import Keys
    from cdq.features import FeatureMap
    from cdq.training import Until

# Help is shown without loading the library, which takes four times as long. The arguments of `QLearner` that have a
# default here are held against its signature by a test, and the names of merge rules against the library's.
DEFAULT: dict[str, Any] = {
    "workers": None,
    "seed": None,
    "gamma": 0.99,
    "step_size": None,
    "exploration": 0.1,
    "merge": "pooled",
    "sync_every": "auto",
    "num_envs": None,
    "dtype": "float64",
    "initial_value": 0.0,
    "features": None,
    "bins": None,
    "table": "dense",
    "masks": "auto",
    "stepping": "auto",
    "comm": "auto",
    "overlap": False,
}
MERGES = ("affine", "importance", "max", "mean", "pooled", "sum", "visits")

_RATES = "a number, linear:FIRST:LAST:STEPS, exponential:FIRST:LAST:STEPS"


EnvId = Annotated[
    str, argument(metavar="ENV", help="A Gymnasium id; one of your own package is module:Env-v0.")
]
OptionalEnvId = Annotated[
    str | None,
    argument(metavar="[ENV]", help="A Gymnasium id, as for the other commands."),
]
Gamma = Annotated[float, option(metavar="X", help="Discount, above 0 and up to 1.")]
Workers = Annotated[int, option(metavar="N", help="How many learn together.")]
NumEnvs = Annotated[
    int | None,
    option(
        metavar="N",
        help="Environments that a worker steps in lockstep.",
        show_default="16; 1 where they are stepped in Python",
    ),
]
Dtype = Annotated[str, option(metavar="TYPE", help="Of the table: float64 or float32.")]
Steps = Annotated[
    float,
    option(metavar="N", help="Environment steps, summed over all workers.", show_default="5e6"),
]
Seed = Annotated[
    int | None,
    option(
        metavar="N", help="Same seed and number of workers: same table.", show_default="drawn, and reported"
    ),
]
StepSize = Annotated[
    str | None,
    option(
        metavar="SCHEDULE",
        help=f"One of: {_RATES}; or, by the count of a pair, rescaled-linear:GAMMA, polynomial:OMEGA.",
        show_default="rescaled-linear of gamma",
    ),
]
Exploration = Annotated[str, option(metavar="SCHEDULE", help=f"Chance of a random action; one of: {_RATES}.")]
Merge = Annotated[str, option(metavar="RULE", help=f"How tables become one: {', '.join(MERGES)}.")]
SyncEvery = Annotated[str, option(metavar="N", help="Steps per worker between two merges, or auto.")]
InitialValue = Annotated[float, option(metavar="X", help="What the table holds before learning.")]
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
        metavar="URL", help="Of the hub: zmq+ipc://PATH, zmq+curve://HOST:PORT or tcp://127.0.0.1:PORT."
    ),
]
JsonPath = Annotated[
    Path | None,
    option("--json", metavar="PATH", help="Write the figures as JSON; - prints them and nothing else."),
]


Features = Annotated[
    str | None,
    option(
        metavar="BASIS",
        help="Of a linear Q-function: tiles:TILINGS:TILES, polynomial:ORDER or fourier:ORDER.",
        show_default="tiles, where observations are vectors",
    ),
]
Bins = Annotated[
    str | None,
    option(metavar="N", help="Cut each number of an observation into N parts; or N,N,... of each."),
]
TableKind = Annotated[
    str,
    option("--table", metavar="KIND", help="A row per state (dense), or per state that was met (hash)."),
]
Masks = Annotated[str, option(metavar="WHEN", help="Heed the environment's action masks: auto, on or off.")]
Stepping = Annotated[
    str,
    option(
        metavar="WAY",
        help="The fastest way that is what step does (auto), its table P (model), or its own step (python).",
    ),
]


_BASES = {"tiles": ("TileCoding", 2), "polynomial": ("PolynomialBasis", 1), "fourier": ("FourierBasis", 1)}
_SWITCH: dict[str, bool | str] = {"auto": "auto", "on": True, "off": False}

Progress = Annotated[
    float,
    option(
        metavar="SECONDS", help="Between two lines of progress, where no terminal shows a bar; 0: show none."
    ),
]


def arguments_of(**options: Any) -> dict[str, Any]:
    """Return the arguments of `QLearner` that options on a command line, of the same names, stand for.

    Raises
    ------
    ConfigError
        If one does not stand for anything.
    """
    from cdq import schedules

    readers: dict[str, Callable[[str], Any]] = {
        "step_size": schedules.parse,
        "exploration": schedules.parse,
        "sync_every": window_of,
        "features": features_of,
        "bins": bins_of,
        "masks": masks_of,
    }
    return {
        name: readers[name](value) if name in readers and isinstance(value, str) else value
        for name, value in options.items()
    }


def features_of(text: str) -> FeatureMap:
    """Return the features that ``--features`` names.

    Examples
    --------
    >>> features_of("tiles:16:8").tilings
    16
    """
    kind, *numbers = text.split(":")
    if kind not in _BASES:
        raise ConfigError(unknown_name("features", kind, _BASES))
    basis, most = _BASES[kind]
    if len(numbers) > most or not all(number.isdecimal() for number in numbers):
        raise ConfigError(
            f"features {text!r}; allowed: {kind}, followed by up to {most} whole numbers after colons"
        )
    features: FeatureMap = getattr(cdq, basis)(*map(int, numbers))
    return features


def bins_of(text: str) -> int | tuple[int, ...]:
    """Return what ``--bins`` says."""
    numbers = text.split(",")
    if not all(number.isdecimal() for number in numbers):
        raise ConfigError(
            f"bins is {text!r}; allowed: a whole number, or one for each number of an observation: 8,8,4"
        )
    return int(text) if len(numbers) == 1 else tuple(map(int, numbers))


def masks_of(text: str) -> bool | str:
    """Return what ``--masks`` says."""
    if text not in _SWITCH:
        raise ConfigError(unknown_name("masks", text, _SWITCH))
    return _SWITCH[text]


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


def until_of(optimal: float | None, mean_return: float | None) -> Until | None:
    """Return when to stop, None if that was not given."""
    from cdq.training import MeanReturn, OptimalWithin

    if optimal is not None and mean_return is not None:
        raise ConfigError("--until-optimal and --until-return were both given; choose one")
    if optimal is not None:
        return OptimalWithin(optimal)
    return None if mean_return is None else MeanReturn(mean_return)


def window_of(text: str) -> str | int:
    """Return what ``--sync-every`` says."""
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else text


def given_in(context: click.Context) -> set[str]:
    """Return the names of the options that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def keys_in(directory: Path | None) -> Keys | None:
    """Return the keys that ``--keys`` names; None where it was not given."""
    from cdq.comm.zmq.keys import Keys

    return None if directory is None else Keys(directory)
