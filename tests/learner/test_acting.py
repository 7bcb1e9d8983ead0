"""Actions for batches of observations, exploring actions, and policies as plain functions."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest

import cdq
from cdq.errors import ConfigError

IDS: dict[str, dict[str, Any]] = {
    "FrozenLake-v1": {},
    "Blackjack-v1": {},
    "CartPole-v1": {},
    "MountainCar-v0": {"bins": 8, "table": "hash"},
    "Acrobot-v1": {"bins": 4},
    "CliffWalking-v1": {"table": "hash", "stepping": "python"},
}


@pytest.mark.parametrize("name", IDS)
def test_a_batch_of_a_vector_environment_gets_an_action_each(name: str) -> None:
    agent = cdq.QLearner(name, seed=0, **IDS[name]).learn(3000)
    envs = gymnasium.make_vec(name, 3, vectorization_mode="sync")
    try:
        observations, _ = envs.reset(seed=0)
        for _ in range(3):
            actions = agent.predict(observations)
            assert actions.shape == (3,)
            assert actions.dtype == np.int64
            singles = gymnasium.vector.utils.iterate(envs.observation_space, observations)
            assert actions.tolist() == [agent.predict(one) for one in singles]
            observations = envs.step(actions)[0]
    finally:
        envs.close()


def test_a_batch_of_one_is_a_batch() -> None:
    agent = cdq.QLearner("CartPole-v1", seed=0)
    assert agent.predict(np.zeros((1, 4), np.float32)).shape == (1,)
    assert isinstance(agent.predict(np.zeros(4, np.float32)), int)
    assert agent.predict(np.zeros((0, 4), np.float32)).shape == (0,)


def test_lists_and_columns_are_batches() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(100_000)
    expected = [agent.predict(state) for state in (14, 0, 9)]
    for batch in ([14, 0, 9], np.array([14, 0, 9], np.uint8), pd.Series([14, 0, 9]), [np.int64(14), 0, 9]):
        assert agent.predict(batch).tolist() == expected
    assert agent.predict([]).tolist() == []


def test_a_batch_with_what_is_no_state_is_refused() -> None:
    with pytest.raises(ConfigError, match="99"):
        cdq.QLearner("FrozenLake-v1", seed=0).predict([0, 99])


class Masked(gymnasium.Env[Any, Any]):
    """One step; the observation, a Dict, holds a mask."""

    observation_space = gymnasium.spaces.Dict(
        {"observation": gymnasium.spaces.Discrete(2), "action_mask": gymnasium.spaces.MultiBinary(3)}
    )
    action_space = gymnasium.spaces.Discrete(3, start=5)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return {"observation": 0, "action_mask": np.array([0, 1, 1], np.int8)}, {}

    def step(self, action: Any) -> Any:
        return {"observation": 1, "action_mask": np.array([1, 1, 1], np.int8)}, 0.0, True, False, {}


def test_batches_of_observations_with_masks() -> None:
    agent = cdq.QLearner(Masked(), seed=0)
    masks = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1]], np.int8)
    batch = {"observation": np.array([0, 1, 1]), "action_mask": masks}
    assert agent.predict(batch).tolist() == [7, 6, 5]
    singles = [{"observation": 0, "action_mask": masks[0]}, {"observation": 1, "action_mask": masks[2]}]
    assert agent.predict(singles).tolist() == [7, 5]
    drawn = {agent.predict(singles[0], deterministic=False) for _ in range(100)}
    assert drawn == {7}


def test_masks_of_a_batch_are_a_row_each() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    assert agent.predict([0, 1], np.array([[0, 1, 1, 1], [0, 0, 0, 1]])).tolist() == [1, 3]
    with pytest.raises(
        ConfigError, match=r"the action masks have shape \(4,\); allowed: a row for each of the 2"
    ):
        agent.predict([0, 1], [0, 1, 1, 1])


def test_names_of_a_log_come_in_lists() -> None:
    log = ["home", "shop"], ["walk", "buy"], [-1.0, 5.0], ["shop", None], [False, True]
    agent = cdq.QLearner.from_log(*log, passes=100, seed=0)
    assert agent.predict("shop") == "buy"
    assert agent.predict(["shop", "home"]) == ["buy", "walk"]
    assert agent.policy()(["shop", "home"]) == ["buy", "walk"]


# ---- exploring


def test_exploring_takes_any_action_as_often_as_said() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0, exploration=0.4).learn(100_000)
    best, n = agent.predict(14), 20_000
    taken = agent.predict(np.full(n, 14), deterministic=False)
    share = np.bincount(taken, minlength=4) / n
    expected = np.full(4, 0.1) + 0.6 * (np.arange(4) == best)
    np.testing.assert_allclose(share, expected, atol=4 * 0.5 / np.sqrt(n))


def test_exploring_follows_the_schedule_and_the_seed() -> None:
    def drawn(seed: int, steps: int) -> list[int]:
        agent = cdq.QLearner("FrozenLake-v1", seed=seed, exploration=cdq.LinearDecay(1.0, 0.0, 10_000)).learn(
            steps
        )
        actions: list[int] = agent.predict(np.zeros(50, int), deterministic=False).tolist()
        return actions

    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0) != drawn(1, 0)
    assert len(set(drawn(0, 0))) == 4
    assert len(set(drawn(0, 20_000))) == 1


def test_exploring_takes_only_actions_that_there_are() -> None:
    model = cdq.MDP.from_function(lambda s, a: None if (s, a) == (0, 1) else [(1.0, s, 0.0, True)], 2, 3)
    agent = cdq.QLearner(model, seed=0, exploration=1.0)
    assert set(agent.predict(np.zeros(200, int), deterministic=False).tolist()) == {0, 2}
    assert set(
        agent.predict(np.zeros((200), int), np.tile([1, 1, 0], (200, 1)), deterministic=False).tolist()
    ) == {0}


def test_exploring_in_between_changes_nothing_that_is_learnt() -> None:
    plain = cdq.QLearner("FrozenLake-v1", seed=3).learn(5_000).learn(5_000)
    watched = cdq.QLearner("FrozenLake-v1", seed=3).learn(5_000)
    watched.predict([0, 1, 2], deterministic=False)
    assert watched.learn(5_000).table.digest() == plain.table.digest()


@pytest.mark.parametrize("given", ["yes", None, 2])
def test_what_is_no_flag_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="deterministic is .*; allowed: True or False"):
        cdq.QLearner("FrozenLake-v1", seed=0).predict(0, deterministic=given)


# ---- policies


@pytest.mark.parametrize("name", IDS)
def test_a_policy_stays_what_it_was(name: str) -> None:
    agent = cdq.QLearner(name, seed=0, **IDS[name]).learn(3_000)
    env = gymnasium.make(name)
    try:
        env.observation_space.seed(0)
        observations = [env.reset(seed=seed)[0] for seed in range(20)]
    finally:
        env.close()
    policy, before = agent.policy(), [agent.predict(one) for one in observations]
    agent.learn(20_000)
    agent._state.merged.values[:] = np.random.default_rng(0).standard_normal(agent._state.merged.values.shape)
    assert [policy(one) for one in observations] == before
    assert policy(observations if name != "Blackjack-v1" else list(observations)).tolist() == before


def test_a_policy_is_called_like_a_function() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0, exploration=1.0).learn(50_000)
    assert agent.policy()(14) == agent.predict(14)
    assert agent.policy()(0, [0, 0, 0, 1]) == 3
    exploring = agent.policy(deterministic=False)
    assert len({exploring(0) for _ in range(100)}) == 4


def test_a_learner_that_explored_can_be_copied() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    agent.predict(0, deterministic=False)
    assert pickle.loads(pickle.dumps(agent)).table.digest() == agent.table.digest()
