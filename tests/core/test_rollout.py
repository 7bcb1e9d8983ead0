from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.core.loops.rollout import follow
from cdq.mdp.model import MDP
from cdq.mdp.sampler import pack_model
from cdq.workers.worker import EVALUATION, LEARNING, Worker, streams
from tests.reference import rollout as reference
from tests.reference.schedules import Law
from tests.strategies import (
    DTYPES,
    base_of,
    clock_of,
    counts_of,
    make_worker,
    models,
    random_model,
    seeds,
    set_table,
    state_of,
    values_of,
    visits_of,
)

STEP_SIZES = [
    schedules.RescaledLinear(0.9),
    schedules.Polynomial(1.0),
    schedules.Polynomial(0.77),
    schedules.Constant(0.3),
    schedules.Constant(1.0),
    schedules.LinearDecay(0.5, 0.1, 100),
]
RATES = st.tuples(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.sampled_from([0.0, 0.1, 0.37, 1.0]))


def assert_same(worker: Worker, other: reference.Learner, log: list[int]) -> None:
    """Compare to the bit; -0.0 and 0.0 are different bits."""
    for ours, theirs in (
        (values_of(worker), other.values),
        (base_of(worker), other.base),
        (visits_of(worker), other.visits),
        (clock_of(worker), other.clock),
    ):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()
    assert np.asarray(worker.rows.log)[: worker.rows.touched].tolist() == log
    assert worker._lanes.words.T.tolist() == [lane.stream.words for lane in other.lanes]
    assert worker._lanes.state.tolist() == [lane.state for lane in other.lanes]
    assert worker._lanes.elapsed.tolist() == [lane.elapsed for lane in other.lanes]
    assert (
        worker._lanes.returns.tobytes() == np.array([lane.episode_return for lane in other.lanes]).tobytes()
    )


def compare(
    model: MDP, dtype: str, lanes: int, step_size: Any, windows: Any, gamma: float = 0.9, seed: int = 0
) -> None:
    worker = make_worker(model, dtype, num_envs=lanes, gamma=gamma, seed=seed)
    words = streams(seed, (LEARNING, 0, 0), lanes)
    other = reference.Learner(model, gamma, dtype, words)
    steps = 0
    for sweeps, rates in windows:
        ours = worker.run(schedules.build_law(step_size, steps, 0.3, dtype), sweeps, *rates)
        theirs = other.run(Law(step_size, steps, 0.3, dtype), sweeps, *rates)
        assert ours is not None
        assert ours[:3] == (theirs.episodes, theirs.length_sum, theirs.return_sum)
        assert_same(worker, other, theirs.log)
        worker.commit_alone()
        other.commit()
        assert_same(worker, other, [])
        steps += sweeps * lanes


