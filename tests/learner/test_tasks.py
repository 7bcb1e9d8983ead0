"""Learners of several tasks: names, wrong arguments, and stepped environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import cdq
from cdq.errors import CdqError, ConfigError
from tests.envs.compiled import scripted

CALM: dict[str, Any] = {"env_kwargs": {"is_slippery": False}, "seed": 1}
LAKE = "FrozenLake-v1"
GOALS = cdq.Goals([14, 10, 3])


def by_action(states: Any, actions: Any, rewards: Any, next_states: Any) -> Any:
    """Return rewards of two tasks, or two features: an end, and no action 0."""
    return np.stack([next_states == 15, (actions == 0) * -1.0], axis=1)


def two_features(states: Any, actions: Any, rewards: Any, next_states: Any) -> Any:
    return np.stack([rewards, np.full(len(states), -1.0)], axis=1)


class Line(gymnasium.Env[Any, Any]):
    """Seven places in a row, from the middle; the ends pay (1, 0) and (0, 1), a step (0, 0)."""

    observation_space = spaces.Discrete(7)
    action_space = spaces.Discrete(2)
    reward_space = spaces.Box(0.0, 1.0, (2,))
    pays: Any = staticmethod(lambda at: np.array([at == 0, at == 6], np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        self.at = 3
        return 3, {}

    def step(self, action: int) -> tuple[int, Any, bool, bool, dict[str, Any]]:
        self.at += 1 if action else -1
        return self.at, self.pays(self.at), self.at in {0, 6}, False, {}


class Recorded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Transitions of an environment in a list."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.log: list[Any] = []

    def reset(self, **arguments: Any) -> Any:
        result = super().reset(**arguments)
        self.now = result[0]
        return result

    def step(self, action: Any) -> Any:
        result = super().step(action)
        after, reward, terminated = result[:3]
        self.log.append((self.now, action, reward, after, terminated))
        self.now = after
        return result


def test_each_task_has_a_name() -> None:
    agent = cdq.QLearner(LAKE, tasks=GOALS, **CALM).learn(20_000, verbose=0)
    assert list(agent.tables) == [14, 10, 3]
    assert agent.predict(13, 14) == agent.predict(13, np.int64(14)) == 2
    assert agent.predict([13, 10], 14).tolist() == [2, 1]
    assert agent.policy(14)(13) == 2
    assert agent.action_values(13, 14).shape == (4,)
    assert agent.action_values([13, 10], 14).shape == (2, 4)
    assert np.array_equal(agent.action_values(13, 10), agent.tables[10].values[13])
    assert agent.predict(13, 14, [1, 0, 0, 1]) != 2
    with pytest.raises(ConfigError, match=r"no task 11; allowed: \[14, 10, 3\]"):
        agent.predict(13, 11)
    with pytest.raises(ConfigError, match="no name was given"):
        agent.predict(13)
    with pytest.raises(ConfigError, match="no task '14'"):
        agent.predict(13, "14")
    with pytest.raises(ConfigError, match="not learnt by features"):
        agent.predict(13, weights=[1.0])
    with pytest.raises(ConfigError, match="one table, which has no name"):
        cdq.QLearner(LAKE, seed=0).predict(13, "home")
    with pytest.raises(ConfigError, match="use table"):
        _ = cdq.QLearner(LAKE, seed=0).tables
    alone = cdq.QLearner(LAKE, tasks=cdq.Goals([14]), **CALM).learn(5000, verbose=0)
    assert alone.predict(13) == alone.predict(13, 14)


def test_a_mask_may_still_be_the_second_argument() -> None:
    agent = cdq.QLearner(LAKE, seed=0).learn(20_000, verbose=0)
    best = agent.predict(14)
    others = np.ones(4)
    others[best] = 0
    assert agent.predict(14, others) == agent.predict(14, action_mask=others) != best


def test_a_task_is_evaluated_until_its_goal() -> None:
    agent = cdq.QLearner(LAKE, tasks=GOALS, **CALM).learn(20_000, verbose=0)
    found = agent.evaluate(seed=0)
    assert isinstance(found, dict)
    assert {name: (one.mean_return, one.mean_length) for name, one in found.items()} == {
        14: (1.0, 5.0),
        10: (1.0, 4.0),
        3: (1.0, 3.0),
    }
    assert (found.mean_return, found.mean_length, found.standard_error) == (1.0, 4.0, 0.0)
    assert found.episodes == 3000
    report = agent.report()
    assert [one["task"] for one in report["tasks"]] == [14, 10, 3]
    assert all(one["gap"] < 1e-6 and one["mean_return"] == 1.0 for one in report["tasks"])
    assert report["gap"] is None
    assert report["solved"] is None
    agent.learn(1000, until=cdq.MeanReturn(0.9), verbose=0)
    with pytest.raises(ConfigError, match="distance from optimal each"):
        agent.learn(1000, until=cdq.OptimalWithin(0.1), verbose=0)


def test_weights_that_nobody_learnt_are_acted_for() -> None:
    agent = cdq.QLearner(Line, tasks=cdq.Weights([[1.0, 0.0], [0.0, 1.0]], names=["left", "right"]), seed=0)
    agent.learn(3000, verbose=0)
    assert (agent.predict(3, "left"), agent.predict(3, "right")) == (0, 1)
    assert (agent.predict(3, weights=[2.0, 1.0]), agent.predict(3, weights=[1.0, 2.0])) == (0, 1)
    assert agent.policy(weights=[1.0, 2.0])(3) == 1
    assert agent.action_values(3, weights=[0.5, 0.5]) == pytest.approx([0.5 * 0.99**2] * 2, abs=1e-3)
    for wrong in ([1.0], [1.0, np.nan], "left", [[1.0, 2.0]]):
        with pytest.raises(ConfigError, match="allowed: 2 finite numbers"):
            agent.predict(3, weights=wrong)
    with pytest.raises(ConfigError, match="weights of its own"):
        agent.predict(3, "left", weights=[1.0, 2.0])
    assert agent.evaluate(10, seed=0)["right"].mean_return == 1.0
    agent.close()


WRONG = {
    "no tasks": (lambda: cdq.QLearner(LAKE, tasks=[14, 10]), "allowed: cdq.Goals"),
    "a goal beyond": (lambda: cdq.QLearner(LAKE, tasks=cdq.Goals([14, 16])), "goal 16 .* allowed: 0 to 15"),
    "a goal below": (lambda: cdq.Goals([-1]), "goal is -1"),
    "a goal twice": (lambda: cdq.Goals([3, 4, 3]), "3 occurs twice"),
    "a goal of half": (lambda: cdq.Goals([1.5]), "goal is 1.5"),
    "no goal": (lambda: cdq.Goals([]), "no goals"),
    "a word": (lambda: cdq.Goals("every"), "'all'"),
    "a number": (lambda: cdq.Goals(3), "allowed: a list"),  # type: ignore[arg-type]
    "a name twice": (lambda: cdq.Rewards(["a", "a"], by_action), "'a' occurs twice"),
    "names that are none": (lambda: cdq.Rewards([1, 2], by_action), "allowed: a list of texts"),  # type: ignore[list-item]
    "one text": (lambda: cdq.Rewards("ab", by_action), "allowed: a list of texts"),
    "no function": (lambda: cdq.Rewards(["a"], 3), "function of states"),  # type: ignore[arg-type]
    "too few models": (lambda: cdq.Rewards(["a", "b"], [cdq.MDP.from_gymnasium(LAKE)]), "model .* for each"),
    "another model": (
        lambda: cdq.QLearner(LAKE, tasks=cdq.Rewards(["a"], [cdq.MDP.from_gymnasium("FrozenLake8x8-v1")])),
        "model of task 'a' differs",
    ),
    "a row of weights": (lambda: cdq.Weights([1.0, 2.0]), "of shape"),
    "ragged weights": (lambda: cdq.Weights([[1.0], [1.0, 2.0]]), "of shape"),
    "weights without end": (lambda: cdq.Weights([[np.inf]]), "finite"),
    "too few names": (lambda: cdq.Weights(np.eye(2), names=["a"]), "1 names for 2"),
    "features that are none": (lambda: cdq.Weights(np.eye(2), 3), "function of states"),  # type: ignore[arg-type]
    "one reward": (lambda: cdq.QLearner(LAKE, tasks=cdq.Weights(np.eye(2))), "one number at a step"),
    "one stepped reward": (
        lambda: cdq.QLearner(LAKE, stepping="python", tasks=cdq.Weights(np.eye(2))),
        "no reward_space",
    ),
    "other rewards": (
        lambda: cdq.QLearner(Line, tasks=cdq.Weights(np.eye(3))),
        r"reward_space of shape \(3,\)",
    ),
    "another shape": (
        lambda: cdq.QLearner(LAKE, tasks=cdq.Rewards(["a"], by_action)),
        r"shape \(148, 2\) for 148 transitions; allowed: .*\(148, 1\)",
    ),
    "infinite rewards": (
        lambda: cdq.QLearner(LAKE, tasks=cdq.Rewards(["a"], lambda s, a, r, s2: s[:, None] / 0.0)),
        "finite numbers",
    ),
    "rewards beyond the table": (
        lambda: cdq.QLearner(
            LAKE, dtype="float32", tasks=cdq.Rewards(["a"], lambda s, a, r, s2: np.full((len(s), 1), 1e30))
        ),
        r"it returned 1e\+30 in column 0 .* up to 1.7e\+26",
    ),
    "weights beyond the table": (
        lambda: cdq.QLearner(
            LAKE, dtype="float32", tasks=cdq.Weights([[1e20]], lambda s, a, r, s2: r[:, None])
        ),
        r"a weight is 1e\+20; allowed in float32",
    ),
    "bytes": (lambda: cdq.Goals(b"ab"), "allowed: a list"),
    "an array without axes": (lambda: cdq.Goals(np.array(3)), "allowed: a list"),
    "a failing function": (
        lambda: cdq.QLearner(LAKE, tasks=cdq.Rewards(["a"], lambda s, a, r, s2: s.missing)),
        "function of the tasks failed: AttributeError",
    ),
    "too many values": (
        lambda: cdq.QLearner(cdq.MDP.garnet(10_000, 4, branching=1, seed=0), tasks=cdq.Goals("all")),
        "400,000,000 values; allowed: up to 268,435,456",
    ),
    "all of a hashed table": (
        lambda: cdq.QLearner(LAKE, stepping="python", table="hash", tasks=cdq.Goals("all")),
        "nobody knows how many",
    ),
    "features of vectors": (lambda: cdq.QLearner("CartPole-v1", tasks=cdq.Goals([3])), "learnt in a table"),
    "goals among vectors": (
        lambda: cdq.QLearner("CartPole-v1", bins=4, table="hash", tasks=cdq.Goals([3])),
        "observes vectors",
    ),
    "another rule": (lambda: cdq.QLearner(LAKE, rule="double-q", tasks=GOALS), "rule='q-learning'"),
    "features, too": (
        lambda: cdq.QLearner("CartPole-v1", features=cdq.TileCoding(), tasks=GOALS),
        "exclude each other",
    ),
    "a log": (
        lambda: cdq.QLearner.from_log(["a"], ["x"], [1.0], ["a"], [True], tasks=GOALS),
        "a log without an environment",
    ),
    "models for what is stepped": (
        lambda: cdq.QLearner(
            LAKE, stepping="python", tasks=cdq.Rewards(["a"], [cdq.MDP.from_gymnasium(LAKE)])
        ),
        "give a function",
    ),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_before_work_starts(name: str) -> None:
    make, said = WRONG[name]
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize("kind", ["python", "compiled"])
def test_a_function_that_fails_ends_the_call(kind: str) -> None:
    def step(lane: Any) -> None:
        lane["index"] = lane["integer"][0] = (lane["integer"][0] + 1) % 4
        lane["truncated"] = lane["integer"][0] == 0

    def fails(states: Any, actions: Any, rewards: Any, next_states: Any) -> Any:
        return np.zeros((len(states), 1)) if states.max() < 2 else np.zeros(3)

    env: Any = scripted(step) if kind == "compiled" else LAKE
    how: dict[str, Any] = {} if kind == "compiled" else {"stepping": "python"}
    agent = cdq.QLearner(env, tasks=cdq.Rewards(["a"], fails), seed=0, **how)
    with pytest.raises(ConfigError, match="function of the tasks failed: it returned"):
        agent.learn(5000, verbose=0)
    assert agent.steps == 0
    agent.close()


@pytest.mark.parametrize("how", [{}, {"num_envs": 3}, {"table": "hash"}, {"workers": 2, "comm": "zmq"}])
def test_environments_in_python_teach_all_tasks(how: dict[str, Any]) -> None:
    with cdq.QLearner(LAKE, tasks=GOALS, stepping="python", **CALM, **how) as agent:
        found = agent.learn(12_000, verbose=0).evaluate(10)
        assert [(one.mean_return, one.mean_length) for one in found.values()] == [(1, 5), (1, 4), (1, 3)]
        assert len({table.visits.tobytes() for table in agent.tables.values()}) == 1  # each visit teaches all


@pytest.mark.parametrize(
    "tasks", [GOALS, cdq.Rewards(["end", "no left"], by_action), cdq.Weights(np.eye(2), two_features)]
)
def test_what_was_stepped_is_what_its_log_teaches(tasks: Any) -> None:
    """Expected: the same bits, as one lane's updates come one after another."""
    env = Recorded(gymnasium.make(LAKE))
    agent = cdq.QLearner(env, tasks=tasks, stepping="python", seed=0, gamma=0.9).learn(3000, verbose=0)
    again = cdq.QLearner(LAKE, tasks=tasks, stepping="python", seed=0, gamma=0.9)
    again.learn_from(*map(list, zip(*env.log[-3000:], strict=True)))
    assert again.steps == 3000
    for own, other in zip(agent.tables.values(), again.tables.values(), strict=True):
        assert own.values.tobytes() == other.values.tobytes()
        assert own.visits.tobytes() == other.visits.tobytes()


