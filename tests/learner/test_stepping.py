"""What a report says is what playing the given environment gives: tables, and what step does."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.toy_text import frozen_lake
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.envs.toy_text.taxi import TaxiEnv
from gymnasium.wrappers import TimeLimit

import cdq
from cdq.errors import ConfigError, UnsupportedEnvironment
from tests.envs.scripted import TAXI
from tests.envs.tables import Lake, Walk, lake, learnt, paying, return_of, table_of_walk

MODEL, COMPILED, PYTHON = "compiled model", "compiled environment", "Python environment"


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
    with pytest.raises(
        UnsupportedEnvironment, match=f"P of Lake cannot be taken for what playing it gives: {said}"
    ):
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
        lambda: Walk({**table_of_walk(), 3: {0: [], 1: []}}),
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
        P = property(  # type: ignore[assignment]
            lambda self: self.table, lambda self, table: setattr(self, "table", table)
        )

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
    assert cdq.QLearner("FrozenLake-v1", seed=0).stepping == PYTHON


def test_draws_that_were_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_lake, "categorical_sample", lambda chances, random: 0)
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    assert agent.stepping == PYTHON
    assert "P can lead to did not come up" in agent.stepping_reason


def test_a_step_that_is_replaced_between_two_calls() -> None:
    env: Any = Walk()
    agent = learnt(env, 500, step_size=1.0)
    assert agent.evaluate().mean_return == 1.0
    env.step = lambda action: (3, 9.0, True, False, {})
    agent.learn(100)
    assert agent.evaluate().mean_return == 9.0
    assert agent.table.values[0].tolist() == [9.0, 9.0]


# ---- compiled environments


def test_a_compiled_environment_with_a_step_in_python() -> None:
    from cdq.envs.finite import RiverSwim

    class Paying(RiverSwim):
        def step(self, action: Any) -> Any:
            return paying_more(super().step(action))

    agent = learnt(TimeLimit(Paying(), 10), 1000)
    assert agent.stepping_reason == "Paying has a step, reset or space of its own in Python"
    assert agent.evaluate().mean_return >= 10.0
    env: Any = RiverSwim()
    theirs = env.step
    env.step = lambda action: paying_more(theirs(action))
    assert learnt(TimeLimit(env, 10), 1000).evaluate().mean_return >= 10.0


@pytest.mark.parametrize("env", ["cdq/RiverSwim-v0", "cdq/GridWorld-v0", "cdq/DeepSea-v0", "cdq/Garnet-v0"])
def test_tables_of_shipped_environments_are_known(env: str) -> None:
    assert cdq.QLearner(env, seed=0).stepping_reason == "P lists what its compiled step does"


def test_attributes_of_a_shipped_environment_that_were_changed() -> None:
    env: Any = gymnasium.make("cdq/GridWorld-v0")
    env.unwrapped.time_limit = 5
    agent = cdq.QLearner(env, seed=0)
    assert (agent.stepping, agent.evaluate(10).mean_length) == (COMPILED, 5.0)
    env.unwrapped.time_limit, env.unwrapped.action_space = None, gymnasium.spaces.Discrete(2)
    agent = cdq.QLearner(env, seed=0).learn(1000)
    assert agent.table.values.shape == (64, 2)
    with pytest.raises(AttributeError):
        env.unwrapped.shape = (4, 4)


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


def test_a_step_of_a_vector_environment_that_is_replaced_between_two_calls() -> None:
    envs: Any = gymnasium.vector.SyncVectorEnv([Walk] * 2)
    agent = learnt(envs, 500, step_size=1.0)
    two = np.ones(2, np.bool_)
    envs.step = lambda actions: (np.array([3, 3]), np.array([9.0, 9.0]), two, ~two, {})
    agent.learn(100)
    assert agent.evaluate(4).mean_return == 9.0
    envs.close()


# ---- changes after the learner was made


def change_reward(env: Any) -> None:
    env.unwrapped.P[14][2] = [(1.0, 15, 9.0, True)]


def change_step(env: Any) -> None:
    env.unwrapped.step = lambda action: (15, 9.0, True, False, {})


def change_limit(env: Any) -> None:
    env._max_episode_steps = 3


def change_step_of_wrapper(env: Any) -> None:
    env.step = lambda action: (15, 9.0, True, False, {})


@pytest.mark.parametrize("change", [change_reward, change_step, change_limit, change_step_of_wrapper])
def test_a_model_that_has_changed_is_told(change: Any) -> None:
    env = lake()
    agent = cdq.QLearner(env, seed=0).learn(100)
    agent.evaluate(1)
    change(env)
    for call in (lambda: agent.learn(100), agent.evaluate, agent.report):
        with pytest.raises(ConfigError, match="FrozenLake-v1 has changed since this learner was made"):
            call()
    again = learnt(env)
    assert again.evaluate().mean_return == return_of(again, env)


def test_a_compiled_environment_that_has_changed_is_told() -> None:
    env = gymnasium.make("cdq/CartPole-v0")
    agent = cdq.QLearner(env, seed=0).learn(100)
    change_step(env)
    with pytest.raises(ConfigError, match="has changed since this learner was made"):
        agent.learn(100)
