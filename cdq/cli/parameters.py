"""Commands out of functions: options and arguments are declared by the annotations of parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin

import click
import rich_click

from cdq.cli.groups import groups_of
from cdq.errors import ConfigError


class Declaration(NamedTuple):
    """A declared option or argument of a command.

    Attributes
    ----------
    kind : type
        Class of the parameter.
    names : tuple of str
        Names on the command line; without any, that of the function's parameter.
    settings : dict
        Arguments of the class.
    """

    kind: type[click.Parameter]
    names: tuple[str, ...]
    settings: dict[str, Any]


def option(*names: str, **settings: Any) -> Declaration:
    """Declare an option, with the settings of `click.Option`."""
    return Declaration(rich_click.RichOption, names, {"show_default": True, **settings})


def argument(**settings: Any) -> Declaration:
    """Declare an argument, with the settings of `click.Argument` and its help."""
    return Declaration(rich_click.RichArgument, (), settings)


class Command(rich_click.RichCommand):
    """A command none of whose arguments may be empty: as a path, that would be the working directory."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take *args* apart."""
        _require_none_empty(args)
        return super().parse_args(ctx, args)


def command(
    function: Callable[..., None], cls: type[click.Command] = Command, **settings: Any
) -> click.Command:
    """Return the command that calls a function; its docstring is the help.

    A first parameter called *context* gets the context of the call.

    Examples
    --------
    >>> from typing import Annotated
    >>> def greet(name: Annotated[str, argument(metavar="NAME")], *, times: Annotated[int, option()] = 1) -> None:
    ...     "Say hello."
    ...     print(*times * [f"hello {name}"])
    >>> command(greet).main(["world", "--times", "2"], standalone_mode=False)
    hello world hello world
    """
    parameters = inspect.signature(function, eval_str=True).parameters
    groups = groups_of(parameters)
    return cls(
        function.__name__,
        callback=click.pass_context(function) if "context" in parameters else function,
        params=[
            _parameter(each, groups.get(each.name)) for each in parameters.values() if each.name != "context"
        ],
        help=_help_of(function),
        **settings,
    )


def _help_of(function: Callable[..., None]) -> str:
    """Return the docstring of a function, the lines of its examples apart."""
    return re.sub(
        r"(?<=\[bold\]Examples\[/bold\]\n\n)|(?<=\[bold\]Example\[/bold\]\n\n)",
        "\b\n",
        inspect.getdoc(function) or "",
    )


def _parameter(parameter: inspect.Parameter, group: str | None) -> click.Parameter:
    """Return the option or argument that a parameter of a function declares; the help shows options by groups."""
    kind, declaration = get_args(parameter.annotation)
    is_argument = declaration.kind is rich_click.RichArgument
    settings = {
        **_type_of(kind, {"nargs": -1} if is_argument else {"multiple": True}),
        **declaration.settings,
    }
    required = parameter.default is inspect.Parameter.empty
    if is_argument:
        return rich_click.RichArgument([parameter.name], required=required, **settings)
    names = declaration.names or (f"--{parameter.name.replace('_', '-')}",)
    if not required:
        settings["default"] = parameter.default
    return rich_click.RichOption([parameter.name, *names], required=required, panel=group, **settings)


def _type_of(hint: Any, several: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a type stands for; *several* are those of a list."""
    if NoneType in get_args(hint):
        hint = get_args(hint)[0]
    if get_origin(hint) is list:
        return {**several, "type": _TYPES[get_args(hint)[0]]}
    return {"is_flag": True} if hint is bool else {"type": _TYPES[hint]}


class _Number(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    """Numbers that are read by a function.

    Parameters
    ----------
    name : str
        Word for them in messages.
    read : callable
        Returns the number that a text stands for, or raises `ValueError`.
    """

    def __init__(self, name: str, read: Callable[[Any], float]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number that a text stands for."""
        try:
            return self._read(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no {self.name}.", param, ctx)


def _whole(text: Any) -> int:
    """Return a whole number, which may be written as 2.0 or 2e6."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not number.is_integer():
        raise ValueError
    return int(number)


_TYPES: dict[type, Any] = {
    str: click.STRING,
    float: _Number("number", float),
    int: _Number("whole number", _whole),
    Path: click.Path(path_type=Path),
}


def _require_none_empty(arguments: Sequence[str]) -> None:
    """Raise if an argument of a command is empty, as one of a shell's variable that is not set.

    Raises
    ------
    ConfigError
        Names what stands before it.
    """
    for number, argument_ in enumerate(arguments):
        name, equals, value = argument_.partition("=")
        if not argument_ or (name.startswith("--") and equals and not value):
            before = name or (arguments[number - 1] if number else "")
            raise ConfigError(
                f"{before if before.startswith('-') else 'an argument'} is empty; give it a value, or leave it out"
            )
