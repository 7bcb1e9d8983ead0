"""Names of the states and actions of a log, of any hashable kind: numbered, and to bytes and back without pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError, FileError
from cdq.errors.checks import flags, shown

Indices = npt.NDArray[np.int64]

# Kinds of names that JSON has no word for: what they are called in files, and how they come back.
_TAGS: dict[str, Callable[[Any], Hashable]] = {
    "tuple": lambda parts: tuple(map(_read, parts)),
    "frozenset": lambda parts: frozenset(map(_read, parts)),
    "bytes": bytes.fromhex,
    "float": float,
}


class Names:
    """States and actions of a log, each of which is known by its name.

    Parameters
    ----------
    states, actions : sequence of hashable objects
        Names, each once; the first has number 0. Equal objects, such as 1 and 1.0, are one name.

    Raises
    ------
    ConfigError
        If there are none, or one occurs twice.

    Examples
    --------
    >>> names = Names(["home", ("shop", 3)], ["go", "stay"])
    >>> names.number_of("state", ("shop", 3)), Names.from_bytes(names.to_bytes()).states
    (1, ('home', ('shop', 3)))
    """

    def __init__(self, states: Iterable[Hashable], actions: Iterable[Hashable]) -> None:
        self.states, self.actions = tuple(states), tuple(actions)
        self._numbers = {
            what: {name: i for i, name in enumerate(names)}
            for what, names in (("state", self.states), ("action", self.actions))
        }
        for what, names in (("state", self.states), ("action", self.actions)):
            if not names or len(self._numbers[what]) != len(names):
                raise ConfigError(f"there are {len(names)} names of {what}s; allowed: one or more, each once")

    def __repr__(self) -> str:
        return f"Names({len(self.states):,} states, {len(self.actions):,} actions)"

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same names with the same numbers."""
        if not isinstance(other, Names):
            return NotImplemented
        return (self.states, self.actions) == (other.states, other.actions)

    def __hash__(self) -> int:
        return hash((self.states, self.actions))

    @classmethod
    def of_log(cls, states: Any, actions: Any, next_states: Any, terminated: Any) -> Names:
        """Return the names in a log, in the order in which they first appear: those acted in come first.

        Raises
        ------
        ConfigError
            If an entry is no name, or columns have different lengths.
        """
        over = ends(terminated)
        acted_in, taken = column("state", states, len(over)), column("action", actions, len(over))
        met = [
            name
            for name in column("next_state", next_states, len(over), skipped=over)
            if name is not _SKIPPED
        ]
        return cls(dict.fromkeys([*acted_in, *met]), dict.fromkeys(taken))

    def has_state(self, name: Any) -> bool:
        """Return whether the log had a state of this name."""
        try:
            return _plain(name) in self._numbers["state"]
        except TypeError:  # it has no hash
            return False

    def number_of(self, what: str, name: Any) -> int:
        """Return the number of a state or an action, as *what* says.

        Raises
        ------
        ConfigError
            If the log had no such one.
        """
        try:
            return self._numbers[what][_plain(name)]
        except (KeyError, TypeError):
            known = self.states if what == "state" else self.actions
            some = ", ".join([*map(shown, known[:3]), *(["..."] if len(known) > 3 else [])])
            raise ConfigError(
                f"{shown(name)} is no {what} of the log; its {len(known):,} are {some}"
            ) from None

    def numbers(self, what: str, given: Any, n: int, skipped: npt.NDArray[np.bool_] | None = None) -> Indices:
        """Return the numbers of a column of states or actions; 0 where *skipped*.

        Raises
        ------
        ConfigError
            If there are not *n*, or one is not known; names the transition.
        """
        kind = "action" if what == "action" else "state"
        known, result = self._numbers[kind], np.zeros(n, np.int64)
        for i, name in enumerate(column(what, given, n, skipped)):
            if name is not _SKIPPED:
                try:
                    result[i] = known[name]
                except KeyError:
                    raise ConfigError(
                        f"the {what} of transition {i} is {shown(name)}, which the log that the learner was made of "
                        "does not have; make one of all transitions: cdq.QLearner.from_log"
                    ) from None
        return result

    def fingerprint(self) -> str:
        """Return the SHA-256 of the names, as hexadecimal digits; of names that files cannot hold, of their types."""
        told = [[_told(name, strict=False) for name in names] for names in (self.states, self.actions)]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the names as JSON.

        Raises
        ------
        ConfigError
            If one is of a kind that would need pickle.
        """
        told = {what: [_told(name) for name in getattr(self, what)] for what in ("states", "actions")}
        return json.dumps(told, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Names:
        """Return the names that `to_bytes` made bytes of.

        Raises
        ------
        FileError
            If they are none.
        """
        try:
            told = json.loads(data)
            return cls(*(map(_read, told[what]) for what in ("states", "actions")))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FileError(
                f"the names of states and actions cannot be read: {error!r}; use another file"
            ) from None


_SKIPPED = object()


def ends(terminated: Any) -> npt.NDArray[np.bool_]:
    """Return the column of a log that says where episodes ended, as Booleans.

    Raises
    ------
    ConfigError
        If it is no column, or an entry is no Boolean.
    """
    over = flags("the terminated of transition", terminated)
    if over.ndim != 1:
        raise ConfigError(f"terminated have shape {over.shape}; allowed: one for each transition")
    return over


def column(what: str, given: Any, n: int, skipped: npt.NDArray[np.bool_] | None = None) -> list[Any]:
    """Return a column of names as Python's objects; rows of arrays and frames are tuples.

    Raises
    ------
    ConfigError
        If there are not *n*, or one is no name; names the transition. Those *skipped* may be anything.
    """
    values = given.to_numpy() if hasattr(given, "to_numpy") else given
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, (str, bytes)):
        raise ConfigError(f"{what}s are {shown(given)}; allowed: a column, with a name for each transition")
    if len(values) != n:
        raise ConfigError(
            f"there are {len(values)} {what}s; allowed: {n}, as many as there are flags in terminated"
        )
    left_out = np.zeros(n, np.bool_) if skipped is None else skipped
    return [
        _SKIPPED if over else _checked(what, i, _plain(name))
        for i, (name, over) in enumerate(zip(values, left_out.tolist(), strict=True))
    ]


def _plain(name: Any) -> Any:
    """Return a scalar of NumPy as Python's, and a row of an array as a tuple."""
    if isinstance(name, np.ndarray):
        return tuple(map(_plain, name)) if name.ndim else name.item()
    return name.item() if isinstance(name, np.generic) else name


