"""Options that commands share, with their defaults, and checks of their values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cdq import schedules
from cdq.comm.zmq.keys import Keys
from cdq.errors import ConfigError, unknown_name
from cdq.features import FeatureMap, FourierBasis, PolynomialBasis, TileCoding
from cdq.learner import QLearner
from cdq.merges import NAMES as MERGES
from cdq.rules import RULES
from cdq.storage import check_replaceable
from cdq.training import MeanReturn, OptimalWithin, Until

# A default is stated once, in the signature of what it is passed to.
DEFAULT: dict[str, Any] = {
    name: parameter.default for name, parameter in inspect.signature(QLearner).parameters.items()
}

_RATES = "a number, linear:FIRST:LAST:STEPS, exponential:FIRST:LAST:STEPS"


class Command(typer.core.TyperCommand):
    """A command none of whose arguments may be empty: as a path, that would be the working directory."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Take *args* apart."""
        _require_none_empty(args)
        return super().parse_args(ctx, args)


def _require_none_empty(arguments: Sequence[str]) -> None:
    """Raise if an argument of a command is empty, as one of a shell's variable that is not set.

    Raises
    ------
    ConfigError
        Names what stands before it.
    """
    for number, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if not argument or (option.startswith("--") and equals and not value):
            before = option or (arguments[number - 1] if number else "")
            name = before if before.startswith("-") else "an argument"
            raise ConfigError(f"{name} is empty; give it a value, or leave it out")


EnvId = Annotated[
    str, typer.Argument(metavar="ENV", help="A Gymnasium id; one of your own package is module:Env-v0.")
]
OptionalEnvId = Annotated[
    str | None,
    typer.Argument(metavar="ENV", help="A Gymnasium id, as for the other commands.", show_default=False),
]
Gamma = Annotated[float, typer.Option(metavar="X", help="Discount, above 0 and up to 1.")]
Workers = Annotated[int, typer.Option(metavar="N", help="How many learn together.")]
NumEnvs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Environments that a worker steps in lockstep.",
        show_default="16; 1 where they are stepped in Python",
    ),
]
Dtype = Annotated[str, typer.Option(metavar="TYPE", help="Of the table: float64 or float32.")]
Steps = Annotated[
    float,
    typer.Option(metavar="N", help="Environment steps, summed over all workers.", show_default="5e6"),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Same seed and number of workers: same table.", show_default="drawn, and reported"
    ),
]
StepSize = Annotated[
    str | None,
    typer.Option(
        metavar="SCHEDULE",
        help=f"One of: {_RATES}; or, by the count of a pair, rescaled-linear:GAMMA, polynomial:OMEGA.",
        show_default="rescaled-linear of gamma",
    ),
]
Exploration = Annotated[
    str, typer.Option(metavar="SCHEDULE", help=f"Chance of a random action; one of: {_RATES}.")
]
RuleName = Annotated[
    str, typer.Option("--rule", metavar="NAME", help=f"How values move: {', '.join(RULES)}.")
]
Merge = Annotated[str, typer.Option(metavar="RULE", help=f"How tables become one: {', '.join(MERGES)}.")]
SyncEvery = Annotated[str, typer.Option(metavar="N", help="Steps per worker between two merges, or auto.")]
InitialValue = Annotated[float, typer.Option(metavar="X", help="What the table holds before learning.")]
UntilOptimal = Annotated[
    float | None, typer.Option(metavar="X", help="Stop once certified to be within X of optimal.")
]
UntilReturn = Annotated[
    float | None, typer.Option(metavar="X", help="Stop once the greedy policy's mean return is X or more.")
]
CheckpointEvery = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        help="Steps, of all workers, between two checkpoints.",
        show_default="a twentieth of --steps",
    ),
]
KeysDirectory = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="DIR",
        help="Keys for zmq+curve, made by cdq keygen.",
        show_default="$CDQ_KEYS, or ~/.cdq",
    ),
]
HubUrl = Annotated[
    str,
    typer.Argument(
        metavar="URL", help="Of the hub: zmq+ipc://PATH, zmq+curve://HOST:PORT or tcp://127.0.0.1:PORT."
    ),
]
JsonPath = Annotated[
    Path | None,
    typer.Option("--json", metavar="PATH", help="Write the figures as JSON; - prints them and nothing else."),
]


Features = Annotated[
    str | None,
    typer.Option(
        metavar="BASIS",
        help="Of a linear Q-function: tiles:TILINGS:TILES, polynomial:ORDER or fourier:ORDER.",
        show_default="tiles, where observations are vectors",
    ),
]
Bins = Annotated[
    str | None,
    typer.Option(metavar="N", help="Cut each number of an observation into N parts; or N,N,... of each."),
]
TableKind = Annotated[
    str,
    typer.Option(
        "--table", metavar="KIND", help="A row per state (dense), or per state that was met (hash)."
    ),
]
Masks = Annotated[
    str, typer.Option(metavar="WHEN", help="Heed the environment's action masks: auto, on or off.")
]
Stepping = Annotated[
    str,
    typer.Option(
        metavar="WAY",
        help="The fastest way that is what step does (auto), its table P (model), or its own step (python).",
    ),
]


_BASES = {"tiles": (TileCoding, 2), "polynomial": (PolynomialBasis, 1), "fourier": (FourierBasis, 1)}
_SWITCH: dict[str, bool | str] = {"auto": "auto", "on": True, "off": False}


def arguments_of(**options: Any) -> dict[str, Any]:
    """Return the arguments of `QLearner` that options on a command line, of the same names, stand for.

    Raises
    ------
    ConfigError
        If one does not stand for anything.
    """
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
    features: FeatureMap = basis(*map(int, numbers))
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


def given_in(context: typer.Context) -> set[str]:
    """Return the names of the options that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def keys_in(directory: Path | None) -> Keys | None:
    """Return the keys that ``--keys`` names; None where it was not given."""
    return None if directory is None else Keys(directory)
