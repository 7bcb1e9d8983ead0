from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError, ModelError, TableError, UnsupportedEnvironment
from cdq.errors.checks import shown
from cdq.learner import evaluation
from cdq.learner import qlearner as module
from cdq.merges import MergeRule
from cdq.schedules import Constant, LinearDecay, Polynomial, RescaledLinear
from cdq.training.played import Row
from cdq.workers.worker import streams
from tests.reference.rollout import follow
from tests.strategies import DTYPES, random_model

MODEL = random_model(12, 3, seed=8, time_limit=20)


def learner(model: Any = MODEL, **changes: Any) -> cdq.QLearner:
    return cdq.QLearner(model, **{"seed": 0, "workers": 2, **changes})


class Mean(MergeRule):
    def combine(self, base: Any, values: Any, *others: Any) -> Any:
        return values.mean(axis=0)


# ---- what it is given


def test_defaults_are_those_of_the_docstring() -> None:
    settings = cdq.QLearner(MODEL).settings
    assert settings.step_size == RescaledLinear(0.99)
    assert settings.exploration == Constant(0.1)
    assert settings.sync_every == cdq.AutoWindow()
    assert (settings.gamma, settings.merge, settings.workers, settings.num_envs) == (0.99, "pooled", 1, 16)
    assert (settings.comm, settings.dtype, settings.initial_value) == ("auto", "float64", 0.0)
    assert cdq.QLearner(MODEL, gamma=1).settings.step_size == Polynomial(0.77)


def test_a_seed_is_drawn_where_none_is_given() -> None:
    seeds = {cdq.QLearner(MODEL).settings.seed for _ in range(3)}
    assert len(seeds) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)


BAD = [
    ({"gamma": -0.1}, "gamma is -0.1; allowed: a number from 0 to 1"),
    ({"gamma": True}, "gamma is True"),
    ({"gamma": 10**400}, "gamma is 1000"),
    ({"gamma": 1.1}, "gamma is 1.1"),
    ({"gamma": -0.5}, "gamma is -0.5"),
    ({"gamma": math.nan}, "gamma is nan"),
    ({"gamma": "0.9"}, "gamma is '?0.9"),
    ({"gamma": None}, "gamma is None"),
    ({"step_size": 1.5}, "step_size is 1.5; allowed: a number from 0 to 1"),
    ({"step_size": "fast"}, "step_size is 'fast': unknown schedule 'fast'; known: constant"),
    ({"exploration": -0.1}, "exploration is -0.1; allowed: a number from 0 to 1"),
    ({"exploration": "greedy"}, "exploration is 'greedy': unknown schedule 'greedy'; known"),
    ({"exploration": RescaledLinear(0.9)}, "exploration is RescaledLinear"),
    ({"merge": "poled"}, "unknown merge 'poled'; known: affine, .*Did you mean 'pooled'"),
    ({"sync_every": 0}, "sync_every is 0; allowed: a whole number of at least 1"),
    ({"sync_every": "often"}, "sync_every is 'often'; allowed: 'auto'"),
    ({"workers": 0}, "workers is 0; allowed: a whole number of at least 1"),
    ({"workers": -2}, "workers is -2"),
    ({"workers": 1.5}, "workers is 1.5"),
    ({"workers": "2"}, "workers is '2'"),
    ({"workers": True}, "workers is True"),
    ({"workers": math.inf}, "workers is inf"),
    ({"num_envs": 10**9}, "num_envs is 1000000000; allowed: .* at most 65,536"),
    ({"workers": 10**6}, "workers is 1000000; allowed: .* at most 4,096"),
    ({"num_envs": 0}, "num_envs is 0; allowed: a whole number of at least 1"),
    ({"dtype": "float16"}, "dtype is 'float16'; allowed: 'float64' or 'float32'"),
    ({"dtype": int}, "dtype is .*; allowed: 'float64' or 'float32'"),
    ({"seed": -1}, "seed is -1; allowed: a whole number of at least 0"),
    ({"seed": 0.5}, "seed is 0.5"),
    ({"seed": "abc"}, "seed is 'abc'"),
    ({"comm": 5}, "comm is 5; allowed: a communicator's name, a URL, or a communicator"),
    ({"comm": None}, "comm is None"),
    ({"seed": 2**256}, "seed is 115.*; allowed: .* at most 115"),
    ({"seed": 10**5000}, "seed is a number too long to write out"),
    ({"num_envs": 10**400}, "num_envs is 1000.* characters"),
    ({"workers": np.inf}, "workers is inf"),
    ({"step_size": 0}, "step_size is 0, with which nothing is learnt; allowed: above 0"),
    ({"step_size": LinearDecay(0.0, 0.0, 10)}, "step_size is 0, with which nothing is learnt"),
    ({"step_size": True}, "step_size is True"),
    ({"step_size": 10**400}, "step_size is 1000"),
    ({"exploration": np.array([0.1])}, "exploration is array"),
    ({"sync_every": 10**400}, "sync_every is 1000"),
    ({"dtype": np.longdouble}, "dtype is .*; allowed"),
    (
        {"initial_value": 1e39, "dtype": "float32"},
        r"initial_value is 1e\+39; allowed: finite numbers that float32",
    ),
    ({"initial_value": 10**400}, "initial_value is 1000"),
    ({"checkpoint": "runs", "checkpoint_every": 10**400}, "checkpoint_every is 1000"),
    ({"checkpoint": "runs", "checkpoint_every": math.nan}, "checkpoint_every is nan"),
    ({"initial_value": math.nan}, "initial_value is nan; allowed: finite numbers that float64 holds"),
    ({"initial_value": -math.inf}, "initial_value is -inf"),
    ({"initial_value": "high"}, "initial_value is '?high"),
]


