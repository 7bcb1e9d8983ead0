"""Settings of a learner: the one table of hyper-parameters, with their checks, JSON forms and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq import features as bases
from cdq import schedules
from cdq.errors import ConfigError, FileError
from cdq.errors.checks import shown, whole
from cdq.merges import NAMES as MERGES
from cdq.merges import MergeRule, resolve
from cdq.rules import Q_LEARNING, RULES, UpdateRule, as_rule
from cdq.schedules import Rate, StepSize
from cdq.schedules.windows import Window, as_window
from cdq.settings.hyperparameters import (
    Hyperparameter,
    Option,
    bins_of,
    checked_groups,
    choice,
    count,
    features_of,
    groups_of,
    hyperparameter,
    masks_of,
    merge_to_config,
    number,
    table_of,
    text,
    window_from_config,
    window_of,
    window_to_config,
)

# More threads or lanes than any machine of today has use for; each takes memory and time to set up.
MOST_WORKERS, MOST_LANES = 4096, 65_536
# A digest of 256 bits may be a seed; numbers without end are a mistake.
MOST_SEED = 2**256 - 1
_MOST_BINS = 1 << 20

# Communicators that a file may name.
_NAMED = ("auto", "inprocess", "zmq", "mpi")
_RATES = "a number, linear:FIRST:LAST:STEPS, exponential:FIRST:LAST:STEPS"


def type_of(dtype: npt.DTypeLike) -> str:
    """Return the name of a table's type: "float64" or "float32", however it was given."""
    try:
        name = np.dtype(dtype).name if dtype is not None else None
    except TypeError:
        name = None
    if name not in {"float64", "float32"}:
        raise ConfigError(
            f"dtype is {shown(dtype)}; allowed: 'float64' or 'float32', or NumPy's types of these names"
        )
    return name


def _checked_merge(name: str, merge: Any) -> Any:
    resolve(merge)
    return merge


def _checked_comm(name: str, comm: Any) -> Any:
    if not isinstance(comm, str):
        raise ConfigError(f"{name} is {shown(comm)}; allowed: a communicator's name, or a URL")
    return comm


def _checked_bins(name: str, bins: Any) -> Any:
    if isinstance(bins, (Sequence, np.ndarray)) and not isinstance(bins, str):
        return tuple(whole(name, n, 1, _MOST_BINS) for n in bins)
    return None if bins is None else whole(name, bins, 1, _MOST_BINS)


def _checked_features(name: str, features: Any) -> Any:
    if features is not None and not isinstance(features, bases.FeatureMap):
        raise ConfigError(
            f"{name} is {features!r}; allowed: cdq.TileCoding, cdq.PolynomialBasis or cdq.FourierBasis"
        )
    return features


def _comm_from_config(comm: Any) -> str:
    """Return the communicator of a file: no file says where to connect, or what to import."""
    return comm if text(comm) in _NAMED else "auto"


