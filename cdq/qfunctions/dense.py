"""Dense tables: a row for each state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cdq.contracts import Floats, ObservationEncoder
from cdq.core.envs.encode import Encoding
from cdq.core.table.qfunction import QFunction, TableQ
from cdq.core.table.rows import Rows


class Table:
    """A row for each state.

    Parameters
    ----------
    encoder : ObservationEncoder
        ObservationEncoder of the environment, with a number of states.
    """

    threads = True
    step_scale = 1.0
    fingerprint = "table"
    own_table = None
    input_bounds = None

    def __init__(self, encoder: ObservationEncoder) -> None:
        assert encoder.n_states is not None
        self._encoder, self.n_rows, self.first_action = encoder, encoder.n_states, encoder.first_action

    def __str__(self) -> str:
        return f"table of {self.n_rows:,} states"

    def encoding(self) -> Encoding:
        """Return the encoding of observations as indices."""
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

    def observation_of(self, state: int) -> Any:
        """Return the observation of a row."""
        return self._encoder.observation_of(state)

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        return self._encoder.split(observations)

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of an observation as a function, which later learning does not change."""
        return partial(self.action_values, values.copy())
