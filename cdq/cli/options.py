"""Options that commands share, with their defaults, and checks of their values."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from cdq.comm.zmq.keys import Keys
from cdq.errors import ConfigError
from cdq.storage import check_replaceable
from cdq.training import DEFAULTS, HYPERPARAMETERS, MeanReturn, OptimalWithin, Until

Function = TypeVar("Function", bound=Callable[..., Any])


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


def option_of(name: str) -> Any:
    """Return the option that stands for a hyper-parameter."""
    option = HYPERPARAMETERS[name].option
    declared = ["--" + name.replace("_", "-")] if option.type is bool else []  # without its --no-
    return typer.Option(
        *declared, metavar=option.metavar, help=option.help, show_default=option.shown or True
    )


def takes_hyperparameters(*, after: str, but: Container[str] = ()) -> Callable[[Function], Function]:
    """Give a command, which takes ``**hyperparameters``, an option for each, with its default.

    Parameters
    ----------
    after : str
        Parameter of the command after which they stand in its help.
    but : container of str
        Names of hyper-parameters that it does not take, or takes otherwise.
    """

    def give(command: Function) -> Function:
        known = inspect.signature(command, eval_str=True)
        own = [one for one in known.parameters.values() if one.kind is not one.VAR_KEYWORD]
        place = 1 + [one.name for one in own].index(after)
        own[place:place] = [_parameter_of(name) for name in HYPERPARAMETERS if name not in but]
        command.__signature__ = known.replace(parameters=own)  # type: ignore[attr-defined]  # typer reads it
        return command

    return give


def _parameter_of(name: str) -> inspect.Parameter:
    kind, default = HYPERPARAMETERS[name].option.type, DEFAULTS[name]
    written = default if default is None or isinstance(default, kind) else str(default)
    told: Any = kind if default is not None else kind | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=written, annotation=Annotated[told, option_of(name)]
    )


def arguments_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `QLearner` that options on a command line, of the same names, stand for.

    Raises
    ------
    ConfigError
        If one does not stand for anything.
    """
    return {
        name: HYPERPARAMETERS[name].option.read(value) if isinstance(value, str) else value
        for name, value in options.items()
    }


EnvId = Annotated[
    str, typer.Argument(metavar="ENV", help="A Gymnasium id; one of your own package is module:Env-v0.")
]
OptionalEnvId = Annotated[
    str | None,
    typer.Argument(metavar="ENV", help="A Gymnasium id, as for the other commands.", show_default=False),
]
EnvArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--env-arg",
        metavar="NAME=VALUE",
        help="Argument with which ENV is made, such as is_slippery=false; may be given again.",
    ),
]
Gamma = Annotated[float, option_of("gamma")]
Workers = Annotated[int, typer.Option(metavar="N", help="How many learn together.")]
Dtype = Annotated[str, option_of("dtype")]
Steps = Annotated[
    float,
    typer.Option(metavar="N", help="Environment steps, summed over all workers.", show_default="5e6"),
]
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


_WORDS = {"True": True, "False": False, "None": None}


def env_kwargs_of(texts: Sequence[str] | None) -> dict[str, Any] | None:
    """Return the arguments of an environment that ``--env-arg`` gives: JSON, Python's True, False and None, or text.

    Raises
    ------
    ConfigError
        If one is not NAME=VALUE, or a name is given twice.

    Examples
    --------
    >>> env_kwargs_of(["is_slippery=false", "map_name=8x8", "success_rate=0.5"])
    {'is_slippery': False, 'map_name': '8x8', 'success_rate': 0.5}
    """
    given: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--env-arg is {text!r}; allowed: NAME=VALUE, such as is_slippery=false")
        if name in given:
            raise ConfigError(f"--env-arg gives {name} twice; give it once")
        given[name] = _WORDS[value] if value in _WORDS else _value_of(value)
    return given or None


def _value_of(text: str) -> Any:
    """Return what a text is as JSON, else the text."""
    try:
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


def given_in(context: typer.Context) -> set[str]:
    """Return the names of the options that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def keys_in(directory: Path | None) -> Keys | None:
    """Return the keys that ``--keys`` names; None where it was not given."""
    return None if directory is None else Keys(directory)
