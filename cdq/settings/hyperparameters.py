"""Parts of which a hyper-parameter is made: its check, its form in a file, its option on a command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cdq.errors import ConfigError, unknown_name
from cdq.errors.checks import MOST_STEPS, one_of, real, shown, whole
from cdq.merges import MergeRule, Personal
from cdq.schedules import Federation
from cdq.schedules.windows import LONGEST_WINDOW, AutoWindow, FixedWindow, Window

if TYPE_CHECKING:
    from cdq.features import FeatureMap

Check = Callable[[str, Any], Any]

_PART = "hyperparameter"
# Name on a command line: the class of `cdq.features`, and the most numbers that follow.
_BASES = {"tiles": ("TileCoding", 2), "polynomial": ("PolynomialBasis", 1), "fourier": ("FourierBasis", 1)}
_SWITCH: dict[str, bool | str] = {"auto": "auto", "on": True, "off": False}


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Option:
    """Option of a command that stands for a hyper-parameter.

    Parameters
    ----------
    type : type
        Type of the value on the command line; bool: an option without a value.
    metavar : str
        Name of the value in the help.
    help : str
        Meaning, in one line.
    shown : str, optional
        Default in words, where the value says little.
    read : callable
        Returns the argument of `cdq.QLearner` that the text of a command line stands for.
    """

    type: type[Any]
    metavar: str | None
    help: str
    shown: str | None = None
    read: Callable[[str], Any] = _as_it_is


@dataclass(frozen=True)
class Hyperparameter:
    """All that is known of a hyper-parameter besides its name, its type and its default.

    Parameters
    ----------
    check : callable
        Takes the name of the argument and what was given; returns the value, or raises `ConfigError`.
    option : Option
        Option of ``cdq train`` and, where it makes sense there, ``cdq hub``.
    encode, decode : callable
        The value's way to a JSON object, and the argument's way back.
    key : str
        Name in files; empty: that of the argument.
    unsaid_default : bool
        True where no file names the default: files from before there was the hyper-parameter are read.
    may_change : bool
        True where ranks may differ in it, and a run that goes on: it changes no result that was begun.
    of_environment : bool
        True where it says how an environment is learnt: a model or a log is learnt as it is.
    """

    check: Check
    option: Option
    encode: Callable[[Any], Any] = _as_it_is
    decode: Callable[[Any], Any] = _as_it_is
    key: str = ""
    unsaid_default: bool = False
    may_change: bool = False
    of_environment: bool = False


def hyperparameter(default: Any, check: Check, option: Option, **known: Any) -> Any:
    """Return a field of `Settings`; *default* is that of the argument, *known* what `Hyperparameter` takes further."""
    return field(default=default, metadata={_PART: Hyperparameter(check, option, **known)})


def table_of(fields: tuple[Any, ...]) -> dict[str, Hyperparameter]:
    """Return the hyper-parameters that the fields of a dataclass are, by the names of their arguments."""
    return {one.name: one.metadata[_PART] for one in fields}


# ---- checks


def number(allowed: str, low: float, high: float) -> Check:
    """Return the check of a finite number from *low* to *high*; *allowed* says that in words."""
    return lambda name, value: real(name, value, allowed, low, high)


def count(least: int, most: float = MOST_STEPS, *, none: int | None = None) -> Check:
    """Return the check of a whole number from *least* to *most*; None stands for *none*."""
    return lambda name, value: none if value is None else whole(name, value, least, most)


def choice(*allowed: object) -> Check:
    """Return the check of one of the values that are *allowed*."""

    def check(name: str, value: Any) -> Any:
        one_of(name, value, allowed)
        return value

    return check


_GROUPINGS = ("own", "shared")


def checked_features(name: str, features: Any) -> Any:
    """Return features; raises `ConfigError` if they are none of `cdq.features`."""
    from cdq.features import FeatureMap

    if features is not None and not isinstance(features, FeatureMap):
        raise ConfigError(
            f"{name} is {features!r}; allowed: cdq.TileCoding, cdq.PolynomialBasis or cdq.FourierBasis"
        )
    return features


def checked_federation(name: str, value: Any) -> Any:
    """Return the knobs of a federation; raises `ConfigError` if they are none."""
    if value is not None and not isinstance(value, Federation):
        raise ConfigError(
            f"{name} is {shown(value)}; allowed: cdq.Federation(participation=..., dropped=...)"
        )
    return value


def checked_groups(name: str, groups: Any) -> str | dict[str, list[str]]:
    """Return groups of agents that share a table: "own" (none), "shared" (all), or lists of names by the group's."""
    if isinstance(groups, Mapping) and groups:
        members = {group: named for group, named in groups.items() if _is_group(group, named)}
        if len(members) == len(groups):
            return {group: list(named) for group, named in members.items()}
    elif isinstance(groups, str) and groups in _GROUPINGS:
        return groups
    raise ConfigError(
        f"{name} is {shown(groups)}; allowed: 'own', 'shared', or a dict with the agents of each group, such as "
        "{'lights': ['n0', 'n1']}"
    )


