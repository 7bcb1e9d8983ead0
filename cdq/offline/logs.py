"""Logged transitions: columns of NumPy, pandas or Minari in, checked and encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.envs.encode import Encoding, Scalar
from cdq.core.envs.encode import Mapping as Entries
from cdq.core.envs.encode import Sequence as Parts
from cdq.core.loops.offline import encode_batch
from cdq.errors import ConfigError
from cdq.errors.checks import as_array, flags
from cdq.offline.columns import masks, numbers, single

Column = npt.NDArray[Any]


@dataclass(frozen=True)
class Log:
    """Transitions, checked and encoded.

    Attributes
    ----------
    states, next_states : (n,) arrays of int64, or (n, width) arrays of float64
        Indices, keys or vectors of the observations. After a termination the next one is the state itself, where
        nothing is read of it.
    actions : (n,) array of uint32
        Actions, numbered from 0.
    rewards : (n,) array of float64
        Rewards; finite.
    terminated : (n,) array of uint8
        1 if the transition ended its episode; 0 where a time limit cut it.
    next_masks : (n, n_actions) array of uint8, optional
        1 for each action that the next state allows; after a termination for all.
    """

    states: Column
    actions: npt.NDArray[np.uint32]
    rewards: npt.NDArray[np.float64]
    next_states: Column
    terminated: npt.NDArray[np.uint8]
    next_masks: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.actions)

    def fingerprint(self, paid: npt.NDArray[np.float64] | None = None) -> str:
        """Return the SHA-256 of all columns, and of what several tasks are paid, as hexadecimal digits."""
        digest = hashlib.sha256()
        for column in (self.states, self.actions, self.rewards, self.next_states, self.terminated):
            digest.update(column.data)
        if self.next_masks is not None:
            digest.update(self.next_masks.data)
        if paid is not None:
            digest.update(paid.data)
        return digest.hexdigest()


def encoding_of_states(n_states: int) -> Encoding:
    """Return the encoding of observations that are the states 0 to n_states - 1."""
    return Encoding(Scalar(), [0], [n_states - 1], hashed=False, name=f"Discrete({n_states})")


def read_log(
    observations: Any,
    actions: Any,
    rewards: Any,
    next_observations: Any,
    terminated: Any,
    *,
    encoding: Encoding,
    n_actions: int,
    first_action: int = 0,
    next_masks: Any = None,
    masked: bool = False,
    ends: bool = False,
) -> Log:
    """Check and encode logged transitions.

    Parameters
    ----------
    observations, next_observations : array, DataFrame, Series, list, or tuple or dict of columns
        Observations, one for each transition, in the form that the environment gives them: a column for each
        component where they are tuples or dictionaries, or a list of single ones.
    actions : (n,) integers
        Actions in the numbering of the environment. Whole numbers may be floats.
    rewards : (n,) numbers
        Rewards; finite.
    terminated : (n,) bool or 0 and 1
        True where the transition ended its episode; the next observation may be anything there, unless *ends* is true.
    next_masks : (n, n_actions) bool or 0 and 1, optional
        Actions that the next state allows; by default what the next observations say where they hold masks and
        *masked* is true, else all.
    encoding : Encoding
        Makes indices, keys or vectors of observations.
    ends : bool
        True: what terminations led to is read, too.
    n_actions, first_action : int
        The actions are first_action to first_action + n_actions - 1.

    Raises
    ------
    ConfigError
        If lengths differ, or an entry is not allowed; names the first.

    Examples
    --------
    >>> columns = [0, 1], [1, 0], [0.0, 1.0], [1, 1], [False, True]
    >>> read_log(*columns, encoding=encoding_of_states(2), n_actions=2).rewards
    array([0., 1.])
    """
    taken = _column("action", actions, whole=True).astype(np.int64, copy=False)
    n = len(taken)
    paid = _column("reward", rewards, n, whole=False)
    _require_length("terminated", as_array("terminated", terminated), n)
    over = flags("the terminated of transition", terminated).astype(np.uint8)
    _refuse(
        "action",
        taken,
        (taken < first_action) | (taken - first_action >= n_actions),
        _span(first_action, n_actions),
    )
    _refuse("reward", paid, ~np.isfinite(paid), "finite numbers")
    states, _ = _encoded("observation", observations, encoding, np.zeros(n, np.uint8))
    skipped = np.zeros_like(over) if ends else over
    next_states, told = _encoded("next_observation", next_observations, encoding, skipped)
    next_states[skipped == 1] = states[skipped == 1]
    if next_masks is None and masked and encoding.n_actions:
        next_masks = told
    allowed = None if next_masks is None else masks(next_masks, n_actions, over)
    chosen = (taken - first_action).astype(np.uint32)
    return Log(states, chosen, paid.astype(np.float64), next_states, over, allowed)


def _span(first: int, n: int) -> str:
    return f"{first} to {first + n - 1}"


def _column(what: str, given: Any, n: int | None = None, *, whole: bool) -> Column:
    """Return a column as an array of numbers."""
    array = as_array(f"{what}s", given)
    _require_length(f"{what}s", array, n)
    if not len(array):
        raise ConfigError("there are no transitions; give one or more")
    return numbers(what, array, whole=whole, skipped=np.zeros(len(array), np.uint8))


def _require_length(what: str, array: Column, n: int | None) -> None:
    if array.ndim != 1 or (n is not None and len(array) != n):
        expected = "one for each transition" if n is None else f"({n},), as many as there are actions"
        raise ConfigError(f"{what} have shape {array.shape}; allowed: {expected}")


def _refuse(what: str, column: Column, wrong: npt.NDArray[np.bool_], allowed: str) -> None:
    if wrong.any():
        first = int(wrong.argmax())
        raise ConfigError(f"the {what} of transition {first} is {column[first]}; allowed: {allowed}")


# ---- observations


def _encoded(
    what: str, given: Any, encoding: Encoding, skipped: npt.NDArray[np.uint8]
) -> tuple[Column, npt.NDArray[np.uint8]]:
    """Return observations as indices, keys or vectors, and the masks in them; those *skipped* may be anything."""
    n = len(skipped)
    out = np.zeros((n, encoding.width), np.float64) if encoding.real else np.zeros(n, np.int64)
    allowed = np.zeros((n, encoding.n_actions), np.uint8)
    if hasattr(given, "to_numpy") and not hasattr(given, "columns"):  # a Series
        given = given.to_numpy()
    batch = _as_batch(given, encoding)
    try:
        if batch is None:
            _one_by_one(what, given, encoding, skipped, out, allowed)
            return out, allowed
        batch = _numbers_of(what, batch, not encoding.real, skipped)
        wrong = encode_batch(encoding, batch, skipped, out, allowed)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what}s: {error}") from None
    if wrong >= 0:
        raise ConfigError(f"the {what} of transition {wrong} is not in {encoding.name}")
    if encoding.real:
        bad = ~np.isfinite(out).all(axis=1) & (skipped == 0)
        _refuse(what, out, bad, "finite numbers")
    return out, allowed


def _numbers_of(what: str, batch: Any, whole: bool, skipped: npt.NDArray[np.uint8]) -> Any:
    """Return a batch whose columns are numbers."""
    if isinstance(batch, Mapping):
        return {name: _numbers_of(what, inner, whole, skipped) for name, inner in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_numbers_of(what, inner, whole, skipped) for inner in batch)
    return numbers(what, as_array(f"{what}s", batch), whole=whole, skipped=skipped)


def _as_batch(given: Any, encoding: Encoding) -> Any:
    """Return observations with an array for each component; None if they are single ones."""
    part = encoding.part
    if hasattr(given, "columns"):  # a DataFrame
        named = [given[name].to_numpy() for name in given.columns]
        if isinstance(part, Entries):
            return dict(zip(given.columns, named, strict=True))
        return tuple(named) if isinstance(part, Parts) else given.to_numpy()
    if isinstance(given, np.ndarray) and given.dtype != object:
        return tuple(given.T) if isinstance(part, Parts) and given.ndim == 2 else given
    if isinstance(given, (Mapping, tuple)):
        return given
    scalar = isinstance(part, Scalar) and not encoding.n_actions
    if isinstance(given, np.ndarray):  # of objects: numbers some of which are missing, or single ones
        return given if scalar else None
    structured = isinstance(part, (Parts, Entries)) or encoding.n_actions > 0
    missing = isinstance(given, list) and any(one is None for one in given)
    return None if structured or (missing and not scalar) else np.asarray(given)


def _one_by_one(  # noqa: PLR0917
    what: str,
    given: Any,
    encoding: Encoding,
    skipped: npt.NDArray[np.uint8],
    out: Column,
    allowed: npt.NDArray[np.uint8],
) -> None:
    if len(given) != len(out):
        raise ConfigError(f"there are {len(given)} {what}s for {len(out)} actions")
    for i, observation in enumerate(given):
        if not skipped[i]:
            try:
                out[i] = encoding.of(observation if encoding.real else single(observation))
                if encoding.n_actions:
                    allowed[i] = encoding.mask_of(observation)
            except (TypeError, ValueError) as error:
                why = str(error).removeprefix("the observation ")
                raise ConfigError(f"the {what} of transition {i}: {why}") from None


# ---- Minari


def read_minari(dataset: Any) -> tuple[Any, Column, Column, Any, Column]:
    """Return observations, actions, rewards, next observations and terminations of a Minari dataset.

    Parameters
    ----------
    dataset : str or minari.MinariDataset
        A dataset, or the name of one that was downloaded (``minari download NAME``).

    Raises
    ------
    ConfigError
        If Minari is not installed, or there is no such dataset.
    """
    if isinstance(dataset, str):
        dataset = _load_minari(dataset)
    before, after, rest = [], [], []
    for episode in dataset.iterate_episodes():
        before.append(_cut(episode.observations, slice(None, -1)))
        after.append(_cut(episode.observations, slice(1, None)))
        rest.append((episode.actions, episode.rewards, episode.terminations))
    if not rest:
        raise ConfigError("the Minari dataset holds no episode")
    actions, rewards, terminated = (np.concatenate(column) for column in zip(*rest, strict=True))
    return _joined(before), actions, rewards, _joined(after), terminated


def _load_minari(name: str) -> Any:
    try:
        import minari
    except ImportError:
        raise ConfigError(
            f"the dataset {name!r} needs Minari: pip install 'minari[hdf5]', or give the columns themselves"
        ) from None
    try:
        return minari.load_dataset(name)
    except Exception as error:
        raise ConfigError(
            f"Minari has no dataset {name!r} here ({error}); download it: minari download {name}"
        ) from error


def _cut(observations: Any, part: slice) -> Any:
    """Return a part of an episode's observations, whose leaves are arrays."""
    if isinstance(observations, Mapping):
        return {name: _cut(inner, part) for name, inner in observations.items()}
    if isinstance(observations, tuple):
        return tuple(_cut(inner, part) for inner in observations)
    return np.asarray(observations)[part]


def _joined(pieces: list[Any]) -> Any:
    """Return the observations of all episodes, one after another."""
    if isinstance(pieces[0], Mapping):
        return {name: _joined([piece[name] for piece in pieces]) for name in pieces[0]}
    if isinstance(pieces[0], tuple):
        return tuple(_joined(list(inner)) for inner in zip(*pieces, strict=True))
    return np.concatenate(pieces)