@dataclass(frozen=True)
class Settings:
    """Settings of a learner: its arguments, checked; see `cdq.QLearner`, which says what each means.

    A field is a hyper-parameter: the type of the value, the argument's default and check, the form in files, and the
    option of the command line, in the order of its help. A further one is a field here and an argument of `QLearner`,
    with its description there.
    """

    workers: int = hyperparameter(
        None,
        count(1, MOST_WORKERS, none=0),  # 0: it follows from the communicator
        Option(int, "N", "How many learn together.", "1; under mpiexec, its processes"),
        may_change=True,
    )
    seed: int = hyperparameter(
        None,
        count(0, MOST_SEED),
        Option(int, "N", "Same seed and number of workers: same table.", "drawn, and reported"),
    )
    gamma: float = hyperparameter(
        0.99,
        number("a number from 0 to 1", 0.0, 1.0),
        Option(float, "X", "Discount, above 0 and up to 1."),
    )
    step_size: StepSize = hyperparameter(
        None,
        lambda name, value: value,  # the default follows from gamma
        Option(
            str,
            "SCHEDULE",
            f"One of: {_RATES}; or, by the count of a pair, rescaled-linear:GAMMA, polynomial:OMEGA.",
            "rescaled-linear of gamma",
        ),
        encode=schedules.to_config,
        decode=schedules.from_config,
    )
    exploration: Rate = hyperparameter(
        None,
        lambda name, value: None if value is None else schedules.as_rate(value, name),
        Option(str, "SCHEDULE", f"Chance of a random action; one of: {_RATES}.", "0.1; 0.3 in games"),
        encode=schedules.to_config,
        decode=schedules.from_config,
    )
    rule: UpdateRule = hyperparameter(
        Q_LEARNING.name,
        lambda name, value: as_rule(value),
        Option(str, "NAME", f"How values move: {', '.join(RULES)}, hysteretic:BETA."),
        encode=lambda rule: rule.name,
        decode=text,
        unsaid_default=True,
    )
    merge: str | MergeRule = hyperparameter(
        "pooled",
        _checked_merge,
        Option(str, "RULE", f"How tables become one: {', '.join(MERGES)}."),
        encode=merge_to_config,
        decode=text,
    )
    sync_every: Window = hyperparameter(
        "auto",
        lambda name, value: as_window(value),
        Option(str, "N", "Steps per worker between two merges, or auto.", read=window_of),
        encode=window_to_config,
        decode=window_from_config,
        key="window",
    )
    num_envs: int = hyperparameter(
        None,
        count(1, MOST_LANES, none=0),  # 0: it follows from the environment
        Option(
            int,
            "N",
            "Environments that a worker steps in lockstep.",
            "16; 1 where they are stepped in Python",
        ),
    )
    dtype: str = hyperparameter(
        "float64",
        lambda name, value: type_of(value),
        Option(str, "TYPE", "Of the table: float64 or float32."),
        decode=text,
    )
    initial_value: float = hyperparameter(
        0.0,
        lambda name, value: value,  # the range follows from dtype
        Option(float, "X", "What the table holds before learning."),
    )
    features: bases.FeatureMap | None = hyperparameter(
        None,
        _checked_features,
        Option(
            str,
            "BASIS",
            "Of a linear Q-function: tiles:TILINGS:TILES, polynomial:ORDER or fourier:ORDER.",
            "tiles, where observations are vectors",
            features_of,
        ),
        encode=bases.to_config,
        decode=bases.from_config,
        unsaid_default=True,
        of_environment=True,
    )
    bins: int | tuple[int, ...] | None = hyperparameter(
        None,
        _checked_bins,
        Option(str, "N", "Cut each number of an observation into N parts; or N,N,... of each.", read=bins_of),
        unsaid_default=True,
        of_environment=True,
    )
    table: str = hyperparameter(
        "dense",
        choice("dense", "hash"),
        Option(str, "KIND", "A row per state (dense), or per state that was met (hash)."),
        unsaid_default=True,
        of_environment=True,
    )
    masks: bool | str = hyperparameter(
        "auto",
        choice("auto", True, False),
        Option(str, "WHEN", "Heed the environment's action masks: auto, on or off.", read=masks_of),
        unsaid_default=True,
        of_environment=True,
    )
    stepping: str = hyperparameter(
        "auto",
        choice("auto", "python", "model"),
        Option(
            str,
            "WAY",
            "The fastest way that is what step does (auto), its table P (model), or its own step (python).",
        ),
        unsaid_default=True,
        of_environment=True,
    )
    opponent: str | None = hyperparameter(
        None,
        choice(None, "self"),
        Option(str, "WHO", "Who moves in between, in games of two players in turn: self."),
        unsaid_default=True,
    )
    groups: str | dict[str, list[str]] = hyperparameter(
        "own",
        checked_groups,
        Option(
            str,
            "GROUPS",
            "Tables of several agents: own, shared, or NAME:AGENT,AGENT,... of each group, after semicolons.",
            read=groups_of,
        ),
        decode=lambda groups: checked_groups("groups", groups),
        unsaid_default=True,
        of_environment=True,
    )
    comm: str = hyperparameter(
        "auto",
        _checked_comm,
        Option(str, "NAME", "Communicator: a name, a URL, or auto."),
        decode=_comm_from_config,
        may_change=True,
    )
    overlap: bool = hyperparameter(
        False,
        choice(True, False),
        Option(bool, None, "Merge while the next window is learnt, one window late."),
    )

    def to_config(self) -> dict[str, Any]:
        """Return the settings as a JSON object."""
        return {
            known.key or name: known.encode(value)
            for name, known in HYPERPARAMETERS.items()
            if not _is_unsaid(known, name, value := getattr(self, name))
        }

    def shared(self) -> dict[str, Any]:
        """Return, as a JSON object, what must be the same on all ranks, by the names of the arguments."""
        config = self.to_config()
        return {
            name: config[known.key or name]
            for name, known in HYPERPARAMETERS.items()
            if not known.may_change and (known.key or name) in config
        }

    def of_environment(self) -> list[str]:
        """Return the names of hyper-parameters that were given, and say how an environment is to be learnt."""
        return [name for name in OF_ENVIRONMENT if getattr(self, name) != DEFAULTS[name]]


