"""Options that stand for hyper-parameters: made of the one table, `cdq.settings`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping
from typing import Annotated, Any, TypeVar

from cdq.cli.parameters import Declaration, option
from cdq.errors.checks import whole
from cdq.settings import DEFAULTS, HYPERPARAMETERS
from cdq.settings.of_networks import STEPS, exploration_of, step_size_of

# Options with which somebody says how the Q-function is kept: what is known to do well is not asked then.
_REPRESENTATION = ("features", "network", "bins", "table", "tasks")
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


def fitted(
    env: str, options: Mapping[str, Any], steps: float, given: Container[str]
) -> tuple[dict[str, Any], float]:
    """Return the arguments and steps of a run that begins, with what is known to do well where nothing else was given.

    Parameters
    ----------
    env : str
        Id of the environment.
    options : mapping
        Arguments of `QLearner`.
    steps : float
        Steps of all workers; where they were not given, those that are known to do.
    given : container of str
        Names of the options that were given.

    Raises
    ------
    ConfigError
        If the steps are no number of them.
    """
    from cdq.envs.defaults import recommended  # here: it takes Gymnasium with it

    usual: dict[str, Any] = {}
    known = None if any(name in given for name in _REPRESENTATION) else recommended(env)
    if known is not None:
        usual, steps = dict(known.arguments), steps if "steps" in given else known.steps
    if options["network"] is not None:
        steps = whole("steps", steps, 0) if "steps" in given else STEPS
        usual = {"step_size": step_size_of(steps or STEPS), "exploration": exploration_of(steps or STEPS)}
    return {**options, **{name: value for name, value in usual.items() if name not in given}}, steps


Gamma = Annotated[float, option_of("gamma")]
Dtype = Annotated[str, option_of("dtype")]
