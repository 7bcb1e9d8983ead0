"""What a report says is what playing the given environment gives: which environments are learnt from their tables."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.envs.toy_text.taxi import TaxiEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit, TransformObservation, TransformReward
from typer.testing import CliRunner

import cdq
from cdq.cli import app
from cdq.errors import ConfigError, ModelError, UnsupportedEnvironment
from tests.envs.scripted import TAXI
from tests.envs.tables import Lake, Walk, paying, table_of_walk

MODEL, COMPILED, PYTHON = "compiled model", "compiled environment", "Python environment"


def lake(**arguments: Any) -> Any:
    return gymnasium.make("FrozenLake-v1", **{"is_slippery": False, **arguments})


def learnt(env: Any, steps: int = 5000, **arguments: Any) -> cdq.QLearner:
    return cdq.QLearner(env, seed=0, **{"exploration": 0.5, **arguments}).learn(steps)


def return_of(agent: cdq.QLearner, env: Any, episodes: int = 1, longest: int = 200) -> float:
    """Play an environment by hand as `predict` says; return the mean return."""
    total = 0.0
    for episode in range(episodes):
        observation, over, steps = env.reset(seed=episode)[0], False, 0
        while not over and steps < longest:
            observation, reward, terminated, truncated, _ = env.step(agent.predict(observation))
            total, over, steps = total + float(reward), terminated or truncated, steps + 1
    return total / episodes


# ---- step, reset and spaces that are not those of P


def test_a_subclass_that_pays_otherwise() -> None:
    env = TimeLimit(Lake(paying, is_slippery=False), 100)
    agent = learnt(env)
    report = agent.report()
    assert (report["stepping"], report["mean_return"], report["gap"]) == (PYTHON, 15.0, None)
    assert report["stepping_reason"] == "step pays other rewards than P (state 0, action 0: -1, not 0)"
    assert return_of(agent, env) == 15.0


def other_goal(env: Any, answer: Any) -> Any:
    observation, reward, *others = answer
    return (observation, 20 * reward, *others)


def paying_more(answer: Any) -> Any:
    return (answer[0], answer[1] + 1.0, *answer[2:])


def mirrored(env: Any, answer: Any) -> Any:
    return (15 - answer[0], *answer[1:])


def ends_late(env: Any, answer: Any) -> Any:
    observation, reward, terminated, *others = answer
    return (observation, reward, terminated and observation == 15, *others)


def ends_early(env: Any, answer: Any) -> Any:
    observation, reward, terminated, *others = answer
    return (observation, reward, terminated or observation == 4, *others)


def truncates(env: Any, answer: Any) -> Any:
    observation, reward, terminated, _, info = answer
    return observation, reward, terminated, env.elapsed == 40, info


def tires(env: Any, answer: Any) -> Any:
    observation, reward, *others = answer
    return (observation, reward - 0.01 * (env.elapsed > 20), *others)


def masks(env: Any, answer: Any) -> Any:
    return (*answer[:4], {"action_mask": np.ones(4, np.int8)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_goal, r"step pays other rewards than P \(state 14, action 2: 20, not 1\)"),
        (mirrored, r"step leads elsewhere than P \(state 0, action 0: to state 15, not 0\)"),
        (ends_late, r"step does not end an episode where P does \(state"),
        (ends_early, r"step ends an episode where P does not \(state 0, action 1, to state 4\)"),
        (truncates, r"step truncates an episode by itself \(state"),
        (tires, r"step pays other rewards than P \(state \d+, action \d: -0.01, not 0\)"),
    ],
)
def test_what_speaks_against_a_table(change: Any, said: str) -> None:
    agent = cdq.QLearner(Lake(change, is_slippery=False), seed=0)
    assert agent.stepping == PYTHON
    with pytest.raises(UnsupportedEnvironment, match=f"P of Lake is not what playing it gives: {said}"):
        cdq.MDP.from_gymnasium(Lake(change, is_slippery=False))


def test_a_mask_is_not_in_a_table() -> None:
    class Masked(Lake):
        def reset(self, **arguments: Any) -> Any:
            return super().reset(**arguments)[0], {"action_mask": np.ones(4, np.int8)}

    assert (
        cdq.QLearner(Masked(masks), seed=0).stepping_reason
        == "its info has an action_mask, which P does not hold"
    )
    assert cdq.QLearner(Masked(masks), seed=0, masks=False).stepping == MODEL


def test_probabilities_that_are_not_those_of_the_table() -> None:
    env = Lake(success_rate=0.45)
    env.drawn, env.P = env.P, FrozenLakeEnv().P  # type: ignore[attr-defined]

    class Drawing(Lake):
        def step(self, a: Any) -> Any:
            self.P, shown = self.drawn, self.P  # type: ignore[attr-defined]
            answer = super().step(a)
            self.P = shown
            return answer

    env.__class__ = Drawing
    assert cdq.QLearner(env, seed=0).stepping_reason.startswith("step has other probabilities than P (state")


def test_a_first_state_that_is_not_in_the_table() -> None:
    class Elsewhere(Lake):
        def reset(self, **arguments: Any) -> Any:
            super().reset(**arguments)
            self.s = 14
            return 14, {}

    assert "reset begins in state 14" in cdq.QLearner(Elsewhere(), seed=0).stepping_reason
    often = Elsewhere()
    often.initial_state_distrib = np.full(16, 1 / 16)
    assert "reset begins in other states" in cdq.QLearner(often, seed=0).stepping_reason


def test_a_step_that_raises() -> None:
    def raising(env: Any, answer: Any) -> Any:
        raise KeyError("no")

    reason = cdq.QLearner(Lake(raising), seed=0).stepping_reason
    assert reason == "step raised KeyError when P was checked: 'no'"


@pytest.mark.parametrize(
    "make",
    [
        Lake,
        lambda: Lake(map_name="8x8"),
        lambda: TimeLimit(Lake(is_slippery=False), 100),
        lambda: Walk(table_of_walk()),
        lambda: Walk(table_of_walk((7, 0)), first=(7, 5)),
        lambda: Walk(table_of_walk((7, 5)), first=(7, 5)),
        lambda: Walk(table_of_walk(), first=(7, 5)),
        lambda: Walk([list(row.values()) for row in table_of_walk().values()]),
    ],
)
def test_a_table_that_playing_confirms(make: Any) -> None:
    agent = cdq.QLearner(make(), seed=0)
    assert agent.stepping == MODEL
    assert agent.stepping_reason.endswith("pairs found nothing against P")
    assert cdq.MDP.from_gymnasium(make()).fingerprint() == agent.model.fingerprint()  # type: ignore[union-attr]


def test_pairs_that_do_not_come_up_are_not_taken_on_trust() -> None:
    table = table_of_walk()
    table[1][0] = [(0.9999999, 1, 0.0, False), (1e-7, 3, 5.0, True)]
    table[3][0] = [(1.0, 3, 0.0, False)]
    table[1][1] = [(1.0 - 1e-9, 2, 0.0, False), (1e-9, 3, 0.0, False)]
    agent = cdq.QLearner(Walk(table), seed=0)
    assert agent.stepping == PYTHON
    assert "of the 8 pairs that P can lead to did not come up" in agent.stepping_reason


# ---- options that P does not hold, and what P does hold


def test_a_fickle_passenger_is_not_in_the_table() -> None:
    env = gymnasium.make(TAXI, fickle_passenger=True, fickle_probability=1.0)
    agent = cdq.QLearner(env, seed=0)
    assert (agent.stepping, agent.model) == (PYTHON, None)
    assert agent.stepping_reason == "fickle_passenger changes what step does, and P does not hold it"
    with pytest.raises(UnsupportedEnvironment, match="fickle_passenger"):
        cdq.MDP.from_gymnasium(TAXI, fickle_passenger=True)
    late: Any = gymnasium.make(TAXI)
    late.unwrapped.fickle_passenger = True
    assert cdq.QLearner(late, seed=0).stepping == PYTHON


@pytest.mark.parametrize(
    ("env_id", "arguments"),
    [
        (TAXI, {"is_rainy": True}),
        ("FrozenLake-v1", {"success_rate": 0.8}),
        ("FrozenLake-v1", {"reward_schedule": (10, -3, -1)}),
        ("FrozenLake-v1", {"desc": ["SFF", "FHG"]}),
        ("CliffWalking-v1", {"is_slippery": True}),
    ],
)
def test_options_that_the_table_holds(env_id: str, arguments: dict[str, Any]) -> None:
    agent = cdq.QLearner(gymnasium.make(env_id, **arguments), seed=0)
    assert agent.stepping == MODEL
    assert agent.stepping_reason.startswith("P is what step of Gymnasium's")


def test_a_table_that_was_changed_is_what_step_draws_from() -> None:
    env = lake()
    env.unwrapped.P[14][2] = [(1.0, 15, 9.0, True)]
    env.unwrapped.initial_state_distrib = np.eye(16)[14]
    agent = learnt(env)
    assert (agent.stepping, agent.evaluate().mean_return, return_of(agent, env)) == (MODEL, 9.0, 9.0)


def test_a_subclass_whose_step_is_gymnasiums() -> None:
    class Renamed(TaxiEnv):
        """Another map would do as well."""

    class Reading(FrozenLakeEnv):
        P = property(lambda self: FrozenLakeEnv().P, lambda self, table: None)  # type: ignore[assignment]

    assert (
        cdq.QLearner(Renamed(), seed=0).stepping_reason == "P is what step of Gymnasium's TaxiEnv draws from"
    )
    assert cdq.QLearner(Reading(), seed=0).stepping_reason.endswith("found nothing against P")


# ---- methods that were replaced


def test_a_step_that_was_replaced() -> None:
    env = lake()
    theirs = env.unwrapped.step

    def other(action: Any) -> Any:
        observation, reward, *others = theirs(action)
        return (observation, 7 * reward, *others)

    env.unwrapped.step = other
    agent = learnt(env)
    assert (agent.stepping, agent.evaluate().mean_return, return_of(agent, env)) == (PYTHON, 7.0, 7.0)
    assert agent.stepping_reason == "step pays other rewards than P (state 14, action 2: 7, not 1)"


def test_a_step_of_a_wrapper_that_was_replaced() -> None:
    env = lake()
    theirs = env.step
    env.step = lambda action: other_goal(env, theirs(action))
    agent = learnt(env)
    assert (agent.stepping, agent.evaluate().mean_return) == (PYTHON, 20.0)
    assert agent.stepping_reason == "methods of the wrapper TimeLimit were replaced"


def test_a_class_that_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = FrozenLakeEnv.step

    def step(self: Any, a: Any) -> Any:
        observation, reward, *others = theirs(self, a)
        return (observation, 3 * reward, *others)

    monkeypatch.setattr(FrozenLakeEnv, "step", step)
    assert learnt("FrozenLake-v1").stepping == PYTHON


def test_a_step_that_is_replaced_between_two_calls() -> None:
    env: Any = Walk()
    agent = learnt(env, 500, step_size=1.0)
    assert agent.evaluate().mean_return == 1.0
    env.step = lambda action: (3, 9.0, True, False, {})
    agent.learn(100)
    assert agent.evaluate().mean_return == 9.0
    assert agent.table.values[0].tolist() == [9.0, 9.0]


# ---- wrappers


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda env: TransformReward(env, lambda reward: 100 * reward - 1),
        lambda env: TransformObservation(env, lambda state: 15 - state, env.observation_space),
        lambda env: type("Mine", (TimeLimit,), {})(env, 50),
        lambda env: TimeLimit(TransformReward(env, lambda reward: 100 * reward - 1), 50),
    ],
)
def test_wrappers_that_may_change_the_model(wrapped: Any) -> None:
    agent = learnt(wrapped(lake()))
    assert agent.stepping == PYTHON
    assert agent.evaluate().mean_return == return_of(agent, wrapped(lake()))
    with pytest.raises(
        UnsupportedEnvironment, match="the wrapper .* may change what the environment within it does"
    ):
        cdq.MDP.from_gymnasium(wrapped(lake()))


def test_spaces_of_a_wrapper_that_were_changed() -> None:
    env = lake()
    env.action_space = gymnasium.spaces.Discrete(2)
    agent = cdq.QLearner(env, seed=0)
    assert (agent.stepping, agent.table.values.shape) == (PYTHON, (16, 2))


def test_statistics_that_see_nothing_are_told(caplog: pytest.LogCaptureFixture) -> None:
    env = RecordEpisodeStatistics(lake())
    with caplog.at_level(logging.WARNING, "cdq"):
        agent = learnt(env)
    assert agent.stepping == MODEL
    assert (
        "RecordEpisodeStatistics sees none of the steps; stepping='python' fills it" in agent.stepping_reason
    )
    assert "RecordEpisodeStatistics" in caplog.text
    assert len(env.return_queue) == 0
    learnt(env, 1000, stepping="python")
    assert len(env.return_queue) > 0


# ---- time limits


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda: TimeLimit(lake(), 1000), 100),
        (lambda: TimeLimit(lake(), 7), 7),
        (lambda: TimeLimit(TimeLimit(FrozenLakeEnv(is_slippery=False), 5), 9), 5),
        (lambda: lake(max_episode_steps=-1), None),
        (lambda: lake().unwrapped, None),
        (lambda: TimeLimit(gymnasium.make("cdq/RiverSwim-v0", max_episode_steps=9), 20), 9),
    ],
)
@pytest.mark.parametrize("stepping", ["auto", "python"])
def test_the_tightest_time_limit_counts(make: Any, limit: int | None, stepping: str) -> None:
    agent = cdq.QLearner(make(), seed=0, stepping=stepping)
    assert agent._subject.time_limit == limit
    never = agent.evaluate(20).mean_length  # of a table of zeros, which goes left
    assert never == (limit or 10_000)
    if stepping == "auto":
        assert cdq.MDP.from_gymnasium(make()).time_limit == limit


def test_time_limits_of_compiled_environments() -> None:
    pole = TimeLimit(gymnasium.make("cdq/CartPole-v0"), 1000)
    assert cdq.QLearner(pole, seed=0)._subject.time_limit == 500
    pole = TimeLimit(gymnasium.make("cdq/CartPole-v0"), 50)
    assert cdq.QLearner(pole, seed=0)._subject.time_limit == 50


def test_a_time_limit_that_was_changed() -> None:
    env = lake()
    env._max_episode_steps = 3
    agent = learnt(env)
    assert (agent.evaluate().mean_length, return_of(agent, env)) == (3.0, 0.0)


# ---- compiled environments


def test_a_compiled_environment_with_a_step_in_python() -> None:
    from cdq.envs.finite import RiverSwim

    class Paying(RiverSwim):
        def step(self, action: Any) -> Any:
            return paying_more(super().step(action))

    agent = learnt(TimeLimit(Paying(), 10), 1000)
    assert agent.stepping_reason == "Paying has a step or reset of its own in Python"
    assert agent.evaluate().mean_return >= 10.0
    env: Any = RiverSwim()
    theirs = env.step
    env.step = lambda action: paying_more(theirs(action))
    assert learnt(TimeLimit(env, 10), 1000).evaluate().mean_return >= 10.0


@pytest.mark.parametrize("env", ["cdq/RiverSwim-v0", "cdq/GridWorld-v0", "cdq/DeepSea-v0", "cdq/Garnet-v0"])
def test_tables_of_shipped_environments_are_known(env: str) -> None:
    assert cdq.QLearner(env, seed=0).stepping_reason == "P lists what its compiled step does"


def test_an_id_that_was_registered_anew_has_no_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cdq.QLearner("CartPole-v1").stepping_reason == "cdq/CartPole-v0 is CartPole-v1, compiled"
    spec = gymnasium.spec("CartPole-v1")
    monkeypatch.setitem(
        gymnasium.registry, "CartPole-v1", gymnasium.envs.registration.EnvSpec("CartPole-v1", Walk)
    )
    assert cdq.QLearner("CartPole-v1").stepping == PYTHON
    monkeypatch.setitem(gymnasium.registry, "CartPole-v1", spec)
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv

    monkeypatch.setattr(
        CartPoleEnv, "step", lambda self, action: (np.zeros(4, np.float32), 2.0, True, False, {})
    )
    assert cdq.QLearner("CartPole-v1").stepping == PYTHON


# ---- P that is none, or cannot be read

ROWS = table_of_walk()


class WithMethod(Walk):
    def P(self, state: int, action: int) -> float:  # type: ignore[override]
        return 1.0


class WithProperty(Walk):
    @property
    def P(self) -> Any:
        raise RuntimeError("not yet")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Walk(3),
        lambda: Walk("P"),
        lambda: Walk({}),
        lambda: Walk(np.full((2, 4, 4), 0.25)),
        lambda: Walk({(s, a): ROWS[s][a] for s in range(4) for a in range(2)}),
        lambda: Walk({0: ROWS[0], 1: ROWS[1]}),
        lambda: Walk({**ROWS, 4: ROWS[0]}),
        lambda: Walk({s: {0: ROWS[s][0]} for s in range(4)}),
        lambda: Walk({s: {a: [(*ROWS[s][a][0], 1)] for a in range(2)} for s in range(4)}),
        lambda: Walk({s: {a: [(*ROWS[s][a][0][:3], 0.5)] for a in range(2)} for s in range(4)}),
        lambda: Walk({s: {a: [(*ROWS[s][a][0][:3], "False")] for a in range(2)} for s in range(4)}),
        lambda: Walk({s: {a: [(0.5, *ROWS[s][a][0][1:])] for a in range(2)} for s in range(4)}),
        lambda: Walk({s: {a: [] for a in range(2)} for s in range(4)}),
        lambda: Walk(ROWS, start=False),
        WithMethod,
        WithProperty,
    ],
)
def test_a_table_that_is_none_is_not_taken(make: Any) -> None:
    agent = learnt(make(), 2000)
    assert (agent.stepping, agent.evaluate().mean_return) == (PYTHON, 1.0)
    assert agent.stepping_reason
    with pytest.raises((UnsupportedEnvironment, ModelError)):
        cdq.MDP.from_gymnasium(make())


def test_a_table_is_only_read() -> None:
    table: Any = defaultdict(lambda: defaultdict(list))
    table[0][0] = [(1.0, 0, 0.0, False)]
    assert cdq.QLearner(Walk(table), seed=0).stepping == PYTHON
    assert list(table) == [0]
    assert list(table[0]) == [0]


# ---- what is asked for


def test_a_model_that_is_asked_for() -> None:
    env = TransformReward(lake(), lambda reward: 100 * reward)
    agent = learnt(env, stepping="model")
    assert (agent.stepping, agent.stepping_reason) == (MODEL, "stepping='model' says so")
    assert agent.evaluate().mean_return == 1.0
    with pytest.raises(UnsupportedEnvironment, match="no transition table"):
        cdq.QLearner("Blackjack-v1", stepping="model")
    with pytest.raises(UnsupportedEnvironment, match="a vector environment has no model"):
        cdq.QLearner(gymnasium.make_vec("FrozenLake-v1", 2, "sync"), stepping="model")
    for others in ({"table": "hash"}, {"bins": 2}, {"features": cdq.TileCoding()}, {"masks": True}):
        with pytest.raises(ConfigError, match="stepping='model' learns a table of the model's states"):
            cdq.QLearner("FrozenLake-v1", stepping="model", **others)


def test_a_file_remembers_that_a_model_was_asked_for(tmp_path: Path) -> None:
    env = TransformReward(lake(), lambda reward: 100 * reward)
    learnt(env, stepping="model").save(tmp_path / "agent.safetensors")
    again = cdq.QLearner.load(tmp_path / "agent.safetensors", env)
    assert (again.stepping, again.stepping_reason) == (MODEL, "stepping='model' says so")


def test_the_command_line_says_how_and_why(tmp_path: Path) -> None:
    runner, saved, out = CliRunner(), str(tmp_path / "t.safetensors"), tmp_path / "t.json"
    arguments = [
        "train",
        "FrozenLake-v1",
        "--steps",
        "1000",
        "--seed",
        "0",
        "--save",
        saved,
        "--json",
        str(out),
    ]
    shown = runner.invoke(app, [*arguments, "--stepping", "model"]).stdout
    assert "because" in shown
    assert "stepping='model' says so" in shown
    report = json.loads(out.read_text())
    assert (report["stepping"], report["stepping_reason"]) == (MODEL, "stepping='model' says so")
    assert runner.invoke(app, ["evaluate", saved, "--json", str(out)]).exit_code == 0
    assert json.loads(out.read_text())["stepping"] == MODEL


# ---- actions and states by the environment's own numbers


@pytest.mark.parametrize("stepping", ["auto", "python"])
@pytest.mark.parametrize("table", [None, table_of_walk(), table_of_walk((7, 5))])
def test_actions_are_what_step_takes(table: Any, stepping: str) -> None:
    env = Walk(table, first=(7, 5))
    agent = learnt(env, 2000, stepping=stepping)
    assert agent.stepping == (PYTHON if table is None or stepping == "python" else MODEL)
    assert [agent.predict(state) for state in (7, 8, 9)] == [6, 6, 6]
    assert agent.predict(7, [1, 0]) == 5
    assert return_of(agent, env) == agent.evaluate().mean_return == 1.0
    with pytest.raises(ConfigError):
        agent.predict(0)
    again = cdq.QLearner(env, seed=0, step_size=1.0, stepping=stepping)
    again.learn_from([7, 8, 9], [6, 6, 6], [0.0, 0.0, 1.0], [8, 9, 10], [False, False, True], passes=3)
    assert [again.predict(state) for state in (7, 8, 9)] == [6, 6, 6]


def test_actions_of_other_representations() -> None:
    for arguments in ({"table": "hash"}, {"features": cdq.TileCoding(1, 4)}):
        assert learnt(Walk(first=(7, 5)), 2000, **arguments).predict(8) == 6
