"""Loops tell a network which episodes ended, and how: targets of all lanes, added up, are what they must be.

The network gives every state the same value, every step pays 1, and nothing is discounted: a target is the number of
steps that are left, and the value where the episode or the rollout is cut short of its end.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from cdq.core.lanes import Lanes
from cdq.core.network.network import Shape
from cdq.envs.classic import MountainCar
from cdq.envs.compiled import CompiledEnvironment
from cdq.envs.python import PythonEnvironment
from cdq.envs.vector import VectorEnvironment
from cdq.errors import EnvironmentFailure
from cdq.workers.worker import streams
from tests.small_networks import LAW, Network, network_of

VALUE, LENGTH, LANES = 5.0, 3, 4
SWEEPS = 8  # two episodes of three steps, and two steps of a third


class Walk(gymnasium.Env[Any, Any]):
    """Three steps to the end, or to the time limit."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, *, ends: bool = False, masked: bool = False, bad_at: int | None = None) -> None:
        self.ends, self.masked, self.bad_at = ends, masked, bad_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at = 0
        return self.seen()

    def seen(self) -> Any:
        observation = np.full(2, np.nan if self.at == self.bad_at else self.at / 8, np.float32)
        return observation, {"action_mask": np.array([1, 0], np.int8)} if self.masked else {}

    def step(self, action: Any) -> Any:
        assert not (self.masked and action)
        self.at += 1
        observation, info = self.seen()
        over = self.at == LENGTH
        return observation, 1.0, over and self.ends, over and not self.ends, info


def level_network(inputs: int, actions: int, sweeps: int = SWEEPS) -> Network:
    """Return a network that values every state alike."""
    network = network_of(
        np.random.default_rng(0),
        Shape(inputs, (8,), actions),
        LANES,
        rollout=sweeps,
        minibatch=10**6,
        trace=1.0,
        reward_scale=1.0,
    )
    network.parameters[-actions * 9 : -actions] = 0
    network.parameters[-actions:] = VALUE
    return network


def target_sum(source: Any, network: Network, sweeps: int = SWEEPS) -> tuple[int, float]:
    """Run a loop for a rollout; return the number of samples and the sum of their targets."""
    lanes = Lanes(LANES, getattr(source, "own_bytes", 0))
    lanes.words[:] = streams(0, (0,), LANES)
    loop = source.loop(network.q, lanes, 1.0, [0] * LANES, np.zeros(1, np.int32))
    loop.reset()
    assert loop.run(LAW, sweeps, 1.0, 1.0)[0]
    n = network.q.targets()
    actions = network.shape.actions
    network.q.shuffle()
    # The gradient by the last bias is 2 / n times the sum of value minus target.
    return n, n * VALUE - float(network.gradients()[0][-actions:].sum()) * n / 2


TWO_EPISODES = 2 * (3 + 2 + 1)
UNFINISHED = (2 + VALUE) + (1 + VALUE)
CUT = 2 * 3 * VALUE  # what the steps of two episodes gain by a value at the end


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("ends", "gained"), [(True, 0.0), (False, CUT)])
def test_environments_one_by_one(ends: bool, gained: float, masked: bool) -> None:
    source = PythonEnvironment(lambda: Walk(ends=ends, masked=masked), LANES)
    n, total = target_sum(source, level_network(2, 2))
    assert n == SWEEPS * LANES
    assert total == pytest.approx(LANES * (TWO_EPISODES + gained + UNFINISHED), rel=1e-5)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(("ends", "gained"), [(True, 0.0), (False, CUT)])
def test_vector_environments(ends: bool, gained: float, mode: AutoresetMode) -> None:
    """The step that begins an episode (NEXT_STEP) is no sample: 3 steps, 1 of these, 3 steps, 1 of these."""
    envs = SyncVectorEnv([lambda: Walk(ends=ends)] * LANES, autoreset_mode=mode)
    n, total = target_sum(VectorEnvironment(envs), level_network(2, 2))
    resets = 2 if mode is AutoresetMode.NEXT_STEP else 0
    assert n == (SWEEPS - resets) * LANES
    expected = TWO_EPISODES + gained + (0 if resets else UNFINISHED)
    assert total == pytest.approx(LANES * expected, rel=1e-5)


def test_compiled_environments() -> None:
    """Its rewards are -1, and no car reaches the top in three steps."""
    env = gymnasium.wrappers.TimeLimit(MountainCar(), LENGTH)
    n, total = target_sum(CompiledEnvironment(env), level_network(2, 3))
    assert n == SWEEPS * LANES
    expected = -TWO_EPISODES + CUT + (VALUE - 2) + (VALUE - 1)
    assert total == pytest.approx(LANES * expected, rel=1e-5)


def test_an_observation_that_is_not_finite_names_its_lane() -> None:
    made: list[Walk] = []

    def one() -> Walk:
        made.append(Walk(bad_at=2 if len(made) == 1 else None))
        return made[-1]

    with pytest.raises(EnvironmentFailure, match=r"lane 1, step 2.*not finite"):
        target_sum(PythonEnvironment(one, LANES), level_network(2, 2))


def test_more_sweeps_than_a_rollout_has_are_refused() -> None:
    network = level_network(2, 2, sweeps=4)
    with pytest.raises(ValueError, match="a rollout has 4 sweeps"):
        target_sum(PythonEnvironment(Walk, LANES), network, sweeps=5)
    network = level_network(2, 3, sweeps=4)
    with pytest.raises(ValueError, match="a rollout has 4 sweeps"):
        target_sum(CompiledEnvironment(MountainCar()), network, sweeps=5)
