"""Learning in models whose states do not have every action: what is learnt, shown, kept and sent."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cdq
from cdq.errors import ConfigError, TableError
from cdq.job.tasks import model_of, model_tensors
from cdq.storage.files import read_tensors
from tests.strategies import random_model, seeds

MODEL = random_model(20, 5, seed=4, masked=True, time_limit=20)
ACTIONS: Any = MODEL.actions
ARGUMENTS: dict[str, Any] = {"seed": 3, "gamma": 0.9, "initial_value": 7.0, "exploration": 0.5}


def learner(**changes: Any) -> cdq.QLearner:
    return cdq.QLearner(MODEL, **{**ARGUMENTS, **changes})


def check_table(table: cdq.QTable) -> None:
    """Pairs that there are not were never visited and are worth -inf; no policy takes them."""
    assert table.actions is not None
    assert np.array_equal(table.actions, ACTIONS)
    assert (table.values[~ACTIONS] == -np.inf).all()
    assert np.isfinite(table.values[ACTIONS]).all()
    assert (table.visits[~ACTIONS] == 0).all()
    assert ACTIONS[np.arange(MODEL.n_states), table.policy()].all()
    assert np.isfinite(table.state_values()).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_optimum_is_learnt(workers: int, dtype: str) -> None:
    agent = learner(workers=workers, comm="inprocess", dtype=dtype).learn(400_000)
    check_table(agent.table)
    reached = MODEL.reachable()
    optimal = cdq.solve(MODEL, gamma=0.9)
    assert (agent.table.visits[ACTIONS & reached[:, None]] > 0).all()
    met = agent.table.visits > 5000
    assert np.count_nonzero(met) > 10
    assert np.abs(agent.table.values[met] - optimal.values[met]).max() < 0.2
    report = agent.report()
    assert -1e-9 <= report["optimal_value"] - report["policy_value"] <= report["gap"] < 0.1


@pytest.mark.parametrize("merge", ["pooled", "mean", "max"])
def test_threads_and_processes_learn_the_same_bits(merge: str) -> None:
    arguments = {"workers": 3, "merge": merge, "sync_every": 700}
    one = learner(comm="zmq", **arguments).learn(30_000)
    other = learner(comm="inprocess", **arguments).learn(30_000)
    check_table(one.table)
    assert one.table.digest() == other.table.digest()


def test_predictions_and_episodes_take_actions_that_there_are() -> None:
    agent = learner()
    for state in range(MODEL.n_states):  # nothing is learnt yet: all actions tie
        assert agent.predict(state) == ACTIONS[state].argmax()
        for action in range(MODEL.n_actions):
            mask = np.arange(MODEL.n_actions) == action
            if ACTIONS[state, action]:
                assert agent.predict(state, mask) == action
            else:
                with pytest.raises(
                    ConfigError, match="the state has none of the actions that the action mask"
                ):
                    agent.predict(state, mask)
    assert np.isfinite(agent.evaluate(100).mean_return)
    assert np.isfinite(agent.learn(2000).evaluate(100).mean_return)


def test_files_keep_finite_values_and_the_mask(tmp_path: Path) -> None:
    agent = learner().learn(20_000)
    agent.save(tmp_path / "learner")
    tensors, _ = read_tensors(tmp_path / "learner")
    assert np.isfinite(tensors["values"]).all()
    assert (tensors["values"][~ACTIONS] == 7.0).all()
    table = cdq.QTable.load(tmp_path / "learner")
    check_table(table)
    again = cdq.QLearner.load(tmp_path / "learner", MODEL)
    assert table.digest() == again.table.digest() == agent.table.digest()
    assert again.predict(3) == agent.predict(3)
    agent.table.save(tmp_path / "table")
    assert cdq.QTable.load(tmp_path / "table").digest() == agent.table.digest()
    whole = random_model(20, 5, seed=4, time_limit=20)
    with pytest.raises(TableError, match="whose model differs"):
        cdq.QLearner.load(tmp_path / "learner", whole)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_resumed_run_is_the_same(workers: int, tmp_path: Path) -> None:
    how = {"workers": workers, "comm": "inprocess", "sync_every": 480}  # windows of whole sweeps
    whole = learner(**how).learn(28_800)
    learner(**how, checkpoint=tmp_path, checkpoint_every=4800).learn(14_400)
    resumed = cdq.QLearner.resume(tmp_path, MODEL, comm="inprocess").learn(14_400)
    check_table(resumed.table)
    assert resumed.table.digest() == whole.table.digest()
    checkpoint = max(tmp_path.glob("*.safetensors"))
    assert cdq.QTable.load(checkpoint).actions is not None


@settings(max_examples=20)
@given(seeds, st.integers(1, 8), st.integers(1, 6))
def test_a_model_is_sent_with_its_mask(seed: int, n_states: int, n_actions: int) -> None:
    model = random_model(n_states, n_actions, seed=seed, masked=True)
    about = {"sizes": [n_states, n_actions], "time_limit": model.time_limit, "name": model.name}
    for other in (
        model_of(about, model_tensors(model)),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ):
        assert other.fingerprint() == model.fingerprint()
        assert (other.actions is None) == (model.actions is None)
        assert model.actions is None or np.array_equal(other.actions, model.actions)


def test_what_a_model_without_a_mask_sends_is_as_before() -> None:
    tensors = model_tensors(random_model(3, 2, seed=0))
    assert set(tensors) == {
        f"model.{name}" for name in ("offsets", "next_state", "probability", "reward", "terminated", "start")
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_without_the_missing_actions_are_begun_with(dtype: str) -> None:
    solution, taught = cdq.solve(MODEL, 0.5), learner().learn(2000)
    for given_table, values in (
        (solution, solution.values),
        (solution.values, solution.values),
        (solution.values.tolist(), solution.values),
        (solution.values.astype(np.float32), solution.values.astype(np.float32)),
        (taught.table.values.copy(), taught.table.values),
        (taught.table, taught.table.values),
    ):
        agent = learner(initial_value=0.0, initial_table=given_table, dtype=dtype)
        np.testing.assert_array_equal(agent.table.values, values.astype(dtype))
        check_table(agent.learn(2000).table)


def test_only_a_missing_action_is_worth_minus_infinity() -> None:
    values = cdq.solve(MODEL, 0.5).values.copy()
    state, action = np.argwhere(ACTIONS)[0]
    missing = tuple(np.argwhere(~ACTIONS)[0])
    for at, value in (((state, action), -np.inf), (missing, np.nan), (missing, np.inf)):
        wrong = values.copy()
        wrong[tuple(at)] = value
        with pytest.raises(ConfigError, match=f"value of .state {at[0]}, action {at[1]}. .*{value}"):
            learner(initial_value=0.0, initial_table=wrong)
    fewer = ACTIONS.copy()
    several = int(np.argmax(ACTIONS.sum(axis=1)))
    first = int(ACTIONS[several].argmax())
    fewer[several, first] = False
    with pytest.raises(ConfigError, match=f"state {several}, action {first}. of initial_table is -inf"):
        learner(initial_value=0.0, initial_table=cdq.QTable(values, actions=fewer))
    complete = random_model(20, 5, seed=4, time_limit=20)
    with pytest.raises(ConfigError, match="initial_table"):
        cdq.QLearner(complete, initial_table=values)
    with pytest.raises(
        ConfigError, match="initial_table is .*object; allowed: a QTable, a learner, a Solution"
    ):
        learner(initial_value=0.0, initial_table=object())