HYPERPARAMETERS: Mapping[str, Hyperparameter] = MappingProxyType(table_of(fields(Settings)))
DEFAULTS: Mapping[str, Any] = MappingProxyType({one.name: one.default for one in fields(Settings)})
OF_ENVIRONMENT = [name for name, known in HYPERPARAMETERS.items() if known.of_environment]
MAY_CHANGE = frozenset(name for name, known in HYPERPARAMETERS.items() if known.may_change)


def _is_unsaid(known: Hyperparameter, name: str, value: Any) -> bool:
    return known.unsaid_default and bool(value == known.check(name, DEFAULTS[name]))


def make_settings(**arguments: Any) -> Settings:
    """Return arguments of `QLearner` by name, checked.

    `num_envs` is 0 where it follows from the environment, `workers` where it follows from the communicator.

    Raises
    ------
    ConfigError
        If one is not allowed; the message says what is.
    """
    given = {**DEFAULTS, **arguments}
    known = {name: one.check(name, given.pop(name)) for name, one in HYPERPARAMETERS.items()}
    if given:
        raise TypeError(f"no hyper-parameter: {', '.join(given)}")
    _require_compatible(known)
    return Settings(**{**known, **_completed(known)})


def _require_compatible(known: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if two hyper-parameters exclude each other."""
    if known["overlap"] and known["table"] == "hash":
        raise ConfigError(
            "overlap and a hashed table exclude each other: its rows are agreed on before a merge"
        )
    if known["features"] is not None and (known["bins"] is not None or known["table"] == "hash"):
        other = "bins" if known["bins"] is not None else "a hashed table"
        raise ConfigError(f"features and {other} exclude each other; choose one")
    if known["features"] is not None and not known["rule"].spends_by_clock:
        raise ConfigError(
            f"rule={known['rule'].name!r} is for tables; leave features out, or take another rule"
        )


def _completed(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that follow from others, or are drawn."""
    import secrets  # here: it takes OpenSSL with it, which help has no use for

    dtype, seed, explore = known["dtype"], known["seed"], known["exploration"]
    largest = float(np.finfo(dtype).max)
    finite = number(f"finite numbers that {dtype} holds", -largest, largest)
    return {
        "step_size": schedules.as_step_size(known["step_size"], known["gamma"]),
        "initial_value": finite("initial_value", known["initial_value"]),
        "seed": secrets.randbits(63) if seed is None else seed,
        "exploration": _usual_exploration(known["opponent"]) if explore is None else explore,
    }


def _usual_exploration(opponent: str | None) -> Rate:
    """Return the exploration rate of a learner whose user gives none; greedy self-play never sees what refutes it."""
    return schedules.as_rate(0.1 if opponent is None else 0.3, "exploration")


# ---- files


def arguments_of(path: object, header: Mapping[str, Any], merge: MergeRule | None) -> dict[str, Any]:
    """Return the arguments of `QLearner` that a file, which *path* names, says in its header.

    Raises
    ------
    FileError
        If it does not.
    """
    try:
        text(header["environment"])
        return as_arguments(header["settings"], merge)
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} lacks what a learner is made with: {error!r}; use another") from None


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