@pytest.mark.parametrize(("arguments", "match"), BAD, ids=[shown(arguments) for arguments, _ in BAD])
def test_bad_arguments_are_refused_before_any_work(
    arguments: Any, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "make_task", lambda *_: pytest.fail("work was started"))
    with pytest.raises(ConfigError, match=match):
        cdq.QLearner(MODEL, **arguments)


@pytest.mark.parametrize(
    ("environment", "match"),
    [("FrozenLke-v1", "FrozenLake-v1"), ("Pendulum-v1", "continuous actions"), (3, "3"), (None, "None")],
)
def test_environments_that_cannot_be_learnt_are_refused(environment: Any, match: str) -> None:
    with pytest.raises(UnsupportedEnvironment, match=match):
        cdq.QLearner(environment)


def test_a_model_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match=r"state 0, action 0.* sum to 0.5"):
        cdq.QLearner(cdq.MDP.from_outcomes([0], [0], [0], [0.5], [1.0]))


@pytest.mark.parametrize("comm", ["inproces", "nowhere://host"])
def test_unknown_communicators_are_refused_before_any_work(comm: str) -> None:
    with pytest.raises(ConfigError, match="unknown communicator .*known: auto, inprocess"):
        learner(comm=comm).learn(1000)


@pytest.mark.parametrize("steps", [-1, 0.5, math.nan, math.inf, "many", None, True])
def test_bad_steps_are_refused_before_any_work(steps: Any) -> None:
    agent = learner()
    with pytest.raises(ConfigError, match="steps is .*; allowed: a whole number of at least 0"):
        agent.learn(steps)
    assert agent.steps == 0
    assert not agent._team.workers.values()


@pytest.mark.parametrize("episodes", [0, -3, 1.5, "all"])
def test_bad_episodes_are_refused(episodes: Any) -> None:
    with pytest.raises(ConfigError, match="episodes is .*; allowed: a whole number of at least 1"):
        learner().evaluate(episodes)


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(TypeError, match="gama"):
        cdq.QLearner(MODEL, gama=0.9)  # type: ignore[call-arg]


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "float32"])
def test_types_may_be_numpys(dtype: Any, tmp_path: Path) -> None:
    try:
        agent = learner(dtype=dtype)
    except ConfigError:  # or they are refused
        assert dtype is not np.dtype("float32")
        return
    agent.save(tmp_path / "table")
    assert cdq.QLearner.load(tmp_path / "table", MODEL).settings.dtype == "float32"


# ---- learning


@pytest.mark.parametrize("dtype", DTYPES)
def test_learning_returns_the_learner_with_its_table(dtype: str) -> None:
    agent = learner(dtype=dtype, initial_value=2.0)
    assert (agent.table.values == 2).all()
    assert agent.table.values.dtype == dtype
    assert agent.learn(1e4) is agent
    assert agent.steps >= 10_000
    assert agent.table.visits.sum() == agent.steps
    assert agent.table.environment == MODEL.name
    assert repr(agent) == f"QLearner('{MODEL.name}', workers=2, steps={agent.steps})"


@pytest.mark.parametrize("model", [MODEL, cdq.MDP.from_outcomes([0], [0], [0], [1.0], [1.0])])
def test_a_table_is_a_copy(model: cdq.MDP) -> None:
    """Also that of a single state, whose rows are contiguous anyway."""
    agent = learner(model, sync_every=50).learn(200)
    table = agent.table
    before = table.values.copy(), table.visits.copy()
    agent.learn(1000)
    assert (table.values == before[0]).all()
    assert (table.visits == before[1]).all()
    for array in (table.values, table.visits):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 5
    with pytest.raises(TableError, match="values of a QTable cannot be set.*initial_table"):
        agent.table.values = np.zeros((1, 1))
    with pytest.raises(AttributeError):
        agent.table = table  # type: ignore[misc]


