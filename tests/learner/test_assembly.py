"""Each environment by the fastest way there is for it, and what is said of it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError, UnsupportedEnvironment

MODEL, COMPILED = "compiled model", "compiled environment"
PYTHON, VECTOR = "Python environment", "vector environment"


def rewarding_twice(env_id: str) -> gymnasium.Env[Any, Any]:
    return gymnasium.wrappers.TransformReward(gymnasium.make(env_id), lambda reward: 2 * reward)


@pytest.mark.parametrize(
    ("env", "arguments", "stepping", "representation"),
    [
        ("FrozenLake-v1", {}, MODEL, "table of 16 states"),
        ("Taxi-v4", {}, MODEL, "table of 500 states"),
        ("FrozenLake-v1", {"stepping": "python"}, PYTHON, "table of 16 states"),
        ("Taxi-v4", {"masks": True}, PYTHON, "table of 500 states"),
        ("FrozenLake-v1", {"table": "hash"}, PYTHON, "hashed table of 0 states"),
        ("Blackjack-v1", {}, PYTHON, "table of 704 states"),
        ("CartPole-v1", {}, COMPILED, "linear, TileCoding"),
        ("CartPole-v1", {"stepping": "python"}, PYTHON, "linear, TileCoding"),
        ("CartPole-v1", {"bins": 6}, COMPILED, "linear, TileCoding(tilings=1"),
        ("CartPole-v1", {"bins": 6, "table": "hash"}, COMPILED, "hashed table of 0 states"),
        ("MountainCar-v0", {"features": cdq.FourierBasis(3)}, COMPILED, "linear, FourierBasis"),
        ("MountainCar-v0", {"bins": (8, 6), "stepping": "python"}, PYTHON, "table of 48 states"),
        ("cdq/GridWorld-v0", {}, MODEL, "table of 64 states"),
        ("cdq/GridWorld-v0", {"table": "hash"}, COMPILED, "hashed table of 0 states"),
    ],
)
def test_the_fastest_way(env: str, arguments: dict[str, Any], stepping: str, representation: str) -> None:
    agent = cdq.QLearner(env, seed=0, **arguments)
    assert agent.stepping == stepping
    assert agent.representation.startswith(representation)
    assert agent.learn(100).steps >= 100
    agent.close()


def test_an_environment_that_is_given() -> None:
    with gymnasium.make("FrozenLake-v1") as env:
        assert cdq.QLearner(env).stepping == MODEL
        assert env.reset(seed=0)[0] == 0  # it is still open


def test_a_wrapper_that_only_looks_on_leaves_the_model() -> None:
    with gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("FrozenLake-v1")) as env:
        assert cdq.QLearner(env).stepping == MODEL


@pytest.mark.parametrize("env_id", ["CliffWalking-v1", "MountainCar-v0", "cdq/RiverSwim-v0"])
def test_a_wrapper_that_changes_rewards_is_learnt(env_id: str) -> None:
    with rewarding_twice(env_id) as env:
        features = cdq.TileCoding(2, 2) if "Car" in env_id else None
        agent = cdq.QLearner(env, seed=0, features=features, step_size=1.0)
        assert agent.stepping == PYTHON
        agent.learn(1)
        if env_id == "CliffWalking-v1":  # whose step costs 1, in the cliff 100
            assert set(agent.table.values.ravel()) <= {0.0, -2.0, -200.0}


def test_a_vector_environment_brings_its_lanes() -> None:
    with closing(gymnasium.make_vec("FrozenLake-v1", num_envs=3, vectorization_mode="sync")) as env:
        agent = cdq.QLearner(env, seed=0).learn(300)
        assert (agent.stepping, agent.settings.num_envs, agent.steps) == (VECTOR, 3, 300)
        with pytest.raises(ConfigError, match="3"):
            cdq.QLearner(env, num_envs=4).learn(100)


def test_python_environments_are_one_unless_more_are_asked_for() -> None:
    assert cdq.QLearner("Blackjack-v1").settings.num_envs == 1
    assert cdq.QLearner("Blackjack-v1", num_envs=3).learn(30).settings.num_envs == 3
    assert cdq.QLearner("FrozenLake-v1").settings.num_envs == 16


@pytest.mark.parametrize(
    "arguments",
    [{"features": cdq.TileCoding()}, {"bins": 3}, {"table": "hash"}, {"stepping": "python"}, {"masks": True}],
)
def test_a_model_is_learnt_as_it_is(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="an MDP is learnt as it is"):
        cdq.QLearner(cdq.MDP.garnet(4, 2, branching=2, seed=0), **arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"table": "sparse"}, "table is 'sparse'; allowed: 'dense' or 'hash'"),
        ({"stepping": "numba"}, "stepping is 'numba'; allowed: 'auto' or 'python'"),
        ({"masks": 1}, "masks is 1; allowed: 'auto' or True or False"),
        ({"bins": 0}, "bins is 0"),
        ({"bins": "8"}, "bins is '8'"),
        ({"features": "tiles"}, "features is 'tiles'; allowed: cdq.TileCoding"),
        ({"features": cdq.TileCoding(), "bins": 2}, "choose one"),
        ({"features": cdq.TileCoding(), "table": "hash"}, "features and a hashed table exclude each other"),
    ],
)
def test_what_is_not_allowed(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cdq.QLearner("CartPole-v1", **arguments)


def test_too_many_states_for_a_table() -> None:
    with pytest.raises(ConfigError, match="table='hash'"):
        cdq.QLearner(gymnasium.make("cdq/GridWorld-v0", shape=(10**6, 10**6)))


def test_continuous_actions() -> None:
    with pytest.raises(UnsupportedEnvironment, match="DiscretizeAction"):
        cdq.QLearner("Pendulum-v1")


def test_no_distance_from_optimal_without_a_model() -> None:
    agent = cdq.QLearner("Blackjack-v1")
    with pytest.raises(ConfigError, match=r"no distance from optimal is known; use cdq.MeanReturn"):
        agent.learn(100, until=cdq.OptimalWithin(0.1))
    report = agent.report()
    assert report["gap"] is None
    assert report["optimal_value"] is None


def test_masks_in_prediction() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(100_000)
    best = agent.predict(14)
    mask = np.ones(4, np.int8)
    mask[best] = 0
    assert agent.predict(14, mask) != best
    with pytest.raises(ConfigError, match="at least one is not 0"):
        agent.predict(14, np.zeros(4))


class Restricted(gymnasium.Env[Any, int]):
    """Pays less the higher the action, of which the observation allows 1 and 3."""

    observation_space = gymnasium.spaces.Dict(
        {"observation": gymnasium.spaces.Discrete(2), "action_mask": gymnasium.spaces.MultiBinary(4)}
    )
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return observed(0, [0, 1, 0, 1]), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return observed(1, [0, 0, 0, 0]), -float(action), True, False, {"taken": action}


def observed(state: int, mask: list[int]) -> dict[str, Any]:
    return {"observation": state, "action_mask": np.array(mask, np.int8)}


def test_masks_in_observations() -> None:
    agent = cdq.QLearner(Restricted, seed=0, gamma=1.0).learn(200)
    assert np.flatnonzero(agent.table.visits[0]).tolist() == [1, 3]
    assert agent.predict(observed(0, [0, 1, 0, 1])) == 1
    assert agent.predict(observed(0, [0, 0, 0, 1])) == 3
    assert agent.evaluate(20).mean_return == -1
    free = cdq.QLearner(Restricted, seed=0, gamma=1.0, masks=False).learn(200)
    assert free.predict(observed(0, [0, 1, 0, 1])) == 0


@pytest.mark.parametrize(
    ("env", "arguments"),
    [
        ("CartPole-v1", {}),
        ("CartPole-v1", {"bins": 4}),
        ("MountainCar-v0", {"features": cdq.PolynomialBasis(2)}),
        ("Blackjack-v1", {"table": "hash"}),
        ("cdq/RiverSwim-v0", {}),
    ],
)
def test_files_remember_how(env: str, arguments: dict[str, Any], tmp_path: Any) -> None:
    agent = cdq.QLearner(env, seed=0, **arguments).learn(2000)
    agent.save(tmp_path / "agent.safetensors")
    again = cdq.QLearner.load(tmp_path / "agent.safetensors")
    assert again.table.digest() == agent.table.digest()
    assert again.settings == agent.settings
    assert again.representation.split(",")[0] == agent.representation.split(",")[0]
    again.learn(500)
    assert again.steps > agent.steps


def test_a_callable_that_makes_vector_environments() -> None:
    agent = cdq.QLearner(
        lambda: gymnasium.make_vec("FrozenLake-v1", num_envs=2, vectorization_mode="sync"), seed=0
    )
    assert agent.learn(200).steps == 200
    assert agent.stepping == VECTOR
    agent.close()


def test_solved_is_what_the_threshold_says() -> None:
    report = cdq.QLearner("FrozenLake-v1", seed=0).learn(2_000_000).report()
    assert (report["reward_threshold"], report["solved"]) == (0.7, True)
    assert cdq.QLearner("FrozenLake-v1", seed=0).report()["solved"] is False
    assert cdq.QLearner(cdq.MDP.garnet(3, 2, branching=2, seed=0)).report()["solved"] is None
