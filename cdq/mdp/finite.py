"""A finite model itself: immutable arrays, checked, and properties read off them; `cdq.MDP` adds ways to make one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cdq.core.planning import graph
from cdq.core.planning import outcomes as core
from cdq.errors import ConfigError, FileError, ModelError
from cdq.errors.checks import flags, one_of, path_of, shown
from cdq.mdp import checks, outcomes
from cdq.mdp.arrays import BoolArray, FloatArray
from cdq.mdp.checks import SUM_TOLERANCE, check_start, fault_of_element, pair_name
from cdq.qfunctions import model_as_html
from cdq.storage import read_tensors, require_kind, write_tensors

if TYPE_CHECKING:
    from typing_extensions import Self

_DTYPES = {
    "offsets": np.int64,
    "next_state": np.int32,
    "probability": np.float64,
    "reward": np.float64,
    "terminated": np.bool_,
    "start": np.float64,
}
_PLAIN = ("n_states", "n_actions", "time_limit", "name", "grid")


@dataclass(frozen=True, eq=False, repr=False)
class FiniteModel:
    """The arrays of a finite model; see `cdq.MDP`, which documents them."""

    n_states: int
    n_actions: int
    offsets: NDArray[np.int64]
    next_state: NDArray[np.int32]
    probability: FloatArray
    reward: FloatArray
    terminated: BoolArray
    start: FloatArray
    time_limit: int | None = None
    name: str = "MDP"
    grid: tuple[int, int] | None = None
    actions: BoolArray | None = None
    opponent: str | None = None

    def __post_init__(self) -> None:
        self._make_plain()
        checks.check_sizes(self.n_states, self.n_actions, self.time_limit)
        ends = flags("terminated of outcome", self.terminated, error=ModelError)
        object.__setattr__(self, "terminated", ends)
        for field, kind in _DTYPES.items():
            given = getattr(self, field)
            checked = given if field == "terminated" else outcomes.numbers(field, given)
            if kind in {np.int64, np.int32}:
                checked = outcomes.fitting(field, checked, kind)
            object.__setattr__(self, field, outcomes.frozen(checked, kind))
        one_of("opponent", self.opponent, (None, "self"))
        object.__setattr__(self, "actions", outcomes.mask(self.actions, (self.n_states, self.n_actions)))
        check_model(self)

    def _make_plain(self) -> None:
        """Make numbers of NumPy's Python's own, and the grid a tuple: a list can be changed."""
        for field in ("n_states", "n_actions", "time_limit"):
            given = getattr(self, field)
            object.__setattr__(
                self, field, None if given is None and field == "time_limit" else checks.size(field, given)
            )
        if self.grid is not None:
            sides = tuple(self.grid) if isinstance(self.grid, Iterable) else (self.grid,)
            object.__setattr__(self, "grid", tuple(checks.size("grid", side) for side in sides))

    def __reduce__(self) -> tuple[type[FiniteModel], tuple[Any, ...]]:
        """Return how a copy is made: by the checks that every model passes, of arrays that nobody can change."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def __repr__(self) -> str:
        return (
            f"MDP({self.name!r}, n_states={self.n_states}, n_actions={self.n_actions}, "
            f"n_outcomes={self.n_outcomes})"
        )

    def _repr_html_(self) -> str:
        return model_as_html(self, repr(self))

    @property
    def n_pairs(self) -> int:
        """Number of (state, action) pairs."""
        return self.n_states * self.n_actions

    @property
    def n_outcomes(self) -> int:
        """Number of outcomes of all pairs."""
        return len(self.next_state)

    @property
    def max_outcomes(self) -> int:
        """Largest number of outcomes of a pair."""
        return int(np.diff(self.offsets).max())

    def actions_in(self, state: int) -> BoolArray | None:
        """Return which actions a state has, shape (n_actions,); None where it has all of them."""
        return None if self.actions is None else self.actions[state]

    def state_of(self, observation: Any) -> int:
        """Return the state that an observation stands for.

        Raises
        ------
        ConfigError
            If it stands for none.
        """
        try:
            state = int(np.asarray(observation).item())
        except (TypeError, ValueError, OverflowError):
            state = -1
        if not 0 <= state < self.n_states or state != observation:
            raise ConfigError(
                f"observation {shown(observation)} is no state; allowed: 0 to {self.n_states - 1}"
            )
        return state

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a safetensors file, atomically; `load` reads it back.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        tensors: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _DTYPES}
        if self.actions is not None:
            tensors["actions"] = self.actions
        header = {"kind": "model", **{name: getattr(self, name) for name in _PLAIN}}
        if self.opponent is not None:
            header["opponent"] = self.opponent
        write_tensors(path_of("the file", path), tensors, header)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the model of a file that `save` wrote, checked as any model is.

        Raises
        ------
        FileError
            If the file is missing, truncated, altered, or holds no model.
        ModelError
            If what it holds is no model.
        """
        where = path_of("the file", path)
        tensors, header = read_tensors(where)
        require_kind(where, header, "model")
        needed = set(tensors) - {"actions"} == set(_DTYPES) and set(_PLAIN) <= set(header)
        if not needed or not isinstance(header["name"], str):
            raise FileError(f"{path} lacks what a model is made of; use another file")
        arguments: dict[str, Any] = {**{name: header[name] for name in _PLAIN}, **tensors}
        return cls(**arguments, opponent=header.get("opponent"))

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a table learnt on the model depends on, as hexadecimal digits."""
        digest = hashlib.sha256(f"{self.n_states} {self.n_actions} {self.time_limit}".encode())
        for field in _DTYPES:
            digest.update(getattr(self, field).data)
        if self.actions is not None:
            digest.update(self.actions.data)
        if self.opponent is not None:
            digest.update(self.opponent.encode())
        return digest.hexdigest()

    def reachable(self) -> BoolArray:
        """Return the states in which an episode can take an action, thus not those that only end it.

        Returns
        -------
        ndarray of bool, shape (n_states,), read-only

        Examples
        --------
        >>> import cdq
        >>> int(cdq.MDP.from_gymnasium("CliffWalking-v1").reachable().sum())  # without cliff and goal
        37
        """
        return self._reachable

    @cached_property
    def _reachable(self) -> BoolArray:
        seen = (self.start > 0.0).view(np.uint8)
        goes_on = (~self.terminated).view(np.uint8)
        graph.visit(
            self.offsets, self.next_state, goes_on, self.n_actions, seen, np.empty(self.n_states, np.int32)
        )
        return outcomes.frozen(seen, np.bool_)


