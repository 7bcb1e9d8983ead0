"""Figures of a run beside its episodes: exploration rate, step size, and the part of the pairs that were visited."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.schedules import ClockLaw, Constant, Rate, StepSize
from cdq.training.played import MOST_ROWS, Block, Played, Row, Rows
from cdq.training.rows import STEPS_PER_PAIR, rows_of, together
from cdq.training.state import State
from cdq.workers import Look


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
    known : (n_states, n_actions) array of bool, optional
        Pairs of which *visited* returns it; all by default.
    """

    def __init__(
        self,
        state: State,
        exploration: Rate | None,
        step_size: StepSize,
        step_scale: float,
        visited: Callable[[], float],
        *,
        known: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self._state, self._exploration, self._step_size = state, exploration, step_size
        self._step_scale, self._visited, self._known = step_scale, visited, known
        self._steps, self._unseen, self._pairs_seen = 0, True, 0

    @property
    def pairs(self) -> int:
        """Number of pairs of a state and an action of the table."""
        return self._state.merged.clock.size

    def go_on(self, last: Row) -> None:
        """Go on from the newest row."""
        self._steps, self._unseen, self._pairs_seen = last.steps, math.isnan(last.visited), 0

    def look(self, steps: int) -> tuple[float, float]:
        """Return step size and visited part of a table after a round at so many steps; NaN where none need be known.

        The step size is the one at the mean clock of the visited pairs; NaN where the law is not one of clocks.
        """
        least = max(STEPS_PER_PAIR * self.pairs, self._steps // MOST_ROWS).bit_length()
        # Of all rows of the round, the first has the finest grid.
        is_due = self._unseen or steps >> least != self._steps >> least
        self._steps = steps
        if not is_due:
            return math.nan, math.nan
        # Visits stay: pairs that were all visited are so until there are more.
        visited = 1.0 if self.pairs and self._pairs_seen == self.pairs else self._visited()
        self._take_note(visited)
        return self._clock_step_size(), visited

    def _take_note(self, visited: float) -> None:
        self._unseen = math.isnan(visited)
        self._pairs_seen = self.pairs if visited == 1.0 else 0

    @property
    def _n_known(self) -> int:
        """Number of known pairs."""
        merged = self._state.merged
        return merged.clock.size // merged.rule.tables if self._known is None else int(self._known.sum())

    @property
    def next_look(self) -> Look:
        """Moments at which the table is looked at, for rounds that are played without Python."""
        return Look(
            steps_per_look=STEPS_PER_PAIR * self.pairs,
            most_rows=MOST_ROWS,
            unseen=self._unseen,
            seen=self._n_known if self._pairs_seen == self.pairs else 0,
            known=None if self._known is None else self._known.reshape(-1).view(np.uint8),
            counts=isinstance(self._step_size, ClockLaw),
        )

    def look_back(self, record: npt.NDArray[Any], rows: Rows) -> None:
        """Fill in step size and visited part, NaN so far, of rounds that were played; rank 0 has a *record* of them."""
        self._steps = int(rows["steps"][-1])
        looks = np.flatnonzero(record["visited"] >= 0)
        if not len(looks):
            return
        counted = looks[record["clocks"][looks] >= 0]
        sums = zip(*(record[name][counted].tolist() for name in ("clock_sum", "clocks")), strict=True)
        rows["step_size"][counted] = [self._step_size_at(*sum_and_number) for sum_and_number in sums]
        rows["visited"][looks] = record["visited"][looks] / self._n_known if self._n_known else math.nan
        self._take_note(float(rows["visited"][looks[-1]]))

    def rows_of(self, before: Row, rounds: Sequence[Played | Block]) -> Rows:
        """Return the rows of rounds (`cdq.training.rows.rows_of`), with all figures."""
        rows = rows_of(before, together(rounds))
        steps = rows["steps"].tolist()
        if self._exploration is not None:
            rows["epsilon"] = _rates(self._exploration, steps)
        if not isinstance(self._step_size, ClockLaw):
            rows["step_size"] = _rates(self._step_size, steps) * self._step_scale
        return rows

    def _clock_step_size(self) -> float:
        law, clock = self._step_size, self._state.merged.clock
        if not isinstance(law, ClockLaw):
            return math.nan
        return self._step_size_at(int(clock.sum(dtype="i8")), int(np.count_nonzero(clock)))

    def _step_size_at(self, clock_sum: int, clocks: int) -> float:
        """Return the step size at the mean of so many clocks."""
        law = self._step_size
        assert isinstance(law, ClockLaw)
        return law.of(clock_sum / clocks) * self._step_scale if clocks else math.nan


def _rates(rate: Rate, steps: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return a rate after each number of steps."""
    if isinstance(rate, Constant):
        return np.full(len(steps), rate.value)
    return np.array([rate.at(n) for n in steps])
