"""Observations cut into bins by Gymnasium's wrapper, in ranges of any size."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import DiscretizeObservation
from hypothesis import given
from hypothesis import strategies as st

import cdq
from cdq.envs.bins import discretized
from cdq.errors import EnvironmentFailure, UnsupportedEnvironment
from tests.test_features import RANGES


class Sweep(gymnasium.Env[Any, Any]):
    """Shows numbers from the lowest to the highest of its space, one after another."""

    action_space = spaces.Discrete(2)

    def __init__(self, low: Any, high: Any, dtype: Any = np.float64, shown: Any = None) -> None:
        self.observation_space = spaces.Box(low, high, (1,), dtype)
        self._shown = np.linspace(low, high, 41) if shown is None else shown
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        return self._seen(), 1.0, self._steps == len(self._shown) - 1, False, {}

    def _seen(self) -> Any:
        return np.array([self._shown[self._steps]], np.float64)


def visited(agent: cdq.QLearner) -> list[int]:
    return np.flatnonzero(agent.table.visits.any(axis=1)).tolist()


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("stepping", ["python", "vector"])
def test_all_rows_are_visited(low: float, high: float, stepping: str) -> None:
    make: Any = lambda: Sweep(low, high)  # noqa: E731
    if stepping == "vector":
        agent = cdq.QLearner(lambda: gymnasium.vector.SyncVectorEnv([make]), bins=4, seed=0)
    else:
        agent = cdq.QLearner(make, bins=4, seed=0)
    assert visited(agent.learn(200)) == [0, 1, 2, 3]
    agent.close()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_narrow_range_of_any_type_has_all_its_rows(dtype: Any) -> None:
    low, high = (dtype(0), dtype(3e-5 if dtype == np.float16 else 3e-9))
    assert visited(cdq.QLearner(lambda: Sweep(low, high, dtype), bins=4, seed=0).learn(200)) == [0, 1, 2, 3]


def test_a_range_beyond_float64_is_cut() -> None:
    shown = np.array([-1.7e308, -5e307, 5e307, 1.7e308])
    agent = cdq.QLearner(lambda: Sweep(-1.7e308, 1.7e308, shown=shown), bins=4, seed=0, gamma=0.5)
    assert agent.learn(50).table.n_states == 4
    assert visited(agent) == [0, 1, 2]  # the last one ends


@given(st.integers(1, 9), st.integers(0, 2**32))
def test_ordinary_ranges_are_cut_as_gymnasium_does(bins: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    low = random.normal(size=3) * 10
    space = spaces.Box(low.astype(np.float32), (low + 0.1 + random.random(3) * 9).astype(np.float32))
    env = gymnasium.make("CartPole-v1").unwrapped
    env.observation_space = space
    own, theirs = discretized(env, bins), DiscretizeObservation(env, bins, multidiscrete=True)
    assert own.observation_space == theirs.observation_space
    for observation in random.uniform(space.low - 0.5, space.high + 0.5, (30, 3)):
        assert own.observation(observation).tolist() == theirs.observation(observation).tolist()  # type: ignore[attr-defined]


class Answering(Sweep):
    """Shows what a test says."""

    def __init__(self, answer: Any) -> None:
        super().__init__(0.0, 1.0)
        self._answer = answer

    def _seen(self) -> Any:
        return self._answer


@pytest.mark.parametrize(
    "answer", [np.zeros(2), "a", None, np.array([1j]), np.array([None]), {"a": 1}, ["0.5"]]
)
def test_what_is_not_of_the_space_is_in_no_bin(answer: Any) -> None:
    with pytest.raises(EnvironmentFailure, match=r"the observation .* is not in Box\(0.0, 1.0"):
        cdq.QLearner(lambda: Answering(answer), bins=4, seed=0).learn(10)


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ([0.5, np.nan], "a number that is not finite"),
        ([0.5, np.inf], "a number that is not finite"),
    ],
)
def test_what_is_not_finite_is_in_no_bin(shown: Any, message: str) -> None:
    with pytest.raises(EnvironmentFailure, match=message):
        cdq.QLearner(lambda: Sweep(0.0, 1.0, shown=np.array(shown)), bins=4, seed=0).learn(10)


def test_a_constant_input_is_one_row_and_anything_else_of_it_is_told() -> None:
    """The bounds 1e9 and 1e9 + 1 are the same number in float32."""
    constant = cdq.QLearner(lambda: Sweep(2.0, 2.0), bins=4, seed=0).learn(100)
    assert len(visited(constant)) == 1
    shown = np.array([1e9, 1e9 + 0.5, 1e9 + 1])
    env = Sweep(1e9, 1e9 + 1, np.float32, shown)
    with pytest.raises(EnvironmentFailure, match=r"both of its bounds are .*dtype=np.float64"):
        cdq.QLearner(env, bins=4, seed=0).learn(10)
    advised = cdq.QLearner(Sweep(1e9, 1e9 + 1, np.float64, shown), bins=4, seed=0).learn(100)
    assert visited(advised) == [0, 2]  # the third one ends


def test_what_cannot_be_cut_is_refused_with_what_to_do() -> None:
    for env_id in ("Blackjack-v1", "FrozenLake-v1", "cdq/GridWorld-v0"):
        with pytest.raises(UnsupportedEnvironment, match="bins=3 does not fit .*Leave out bins"):
            cdq.QLearner(env_id, bins=3)
        assert cdq.QLearner(env_id, seed=0).learn(100).steps >= 100
    vectors = gymnasium.make_vec("FrozenLake-v1", 2, vectorization_mode="sync")
    with pytest.raises(UnsupportedEnvironment, match="bins=3 does not fit .*Leave out bins"):
        cdq.QLearner(vectors, bins=3)
    vectors.close()


def test_bounds_that_are_missing_are_given_as_the_message_says() -> None:
    with pytest.raises(
        UnsupportedEnvironment, match=r"input 0 has the bounds -inf .*TileCoding\(1, BINS, low"
    ):
        cdq.QLearner(lambda: Sweep(-np.inf, np.inf, shown=np.arange(4)), bins=4)
    features = cdq.TileCoding(1, 4, low=0, high=4)
    make: Any = lambda: Sweep(-np.inf, np.inf, shown=np.arange(5))  # noqa: E731
    assert visited(cdq.QLearner(make, features=features, seed=0).learn(50)) == [0, 1, 2, 3]
    bounded = gymnasium.wrappers.TransformObservation(
        make(), lambda seen: np.clip(seen, 0, 4), spaces.Box(0, 4, (1,), np.float64)
    )
    assert visited(cdq.QLearner(bounded, bins=4, seed=0).learn(50)) == [0, 1, 2, 3]
