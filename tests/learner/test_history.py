"""Histories of runs: as many rows as a plot wants, with the figures of what was learnt, on every backend."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.training.played import MOST_ROWS, Row
from tests.small_tables import make_table  # noqa: F401  # the tests' own environments are registered with it

# What depends on clocks, and on what travels.
APART = {"seconds", "bytes"}


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("name", ["FrozenLake8x8-v1", "Taxi-v4", "cdq/CartPole-v0"])
def test_a_short_run_has_a_hundred_rows(name: str, workers: int) -> None:
    history = cdq.QLearner(name, workers=workers, seed=0).learn(100_000).history
    assert 100 <= len(history) < MOST_ROWS
    steps = np.diff(history["steps"], prepend=0)
    assert (steps > 0).all()
    assert steps.max() <= 2000
    assert history[-1].steps == history["steps"].max() >= 100_000


@pytest.mark.parametrize("sync_every", [100, 7000, 100_000])
def test_windows_of_any_length_have_rows(sync_every: int) -> None:
    history = cdq.QLearner("FrozenLake-v1", sync_every=sync_every, seed=0).learn(100_000).history
    assert 100 <= len(history) < MOST_ROWS
    before = history["rounds"] < history[-1].rounds - 1  # the last window is cut short
    assert set(history["window"][before]) <= {-(-sync_every // 16) * 16.0}  # whole steps of 16 environments


@pytest.mark.parametrize(
    "how", [{"workers": 2, "comm": "zmq"}, {"workers": 2, "overlap": True}, {"workers": 2, "num_envs": 3}]
)
def test_workers_of_every_kind_have_rows_within_a_window(how: dict[str, Any]) -> None:
    history = cdq.QLearner("FrozenLake-v1", sync_every=20_000, seed=0, **how).learn(200_000).history
    assert len(history) >= 100
    assert history[-1].rounds == 5
    assert set(np.diff(history["rounds"], prepend=0)) == {0, 1}


def columns(agent: cdq.QLearner) -> dict[str, bytes]:
    return {name: agent.history[name].tobytes() for name in Row._fields if name not in APART}


@pytest.mark.parametrize("sync_every", ["auto", 300])
def test_processes_have_the_rows_of_threads(sync_every: Any) -> None:
    both = [
        cdq.QLearner("FrozenLake8x8-v1", workers=2, comm=comm, sync_every=sync_every, seed=4).learn(150_000)
        for comm in ("inprocess", "zmq")
    ]
    assert columns(both[0]) == columns(both[1])


def test_a_run_in_two_calls_counts_on() -> None:
    whole = cdq.QLearner("FrozenLake-v1", sync_every=4096, seed=0).learn(8 * 4096)
    parts = cdq.QLearner("FrozenLake-v1", sync_every=4096, seed=0).learn(4 * 4096).learn(4 * 4096)
    for name in ("steps", "episodes", "mean_return", "least_return", "greatest_length", "window", "epsilon"):
        assert whole.history[name].tobytes() == parts.history[name].tobytes(), name


def test_figures_are_those_of_the_episodes() -> None:
    """CliffWalking: a step costs 1 and a fall 100; each row is of the episodes since the row before."""
    agent = cdq.QLearner("CliffWalking-v1", workers=2, seed=0, exploration=0.2).learn(60_000)
    ended = np.diff(agent.history["episodes"], prepend=0)
    for row, n in zip(agent.history, ended, strict=True):
        if not n:
            assert math.isnan(row.mean_return)
            assert math.isnan(row.greatest_length)
            continue
        assert row.least_return <= row.mean_return <= row.greatest_return <= -row.least_length
        assert row.least_length <= row.mean_length <= row.greatest_length
        assert row.greatest_return <= -13 <= -1  # the shortest way has 13 steps
        assert row.least_length >= 13
        if n == 1:
            assert row.least_return == row.mean_return == row.greatest_return


def test_lengths_and_returns_add_up_to_the_steps() -> None:
    """CartPole pays 1 a step: returns are lengths, and all lengths together are the steps of ended episodes."""
    agent = cdq.QLearner("cdq/CartPole-v0", seed=0).learn(30_000)
    history = agent.history
    for kind in ("mean", "least", "greatest"):
        assert np.array_equal(history[f"{kind}_return"], history[f"{kind}_length"], equal_nan=True)
    ended = np.diff(history["episodes"], prepend=0)
    total = np.nansum(ended * history["mean_length"])
    running = agent._task.default_num_envs * np.nanmax(history["greatest_length"])
    assert agent.steps - running <= total <= agent.steps


def test_schedules_are_in_the_rows() -> None:
    agent = cdq.QLearner(
        "FrozenLake-v1",
        seed=0,
        exploration=cdq.LinearDecay(1.0, 0.1, 50_000),
        step_size=cdq.LinearDecay(0.5, 0.1, 80_000),
    ).learn(100_000)
    history = agent.history
    assert history["epsilon"].tolist() == [
        agent.settings.exploration.at(n) for n in history["steps"].tolist()
    ]
    assert history["step_size"].tolist() == pytest.approx(
        np.maximum(0.5 - 0.4 * history["steps"] / 80_000, 0.1)
    )


def test_step_sizes_by_clock_fall_with_the_visits() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0, gamma=0.9).learn(100_000)
    found = agent.history["step_size"]
    assert not np.isnan(found).any()
    assert (np.diff(found) <= 1e-12).mean() > 0.95  # a pair that is new has a large one
    clock = agent._state.merged.clock
    mean = clock.sum() / (clock > 0).sum()
    assert found[-1] == pytest.approx(1.0 / (1.0 + 0.1 * mean), rel=0.1)


def test_the_visited_share_is_of_what_can_be_reached() -> None:
    agent = cdq.QLearner("FrozenLake8x8-v1", workers=2, seed=0).learn(300_000)
    visited = agent.history["visited"]
    assert ((visited > 0) & (visited <= 1)).all()
    assert (np.diff(visited) >= 0).all()
    missed = agent.report(play=False)["pairs_unvisited"]
    assert visited[-1] == pytest.approx(1.0 - missed, abs=0.02)


def test_a_table_without_a_model_has_its_own_share() -> None:
    agent = cdq.QLearner("Blackjack-v1", seed=0).learn(3000)
    share = (agent.table.visits > 0).mean()
    assert 0 < agent.history[-1].visited <= share
    hashed = cdq.QLearner("Blackjack-v1", table="hash", seed=0).learn(3000)
    assert hashed.history[-1].visited > agent.history[-1].visited  # of the states that were met


def test_returns_that_a_condition_measured_are_in_the_rows() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(200_000, until=cdq.MeanReturn(0.99))
    measured = ~np.isnan(agent.history["greedy_return"])
    assert measured.sum() > 3
    assert np.array_equal(measured, ~np.isnan(agent.history["gap"]))
    assert agent.history["greedy_return"][measured][-1] == pytest.approx(0.73, abs=0.1)


def test_a_log_explores_nothing_and_ends_no_episode() -> None:
    agent = cdq.QLearner.from_log(
        [0, 1] * 500, [0, 1] * 500, [1.0, 0.0] * 500, [1, 0] * 500, [False, True] * 500, seed=0
    )
    last = agent.history[-1]
    assert (last.steps, last.episodes, last.window) == (1000, 0, 500.0) or last.steps == 1000
    assert math.isnan(last.epsilon)
    assert math.isnan(last.mean_return)
    assert last.visited == 0.5
    assert 0 < last.step_size < 1


def test_all_columns_survive_a_file(tmp_path: Path) -> None:
    agent = cdq.QLearner("FrozenLake-v1", workers=2, seed=0).learn(100_000)
    agent.save(tmp_path / "lake.safetensors")
    loaded = cdq.QLearner.load(tmp_path / "lake.safetensors")
    assert loaded.history == agent.history
    loaded.learn(1000)
    assert loaded.history[-1].steps >= 101_000


def test_a_file_of_an_earlier_version_has_no_more_than_it_had() -> None:
    golden = Path(__file__).parents[1] / "golden" / "learner-format1.safetensors"
    history = cdq.QLearner.load(golden).history
    for row in itertools.islice(history, 3):
        assert all(math.isnan(figure) for figure in row[7:])


def test_a_long_run_has_no_more_rows() -> None:
    history = cdq.QLearner("FrozenLake-v1", workers=2, seed=0).learn(20_000_000).history
    assert MOST_ROWS // 4 <= len(history) < MOST_ROWS
    late = np.diff(history["steps"])
    assert late.max() <= 20_000_000 / 100