def test_vector_rewards_are_what_their_log_teaches() -> None:
    env = Recorded(Line())
    tasks = cdq.Weights([[1.0, 0.5], [0.0, 1.0]])
    agent = cdq.QLearner(env, tasks=tasks, seed=0).learn(3000, verbose=0)
    again = cdq.QLearner(Line, tasks=tasks, seed=0)
    again.learn_from(*map(list, zip(*env.log[-3000:], strict=True)))
    assert agent.table.values.tobytes() == again.table.values.tobytes()
    with pytest.raises(ConfigError, match=r"allowed: numbers of shape \(1, 2\)"):
        again.learn_from([3], [0], [1.0], [2], [False])


@pytest.mark.parametrize(
    ("paid", "said"),
    [
        (1.0, "array of 2"),
        (np.zeros(3), "array of 2"),
        (np.array([1.0, np.nan]), "nan.*finite"),
        ("ab", "array of 2"),
    ],
)
def test_vector_rewards_that_are_none_are_refused(paid: Any, said: str) -> None:
    class Wrong(Line):
        pays = staticmethod(lambda at: paid)

    with (
        cdq.QLearner(Wrong, tasks=cdq.Weights(np.eye(2)), seed=0) as agent,
        pytest.raises(CdqError, match=said),
    ):
        agent.learn(100, verbose=0)