def test_no_steps_are_no_work() -> None:
    agent = learner(initial_value=1.0)
    agent.learn(0)
    assert agent.steps == len(agent.history) == 0
    assert (agent.table.values == 1).all()


def test_history_has_a_row_per_round() -> None:
    agent = learner(sync_every=160).learn(320 * 40)
    assert len(agent.history) == 40
    assert isinstance(agent.history[0], Row)
    assert agent.history["steps"].tolist() == [320 * i for i in range(1, 41)]
    assert agent.history["rounds"].tolist() == list(range(1, 41))
    assert (np.diff(agent.history["seconds"]) >= 0).all()
    assert (np.diff(agent.history["episodes"]) >= 0).all()
    assert agent.history[-1].episodes > 100
    assert (np.diff(agent.history["bytes"]) >= 0).all()


# ---- what was learnt


@pytest.mark.parametrize("observation", [3, np.int64(3), np.uint8(3), np.array(3), 3.0])
def test_predicting_takes_what_environments_give(observation: Any) -> None:
    agent = learner()
    agent._state.merged.values[3] = [0.5, 2.0, 2.0]
    action = agent.predict(observation)
    assert action == 1  # the lowest among equals
    assert type(action) is int


@pytest.mark.parametrize(
    "observation",
    [-1, 12, 2.5, math.nan, math.inf, "3", None, [12], np.full(3, 0.5), (), {}, 10**30, 1j, (1, 2)],
)
def test_what_is_no_state_is_refused(observation: Any) -> None:
    with pytest.raises(ConfigError, match=r"observation .* is no state; allowed: 0 to 11"):
        learner().predict(observation)


