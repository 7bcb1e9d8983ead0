"""Update rules in learners: every way of stepping, every communicator, files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError
from cdq.qfunctions import SoleTable
from cdq.rules import RULES
from cdq.workers.worker import LEARNING, streams
from tests.reference import merge as reference
from tests.reference import rules
from tests.reference.schedules import Law
from tests.strategies import random_model

NAMES = [name for name in RULES if name != "q-learning"]
MODEL = random_model(12, 3, seed=4, time_limit=20)
LAKE = random_model(40, 4, seed=5, time_limit=50)

every_rule = pytest.mark.parametrize("rule", NAMES)


def vector_env() -> Any:
    return gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")


WAYS: dict[str, dict[str, Any]] = {
    "model": {"env": MODEL},
    "compiled environment": {"env": "cdq/RiverSwim-v0"},
    "compiled environment, hashed": {"env": "cdq/GridWorld-v0", "table": "hash"},
    "compiled environment, linear": {"env": "cdq/CartPole-v0"},
    "compiled environment, float32": {"env": "cdq/MountainCar-v0", "dtype": "float32"},
    "bins, hashed": {"env": "cdq/CartPole-v0", "bins": 4, "table": "hash"},
    "Python environment": {"env": "Blackjack-v1"},
    "Python environment, hashed": {"env": "Blackjack-v1", "table": "hash"},
    "Python environment, linear": {"env": "MountainCar-v0", "features": cdq.TileCoding(4, 4)},
    "vector environment": {"env": vector_env},
    "action masks": {"env": "Taxi-v4", "masks": True, "stepping": "python"},
}


@every_rule
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_stepping(way: str, rule: str) -> None:
    """A run is a function of its seed, another rule makes another table of it, and it has the shape of any table."""
    learnt = {}
    for name in (rule, rule, "q-learning"):
        agent = cdq.QLearner(**{"seed": 1, "exploration": 0.5, **WAYS[way], "rule": name}).learn(1500)
        learnt.setdefault(name, []).append(agent.table)
        assert agent.table.visits.sum() >= 1500
        agent.evaluate(2)
        agent.close()
    same, other = learnt[rule], learnt["q-learning"][0]
    assert same[0].digest() == same[1].digest() != other.digest()
    assert same[0].n_actions == other.n_actions


@every_rule
@pytest.mark.parametrize("merge", reference.RULES)
def test_a_round_is_the_merge_of_what_the_rule_makes_of_each_worker(merge: str, rule: str) -> None:
    """Each column by the formula of the merge, of windows learnt by the definition: Double Q merges both tables."""
    workers, lanes, sweeps, step_size = 3, 2, 60, cdq.RescaledLinear(0.9)
    agent = cdq.QLearner(
        MODEL, rule=rule, merge=merge, workers=workers, num_envs=lanes, sync_every=lanes * sweeps, seed=3,
        gamma=0.9, exploration=0.3, initial_value=0.5, step_size=step_size,
    ).learn(workers * lanes * sweeps)  # fmt: skip
    law, windows = Law(step_size, 0, 0.3, "float64"), []
    for rank in range(workers):
        words = streams(3, (LEARNING, 0, rank), lanes)
        window = rules.Learner(rule, MODEL, 0.9, "float64", words, 0.5)
        window.run(law, sweeps, 0.3, 0.3)
        windows.append(window)
    merged = agent._state.merged
    assert (merged.visits == sum(window.visits.astype(int) for window in windows)).all()
    for at in np.ndindex(merged.values.shape):
        visits = [int(window.visits[at]) for window in windows]
        logs = [law.log_keep(n) for n in visits]
        expected = reference.formula(merge, 0.5, [window.values[at] for window in windows], visits, logs)
        assert merged.values[at] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@every_rule
@pytest.mark.parametrize("settings", [{}, {"dtype": "float32", "overlap": True, "sync_every": 300}])
def test_threads_and_processes_of_a_hub_learn_one_table(rule: str, settings: dict[str, Any]) -> None:
    if settings:
        arguments = {"rule": rule, "workers": 3, "seed": 2, **settings}
        here = cdq.QLearner(LAKE, **arguments).learn(9000)
        again = cdq.QLearner(LAKE, **arguments).learn(9000)
        assert here.table.digest() == again.table.digest()
        return
    tables = {
        cdq.QLearner(LAKE, rule=rule, workers=3, seed=2, comm=comm).learn(9000).table.digest()
        for comm in ("inprocess", "zmq")
    }
    assert len(tables) == 1


@every_rule
def test_a_resumed_run_is_the_whole(rule: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"rule": rule, "workers": 3, "seed": 2}
    whole = cdq.QLearner(LAKE, **arguments, checkpoint=tmp_path / "whole").learn(9000)
    whole.learn(9000)
    cdq.QLearner(LAKE, **arguments, checkpoint=tmp_path / "half").learn(9000)
    resumed = cdq.QLearner.resume(tmp_path / "half", LAKE)
    assert resumed.settings.rule.name == rule
    assert resumed.learn(9000).table.digest() == whole.table.digest()


@every_rule
def test_files_keep_the_rule(rule: str, tmp_path: Path) -> None:
    agent = cdq.QLearner("FrozenLake-v1", rule=rule, seed=0).learn(5000)
    agent.save(path := tmp_path / "agent")
    other = cdq.QLearner.load(path)
    assert other.settings.rule.name == rule
    assert other.table.digest() == agent.table.digest() == cdq.QTable.load(path).digest()
    assert other._state.merged.digest() == agent._state.merged.digest()
    assert [other.predict(s) for s in range(16)] == agent.table.policy().tolist()


def test_files_that_name_no_rule_are_of_q_learning(tmp_path: Path) -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(2000)
    assert "rule" not in agent.settings.to_config()
    agent.save(tmp_path / "agent")
    assert cdq.QLearner.load(tmp_path / "agent").settings.rule.name == "q-learning"


def test_double_q_shows_the_mean_of_its_tables(tmp_path: Path) -> None:
    agent = cdq.QLearner("FrozenLake-v1", rule="double-q", seed=0, gamma=0.9).learn(20_000)
    both = agent._state.merged
    first, second = both.values[:, :4], both.values[:, 4:]
    assert both.values.shape == (16, 8)
    assert not np.allclose(first, second)
    assert (agent.table.values == first / 2 + second / 2).all()
    assert (agent.table.visits == both.visits[:, :4] + both.visits[:, 4:]).all()
    assert abs(both.visits[:, :4].sum() / both.visits.sum() - 0.5) < 0.02
    assert agent.predict(14) == agent.table.values[14].argmax()
    assert agent.policy()(14) == agent.predict(14)
    assert agent.action_values(14).tolist() == agent.table.values[14].tolist()
    assert agent.report()["gap"] == pytest.approx(
        cdq.optimality_gap(agent.model, agent.table.values, 0.9).gap
    )


@pytest.mark.parametrize(("seed", "workers"), [(0, 1), (1, 1), (2, 1), (1, 2)])
def test_double_q_takes_the_shortest_path_along_the_cliff_by_default(seed: int, workers: int) -> None:
    """With the step sizes of the other rules, which begin near 1, its greedy policy never arrives."""
    agent = cdq.QLearner("CliffWalking-v1", rule="double-q", seed=seed, workers=workers).learn(300_000)
    assert agent.settings.step_size == cdq.Constant(0.05)
    assert agent.report(play=False)["gap"] < 1e-6


@pytest.mark.parametrize("env", ["cdq/CartPole-v0", "cdq/GridWorld-v0", "Blackjack-v1"])
def test_double_q_has_its_own_step_size_unless_another_is_given(env: str, tmp_path: Path) -> None:
    assert cdq.QLearner(env, rule="double-q", seed=0).settings.step_size == cdq.Constant(0.05)
    agent = cdq.QLearner(env, rule="double-q", seed=0, step_size=cdq.RescaledLinear(0.99)).learn(100)
    agent.save(tmp_path / "agent")
    assert cdq.QLearner.load(tmp_path / "agent", env).settings.step_size == cdq.RescaledLinear(0.99)
    for rule in ("q-learning", "sarsa", "expected-sarsa"):
        assert cdq.QLearner(env, rule=rule, seed=0).settings.step_size == cdq.RescaledLinear(0.99)


@pytest.mark.parametrize("table", ["dense", "hash"])
def test_double_q_begins_with_two_copies_of_a_table(table: str) -> None:
    arguments: dict[str, Any] = {"env": "cdq/GridWorld-v0", "table": table, "seed": 0}
    first = cdq.QLearner(**arguments).learn(5000)
    agent = cdq.QLearner(**arguments, rule="double-q", initial_table=first)
    assert (agent.table.values == first.table.values).all()
    agent.learn(1000)


def test_double_q_in_a_large_table_of_one_worker() -> None:
    """Such a table has no second copy: it is the same as one that has."""
    model = cdq.MDP.garnet(70_000, 4, branching=2, seed=0)
    alone = cdq.QLearner(model, rule="double-q", seed=1).learn(20_000)
    assert isinstance(alone._state.merged, SoleTable)
    assert alone.table.visits.sum() == 20_000


# ---- logs


@pytest.mark.parametrize("rule", ["expected-sarsa", "double-q"])
@pytest.mark.parametrize("table", ["dense", "hash"])
def test_logs_are_learnt_by_the_definition(table: str, rule: str) -> None:
    random, n, passes = np.random.default_rng(0), 300, 2
    states, after = random.integers(0, 64, (2, n))
    actions, rewards, ends = random.integers(0, 4, n), random.random(n), random.random(n) < 0.1
    agent = cdq.QLearner(
        "cdq/GridWorld-v0", table=table, rule=rule, step_size=0.25, exploration=0.2, gamma=0.9
    )
    for _ in range(2):
        agent.learn_from(states, actions, rewards, after, ends, passes=passes)
    values = np.zeros((64, 4 * RULES[rule].tables))
    turn = 0
    for call in range(2):
        for turn in range(call * passes * n, call * passes * n + passes):
            for i in range(n):
                word = (rules.mixed(turn) + i) % 2**64
                worth = rules.successor(rule, values[after[i]], np.arange(4), int(0.2 * 2**32), word)
                target = rewards[i] if ends[i] else rewards[i] + 0.9 * worth.value
                at = states[i], actions[i] + 4 * worth.table
                values[at] += 0.25 * (target - values[at])
    merged = agent._state.merged
    keys = merged.keys.astype(int) if table == "hash" else np.arange(64)
    np.testing.assert_allclose(merged.values, values[keys], rtol=0, atol=1e-12)


def test_sarsa_does_not_learn_from_a_log() -> None:
    agent = cdq.QLearner("FrozenLake-v1", rule="sarsa")
    with pytest.raises(
        ConfigError, match="takes the action that follows each transition, which a log does not say"
    ):
        agent.learn_from([0], [0], [0.0], [1], [False])
    assert agent.steps == 0


# ---- arguments


@pytest.mark.parametrize("rule", ["SARSA", "", None, 1, "double", ["sarsa"], np.array(["sarsa", "sarsa"])])
def test_unknown_rules_are_refused(rule: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"rule is .*; allowed: 'q-learning', 'expected-sarsa', 'sarsa', 'double-q'"
    ):
        cdq.QLearner("FrozenLake-v1", rule=rule)


def test_a_file_of_an_unknown_rule_is_refused(tmp_path: Path) -> None:
    from cdq.storage.files import read_tensors, write_tensors

    cdq.QLearner("FrozenLake-v1", seed=0).save(path := tmp_path / "agent")
    tensors, header = read_tensors(path)
    write_tensors(path, tensors, {**header, "settings": {**header["settings"], "rule": "of tomorrow"}})
    with pytest.raises(ConfigError, match="rule is 'of tomorrow'; allowed: 'q-learning'"):
        cdq.QLearner.load(path)
    write_tensors(path, tensors, {**header, "settings": {**header["settings"], "rule": "double-q"}})
    with pytest.raises(cdq.CdqError, match="values are float64 of shape"):
        cdq.QLearner.load(path)
