"""Callbacks that stop a run: by the condition of the call, the return of its episodes, or the clock."""

from __future__ import annotations

import math
import time
from collections import deque

from cdq.errors import ConfigError
from cdq.errors.checks import is_flag, real, shown, whole
from cdq.errors.naming import named
from cdq.training.callbacks import Callback, RunView
from cdq.training.goals import OptimalWithin, Until
from cdq.training.played import Row


class _StopOn(Callback):
    """Stop once a condition holds, as far as the run has measured it: ``until=`` of a call."""

    def __init__(self, until: Until) -> None:
        self._until = until

    def _judge(self, row: Row) -> bool:
        until = self._until
        if isinstance(until, OptimalWithin):
            return row.gap <= until.tolerance
        return row.greedy_return >= until.at_least


def conditions(until: Until | None) -> list[Callback]:
    """Return the callbacks that stop a call with the condition *until*."""
    return [] if until is None else [_StopOn(until)]


class StopOnReturn(Callback):
    """Stop once the mean undiscounted return of the newest episodes, which explored, is *at_least* this.

    Parameters
    ----------
    at_least : float
        Return to reach.
    episodes : int
        Number of episodes, at least: those of the newest rows of the history that have so many together.
    greedy : bool
        True: the return of the greedy policy in their place, where it is measured (`EvalCallback`, or ``until=``).

    Raises
    ------
    ConfigError
        If an argument is not allowed.

    Examples
    --------
    >>> from cdq import QLearner, StopOnReturn
    >>> agent = QLearner("FrozenLake-v1", seed=0, sync_every=1000).learn(1e7, callbacks=[StopOnReturn(0.4)])
    >>> agent.steps < 1e7
    True
    """

    @named
    def __init__(self, at_least: float, *, episodes: float = 100, greedy: bool = False) -> None:
        self.at_least = real("the return to reach", at_least, "a finite number")
        if not is_flag(greedy):
            raise ConfigError(f"greedy is {shown(greedy)}; allowed: True or False")
        self.greedy, self.episodes = bool(greedy), whole("episodes", episodes, 1)
        self._newest: deque[tuple[int, float]] = (
            deque()
        )  # of each row: its episodes, and the sum of their returns
        self._ended, self._counted = 0, 0  # of those; of the whole run

    def on_start(self, run: RunView) -> None:
        """Count from here."""
        self._newest.clear()
        self._ended, self._counted = 0, run.row.episodes

    def on_round(self, run: RunView) -> bool:
        """Look at the episodes of the round."""
        for row in run.rows:
            self._take(row)
        enough = self._ended >= self.episodes
        return not self.greedy and enough and self.mean_return >= self.at_least

    @property
    def mean_return(self) -> float:
        """Mean return of the newest episodes; NaN if none ended."""
        return sum(total for _, total in self._newest) / self._ended if self._ended else math.nan

    def _take(self, row: Row) -> None:
        ended, self._counted = row.episodes - self._counted, row.episodes
        if ended:
            self._newest.append((ended, ended * row.mean_return))
            self._ended += ended
        while self._newest and self._ended - self._newest[0][0] >= self.episodes:
            self._ended -= self._newest.popleft()[0]

    def on_evaluation(self, run: RunView) -> bool:
        """Look at the greedy return."""
        return self.greedy and run.row.greedy_return >= self.at_least


class StopOnTime(Callback):
    """Stop with the first round that ends after so many *seconds* of the call; the clock decides which one that is.

    Raises
    ------
    ConfigError
        If *seconds* is no finite number of at least 0.

    Examples
    --------
    >>> from cdq import QLearner, StopOnTime
    >>> agent = QLearner("FrozenLake-v1", seed=0, sync_every=1000).learn(1e12, callbacks=[StopOnTime(0.1)])
    >>> 0 < agent.steps < 1e12
    True
    """

    @named
    def __init__(self, seconds: float) -> None:
        self.seconds = real("seconds", seconds, "a finite number of at least 0", 0.0)
        self._ends = math.inf

    def on_start(self, run: RunView) -> None:
        """Start the clock."""
        self._ends = time.monotonic() + self.seconds

    def on_round(self, run: RunView) -> bool:
        """Look at the clock."""
        return time.monotonic() >= self._ends
