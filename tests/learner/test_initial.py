"""Tables that a learner begins with."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError
from cdq.learner import backends
from cdq.testing import run_in_threads
from tests.strategies import DTYPES, random_model

MODEL = random_model(12, 3, seed=8, time_limit=20)
VALUES = np.random.default_rng(0).normal(size=(12, 3))


class Corridors:
    """Two walkers in corridors of different lengths; the second one has a third action."""

    possible_agents = ("short", "long")

    def observation_space(self, agent: str) -> Any:
        return gymnasium.spaces.Discrete(4 if agent == "short" else 6)

    def action_space(self, agent: str) -> Any:
        return gymnasium.spaces.Discrete(2 if agent == "short" else 3)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[dict[str, int], dict[str, Any]]:
        self.agents, self.at = list(self.possible_agents), dict.fromkeys(self.possible_agents, 0)
        return dict(self.at), {}

    def step(self, actions: dict[str, int]) -> tuple[dict[str, Any], ...]:
        for agent, action in actions.items():
            self.at[agent] = max(0, self.at[agent] + (-1, 1, 0)[action])
        ended = {agent: self.at[agent] == (3 if agent == "short" else 5) for agent in actions}
        self.agents = [agent for agent in self.agents if not ended[agent]]
        observations = {agent: self.at[agent] for agent in actions}
        rewards = {agent: float(over) for agent, over in ended.items()}
        return observations, rewards, ended, dict.fromkeys(actions, False), {}


def learner(**changes: Any) -> cdq.QLearner:
    return cdq.QLearner(MODEL, **{"seed": 0, "initial_table": VALUES, **changes})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("workers", [1, 2])
def test_arrays_tables_and_learners_are_begun_with(dtype: str, workers: int) -> None:
    taught = cdq.QLearner(MODEL, seed=1).learn(5000)
    for given, values in (
        (VALUES, VALUES),
        (VALUES.tolist(), VALUES),
        (VALUES.astype(np.float32), VALUES.astype(np.float32)),
        (np.arange(36).reshape(12, 3), np.arange(36.0).reshape(12, 3)),
        (cdq.QTable(VALUES), VALUES),
        (taught.table, taught.table.values),
        (taught, taught.table.values),
        (cdq.solve(MODEL, 0.9).values, cdq.solve(MODEL, 0.9).values),
    ):
        agent = learner(dtype=dtype, workers=workers, initial_table=given)
        np.testing.assert_array_equal(agent.table.values, values.astype(dtype))
        assert not agent.table.visits.any()
        assert agent.predict(5) == values[5].argmax()
        agent.learn(1000)
        assert agent.table.visits.sum() == agent.steps


def test_learning_goes_on_from_there() -> None:
    """An optimal table stays one: constant steps of nearly nothing leave it as it was."""
    optimum = cdq.solve(MODEL, 0.9)
    agent = learner(gamma=0.9, initial_table=optimum.values, step_size=1e-9).learn(20_000)
    np.testing.assert_allclose(agent.table.values, optimum.values, atol=1e-6)
    assert agent.report()["gap"] < 1e-6


@pytest.mark.parametrize("table", ["dense", "hash"])
def test_agents_of_different_actions_begin_with_their_own_table(table: str) -> None:
    """A block has no values for the columns of others, which its table calls -inf."""
    kind: dict[str, Any] = {"env": Corridors, "table": table, "gamma": 0.9}
    taught = cdq.QLearner(seed=0, **kind).learn(2000)
    assert np.isneginf(taught.table.values).any()
    for given in (taught, taught.table):
        again = cdq.QLearner(seed=1, initial_table=given, **kind)
        assert list(again.tables) == ["short", "long"]
        for name, one in again.tables.items():
            np.testing.assert_array_equal(one.values, taught.tables[name].values)
        again.learn(500)


def test_a_column_that_an_agent_has_is_not_left_out() -> None:
    values = cdq.QLearner(Corridors, seed=0).table.values.copy()
    values[np.argwhere(np.isfinite(values))[0][0], 0] = -np.inf
    with pytest.raises(ConfigError, match="initial_table.* -inf"):
        cdq.QLearner(Corridors, seed=0, initial_table=values)


def test_a_constant_table_is_an_initial_value() -> None:
    table, value = (
        learner(initial_table=np.full((12, 3), 2.5)),
        learner(initial_table=None, initial_value=2.5),
    )
    assert table.learn(5000).table.digest() == value.learn(5000).table.digest()


def test_large_tables_of_one_worker_are_begun_with() -> None:
    model = cdq.MDP.garnet(200_000, 4, branching=1, seed=0)
    values = np.random.default_rng(0).normal(size=(200_000, 4))
    agent = cdq.QLearner(model, seed=0, initial_table=values)
    np.testing.assert_array_equal(agent.table.values, values)
    assert agent.learn(1000).table.visits.sum() == agent.steps


def test_hashed_tables_begin_with_rows_of_others() -> None:
    taught = cdq.QLearner("cdq/GridWorld-v0", table="hash", seed=0).learn(20_000)
    for given in (taught, taught.table):
        agent = cdq.QLearner("cdq/GridWorld-v0", table="hash", seed=1, initial_table=given, initial_value=0.5)
        assert agent.table.keys.tolist() == taught.table.keys.tolist()
        np.testing.assert_array_equal(agent.table.values, taught.table.values)
        assert agent.learn(20_000).table.visits.sum() == agent.steps


def test_linear_functions_begin_with_weights() -> None:
    taught = cdq.QLearner("CartPole-v1", seed=0).learn(3000)
    for given in (taught, taught.table, taught.table.values):
        agent = cdq.QLearner("CartPole-v1", seed=1, initial_table=given)
        np.testing.assert_array_equal(agent.table.values, taught.table.values)
        agent.learn(1000)


def bad_tables() -> list[tuple[dict[str, Any], str]]:
    hashed = cdq.QLearner("cdq/GridWorld-v0", table="hash", seed=0).learn(1000)
    linear = cdq.QLearner("CartPole-v1", seed=0)
    broken = VALUES.copy()
    broken[3, 2] = math.nan
    return [
        ({"initial_table": VALUES[:11]}, r"initial_table has shape \(11, 3\); allowed: \(12, 3\)"),
        ({"initial_table": VALUES.T}, r"initial_table has shape \(3, 12\)"),
        ({"initial_table": VALUES.ravel()}, r"initial_table: values are float64 of shape \(36,\)"),
        ({"initial_table": broken}, r"initial_table: the value of \(state 3, action 2\) is nan"),
        ({"initial_table": 5.0}, "initial_table: values are float64 of shape"),
        ({"initial_table": "zeros"}, "initial_table is 'zeros', str; allowed: a QTable"),
        ({"initial_table": [["a", "b"]]}, r"initial_table is \[\['a', 'b'\]\], list; allowed"),
        ({"initial_table": [[1.0], [1.0, 2.0]]}, "initial_table: it is no column"),
        ({"initial_table": {}}, "initial_table is {}, dict; allowed"),
        (
            {"initial_table": VALUES, "initial_value": 1.0},
            "initial_table and initial_value=1 exclude each other",
        ),
        (
            {"initial_table": VALUES * 1e300, "dtype": "float32"},
            r"the value of .* of initial_table is .*float32 holds",
        ),
        (
            {"initial_table": hashed},
            "initial_table has keys; random-8 is learnt with a table that needs none",
        ),
        ({"initial_table": linear}, "initial_table has linear, TileCoding"),
    ]


@pytest.mark.parametrize(("arguments", "match"), bad_tables(), ids=range(13))
def test_tables_that_do_not_fit_are_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        learner(**arguments)


def test_each_kind_of_table_takes_its_own() -> None:
    with pytest.raises(ConfigError, match="initial_table has no keys; .* needs them"):
        cdq.QLearner("cdq/GridWorld-v0", table="hash", initial_table=np.zeros((64, 4)))
    tiles = cdq.QLearner("CartPole-v1", features=cdq.TileCoding(4, 4), seed=0)
    with pytest.raises(ConfigError, match="initial_table has linear, .*tilings=4"):
        cdq.QLearner("CartPole-v1", features=cdq.TileCoding(8, 4), initial_table=tiles)


# ---- where it goes


def test_files_checkpoints_and_copies_hold_it(tmp_path: Path) -> None:
    agent = learner(workers=2)
    agent.save(tmp_path / "agent")
    for other in (cdq.QLearner.load(tmp_path / "agent", MODEL), copy.deepcopy(agent)):
        np.testing.assert_array_equal(other.table.values, VALUES)
    learner(step_size=1e-12, checkpoint=tmp_path / "run").learn(1000)
    resumed = cdq.QLearner.resume(tmp_path / "run", MODEL).learn(1000)
    np.testing.assert_allclose(resumed.table.values, VALUES, atol=1e-6)


@pytest.mark.parametrize("comm", ["zmq", "inprocess"])
def test_workers_of_every_kind_begin_with_it(comm: str) -> None:
    """With steps of nearly nothing the table is still there after a run."""
    agent = learner(workers=2, comm=comm, step_size=1e-12).learn(2000)
    np.testing.assert_allclose(agent.table.values, VALUES, atol=1e-6)
    assert agent.table.visits.sum() == agent.steps


def test_processes_that_step_begin_with_it() -> None:
    values = np.random.default_rng(1).normal(size=(16, 4))
    agent = cdq.QLearner(
        "FrozenLake-v1", stepping="python", workers=2, seed=0, initial_table=values, step_size=1e-12
    ).learn(500)
    np.testing.assert_allclose(agent.table.values, values, atol=1e-6)


def test_ranks_with_different_tables_are_refused() -> None:
    comms = cdq.comm.inprocess.InProcessCommunicator.connect("inprocess", 2, 20.0)

    def learn(comm: Any) -> None:
        with pytest.raises(ConfigError, match="table is .* on rank 0 and .* on rank 1"):
            learner(comm=comm, initial_table=VALUES + comm.rank).learn(100)

    run_in_threads(comms, learn)


def test_a_refused_table_costs_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "conduct", lambda *_, **__: pytest.fail("work was started"))
    with pytest.raises(ConfigError):
        learner(initial_table=VALUES[1:]).learn(100)
