"""Parts of which a hyper-parameter is made: its check, its form in a file, its option on a command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cdq.errors import ConfigError, unknown_name
from cdq.errors.checks import MOST_STEPS, one_of, real, whole
from cdq.merges import MergeRule
from cdq.schedules.windows import AutoWindow, FixedWindow, Window

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


# ---- ways to files and back


def text(value: Any) -> str:
    """Return text that was read; `TypeError` if it is something else."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be text")
    return value


def merge_to_config(merge: str | MergeRule) -> str:
    """Return the name of a merge rule."""
    return merge if isinstance(merge, str) else type(merge).__name__


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


def window_of(text: str) -> str | int:
    """Return what ``--sync-every`` says."""
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else text