def test_goals_and_functions_take_vector_rewards_as_they_are() -> None:
    with cdq.QLearner(Line, tasks=cdq.Goals([0, 6]), seed=0, num_envs=2) as agent:
        agent.learn(2000, verbose=0)
        assert (agent.predict(3, 0), agent.predict(3, 6)) == (0, 1)
        assert [one.mean_length for one in agent.evaluate(5).values()] == [3.0, 3.0]
    tasks = cdq.Rewards(["left", "right"], lambda s, a, r, s2: r)
    with cdq.QLearner(Line, tasks=tasks, seed=0, num_envs=2) as agent:
        agent.learn(2000, verbose=0)
        assert (agent.predict(3, "left"), agent.predict(3, "right")) == (0, 1)
        assert [one.mean_return for one in agent.evaluate(5).values()] == [1.0, 1.0]
    with cdq.QLearner(Line, seed=0) as agent, pytest.raises(CdqError, match="cdq.Weights"):
        agent.learn(100, verbose=0)


def test_compiled_environments_teach_all_tasks() -> None:
    def step(lane: Any) -> None:
        place = lane["integer"][0] + (1 if lane["action"] else -1)
        lane["index"] = lane["integer"][0] = min(max(place, 0), 3)
        lane["truncated"] = lane["integer"][0] == 3

    tasks = cdq.Goals([2, 3])
    agent = cdq.QLearner(scripted(step), tasks=tasks, seed=0).learn(5000, verbose=0)
    assert agent.stepping == "compiled environment"
    assert agent.tables[3].values[:3, 1] == pytest.approx([0.99**2, 0.99, 1.0], abs=1e-6)
    assert [one.mean_length for one in agent.evaluate(5).values()] == [2.0, 3.0]
    by_function = cdq.Rewards(["end"], lambda s, a, r, s2: (s2 == 3)[:, None])
    agent = cdq.QLearner(scripted(step), tasks=by_function, seed=0, gamma=0.5).learn(5000, verbose=0)
    assert agent.tables["end"].values[0, 1] < agent.tables["end"].values[2, 1]
