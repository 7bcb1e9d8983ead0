"""Linear Q-functions: an observation leads to several rows of weights, whose entries add up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cdq.contracts import Floats, ObservationEncoder
from cdq.core.envs.encode import Encoding
from cdq.core.linear.linear import Features, LinearQ
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Rows
from cdq.features import Inputs, action_values, initial_weight


class Linear:
    """A row for each feature; a value is the sum of the weights of the features that an observation has.

    Parameters
    ----------
    encoder : ObservationEncoder
        ObservationEncoder of the environment.
    features : Features
        Features of the vectors that the encoder makes.
    input_bounds : (lowest, highest)
        Inputs to which those beyond are clipped, (width,) arrays.
    description : str
        The features in words.
    """

    threads = True
    own_table = None

    def __init__(
        self,
        encoder: ObservationEncoder,
        features: Features,
        input_bounds: tuple[Inputs, Inputs],
        description: str,
    ) -> None:
        self._encoder, self._features, self._description = encoder, features, description
        self.input_bounds = input_bounds
        self.n_rows, self.step_scale = features.n_features, features.step_scale
        self.fingerprint, self.first_action = features.fingerprint, encoder.first_action

    def __str__(self) -> str:
        return f"linear, {self._description}: {self.n_rows:,} features"

    def encoding(self) -> Encoding:
        """Return the encoding of observations as vectors."""
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

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        return self._encoder.split(observations)

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of an observation as a function, which later learning does not change."""
        return partial(self.action_values, values.copy())