def check_model(model: FiniteModel) -> None:
    """Raise unless the arrays are a model: the one place where models are checked."""
    _check_shapes(model)
    actions = None if model.actions is None else model.actions.reshape(-1).view(np.uint8)
    arrays = model.offsets, model.next_state, model.probability, model.reward
    code, index = core.fault(*arrays, model.n_states, actions, SUM_TOLERANCE)
    if code == core.ELEMENT:
        pair = int(np.searchsorted(model.offsets, index, side="right")) - 1
        element = model.next_state[index], model.probability[index], model.reward[index]
        raise fault_of_element(pair_name(pair, model.n_actions), model.n_states, *element)
    if code:
        raise _fault_of_pair(model, code, index)
    check_start(model.start)


def _fault_of_pair(model: FiniteModel, code: int, pair: int) -> ModelError:
    where = pair_name(pair, model.n_actions)
    if code == core.OFFSETS:
        return ModelError(f"offsets decrease at {where}; allowed: rising")
    if code == core.MISSING:
        return ModelError(f"{where} has no outcome; every pair needs at least one")
    if code == core.MASKED:
        return ModelError(f"{where} has outcomes, but actions say that the state does not have the action")
    total = float(model.probability[model.offsets[pair] : model.offsets[pair + 1]].sum())
    return ModelError(
        f"the probabilities of {where} sum to {total:.12g}; allowed: 1 within {SUM_TOLERANCE}; "
        "MDP.from_arrays and MDP.from_outcomes divide them by their sum if told: normalise=True"
    )


def _check_shapes(model: FiniteModel) -> None:
    n_outcomes = len(model.next_state)
    expected = {"offsets": model.n_pairs + 1, "start": model.n_states}
    for field in ("offsets", "next_state", "probability", "reward", "terminated", "start"):
        shape, length = getattr(model, field).shape, expected.get(field, n_outcomes)
        if shape != (length,):
            raise ModelError(f"{field} has shape {shape}; allowed: {(length,)}")
    if model.offsets[0] != 0 or model.offsets[-1] != n_outcomes:
        raise ModelError(
            f"offsets go from {model.offsets[0]} to {model.offsets[-1]}; allowed: 0 to {n_outcomes}"
        )
    grid = model.grid
    if grid is not None and (len(grid) != 2 or min(grid) < 1 or grid[0] * grid[1] != model.n_states):
        raise ModelError(f"grid is {grid}; allowed: (rows, columns) with {model.n_states} cells")