def _checked(what: str, i: int, name: Any) -> Any:
    try:
        hash(name)
        if bool(name == name):  # noqa: PLR0124 - not so for NaN, and for what stands for a missing entry
            return name
        why = "missing, or equal to nothing"
    except (TypeError, ValueError):
        why = "no name, as it cannot be hashed or compared"
    raise ConfigError(
        f"the {what} of transition {i} is {shown(name)}, which is {why}; allowed: text, numbers, tuples, and whatever "
        "may be a key of a dictionary"
    )


def _told(name: Any, *, strict: bool = True) -> Any:
    """Return a name as JSON has it."""
    result: Any
    if isinstance(name, tuple):
        result = {"tuple": [_told(part, strict=strict) for part in name]}
    elif isinstance(name, frozenset):
        result = {"frozenset": sorted((_told(part, strict=strict) for part in name), key=json.dumps)}
    elif isinstance(name, bytes):
        result = {"bytes": name.hex()}
    elif isinstance(name, float) and not np.isfinite(name):
        result = {"float": repr(float(name))}
    elif name is None or isinstance(name, (bool, str, float)) or _is_short(name):
        result = name
    elif strict:
        raise ConfigError(
            f"{shown(name)} is a name of the type {type(name).__name__}, which a file cannot hold; name states and "
            "actions by text, numbers, bytes, None, or tuples and frozensets of these, or copy the learner by pickle"
        )
    else:
        result = {"type": f"{type(name).__module__}.{type(name).__qualname__}"}
    return result


def _is_short(name: Any) -> bool:
    """Return whether a name is an integer that JSON can tell: Python writes out and reads 4,300 digits at most."""
    return isinstance(name, int) and name.bit_length() < 4096


def _read(told: Any) -> Any:
    """Return the name that JSON tells."""
    if not isinstance(told, dict):
        if isinstance(told, list):
            raise TypeError("a list is no name")
        return told
    ((tag, inner),) = told.items()
    return _TAGS[tag](inner)
