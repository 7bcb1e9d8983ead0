"""Settings in files: arguments of a learner that a file describes, and hyper-parameters in which two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdq.errors import ConfigError, FileError
from cdq.merges import NAMES, OF_NETWORKS, MergeRule
from cdq.settings import tasks as several
from cdq.settings.hyperparameters import Hyperparameter, text
from cdq.settings.network import told_network
from cdq.settings.settings import DEFAULTS, HYPERPARAMETERS

_NO_RULE = (
    "unknown merge {0!r} in {1}: a rule of your own, which no file holds; give it again, as in "
    "cdq.QLearner.load(path, merge={0}()), or with resume"
)


def arguments_of(
    path: object,
    header: Mapping[str, Any],
    merge: MergeRule | None,
    tasks: several.Tasks | None = None,
    network: Any = None,
) -> dict[str, Any]:
    """Return the arguments of `QLearner` that a file, which *path* names, says in its header.

    *merge*, *tasks* and the function *network* of a Keras model are those of a user's own, which no file holds.

    Raises
    ------
    FileError
        If it does not.
    ConfigError
        If its tasks are of a function, and *tasks* are not given, or its network, and *network* is not, or its merge
        rule is one of a user's own, and *merge* is not.
    """
    settings = header.get("settings")
    of_file = told_network(path, settings.get("network") if isinstance(settings, Mapping) else None, network)
    try:
        text(header["environment"])
        told = {**header["settings"], **({} if tasks is None else {"tasks": None})}
        told.update({"network": of_file} if "network" in told else {})
        lacking = several.lacks_function(told.get("tasks"))
        arguments = {} if lacking else as_arguments(told, merge)
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} lacks what a learner is made with: {error!r}; use another") from None
    if lacking:
        raise ConfigError(several.NO_FUNCTION.format(path))
    rule = told.get("merge")
    if merge is None and isinstance(rule, str) and rule not in {*NAMES, *OF_NETWORKS}:
        raise ConfigError(_NO_RULE.format(rule, path))
    return arguments if tasks is None else {**arguments, "tasks": tasks}


def as_arguments(config: Mapping[str, Any], merge: MergeRule | None) -> dict[str, Any]:
    """Return the arguments of `QLearner` that `Settings.to_config` described."""
    told = {"overlap": False, **config}  # files of 0.1 know none
    arguments = {
        name: known.decode(told[known.key or name])
        for name, known in HYPERPARAMETERS.items()
        if (known.key or name) in told or not known.unsaid_default
    }
    return arguments if merge is None else {**arguments, "merge": merge}


def differing(has: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the names of hyper-parameters in which a job differs from another one, both as JSON objects.

    What one of them does not name, as an older cdq did not know it, is its default.
    """

    def of(config: Mapping[str, Any], name: str, known: Hyperparameter) -> Any:
        return config.get(known.key or name, DEFAULTS[name])

    return [
        name
        for name, known in HYPERPARAMETERS.items()
        if not known.may_change and of(has, name, known) != of(wanted, name, known)
    ]
