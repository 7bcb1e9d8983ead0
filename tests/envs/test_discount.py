"""Discounts and successors that an environment says itself: compiled, in Python, and in vectors."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numba import carray, cfunc, from_dtype, types

import cdq
from cdq.core.lanes import Lanes, widened
from cdq.envs import CompiledEnv, lane_dtype
from cdq.errors import EnvironmentFailure

STATES = 6
SIGNATURE = types.void(types.CPointer(from_dtype(lane_dtype())))


def walk(discount: float | None = None, successor: int | None = None, shift: int = 0) -> CompiledEnv:
    """Return a random walk on a ring; a target bootstraps *shift* states beyond where the walk goes on."""
    says, factor, beyond = discount is not None, discount or 0.0, shift
    apart, row = successor is not None, successor or 0

    @cfunc(SIGNATURE)
    def step(pointer: Any) -> None:
        lane = carray(pointer, 1)[0]
        lane.integer[0] = (lane.integer[0] + (1 if lane.action == 1 else STATES - 1)) % STATES
        lane.index = lane.integer[0]
        lane.terminated = lane.uniform[0] < 0.05
        lane.reward = float(lane.index)
        if says:
            lane.discount = factor
        if apart:
            lane.successor = row
        if beyond:
            lane.successor = (lane.index + beyond) % STATES

    @cfunc(SIGNATURE)
    def reset(pointer: Any) -> None:
        lane = carray(pointer, 1)[0]
        lane.integer[0] = lane.index = 0

    return CompiledEnv(step, reset, n_actions=2, n_states=STATES, uniforms=1, time_limit=30, name="walk")


class Walk(gymnasium.Env[Any, Any]):
    """The walk in Python, without an end but the time limit; *discount* is what its infos say."""

    observation_space, action_space = spaces.Discrete(STATES), spaces.Discrete(2)

    def __init__(self, discount: Any = None) -> None:
        self.info = {} if discount is None else {"discount": discount}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = 0
        return self.state, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.state = (self.state + (1 if action else STATES - 1)) % STATES
        return self.state, float(self.state), False, False, self.info


def table(env: Any, gamma: float, rule: str = "q-learning", **given: Any) -> Any:
    agent = cdq.QLearner(env, gamma=gamma, step_size=0.25, exploration=0.5, seed=3, rule=rule, **given)
    return agent.learn(6_000).table.values


@pytest.mark.parametrize("rule", ["q-learning", "expected-sarsa", "sarsa", "double-q"])
def test_a_lane_that_says_what_is_usual_has_the_bits_of_one_that_says_nothing(rule: str) -> None:
    usual = table(walk(), 0.5, rule, num_envs=3)
    assert table(walk(1.0, -1), 0.5, rule, num_envs=3).tobytes() == usual.tobytes()


@pytest.mark.parametrize("rule", ["q-learning", "expected-sarsa", "sarsa", "double-q"])
def test_a_discount_multiplies_gamma(rule: str) -> None:
    assert (
        table(walk(0.5), 0.5, rule, num_envs=3).tobytes() == table(walk(), 0.25, rule, num_envs=3).tobytes()
    )


def test_a_negative_discount_is_a_game_of_two() -> None:
    values = table(walk(-1.0), 0.5, num_envs=3)
    assert values.tobytes() != table(walk(), 0.5, num_envs=3).tobytes()
    assert np.isfinite(values).all()


def test_a_target_bootstraps_from_the_successor_and_acting_goes_on_from_the_index() -> None:
    """The walk goes on as ever, so its visits are those of the usual one; the values solve the shifted equations."""
    usual, other = (
        cdq.QLearner(env, gamma=0.5, step_size=cdq.Polynomial(0.77), exploration=1.0, seed=3, num_envs=8)
        for env in (walk(), walk(shift=2))
    )
    usual.learn(400_000), other.learn(400_000)
    assert other.table.visits.tolist() == usual.table.visits.tolist()
    expected = np.zeros((STATES, 2))
    for _ in range(200):
        best = expected.max(axis=1)
        for state in range(STATES):
            for action, after in enumerate(((state - 1) % STATES, (state + 1) % STATES)):
                expected[state, action] = after + 0.5 * 0.95 * best[(after + 2) % STATES]
    assert np.abs(other.table.values - expected).max() < 0.15
    assert np.abs(usual.table.values - expected).max() > 0.5


@pytest.mark.parametrize("discount", [1.5, -1.01, float("nan"), float("inf")])
def test_a_discount_that_is_none_ends_the_run(discount: float) -> None:
    with pytest.raises(EnvironmentFailure, match="discount is .*allowed: -1 to 1"):
        table(walk(discount), 0.5)


def test_a_successor_that_is_no_state_ends_the_run() -> None:
    with pytest.raises(EnvironmentFailure, match="its index is 99 .*; allowed: 0 to 5"):
        table(walk(successor=99), 0.5)


def test_an_info_says_the_discount_of_a_compiled_environment() -> None:
    env = walk(0.5)
    env.reset(seed=0)
    assert env.step(1)[4] == {"discount": 0.5}


def test_an_info_multiplies_gamma() -> None:
    limited = [lambda says=says: gymnasium.wrappers.TimeLimit(Walk(says), 7) for says in (0.5, None, 1)]
    assert table(limited[0], 0.5).tobytes() == table(limited[1], 0.25).tobytes()
    assert table(limited[2], 0.5).tobytes() == table(limited[1], 0.5).tobytes()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_infos_of_a_vector_multiply_gamma(mode: AutoresetMode) -> None:
    def vector(says: Any) -> Any:
        envs = [lambda: gymnasium.wrappers.TimeLimit(Walk(says), 7)] * 3
        return SyncVectorEnv(envs, autoreset_mode=mode)

    assert table(vector(0.5), 0.5).tobytes() == table(vector(None), 0.25).tobytes()


def test_an_info_of_one_lane_alone_counts_for_it_alone() -> None:
    def vector(*says: Any) -> Any:
        return SyncVectorEnv([lambda one=one: Walk(one) for one in says])

    mixed = table(vector(0.5, None), 0.5)
    assert mixed.tobytes() not in {table(vector(one, one), 0.5).tobytes() for one in (0.5, None)}


@pytest.mark.parametrize("discount", [2, "half", None, [0.5, 0.5], float("nan")])
def test_an_info_whose_discount_is_none_ends_the_run(discount: Any) -> None:
    env = Walk()
    env.info = {"discount": discount}
    with pytest.raises(
        EnvironmentFailure, match="discount in the info is .*; allowed: a number from -1 to 1"
    ):
        table(env, 0.5)


def test_lanes_of_an_earlier_version_go_on() -> None:
    today, n, own = Lanes(3, lane_dtype().itemsize), 3, lane_dtype().itemsize
    today.memory[:] = np.random.default_rng(0).integers(0, 256, len(today.memory), np.uint8)
    own_part = today.own.copy()
    own_part[:, -32:] = 0
    today.own[:] = own_part
    first = today.memory.nbytes - n * own
    former = np.concatenate([today.memory[:first], today.own[:, :-32].reshape(-1)])
    assert widened(np.stack([former, former]), n, own).tolist() == [today.memory.tolist()] * 2
    assert widened(today.memory[None], n, own).tolist() == [today.memory.tolist()]
    assert widened(former[None], n, 0).tolist() == [former.tolist()]