@pytest.mark.parametrize("dtype", DTYPES)
def test_evaluation_is_that_of_its_episodes(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = learner(dtype=dtype).learn(5000)
    words: list[Any] = []

    def keep(*arguments: Any) -> Any:
        words.append(streams(*arguments))
        return words[-1].copy()

    monkeypatch.setattr(evaluation, "streams", keep)
    result = agent.evaluate(100)
    assert words[0].shape == (4, 64)
    returns, lengths = follow(MODEL, dtype, agent.table.policy(), words[0], 20, 100)
    assert result.mean_return == pytest.approx(returns.mean(), rel=1e-12, abs=1e-15)
    assert result.standard_error == pytest.approx(returns.std(ddof=1) / 10, rel=1e-12)
    assert result.mean_length == lengths.mean()
    assert result.episodes == 100


def test_evaluations_are_of_fresh_episodes_and_leave_learning_alone() -> None:
    agent, twin = learner().learn(5000), learner().learn(5000)
    results = [agent.evaluate(200).mean_return for _ in range(3)]
    assert len(set(results)) == 3
    assert agent.learn(5000).table.digest() == twin.learn(5000).table.digest()
    assert [learner().learn(5000).evaluate(200).mean_return for _ in range(2)] == results[:1] * 2


def test_one_episode_has_no_standard_error() -> None:
    assert math.isnan(learner().evaluate(1).standard_error)


def test_episodes_without_end_are_cut() -> None:
    model = cdq.MDP.from_outcomes([0], [0], [0], [1.0], [1.0])
    found = learner(model).evaluate(2)
    assert math.isnan(found.mean_return)
    assert found[2:] == (10_000.0, 2, 1.0, 2)  # 1 a step, and no sum of 10,000


def test_a_report_says_what_a_run_came_to() -> None:
    agent = cdq.QLearner("FrozenLake-v1", workers=2, seed=0)
    assert agent.report()["steps"] == 0
    report = agent.learn(3e5).report()
    assert report["env"] == "FrozenLake-v1"
    assert (report["workers"], report["seed"], report["steps"]) == (2, 0, agent.steps)
    assert report["digest"] == agent.table.digest()
    assert report["steps_per_second"] == pytest.approx(report["steps"] / report["seconds"])
    assert report["rounds"] == agent.history[-1].rounds <= len(agent.history)
    assert report["policy_value"] <= report["optimal_value"] + 1e-12
    assert report["gap"] >= report["optimal_value"] - report["policy_value"] - 1e-12
    for key in ("comm", "bytes", "mean_return", "gamma", "merge"):
        assert key in report


def test_without_a_future_values_are_the_expected_rewards() -> None:
    model = cdq.MDP.garnet(30, 3, branching=4, seed=1)
    paid = np.add.reduceat(model.probability * model.reward, model.offsets[:-1]).reshape(30, 3)
    found = cdq.solve(model, 0)
    np.testing.assert_allclose(found.values, paid, rtol=0, atol=1e-15)
    assert found.error < 1e-13
    assert cdq.bounds(model, paid, 0).gap < 1e-13
    np.testing.assert_allclose(cdq.evaluate_policy(model, found.policy, 0), paid.max(axis=1), atol=1e-15)
    agent = cdq.QLearner(model, gamma=0, seed=0).learn(300_000)
    assert np.abs(agent.table.values - paid).max() < 0.05
    assert agent.report()["gap"] < 0.05


@pytest.mark.parametrize(
    "mask", [["0", "0", "1"], [np.nan] * 3, [0, 1], [0, 0, 0], "abc", [[1, 0, 0]], [0, None, 1], {}]
)
def test_what_is_no_mask_is_refused(mask: Any) -> None:
    with pytest.raises(ConfigError, match="the action mask"):
        learner().predict(3, action_mask=mask)


@pytest.mark.parametrize(
    "dtype", [np.float32, np.dtype("float32"), "f4", "single", np.dtype(np.float32)], ids=str
)
def test_types_of_numpy_are_types_of_tables(dtype: Any, tmp_path: Path) -> None:
    agent = learner(dtype=dtype).learn(1000)
    assert agent.table.values.dtype == np.float32
    assert agent.settings.dtype == agent.settings.to_config()["dtype"] == "float32"
    agent.save(tmp_path / "agent")
    assert cdq.QLearner.load(tmp_path / "agent", MODEL).settings == agent.settings


BEYOND = [10**400, -1, math.inf, math.nan, "3", True, 0.5]


@pytest.mark.parametrize("value", BEYOND, ids=shown)
def test_counts_out_of_range_are_refused_before_anything_changes(value: Any) -> None:
    agent = learner().learn(1000)
    before = agent.table.digest(), agent.steps, agent.steps_left, agent._state.evaluations
    log = [0, 1], [0, 1], [0.0, 1.0], [1, 2], [False, True]
    calls = [
        (lambda: agent.learn(value), "steps"),
        (lambda: agent.evaluate(value), "episodes"),
        (lambda: agent.learn_from(*log, passes=value), "passes"),
        (lambda: agent.learn(10, until=cdq.OptimalWithin(value)), "tolerance"),
    ]
    for call, what in calls[: 3 if value == 0.5 else 4]:
        with pytest.raises(ConfigError, match=what):
            call()
    assert (agent.table.digest(), agent.steps, agent.steps_left, agent._state.evaluations) == before


def test_steps_beyond_64_bits_are_refused() -> None:
    agent = learner().learn(1000)
    for steps in (2**62, 2**63, 1e300):
        with pytest.raises(ConfigError, match="steps is .*; allowed: a whole number of at least 0"):
            agent.learn(steps)
    with pytest.raises(ConfigError, match="passes is"):
        agent.learn_from([0, 1], [0, 1], [0.0, 1.0], [1, 2], [False, True], passes=2**61)
    assert agent.learn(np.int64(1000)).steps > 1000


@pytest.mark.parametrize("sign", [1, -1])
def test_an_observation_of_more_digits_than_python_writes_out(sign: int) -> None:
    model = cdq.MDP.from_gymnasium("FrozenLake-v1")
    for ask in (
        model.state_of,
        cdq.QLearner(model, seed=0).predict,
        cdq.QLearner("FrozenLake-v1", seed=0).predict,
        cdq.QLearner("Blackjack-v1", seed=0).predict,
        lambda number: cdq.QLearner("Blackjack-v1", seed=0).predict((number, 1, 0)),
        cdq.QLearner("CartPole-v1", features=cdq.TileCoding(), seed=0).predict,
    ):
        with pytest.raises(ConfigError, match=r"(?s)^(?!.*set_int_max_str_digits).*observation"):
            ask(sign * 10**5000)


def test_a_model_is_solved_for_calls_that_measure_the_gap_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    solved = []

    def solve(model: cdq.MDP, gamma: float) -> cdq.Solution:
        solved.append(gamma)
        return cdq.solve(model, gamma)

    monkeypatch.setattr("cdq.learner.results.solve", solve)
    agent = cdq.QLearner(cdq.MDP.garnet(50, 3, branching=3, seed=0), seed=0, gamma=0.9).learn(1000)
    assert solved == []
    gap = cdq.optimality_gap(agent.model, agent.table.values, 0.9).gap
    assert agent.report()["gap"] == gap
    agent.learn(100_000)
    assert solved == [0.9]
    assert not np.isnan(agent.history["gap"]).all()
    agent.learn(100_000)  # it is kept
    assert solved == [0.9]
