from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from cdq.qfunctions import MergedTable
from cdq.schedules import Constant
from cdq.training.callbacks import CallbackList
from cdq.training.course import Progress, watch_nothing
from cdq.training.figures import Figures
from cdq.training.goals import Goal, MeanReturn, OptimalWithin
from cdq.training.history import History
from cdq.training.monitor import STEPS_PER_OUTCOME, Monitor
from cdq.training.played import Row
from cdq.training.state import State
from cdq.training.stopping import conditions
from cdq.workers.contribution import Summary
from cdq.workers.rounds import Round


def played(*returns: tuple[int, float], sent: int = 0) -> Round:
    summaries = [Summary(episodes, 10 * episodes, total, sent, 0) for episodes, total in returns]
    return Round(summaries, 0.3)


def monitor(
    history: History, until: Any = None, gaps: Any = (), returns: Any = (), n_outcomes: int = 1
) -> Monitor:
    each_gap, each_return = iter(gaps), iter(returns)
    return Monitor(
        history,
        STEPS_PER_OUTCOME * n_outcomes,
        lambda: next(each_gap, 9.0),
        lambda: next(each_return, 0.0),
        Goal(10**9, until),
        figures=Figures(
            State(MergedTable(2, 2, "float64", 0.0), Progress(0, 1.0)), None, Constant(0.5), 1.0, lambda: 0.75
        ),
    )


def test_a_row_per_round() -> None:
    history = History()
    watch = monitor(history)
    assert watch(40, played((2, 3.0), (1, 6.0), sent=100)) is False
    assert watch(80, played((0, 0.0), (0, 0.0), sent=250)) is False
    first, second = history
    assert (first.steps, first.mean_return, first.episodes, first.rounds, first.bytes) == (40, 3.0, 3, 1, 500)
    assert math.isnan(first.gap)
    assert (first.step_size, first.visited) == (0.5, 0.75)
    assert math.isnan(second.mean_return)
    assert (second.steps, second.episodes, second.rounds, second.bytes) == (80, 3, 2, 500)
    assert 0 <= first.seconds <= second.seconds


def test_a_second_call_goes_on_from_the_last_row() -> None:
    history = History()
    history.append(Row(1000, 5.0, 0.5, 70, 9, 4000, 0.1))
    monitor(history)(1040, played((2, 1.0), sent=50))
    assert history[-1][:1] + history[-1][3:6] == (1040, 72, 10, 4050)
    assert history[-1].seconds >= 5.0


@pytest.mark.parametrize(("until", "growth"), [(None, 1.5), (OptimalWithin(1e-9), 1.05)])
def test_the_gap_is_measured_when_steps_have_grown(until: OptimalWithin | None, growth: float) -> None:
    history = History()
    watch = monitor(history, until, gaps=iter(range(1, 1000)), n_outcomes=2)
    for steps in range(10, 20_000, 10):
        watch(steps, played((0, 0.0)))
    measured = [row.steps for row in history if not math.isnan(row.gap)]
    assert measured[0] == 200  # a hundred per outcome
    for before, after in itertools.pairwise(measured):
        assert after >= max(before + 200, int(before * growth))
        assert after <= max(before + 200, before * growth) + 10


def asks_to_stop(until: OptimalWithin | MeanReturn, steps: tuple[int, ...], **measured: Any) -> list[bool]:
    """Return, for each number of steps, whether the condition of the call holds at the round that ends there."""
    history, asked = History(), []
    watch = monitor(history, until, **measured)
    for count in steps:
        callbacks = CallbackList(first=conditions(until))
        was_measured = watch(count, played((1, 1.0)))
        asked.append(callbacks.see_round(history[-1] if was_measured else None))
    return asked


def test_stopping_at_a_gap() -> None:
    assert asks_to_stop(OptimalWithin(0.1), (100, 200, 300), gaps=[0.5, 0.1, 0.9]) == [False, True, False]
    assert asks_to_stop(OptimalWithin(0.1), (100,), gaps=[math.nan]) == [False]


def test_stopping_at_a_return() -> None:
    assert asks_to_stop(MeanReturn(0.7), (50, 100, 200), returns=[0.69, 0.7]) == [False, False, True]


def test_without_a_condition_nothing_asks() -> None:
    assert conditions(None) == []
    assert CallbackList(first=conditions(None)).see_round(Row(1, 0.0, 1.0, 1, 1, 1, 0.0)) is False


def test_others_watch_nothing() -> None:
    assert watch_nothing(10, played()) is False
