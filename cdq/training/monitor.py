"""Monitor of a run: writes the history, and measures the gap now and then, and the return where one is a goal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from cdq.core.loops.parts import fill_moments
from cdq.training.figures import Figures
from cdq.training.goals import Goal, MeanReturn
from cdq.training.history import History
from cdq.training.played import COLUMNS, FIRST_ROW, Played, Row, numbers_of
from cdq.training.rows import block_of
from cdq.workers import Look, Round, Stretch

# Steps between two measurements: half of those so far, a twentieth where a condition waits for them, but no fewer
# than a hundred per outcome of the model, so that measuring takes a small part of the time whatever the model.
# A function of steps alone: the same on every backend.
_GROWTH, _GROWTH_UNTIL = 1.5, 1.05
STEPS_PER_OUTCOME = 100


class Monitor:
    """Watches the rounds of one call of `learn`, from rank 0.

    Parameters
    ----------
    history : History
        Gets a row per round, continuing its last one.
    least : int
        Steps between two measurements, at least.
    gap : callable
        Returns the certified gap of the current table.
    mean_return : callable
        Returns the greedy policy's mean return.
    goal : Goal
        Goal of the call: has the condition, for which more is measured, and where a call goes on that was cut short,
        when to measure next.
    figures : Figures
        Figures of rows that rounds do not tell.

    Attributes
    ----------
    measure_at : int
        Steps at which the gap is measured next; kept in checkpoints, so that a resumed run measures as it would have.
    """

    def __init__(
        self,
        history: History,
        least: int,
        gap: Callable[[], float],
        mean_return: Callable[[], float],
        goal: Goal,
        *,
        figures: Figures,
    ) -> None:
        self._history, self._gap, self._mean_return, self._until = history, gap, mean_return, goal.until
        self._least, self._figures = least, figures
        self._greedy_return = math.nan
        last = self.go_on()
        self.measure_at = goal.measure_at or last.steps + self._least

    def aimed_at(self, goal: Goal) -> Monitor:
        """Return a monitor of the same run that measures for another goal."""
        return Monitor(self._history, self._least, self._gap, self._mean_return, goal, figures=self._figures)

    def go_on(self, began: float | None = None) -> Row:
        """Count from the newest row, which is returned, for rounds whose bytes and seconds begin at 0.

        *began* is the moment from which seconds count (`time.perf_counter`), by default now.
        """
        last = self._last()
        self._episodes, self._rounds, self._bytes = last.episodes, last.rounds, last.bytes
        self._bytes_before, self._seconds_before = last.bytes, last.seconds
        self._started = time.perf_counter() if began is None else began
        self._figures.go_on(last)
        return last

    def __call__(self, steps: int, played: Round) -> bool:
        """Write the round down; return whether anything was measured."""
        episodes, return_sum, bytes_sent = 0, 0.0, 0
        for summary in played.summaries:  # in rank order
            episodes += summary.episodes
            return_sum += summary.return_sum
            bytes_sent += summary.bytes_sent
        self._episodes += episodes
        self._rounds += 1
        self._bytes = self._bytes_before + bytes_sent  # up to the round before
        measured = steps >= self.measure_at
        gap, self._greedy_return = self._measure(steps) if measured else (math.nan, math.nan)
        figures = self._figures
        step_size, visited = figures.look(steps)
        row = Row(
            steps,
            self._seconds_before + time.perf_counter() - self._started,
            return_sum / episodes if episodes else math.nan,
            self._episodes,
            self._rounds,
            self._bytes,
            gap,
            greedy_return=self._greedy_return,
            step_size=step_size,
            visited=visited,
        )
        self._history.add_round(Played(row, played.summaries, figures.pairs), figures.rows_of)
        return measured

    def _measure(self, steps: int) -> tuple[float, float]:
        """Measure the table as it is after so many steps; return gap and greedy return."""
        growth = _GROWTH_UNTIL if self._until else _GROWTH
        self.measure_at = max(int(steps * growth), steps + self._least)
        gap = self._gap()
        return gap, self._mean_return() if isinstance(self._until, MeanReturn) else math.nan

    def look(self) -> Look:
        """Return when the monitor must look at the run next."""
        return self._figures.next_look._replace(at=self.measure_at)

    def see(self, stretch: Stretch) -> bool:
        """Write the rounds of a stretch down; return whether anything was measured, which is so at the last at most."""
        first, n = stretch.records[0], len(stretch.records[0])
        rows = np.full((n, len(Row._fields)), math.nan).view(COLUMNS).reshape(n)
        begun = self._seconds_before + (stretch.began - self._started)
        before = FIRST_ROW._replace(
            seconds=begun, episodes=self._episodes, rounds=self._rounds, bytes=self._bytes_before
        )
        records = [record.view(np.int64).reshape(n, -1) for record in stretch.records]
        fill_moments(records, numbers_of(rows), numbers_of(np.array([before], COLUMNS)))
        last = Row._make(rows[-1].item())
        self._episodes, self._rounds, self._bytes, steps = last.episodes, last.rounds, last.bytes, last.steps
        measured = steps >= self.measure_at
        if measured:
            rows["gap"][-1], rows["greedy_return"][-1] = self._measure(steps)
        self._figures.look_back(first, rows)
        workers, pairs = np.full(n, len(records)), np.full(n, self._figures.pairs)
        block = block_of(rows, stretch.tallies, first["parts"].copy(), workers, pairs)
        self._history.add_round(block, self._figures.rows_of)
        return measured

    def _last(self) -> Row:
        return self._history[-1] if len(self._history) else FIRST_ROW
