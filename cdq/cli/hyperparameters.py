"""Options that stand for hyper-parameters: made of the one table, `cdq.settings`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping
from typing import Annotated, Any, TypeVar

from cdq.cli.parameters import Declaration, option
from cdq.settings import DEFAULTS, HYPERPARAMETERS

Function = TypeVar("Function", bound=Callable[..., Any])


def option_of(name: str) -> Declaration:
    """Return the option that stands for a hyper-parameter."""
    known = HYPERPARAMETERS[name].option
    return option(metavar=known.metavar, help=known.help, show_default=known.shown or True)


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
        command.__signature__ = known.replace(parameters=own)  # type: ignore[attr-defined]  # click's commands are made of it
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


Gamma = Annotated[float, option_of("gamma")]
Dtype = Annotated[str, option_of("dtype")]
