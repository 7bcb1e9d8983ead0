"""`QLearner.learn_from`: learning from logged transitions, with every number of workers and representation."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError, LearningDiverged
from cdq.learner.offline import among
from cdq.offline.logs import encoding_of_states, read_log
from cdq.testing import run_in_threads
from tests.reference.offline import replay
from tests.strategies import random_model

MODEL = random_model(20, 3, seed=4)
EMPTY = SimpleNamespace(iterate_episodes=lambda: iter([]))


def log_of(n: int, seed: int = 0) -> tuple[Any, ...]:
    """Return transitions of the model from pairs drawn uniformly."""
    random = np.random.default_rng(seed)
    pair = random.integers(0, MODEL.n_pairs, n)
    first, last = MODEL.offsets[pair], MODEL.offsets[pair + 1]
    cumulative = np.cumsum(MODEL.probability)
    before = np.where(first > 0, cumulative[first - 1], 0.0)
    outcome = np.searchsorted(cumulative, before + random.random(n) * (cumulative[last - 1] - before))
    outcome = np.clip(outcome, first, last - 1)
    ends, paid = MODEL.terminated[outcome], MODEL.reward[outcome]
    return pair // 3, pair % 3, paid, MODEL.next_state[outcome], ends


def test_one_worker_learns_as_defined() -> None:
    columns = log_of(300)
    agent = cdq.QLearner(MODEL, seed=0, gamma=0.9, step_size=0.25).learn_from(*columns, passes=2)
    values, counts = np.zeros((20, 3)), np.zeros((20, 3), int)
    transitions = list(zip(*(column.tolist() for column in columns), strict=True)) * 2
    replay(values, counts, lambda count: 0.25, 0.9, transitions)
    np.testing.assert_allclose(agent.table.values, values, rtol=1e-12, atol=1e-12)
    assert agent.table.visits.tolist() == counts.tolist()
    assert agent.steps == 600
    assert agent.steps_left == 0


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_long_log_leads_to_the_optimum(workers: int) -> None:
    agent = cdq.QLearner(MODEL, seed=0, gamma=0.9, workers=workers, dtype="float32")
    agent.learn_from(*log_of(400_000), passes=3)
    optimum = cdq.solve(MODEL, 0.9).values
    assert np.abs(agent.table.values - optimum).max() < 0.1


def test_batches_are_the_whole_and_learning_goes_on_afterwards() -> None:
    columns = log_of(1000)
    whole, batches = (cdq.QLearner(MODEL, seed=0, gamma=0.9) for _ in range(2))
    whole.learn_from(*columns)
    for first in range(0, 1000, 100):
        batches.learn_from(*(column[first : first + 100] for column in columns))
    assert whole.table.digest() == batches.table.digest()
    before = whole.table.visits.sum()
    for agent in (whole, batches):
        agent.learn(2000)
        agent.learn_from(*columns)
    assert whole.table.visits.sum() == before + 2000 + 1000
    assert whole.table.digest() == batches.table.digest()


@pytest.mark.parametrize("table", ["dense", "hash"])
def test_threads_and_ranks_that_have_a_communicator_give_the_same_bits(table: str) -> None:
    columns, size = log_of(2000), 3

    def make(**changes: Any) -> cdq.QLearner:
        return cdq.QLearner("FrozenLake-v1", stepping="python", table=table, seed=0, **changes)

    states, actions, rewards, successors, ends = columns
    lake = states % 16, actions, rewards, successors % 16, ends
    together = make(workers=size).learn_from(
        *lake, passes=2
    )  # whose workers would be processes if they stepped
    comms = cdq.comm.inprocess.InProcessCommunicator.connect("inprocess", size, 20.0)
    digests = run_in_threads(comms, lambda comm: make(comm=comm).learn_from(*lake, passes=2).table.digest())
    assert set(digests) == {together.table.digest()}


@pytest.mark.parametrize("comm", ["inprocess", "zmq"])
def test_workers_need_no_processes(comm: str) -> None:
    before = threading.active_count()
    agent = cdq.QLearner(MODEL, seed=0, workers=2, comm=comm).learn_from(*log_of(500))
    expected = cdq.QLearner(MODEL, seed=0, workers=2, comm="inprocess").learn_from(*log_of(500))
    assert agent.table.digest() == expected.table.digest()
    assert threading.active_count() <= before


def test_ranks_with_different_logs_are_found_out() -> None:
    comms = cdq.comm.inprocess.InProcessCommunicator.connect("inprocess", 2, 20.0)

    def learn(comm: Any) -> Any:
        return cdq.QLearner(MODEL, seed=0, comm=comm).learn_from(*log_of(100, seed=comm.rank))

    for result in run_in_threads(comms, learn):
        assert isinstance(result, ConfigError)
        assert "log is" in str(result)


def test_hashed_and_linear_functions_learn_from_logs() -> None:
    hands = [(20, 10, 0), (12, 3, 1), (15, 3, 0)]
    agent = cdq.QLearner("Blackjack-v1", table="hash", seed=0, gamma=1.0, step_size=0.5)
    agent.learn_from(hands, [0, 1, 1], [1.0, 0.0, -1.0], [*hands[1:], None], [True, False, True], passes=9)
    assert agent.predict(hands[0]) == 0
    assert agent.predict(hands[2]) == 0
    assert len(agent.table.values) == 3
    position = np.random.default_rng(0).uniform(-0.05, 0.05, (400, 4))
    pole = cdq.QLearner("CartPole-v1", seed=0)
    pole.learn_from(position, np.arange(400) % 2, np.ones(400), position, np.zeros(400, bool))
    assert pole.steps == 400
    assert pole.table.values.any()


def test_weights_that_explode_are_told() -> None:
    """A state is worth as much as the next one, whose features are the larger ones: weights grow without end."""
    agent = cdq.QLearner("CartPole-v1", seed=0, features=cdq.PolynomialBasis(order=1), step_size=0.5)
    before, after = np.full((50, 4), -0.5), np.full((50, 4), -1.0)
    with pytest.raises(LearningDiverged, match="the weights learnt on .* diverge"):
        agent.learn_from(before, np.zeros(50, int), np.ones(50), after, np.zeros(50, bool), passes=400)


def test_a_log_writes_no_checkpoint_and_its_table_is_saved(tmp_path: Path) -> None:
    agent = cdq.QLearner(MODEL, seed=0, checkpoint=tmp_path / "run").learn_from(*log_of(500))
    assert not list(tmp_path.glob("run/*.safetensors"))
    agent.save(tmp_path / "table.safetensors")
    assert cdq.QLearner.load(tmp_path / "table.safetensors", MODEL).table.digest() == agent.table.digest()


@pytest.mark.parametrize(
    ("columns", "passes", "message"),
    [
        (([0], [0], [0.0]), 1, "next_observations, terminated missing; a log has observations"),
        (([0], [3], [0.0], [0], [True]), 1, "the action of transition 0 is 3"),
        (([0], [0], [np.nan], [0], [True]), 1, "the reward of transition 0 is nan"),
        (([0], [0], [0.0], [0], [True]), 0, "passes is 0; allowed: a whole number of at least 1"),
        (("toy/none-v0", [0]), 1, "a Minari dataset has all columns"),
        ((EMPTY,), 1, "holds no episode"),
    ],
)
def test_bad_logs_are_refused_before_any_work(columns: Any, passes: int, message: str) -> None:
    agent = cdq.QLearner(MODEL, seed=0)
    with pytest.raises(ConfigError, match=message):
        agent.learn_from(*columns, passes=passes)
    assert agent.steps == 0
    assert agent.learn(100).steps >= 100


def test_a_model_s_states_have_their_own_actions() -> None:
    actions = np.array([[True, True, False], [False, True, False], [True, True, True]])
    columns = [0, 1], [1, 1], [0.0, 0.0], [1, 2], [False, True]
    log = read_log(*columns, encoding=encoding_of_states(3), n_actions=3)
    found = among(log, actions).next_masks
    assert found is not None
    assert found.tolist() == [[0, 1, 0], [1, 1, 1]]
    masked = read_log(*columns, encoding=encoding_of_states(3), n_actions=3, next_masks=[[1, 1, 0], None])
    assert among(masked, actions).next_masks is not None
    wrong = read_log([0, 1], [1, 2], *columns[2:], encoding=encoding_of_states(3), n_actions=3)
    with pytest.raises(
        ConfigError, match="the action of transition 1 is 2, which state 1 does not have; allowed: 1"
    ):
        among(wrong, actions)
    none = read_log(*columns, encoding=encoding_of_states(3), n_actions=3, next_masks=[[1, 0, 0], None])
    with pytest.raises(ConfigError, match="next_masks of transition 0 allow no action"):
        among(none, actions)


@pytest.mark.parametrize(("gamma", "reward"), [(0.99, 1e308), (0.99, -1e307), (1.0, 1e300), (0.0, 1.7e308)])
def test_rewards_whose_sums_no_float_holds_are_refused(gamma: float, reward: float) -> None:
    agent = cdq.QLearner(MODEL, seed=0, gamma=gamma, step_size=1.0)
    log = [0, 0], [0, 0], [reward / 1e6, reward], [0, 0], [False, False]
    with pytest.raises(
        ConfigError, match=r"the reward of transition 1 is .*; allowed: up to .*, whose sums float64 holds"
    ):
        agent.learn_from(*log, passes=1000)
    assert agent.steps == 0
    half = [log[0], log[1], [reward / 1e20] * 2, *log[3:]]
    assert np.isfinite(agent.learn_from(*half, passes=1000).table.values).all()
