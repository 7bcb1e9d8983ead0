from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq.envs  # noqa: F401 - registers
from cdq.core.envs.envs import call
from cdq.core.loops.stepping import LANE_BYTES
from cdq.envs import lane_dtype
from cdq.envs.classic import TWINS
from cdq.errors import ConfigError

TRANSITIONS = 100_000

# Where transitions begin, wide enough for clips, walls, wraps and ends.
LOW = {
    "MountainCar-v0": [-1.2, -0.07],
    "CartPole-v1": [-2.5, -5, -0.25, -5],
    "Acrobot-v1": [-3.15, -3.15, -13, -29],
}
HIGH = {"MountainCar-v0": [0.6, 0.07], "CartPole-v1": [2.5, 5, 0.25, 5], "Acrobot-v1": [3.15, 3.15, 13, 29]}


class Twin:
    """A compiled environment that is stepped from any state."""

    def __init__(self, env: Any) -> None:
        self.env = env.unwrapped
        self.memory = np.zeros(LANE_BYTES, np.uint8)
        self.lane = self.memory.view(lane_dtype())[0]

    def step(self, state: Any, action: int) -> Any:
        self.lane["state"][: len(state)], self.lane["action"] = state, action
        self.lane["terminated"] = 0
        call(self.env.functions[0], self.memory, self.env.context)
        return self.lane["state"][: len(state)]

    def reset(self, uniform: Any) -> Any:
        self.lane["uniform"] = uniform
        call(self.env.functions[1], self.memory, 0)
        return self.lane["state"].copy()


@pytest.mark.parametrize("name", TWINS)
def test_a_step_is_gymnasiums(name: str) -> None:
    theirs, twin = gymnasium.make(name).unwrapped, Twin(gymnasium.make(TWINS[name]))
    random = np.random.default_rng(0)
    states = random.uniform(LOW[name], HIGH[name], (TRANSITIONS, len(LOW[name])))
    actions = random.integers(0, twin.env.n_actions, TRANSITIONS).tolist()
    expected, found, ends, rewards, observed = [], [], [], [], []
    for state, action in zip(states, actions, strict=True):
        theirs.state, theirs.steps_beyond_terminated = state, None  # type: ignore[attr-defined]
        seen, reward, terminated, _, _ = theirs.step(action)
        expected.append(np.array(theirs.state))  # type: ignore[attr-defined]
        found.append(twin.step(state, action).copy())
        ends.append((terminated, bool(twin.lane["terminated"])))
        rewards.append((reward, float(twin.lane["reward"])))
        observed.append((seen, twin.lane["observation"][: len(seen)].astype(np.float32)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert {pair for pair in ends if pair[0] != pair[1]} == set()
    assert {pair for pair in rewards if pair[0] != pair[1]} == set()
    assert 0.001 < np.mean([end for end, _ in ends]) < 0.999
    np.testing.assert_allclose(*zip(*observed, strict=True), rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize("name", TWINS)
def test_episodes_are_gymnasiums(name: str) -> None:
    """The same actions from the same start, to its end; Acrobot is chaotic, so that last bits grow."""
    theirs, twin = gymnasium.make(name), Twin(gymnasium.make(TWINS[name]))
    random = np.random.default_rng(1)
    for seed in range(20):
        theirs.reset(seed=seed)
        state = np.array(theirs.unwrapped.state, float)  # type: ignore[attr-defined]
        over = False
        while not over:
            action = int(random.integers(twin.env.n_actions))
            _, _, terminated, truncated, _ = theirs.step(action)
            state = twin.step(state, action).copy()
            np.testing.assert_allclose(state, np.array(theirs.unwrapped.state), rtol=0, atol=1e-6)  # type: ignore[attr-defined]
            assert terminated == bool(twin.lane["terminated"])
            over = terminated or truncated


@pytest.mark.parametrize("name", TWINS)
def test_starts_are_gymnasiums(name: str) -> None:
    """The same function of uniform numbers: from the same generator, the same starts."""
    theirs, twin = gymnasium.make(name).unwrapped, Twin(gymnasium.make(TWINS[name]))
    for seed in range(100):
        theirs.reset(seed=seed)
        expected = np.array(theirs.state, float)  # type: ignore[attr-defined]
        uniform = np.random.Generator(np.random.PCG64(seed)).random(4)
        np.testing.assert_allclose(twin.reset(uniform)[: len(expected)], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", TWINS)
def test_spaces_limits_and_thresholds_are_gymnasiums(name: str) -> None:
    theirs, ours = gymnasium.make(name), gymnasium.make(TWINS[name])
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.spec is not None
    assert theirs.spec is not None
    assert ours.spec.max_episode_steps == theirs.spec.max_episode_steps
    assert ours.spec.reward_threshold == theirs.spec.reward_threshold


@pytest.mark.parametrize(("masspole", "length"), [(0.1, 1.0), (0.4, 0.5), (1.5, 0.2)])
def test_a_pole_of_another_mass_and_length_is_gymnasiums(masspole: float, length: float) -> None:
    theirs: Any = gymnasium.make("CartPole-v1").unwrapped
    theirs.masspole, theirs.length = masspole, length
    theirs.total_mass, theirs.polemass_length = masspole + theirs.masscart, masspole * length
    twin = Twin(gymnasium.make("cdq/CartPole-v0", masspole=masspole, length=length))
    random = np.random.default_rng(0)
    for state in random.uniform(LOW["CartPole-v1"], HIGH["CartPole-v1"], (200, 4)):
        action = int(random.integers(2))
        theirs.state, theirs.steps_beyond_terminated = state, None
        theirs.step(action)
        np.testing.assert_allclose(twin.step(state, action), theirs.state, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "given", [{"length": 0}, {"masspole": -1.0}, {"length": float("nan")}, {"masspole": "1"}]
)
def test_poles_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="allowed: a finite number above 0"):
        gymnasium.make("cdq/CartPole-v0", **given)
