"""Figures of a run beside its episodes: exploration rate, step size, and the part of the pairs that were visited."""

from __future__ import annotations

import math
from collections.abc import Callable

from cdq.schedules import ClockLaw, Rate, StepSize
from cdq.training.history import MOST_ROWS, Row
from cdq.training.state import State

# Steps between two looks at the whole table, for each of its pairs: a look takes as long as a tenth of a step.
_STEPS_PER_PAIR = 16


class Figures:
    """Adds to rows of a history where the schedules are, and how much of the table was visited.

    The table is looked at now and then, at steps that follow from the rows alone, so that a resumed run has the same
    rows; between two looks its figures stay as they are.

    Parameters
    ----------
    state : State
        State of the learner.
    exploration : Constant, LinearDecay, ExponentialDecay or None
        Exploration rate; None where nothing is explored.
    step_size : schedule
        Law of the step sizes.
    step_scale : float
        Factor of every step size.
    visited : callable
        Returns the part of the pairs that were visited.
    """

    def __init__(
        self,
        state: State,
        exploration: Rate | None,
        step_size: StepSize,
        step_scale: float,
        visited: Callable[[], float],
    ) -> None:
        self._state, self._exploration, self._step_size = state, exploration, step_size
        self._step_scale, self._visited = step_scale, visited

    def complete(self, row: Row, before: Row) -> Row:
        """Return a row with these figures; *before* is the one before it."""
        epsilon = math.nan if self._exploration is None else self._exploration.at(row.steps)
        step_size, visited = before.step_size, before.visited
        if math.isnan(visited) or self._is_due(row.steps, before.steps):
            step_size, visited = self._clock_step_size(), self._visited()
        if not isinstance(self._step_size, ClockLaw):
            step_size = self._step_size.at(row.steps) * self._step_scale
        return row._replace(epsilon=epsilon, step_size=step_size, visited=visited)

    def _is_due(self, steps: int, before: int) -> bool:
        least = max(_STEPS_PER_PAIR * self._state.merged.clock.size, steps // MOST_ROWS)
        width = 1 << least.bit_length()
        return steps // width != before // width

    def _clock_step_size(self) -> float:
        """Return the step size at the mean clock of the visited pairs, where the law is one of clocks."""
        law, clock = self._step_size, self._state.merged.clock
        visited = int((clock > 0).sum())
        if not isinstance(law, ClockLaw) or not visited:
            return math.nan
        return law.of(int(clock.sum(dtype="i8")) / visited) * self._step_scale
