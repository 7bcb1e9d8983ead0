"""Curves of runs, by the data of their artists."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

import cdq
from cdq.errors import ConfigError, PackageMissing
from cdq.plot.runs import band_of, floor_of
from cdq.training.history import History
from cdq.training.played import Row

NAN = float("nan")


def history(*rows: tuple[int, float, int, float], n_bytes: int = 0) -> History:
    """Return a history of (steps, mean return, episodes, gap)."""
    made = History()
    for number, (steps, mean_return, episodes, gap) in enumerate(rows):
        made.append(Row(steps, steps / 1000, mean_return, episodes, number + 1, n_bytes * (number + 1), gap))
    return made


RUN = history((100, 0.0, 10, NAN), (200, 1.0, 20, 0.5), (400, 2.0, 40, 0.1), n_bytes=8)
OTHER = history((100, 1.0, 10, NAN), (200, 3.0, 20, 0.3), (400, 4.0, 40, 0.2), n_bytes=8)
THIRD = history((100, 2.0, 10, NAN), (200, 2.0, 20, 0.4), (400, 9.0, 40, 0.4), n_bytes=8)


def lines(ax: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


# ---- bands


def test_the_band_of_one_run_is_the_run() -> None:
    band = band_of([RUN], "steps", "mean_return")
    assert band.x.tolist() == [100, 200, 400]
    assert band.middle.tolist() == band.low.tolist() == band.high.tolist() == [0.0, 1.0, 2.0]


def test_a_band_has_the_median_and_the_quartiles() -> None:
    band = band_of([RUN, OTHER, THIRD], "steps", "mean_return")
    assert band.n_runs == 3
    assert band.middle.tolist() == [1.0, 2.0, 4.0]
    assert band.low.tolist() == [0.5, 1.5, 3.0]
    assert band.high.tolist() == [1.5, 2.5, 6.5]


def test_returns_are_averaged_over_episodes_not_over_rows() -> None:
    """Of 90 episodes of return 1 and 10 of return 11 the mean is 2, whatever the rows."""
    fine = history((50, 1.0, 90, NAN), (100, 11.0, 100, NAN), (200, 5.0, 200, NAN))
    coarse = history((100, 7.0, 100, NAN), (200, 5.0, 200, NAN))
    band = band_of([fine, coarse], "steps", "mean_return")
    assert band.x.tolist() == [100, 200]
    assert band.middle.tolist() == pytest.approx([(2 + 7) / 2, 5.0])


def test_a_long_run_is_drawn_by_fewer_points_which_keep_its_mean() -> None:
    random = np.random.default_rng(0)
    returns = random.standard_normal(900)
    rows = [(10 * (i + 1), float(one), 3 * (i + 1), NAN) for i, one in enumerate(returns)]
    band = band_of([history(*rows)], "steps", "mean_return")
    assert len(band.x) == 60
    assert np.diff(band.x) == pytest.approx(np.diff(band.x)[0])
    widths = np.diff(band.x, prepend=0.0)
    assert (band.middle * widths).sum() / widths.sum() == pytest.approx(returns.mean())


def test_rows_in_which_no_episode_ended_leave_no_gap_in_the_sum() -> None:
    run = history((100, NAN, 0, NAN), (200, 4.0, 10, NAN), (300, NAN, 10, NAN), (400, 2.0, 20, NAN))
    band = band_of([run], "steps", "mean_return")
    assert band.x.tolist() == [200, 400]
    assert band.middle.tolist() == [4.0, 2.0]


def test_other_columns_are_interpolated_over_the_range_in_common() -> None:
    short = history((100, 0.0, 1, NAN), (300, 0.0, 3, NAN))
    long = history((200, 0.0, 2, NAN), (400, 0.0, 8, NAN))
    band = band_of([short, long], "steps", "episodes")
    assert band.x.tolist() == [200, 300, 400]
    assert band.low.tolist() == [2.0, 3.5, 4.25]  # the short one stays where it ended
    assert band.high.tolist() == [2.0, 4.5, 6.75]
    assert band.first_end == 300


def test_a_run_that_ended_sooner_keeps_its_last_return() -> None:
    short = history((100, 1.0, 10, NAN), (200, 3.0, 20, NAN))
    long = history((100, 1.0, 10, NAN), (200, 5.0, 20, NAN), (300, 7.0, 30, NAN), (400, 9.0, 40, NAN))
    band = band_of([short, long], "steps", "mean_return")
    assert band.x.tolist() == [100, 200, 300, 400]
    assert band.middle.tolist() == [1.0, 4.0, 5.0, 6.0]
    ax = cdq.plot.learning_curve({"a": [short, long]})
    assert "one that has ended keeps its last figure" in ax.figure.axes[0].get_legend().get_title().get_text()
    assert ax.lines[0].get_xdata()[-1] == 400


def test_gaps_are_interpolated_by_their_logarithms() -> None:
    first = history((100, 0, 1, 1.0), (10_000, 0, 1, 0.01))
    second = history((100, 0, 1, 1.0), (1_000, 0, 1, 0.3), (10_000, 0, 1, 0.01))
    band = band_of([first, second], "steps", "gap", floor=1e-9)
    assert band.x.tolist() == [100, 1000, 10_000]
    assert sorted([band.low[1], band.high[1]]) == pytest.approx([0.1 + 0.05, 0.1 + 0.15])


def test_gaps_next_to_nothing_are_drawn_at_a_power_of_ten() -> None:
    run = history((100, 0, 1, 0.5), (200, 0, 1, 0.0), (300, 0, 1, 1e-12))
    assert floor_of([run], "gap") == pytest.approx(1e-6)
    assert band_of([run], "steps", "gap", floor=1e-6).middle.tolist() == pytest.approx([0.5, 1e-6, 1e-6])
    ax = cdq.plot.gap(run)
    assert ax.get_ylim()[0] == pytest.approx(1e-6)
    ax.figure.canvas.draw()
    assert "<1e-06" in [text.get_text() for text in ax.get_yticklabels()]


# ---- pictures


def test_a_learning_curve_of_one_run_is_a_line_without_a_band() -> None:
    ax = cdq.plot.learning_curve(RUN)
    assert list(lines(ax).values()) == [([100, 200, 400], [0.0, 1.0, 2.0])]
    assert len(ax.collections) == 0
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "steps of all workers",
        "mean return of an episode, exploring",
    )
    assert ax.get_legend() is None
    assert not ax.get_title(loc="left")


def test_a_list_of_runs_is_a_line_with_a_band() -> None:
    ax = cdq.plot.learning_curve([RUN, OTHER, THIRD])
    assert list(ax.lines[0].get_ydata()) == [1.0, 2.0, 4.0]
    assert len(ax.collections) == 1
    corners = ax.collections[0].get_paths()[0].vertices
    assert {0.5, 1.5, 3.0, 6.5} <= set(corners[:, 1].tolist())
    assert ax.get_title(loc="left") == "median and quartiles of 3 runs"


def test_a_dictionary_is_a_line_for_each_name_in_its_order() -> None:
    ax = cdq.plot.learning_curve({"b": RUN, "a": [OTHER, THIRD], 3: RUN})
    assert list(lines(ax)) == ["b", "a", "3"]
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["b", "a", "3"]
    assert legend.get_title().get_text() == "median and quartiles of 2 runs"
    assert len({line.get_color() for line in ax.lines}) == 3


def test_the_legend_stands_above_the_axes() -> None:
    ax = cdq.plot.learning_curve({str(n): RUN for n in range(7)})
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1 - 1
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 7


def test_any_text_is_a_name() -> None:
    ax = cdq.plot.learning_curve({"$x^": RUN, "_hidden": RUN})
    ax.figure.canvas.draw()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [r"\$x^", " _hidden"]


def test_any_column_can_be_drawn_over_any() -> None:
    ax = cdq.plot.learning_curve(RUN, y="episodes", x="seconds")
    assert list(ax.lines[0].get_xdata()) == [0.1, 0.2, 0.4]
    assert list(ax.lines[0].get_ydata()) == [10, 20, 40]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("seconds of learning", "episodes")


def test_a_gap_is_drawn_on_logarithmic_axes() -> None:
    ax = cdq.plot.gap({"run": RUN})
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert list(ax.lines[0].get_xdata()) == [200, 400]
    assert list(ax.lines[0].get_ydata()) == pytest.approx([0.5, 0.1])


def test_bytes_are_drawn_against_the_gap() -> None:
    ax = cdq.plot.communication([RUN, OTHER])
    assert list(ax.lines[0].get_xdata()) == [16, 24]
    assert ax.get_xlabel() == "bytes exchanged"


def test_axes_that_are_given_are_drawn_on() -> None:
    figure, (left, right) = pyplot.subplots(1, 2)
    assert cdq.plot.learning_curve(RUN, ax=left) is left
    assert cdq.plot.gap(RUN, ax=right) is right
    assert len(figure.axes) == 2


def test_learners_and_comparisons_are_runs() -> None:
    agents = [cdq.QLearner("FrozenLake-v1", seed=seed).learn(20_000) for seed in range(2)]
    compared = cdq.compare({"plain": {}}, "FrozenLake-v1", seeds=2, steps=20_000)
    by_hand, by_compare = cdq.plot.learning_curve({"plain": agents}), cdq.plot.learning_curve(compared)
    assert lines(by_hand) == lines(by_compare)


@pytest.mark.parametrize(
    "runs", [None, 3, "run.safetensors", [], {}, {"a": []}, [3], {"a": "b"}, [{"a": RUN}]]
)
def test_what_is_no_run_is_refused(runs: Any) -> None:
    with pytest.raises(
        ConfigError, match="allowed: a learner, its history, a comparison, or a list of these"
    ):
        cdq.plot.learning_curve(runs)
    assert pyplot.get_fignums() == []


def test_a_column_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'mean_return'"):
        cdq.plot.learning_curve(RUN, y="mean_retrun")


def test_runs_without_figures_are_refused_with_the_reason() -> None:
    empty = cdq.QLearner("FrozenLake-v1", seed=0)
    with pytest.raises(ConfigError, match="a run of 0 rows has no mean_return"):
        cdq.plot.learning_curve(empty)
    with pytest.raises(ConfigError, match="the gap is measured where the model is known"):
        cdq.plot.gap(history((100, 0.0, 1, NAN)))
    with pytest.raises(
        ConfigError, match=r"no greedy_return over steps; it is measured by cdq\.EvalCallback"
    ):
        cdq.plot.learning_curve(history((100, 0.0, 1, NAN)), y="greedy_return")
    with pytest.raises(ConfigError, match="a worker without others exchanges none"):
        cdq.plot.communication(history((100, 0.0, 1, 0.5)))


def test_runs_without_a_range_in_common_are_refused() -> None:
    with pytest.raises(ConfigError, match="no range of steps in common"):
        cdq.plot.learning_curve(
            [history((100, 0.0, 1, NAN)), history((200, 0.0, 1, NAN), (300, 0.0, 1, NAN))]
        )


def test_a_run_of_one_point_is_a_point() -> None:
    ax = cdq.plot.learning_curve(history((100, 0.5, 1, NAN)))
    assert ax.lines[0].get_marker() == "o"


@pytest.mark.parametrize("ax", [3, "ax", pyplot])
def test_what_is_no_axes_is_refused(ax: Any) -> None:
    with pytest.raises(ConfigError, match="allowed: axes of matplotlib"):
        cdq.plot.learning_curve(RUN, ax=ax)


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PackageMissing, match=r'pip install "cdq\[plot\]"'):
        cdq.plot.learning_curve(RUN)


# ---- speed-up


def ended(steps: int, seconds: float) -> History:
    made = History()
    made.append(Row(steps, seconds, 0.0, 1, 1, 0, NAN))
    return made


def test_speed_up_is_what_fewer_steps_and_seconds_are_worth() -> None:
    runs = {
        2: [ended(500, 3.0)],
        1: [ended(1000, 4.0), ended(800, 5.0), ended(1200, 3.0)],
        4: [ended(500, 1.0)],
    }
    ax = cdq.plot.speedup(runs)
    drawn = {str(line.get_label()): line for line in ax.lines}
    assert list(drawn["linear"].get_ydata()) == [1, 2, 4]
    bars = {str(box.get_label()): box for box in ax.containers}
    assert bars["steps of each worker"][0].get_ydata().tolist() == [1.0, 4.0, 8.0]
    assert bars["seconds"][0].get_ydata().tolist() == pytest.approx([1.0, 4 / 3, 4.0])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "4"]
    assert ax.get_ylabel() == "speed-up over 1 worker"


def test_learners_are_grouped_by_their_workers() -> None:
    agents = [cdq.QLearner("FrozenLake-v1", workers=n, seed=0).learn(2_000) for n in (2, 1)]
    ax = cdq.plot.speedup(agents)
    assert ax.containers[0][0].get_xdata().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({"one": RUN, "two": RUN}, "a number of workers is 'one'"),
        ({0: RUN, 1: RUN}, "a number of workers is 0"),
        ({True: RUN, 2: RUN}, "a number of workers is True"),
        ({1: RUN}, "runs of 1 numbers of workers; give two or more"),
        ({1: RUN, 2: History()}, "a run of 2 workers took no steps"),
        ([RUN], "allowed: a list of learners, or a dictionary of runs by their number of workers"),
    ],
)
def test_speed_up_without_workers_is_refused(runs: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cdq.plot.speedup(runs)


def test_lengths_are_averaged_as_returns_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any column whose name says that it is a mean over episodes."""
    run = history((50, 1.0, 90, NAN), (100, 11.0, 100, NAN))
    other = history((100, 7.0, 100, NAN))
    monkeypatch.setattr(History, "column", _with_lengths(History.column))
    band = band_of([run, other], "steps", "mean_length")
    assert band.middle.tolist() == pytest.approx([(2 + 7) / 2])


def _with_lengths(column: Any) -> Any:
    return lambda self, name: column(self, "mean_return" if name == "mean_length" else name)


def test_a_learner_has_no_speedup_by_itself() -> None:
    for runs in (cdq.QLearner("FrozenLake-v1", seed=0), RUN):
        with pytest.raises(
            ConfigError, match="allowed: a list of learners, or a dictionary of runs by their number"
        ):
            cdq.plot.speedup(runs)


@pytest.mark.parametrize("y", ["mean_return", "least_length"])
def test_a_run_in_which_no_episode_ends_says_so(y: str) -> None:
    endless = cdq.QLearner("cdq/Signals-v0", seed=0).learn(2000)
    with pytest.raises(ConfigError, match=f"has no {y} over steps; no episode ended"):
        cdq.plot.learning_curve(endless, y=y)
