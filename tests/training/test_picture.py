"""Pictures of a run: bounded whatever the run, JSON without NaN, and what they show is what there is."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import cdq
from cdq.qfunctions import policy_lines
from cdq.training import History, Row, curves_of, grid_of, table_of
from cdq.training.picture import Pictures, action_values


def history(n: int) -> History:
    made = History()
    for step in range(n):
        gap = 1.0 / (1 + step) if step % 10 == 0 else math.nan
        made.append(Row(10 * step, 0.1, float(step), step, step, 8 * step, gap, window=5.0))
    return made


@pytest.mark.parametrize("n", [0, 1, 2, 255, 256, 257, 1000])
def test_a_curve_has_its_ends_and_a_bounded_number_of_points(n: int) -> None:
    found = curves_of(history(n))
    assert set(found) == ({"mean_return", "gap", "window", "bytes"} if n else set())
    for steps, figures in found.values():
        assert len(steps) == len(figures) <= 256
        assert steps == sorted(set(steps))
        assert steps[0] <= 10 * n / 128
    if n:
        assert found["mean_return"][0][-1] == 10 * (n - 1)
        assert len(found["window"][0]) == min(n, 256)
        assert len(found["mean_return"][0]) == min(n, 129)
        assert found["gap"][1][0] == 1.0
        assert len(found["gap"][0]) == len(range(0, n, 10))


def test_returns_are_means_by_episodes_of_equal_parts_of_the_steps() -> None:
    made = History()
    for step, mean, episodes in [(1000, 2.0, 1), (128_000, 1.0, 10), (128_300, 4.0, 40), (128_600, 5.0, 100)]:
        made.append(Row(step, 0.1, mean, episodes, 1, 0, math.nan))
    assert curves_of(made)["mean_return"] == [[1000, 128_300, 128_600], [2.0, (9 + 4 * 30) / 39, 5.0]]


def test_figures_that_are_not_finite_are_left_out() -> None:
    made = History()
    made.append(Row(1, 0.0, math.inf, 0, 1, 0, math.inf))
    made.append(Row(2, 0.0, -math.inf, 0, 1, 0, 2.0))
    assert curves_of(made) == {"gap": [[2.0], [2.0]], "bytes": [[1.0, 2.0], [0.0, 0.0]]}


def test_a_grid_shows_the_policy_that_the_report_draws() -> None:
    agent = cdq.QLearner("FrozenLake8x8-v1", seed=0).learn(200_000)
    assert agent.model is not None
    picture = table_of(agent.table.values, grid_of(agent.model), n_rows=64)
    lines = policy_lines(agent.model, agent.table.policy())
    assert picture["signs"] == " ".join(lines).split()
    assert picture["grid"] == [8, 8]
    holes = [value for value, sign in zip(picture["values"], picture["signs"], strict=True) if sign in "HG."]
    assert holes == [None] * len(holes)
    assert picture["values"][0] == float(f"{agent.table.values[0].max():.4g}")
    assert json.dumps(picture, allow_nan=False)


def test_a_grid_of_too_many_cells_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert grid_of(cdq.MDP.garnet(5, 2, branching=2, seed=0)) is None
    assert grid_of(None) is None
    lake = cdq.QLearner("FrozenLake-v1", seed=0).model
    for most, known in ((16, True), (15, False)):
        monkeypatch.setattr("cdq.training.picture.MOST_CELLS", most)
        assert (grid_of(lake) is not None) is known


def test_a_table_without_a_grid_shows_its_first_rows() -> None:
    values = np.arange(1000.0).reshape(50, 20)
    picture = table_of(values, None, n_rows=1_000_000)
    assert (picture["states"], picture["actions"]) == (1_000_000, 20)
    assert len(picture["rows"]) == len(picture["names"]) == len(picture["best"]) == 12
    assert picture["rows"][1] == [20.0 + n for n in range(8)]
    assert picture["best"][0] == 19
    keys = np.arange(50, dtype=np.uint64) + 2**63
    assert table_of(values, None, n_rows=50, keys=keys)["names"][1] == str(2**63 + 1)


def test_empty_and_infinite_tables_are_shown() -> None:
    assert table_of(np.zeros((0, 4)), None, n_rows=0)["rows"] == []
    picture = table_of(np.array([[np.nan, -np.inf, np.inf, 1.0]]), None, n_rows=1)
    assert picture["rows"] == [[None, None, None, 1.0]]


def test_tables_of_a_rule_are_their_mean_and_missing_actions_are_worth_nothing() -> None:
    values = np.array([[1.0, 2.0, 3.0, 6.0]])
    assert action_values(values, 2, None).tolist() == [[2.0, 4.0]]
    actions = np.array([[True, False], [True, True]])
    assert action_values(values, 2, actions).tolist() == [[2.0, -np.inf]]


def test_a_picture_is_made_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(1000)
    assert agent.model is not None
    now = 0.0
    monkeypatch.setattr("cdq.training.picture.time.monotonic", lambda: now)
    pictures, state = Pictures(agent.model), agent._state
    first = pictures.of(state)
    now = 0.9
    assert pictures.of(state) is first
    now = 1.1
    assert pictures.of(state) is not first
    assert pictures.of(state) == first