@given(
    models(),
    st.sampled_from(DTYPES),
    st.integers(1, 9),
    st.sampled_from(STEP_SIZES),
    st.lists(st.tuples(st.integers(0, 25), RATES), min_size=1, max_size=3),
    st.sampled_from([0.5, 0.9, 1.0]),
    seeds,
)
def test_windows_are_the_definition_to_the_bit(
    model: MDP, dtype: str, lanes: int, step_size: Any, windows: Any, gamma: float, seed: int
) -> None:
    compare(model, dtype, lanes, step_size, windows, gamma, seed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_actions", range(1, 13))
def test_every_number_of_actions(n_actions: int, dtype: str) -> None:
    """Some have a body of their own, those above 8 another way to break ties."""
    for most_outcomes in (3, 11):
        model = random_model(5, n_actions, seed=n_actions, most_outcomes=most_outcomes, time_limit=9)
        compare(model, dtype, 5, schedules.RescaledLinear(0.9), [(40, (1.0, 0.2)), (40, (0.2, 0.0))])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_actions", range(2, 13))
def test_every_number_of_actions_that_states_may_lack(n_actions: int, dtype: str) -> None:
    """Entries of pairs that there are not are neither read, where they are the largest, nor written."""
    for most_outcomes in (3, 11):
        model = random_model(5, n_actions, seed=n_actions, most_outcomes=most_outcomes, masked=True)
        compare(model, dtype, 5, schedules.RescaledLinear(0.9), [(40, (1.0, 0.2)), (40, (0.2, 0.0))])
    worker = make_worker(model, dtype, num_envs=3)
    set_table(worker, np.where(model.actions, 0.0, 100.0), 0)
    worker.run(schedules.build_law(schedules.Constant(0.5), 0, 0.3, dtype), 500, 0.5, 0.5)
    values = values_of(worker)
    assert (values[~model.actions] == 100.0).all()
    assert values[model.actions].max() < 50.0
    assert (visits_of(worker)[~model.actions] == 0).all()
    assert np.isfinite(values).all()


@pytest.mark.parametrize("lanes", range(1, 10))
def test_every_number_of_lanes(lanes: int) -> None:
    model = random_model(4, 4, seed=lanes)
    compare(model, "float32", lanes, schedules.Polynomial(0.77), [(30, (0.3, 0.3))] * 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_actions", range(1, 10))
@pytest.mark.parametrize("most_outcomes", [1, 2, 3, 8, 11])
def test_one_lane_with_every_number_of_actions_and_outcomes(
    n_actions: int, most_outcomes: int, dtype: str
) -> None:
    """A lane that is alone has a loop of its own, which begins with what was greedy in a state before (guesses.h)."""
    model = random_model(6, n_actions, seed=n_actions, most_outcomes=most_outcomes, time_limit=9)
    compare(model, dtype, 1, schedules.RescaledLinear(0.9), [(60, (1.0, 0.2)), (400, (0.2, 0.0))])


@pytest.mark.parametrize(("n_states", "n_actions", "sweeps"), [(2100, 2, 3000), (3, 300, 2000)])
def test_one_lane_where_guesses_are_shared_or_too_large_for_them(
    n_states: int, n_actions: int, sweeps: int
) -> None:
    """States 1,024 apart have the same guess; an action from 256 on is never guessed."""
    model = random_model(n_states, n_actions, seed=2)
    compare(model, "float32", 1, schedules.Constant(0.3), [(sweeps, (0.1, 0.1))] * 2)


def test_one_lane_where_guesses_are_wrong() -> None:
    """Without rewards all actions are greedy: guesses are not trusted for long, and tried again from time to time."""
    arrays = random_model(5, 4, seed=7)
    model = MDP(
        arrays.n_states,
        arrays.n_actions,
        arrays.offsets,
        arrays.next_state,
        arrays.probability,
        np.zeros_like(arrays.reward),
        arrays.terminated,
        arrays.start,
    )
    compare(model, "float64", 1, schedules.RescaledLinear(0.9), [(9000, (0.1, 0.0)), (700, (0.0, 0.0))])


def test_windows_of_a_lane_and_of_two_that_follow_one_another_by_parts() -> None:
    """Loops begin anew in each part of a window, and at each look at the stop flag."""
    model = random_model(40, 4, seed=5, most_outcomes=3)
    for lanes in (1, 2):
        compare(
            model,
            "float32",
            lanes,
            schedules.RescaledLinear(0.9),
            [(n, (0.3, 0.1)) for n in (1, 255, 256, 257, 4098)],
        )


def test_a_long_window_is_cut_in_chunks_without_a_trace() -> None:
    """The stop flag is looked at every 4096 sweeps; exploration goes on in its line."""
    model = random_model(3, 3, seed=1)
    compare(model, "float64", 1, schedules.RescaledLinear(0.9), [(4097, (1.0, 0.0))])


@pytest.mark.parametrize("dtype", DTYPES)
def test_clocks_beyond_the_exact_entries(dtype: str) -> None:
    model = random_model(2, 2, seed=3)
    for clock in (4090, 8185, 10**6, 2**30 - 3):
        worker = make_worker(model, dtype, num_envs=3)
        other = reference.Learner(model, 0.9, dtype, streams(0, (LEARNING, 0, 0), 3))
        set_table(worker, 0.0, clock)
        other.clock[:] = clock
        step_size = schedules.Polynomial(0.77)
        worker.run(schedules.build_law(step_size, 0, 0.3, dtype), 20, 0.5, 0.5)
        theirs = other.run(Law(step_size, 0, 0.3, dtype), 20, 0.5, 0.5)
        assert_same(worker, other, theirs.log)


def test_clocks_stop_at_their_limit() -> None:
    worker = make_worker(MDP.from_outcomes([0], [0], [0], [1.0], [1.0]))
    set_table(worker, 0.0, 2**30 - 2)
    law = schedules.build_law(schedules.RescaledLinear(0.9), 0, 0.3, "float64")
    for clock in (2**30 - 1, 2**30, 2**30):
        worker.run(law, 1, 0.0, 0.0)
        worker.commit_alone()
        assert clock_of(worker)[0, 0] == counts_of(worker)[0, 0] == clock


def test_time_limits_bootstrap_and_terminations_do_not() -> None:
    law = schedules.build_law(schedules.Constant(1.0), 0, 0.3, "float64")
    for terminated, expected in ((False, 1 + 0.5 * 8.0), (True, 1.0)):
        model = MDP.from_outcomes([0], [0], [0], [1.0], [1.0], [terminated], time_limit=1)
        worker = make_worker(model, gamma=0.5)
        set_table(worker, 8.0, 0)
        ended = worker.run(law, 1, 0.0, 0.0)
        assert ended is not None
        assert ended[:3] == (1, 1, 1.0)  # an episode of one step either way
        assert values_of(worker)[0, 0] == expected


def test_lanes_act_on_the_table_of_the_sweeps_start() -> None:
    """Two lanes in one state: neither target sees the other's update, both updates count."""
    worker = make_worker(MDP.from_outcomes([0], [0], [0], [1.0], [0.0]), gamma=0.5, num_envs=2)
    set_table(worker, 16.0, 0)
    worker.run(schedules.build_law(schedules.Constant(0.5), 0, 0.3, "float64"), 1, 0.0, 0.0)
    assert values_of(worker)[0, 0] == 16 + 0.5 * (8 - 16) + 0.5 * (8 - 12)


def test_exploration_moves_in_a_line() -> None:
    """Of two actions the worse is taken in half the exploring steps: all at first, none in the end."""
    lanes = 2000
    model = MDP.from_outcomes([0, 0], [0, 1], [0, 0], [1.0, 1.0], [0.0, 1.0])
    worker = make_worker(model, num_envs=lanes, gamma=0.5)
    law = schedules.build_law(schedules.Constant(0.0), 0, 0.3, "float64")
    set_table(worker, [[0.0, 1.0]], 0)
    worker.run(law, 100, 1.0, 0.0)
    share = visits_of(worker)[0, 0] / (100 * lanes)
    assert share == pytest.approx(0.5 * (1 - 99 / 200), abs=0.005)


# ---- the stop flag


def test_a_stop_flag_ends_a_window_and_rolling_back_undoes_it() -> None:
    stop = np.zeros(1, np.int32)
    model = random_model(6, 4, seed=2, time_limit=20)
    law = schedules.build_law(schedules.RescaledLinear(0.9), 0, 0.3, "float64")
    worker, fresh = make_worker(model, num_envs=4, stop=stop), make_worker(model, num_envs=4)
    for each in (worker, fresh):
        each.run(law, 50, 0.3, 0.3)
        each.commit_alone()
    before = state_of(worker)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(worker.run(law, 10**9, 0.3, 0.3)))
    thread.start()
    time.sleep(0.02)
    stop[0] = 1
    thread.join(10)
    assert results == [None]
    assert state_of(worker) != before
    worker.roll_back()
    assert state_of(worker) == before
    assert worker.rows.touched == 0
    stop[0] = 0
    for each in (worker, fresh):
        each.run(law, 50, 0.3, 0.3)
    assert state_of(worker) == state_of(fresh)


@given(models(), st.sampled_from(DTYPES), st.integers(1, 5), st.integers(0, 60))
def test_rolling_back_undoes_any_window(model: MDP, dtype: str, lanes: int, sweeps: int) -> None:
    worker = make_worker(model, dtype, num_envs=lanes)
    law = schedules.build_law(schedules.Polynomial(0.6), 0, 0.3, dtype)
    worker.run(law, 7, 1.0, 1.0)
    worker.commit_alone()
    before = state_of(worker)
    worker.run(law, sweeps, 0.5, 0.1)
    worker.roll_back()
    assert state_of(worker) == before


def test_a_flag_set_before_means_no_step() -> None:
    stop = np.ones(1, np.int32)
    worker = make_worker(random_model(3, 2, seed=0), stop=stop)
    before = state_of(worker)
    law = schedules.build_law(schedules.Constant(0.1), 0, 0.3, "float64")
    assert worker.run(law, 100, 0.1, 0.1) is None
    assert state_of(worker) == before


# ---- episodes of a fixed policy


@given(models(), st.sampled_from(DTYPES), st.integers(1, 7), st.integers(1, 30), st.integers(0, 25), seeds)
def test_follow_is_the_definition(
    model: MDP, dtype: str, lanes: int, longest: int, episodes: int, seed: int
) -> None:
    drawn = np.random.default_rng(seed).random((model.n_states, model.n_actions))
    if model.actions is not None:
        drawn[~model.actions] = -1.0
    policy = drawn.argmax(axis=1).astype(np.uint32)
    words = streams(seed, (EVALUATION, 0), lanes)
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    expected = reference.follow(model, dtype, policy, words, longest, episodes)
    ran = follow(pack_model(model, dtype), policy, words, longest, returns, lengths, np.zeros(1, np.int32))
    assert ran == episodes
    assert returns.tobytes() == expected[0].tobytes()
    assert lengths.tolist() == expected[1].tolist()


def test_follow_stops_when_asked() -> None:
    model = random_model(3, 2, seed=0)
    policy, words = np.zeros(3, np.uint32), streams(0, (1,), 1)
    results = np.zeros(9), np.zeros(9, np.int64)
    assert follow(pack_model(model, "float64"), policy, words, 5, *results, np.ones(1, np.int32)) == 0


# ---- arguments that do not fit


def test_arguments_that_do_not_fit_are_refused() -> None:
    model = random_model(3, 2, seed=0)
    sampler = pack_model(model, "float64")
    words, flag = streams(0, (1,), 1), np.zeros(1, np.int32)
    with pytest.raises(ValueError, match="size they should"):
        follow(sampler, np.zeros(4, np.uint32), words, 5, np.zeros(2), np.zeros(2, np.int64), flag)
    with pytest.raises(ValueError, match="size they should"):
        follow(sampler, np.zeros(3, np.uint32), words, 5, np.zeros(2), np.zeros(3, np.int64), flag)
    for policy in (np.full(3, 2, np.uint32), np.array([0, 1, 0], np.uint32)):
        masked = pack_model(
            MDP(
                3,
                2,
                [0, 1, 2, 3, 3, 4, 5],
                [0] * 5,
                [1.0] * 5,
                [0.0] * 5,
                [False] * 5,
                [1.0, 0.0, 0.0],
                actions=[[True, True], [True, False], [True, True]],
            ),
            "float64",
        )
        with pytest.raises(ValueError, match="does not have the action"):
            follow(masked, policy, words, 5, np.zeros(2), np.zeros(2, np.int64), flag)
    worker = make_worker(model)
    with pytest.raises(ValueError, match="differ in type"):
        worker.run(schedules.build_law(schedules.Constant(0.1), 0, 0.3, "float32"), 1, 0.0, 0.0)
