"""What a Q-function is made of: what the rows of its table stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from cdq.core.encode import Encoding
from cdq.core.linear import Features, LinearQ
from cdq.core.qfunction import QFunction, TableQ
from cdq.core.rows import Rows
from cdq.features import action_values, initial_weight

if TYPE_CHECKING:
    from cdq.envs.spaces import Encoder

Floats = npt.NDArray[np.floating[Any]]


class Representation(Protocol):
    """How observations lead to rows of the table, and rows to action values."""

    @property
    def n_rows(self) -> int:
        """How many there are."""

    @property
    def step_scale(self) -> float:
        """What step sizes are multiplied by."""

    @property
    def fingerprint(self) -> str:
        """What the meaning of the rows depends on."""

    @property
    def own_table(self) -> Any:
        """The `Merged` that it reads, where rows are added as they are met; else None."""

    def __str__(self) -> str:
        """Return what it is, in words."""

    @property
    def first_action(self) -> int:
        """What the environment calls action 0."""

    def encoding(self) -> Encoding:
        """Return what makes of observations what the Q-function locates."""

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a table, for *n* lanes."""

    def reader(self, values: Floats, n: int) -> QFunction:
        """Return the Q-function of these values, to be read, for *n* lanes."""

    def initial(self, value: float) -> float:
        """Return what every entry of the table is where every action is worth *value*."""

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return what the table says each action is worth; raises `ConfigError` for what is no observation."""


class Table:
    """A row for each state.

    Parameters
    ----------
    encoder : Encoder
        Of the environment, with a number of states.
    """

    step_scale = 1.0
    fingerprint = "table"
    own_table = None

    def __init__(self, encoder: Encoder) -> None:
        assert encoder.n_states is not None
        self._encoder, self.n_rows, self.first_action = encoder, encoder.n_states, encoder.first_action

    def __str__(self) -> str:
        return f"table of {self.n_rows:,} states"

    def encoding(self) -> Encoding:
        """Return what makes indices of observations."""
        return self._encoder.encoding(vectors=False)

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a table, for *n* lanes."""
        return TableQ(rows, n)

    def reader(self, values: Floats, n: int) -> QFunction:
        """Return the Q-function of these values, to be read, for *n* lanes."""
        return TableQ(Rows.of_values(values), n)

    def initial(self, value: float) -> float:
        """Return *value*."""
        return value

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the row of the observed state."""
        row: Floats = values[self._encoder.state_of(observation)]
        return row


class Linear:
    """A row for each feature; a value is the sum of the weights of the features that an observation has.

    Parameters
    ----------
    encoder : Encoder
        Of the environment.
    features : Features
        Of vectors as it makes them.
    description : str
        What they are, in words.
    """

    own_table = None

    def __init__(self, encoder: Encoder, features: Features, description: str) -> None:
        self._encoder, self._features, self._description = encoder, features, description
        self.n_rows, self.step_scale = features.n_features, features.step_scale
        self.fingerprint, self.first_action = features.fingerprint, encoder.first_action

    def __str__(self) -> str:
        return f"linear, {self._description}: {self.n_rows:,} features"

    def encoding(self) -> Encoding:
        """Return what makes vectors of observations."""
        return self._encoder.encoding(vectors=True)

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over the weights, for *n* lanes."""
        return LinearQ(rows, n, self._features)

    def reader(self, values: Floats, n: int) -> QFunction:
        """Return the Q-function of these weights, to be read, for *n* lanes."""
        return LinearQ(Rows.of_values(values), n, self._features)

    def initial(self, value: float) -> float:
        """Return the weight of every feature."""
        return initial_weight(self._features, value)

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the sums of the weights of the observation's features."""
        return action_values(self._features, values, self._encoder.vector_of(observation))