def _is_group(group: Any, members: Any) -> bool:
    """Return whether a group has a name, and agents, each by its name."""
    several = isinstance(members, (list, tuple)) and len(members) > 0
    return isinstance(group, str) and group != "" and several and all(isinstance(one, str) for one in members)


# ---- ways to files and back


def text(value: Any) -> str:
    """Return text that was read; `TypeError` if it is something else."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be text")
    return value


def merge_to_config(merge: str | MergeRule | Personal) -> Any:
    """Return a merge rule as JSON has it; of a user's own the name."""
    if isinstance(merge, Personal):
        return merge.to_config()
    return merge if isinstance(merge, str) else type(merge).__name__


def merge_from_config(config: Any) -> str | Personal:
    """Return the merge rule that `merge_to_config` described, or the name of a user's own."""
    return Personal.from_config(config) if isinstance(config, dict) else text(config)


def features_to_config(basis: FeatureMap) -> dict[str, Any]:
    """Return features as a JSON object; `features_from_config` reads it back."""
    from cdq import features

    return features.to_config(basis)


def features_from_config(config: Mapping[str, Any]) -> FeatureMap:
    """Return the features that `features_to_config` described."""
    from cdq import features

    return features.from_config(config)


def window_to_config(window: Window) -> dict[str, Any]:
    """Return a rule of windows as a JSON object; `window_from_config` reads it back."""
    return {"kind": type(window).__name__, **asdict(window)}


def window_from_config(config: Any) -> Window:
    """Return the rule of windows that `window_to_config` described."""
    told = dict(config)
    kinds: dict[str, type[Window]] = {"AutoWindow": AutoWindow, "FixedWindow": FixedWindow}
    return kinds[told.pop("kind")](**told)


# ---- texts of a command line


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
    from cdq import features

    made: FeatureMap = getattr(features, basis)(*map(int, numbers))
    return made


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


def groups_of(text: str) -> str | dict[str, list[str]]:
    """Return what ``--groups`` says.

    Examples
    --------
    >>> groups_of("lights:n0,n1;buses:b0")
    {'lights': ['n0', 'n1'], 'buses': ['b0']}
    """
    if text in _GROUPINGS:
        return text
    groups: dict[str, list[str]] = {}
    for part in text.split(";"):
        group, _, members = part.partition(":")
        if not group or not all(members.split(",")):
            raise ConfigError(
                f"groups is {text!r}; allowed: {', '.join(_GROUPINGS)}, or the agents of each group, such as "
                "lights:n0,n1;buses:b0"
            )
        if group in groups:
            raise ConfigError(
                f"groups is {text!r}; the group {group!r} is there twice; put all its agents in one"
            )
        groups[group] = members.split(",")
    return groups


def merge_of(text: str) -> str | Personal:
    """Return what ``--merge`` says.

    Examples
    --------
    >>> merge_of("personal:30").prior
    30.0
    """
    kind, *numbers = text.split(":")
    if kind != "personal":
        return text
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = [math.nan] * 3
    if len(values) > 2:
        raise ConfigError(f"merge is {text!r}; allowed: personal:PRIOR or personal:PRIOR:MEMORY")
    return Personal(*values)


def window_of(text: str) -> str | int:
    """Return what ``--sync-every`` says."""
    if text == "auto":
        return text
    try:
        value = float(text)
        return int(value) if value.is_integer() else str(whole("sync_every", value, 1, LONGEST_WINDOW))
    except (ValueError, ConfigError):
        raise ConfigError(f"sync_every is {shown(text)}; allowed: auto, or a whole number of steps") from None


def per_worker_of(text: str) -> dict[str, list[str]]:
    """Return what ``--per-worker`` says.

    Examples
    --------
    >>> per_worker_of("exploration:0.05,0.2")
    {'exploration': ['0.05', '0.2']}
    """
    name, _, values = text.partition(":")
    return {name.replace("-", "_"): values.split(",")}


def federation_of(text: str) -> Federation:
    """Return what ``--federation`` says.

    Examples
    --------
    >>> federation_of("0.5:0.1").dropped
    0.1
    """
    try:
        numbers = [float(number) for number in text.split(":")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 2:
        raise ConfigError(
            f"federation is {text!r}; allowed: a number, or two with a colon between them: 0.5:0.1"
        )
    participation, dropped = [*numbers, 0.0][:2]
    return Federation(participation, dropped)
