"""Masks of environments that are stepped one after another."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from cdq.envs.python import PythonEnvironment
from cdq.envs.vector import VectorEnvironment
from cdq.errors import ConfigError, EnvironmentFailure
from tests.envs.scripted import LAW, TAXI, Scripted, Spy, start
from tests.envs.toys import Toy


def masked(first: Any, answer: Any) -> Any:
    return lambda: Scripted(answer, (0, {"action_mask": first}))


def test_a_mask_of_zeros_is_a_failure() -> None:
    ones, zeros = np.ones(2, np.int8), np.zeros(2, np.int8)
    with pytest.raises(
        EnvironmentFailure, match="lane 0: no action is allowed: an action out of range from a mask"
    ):
        start(PythonEnvironment(masked(zeros, None)))
    for truncated in (False, True):
        loop, _ = start(PythonEnvironment(masked(ones, (1, 0.0, False, truncated, {"action_mask": zeros}))))
        with pytest.raises(EnvironmentFailure, match="lane 0, step 3: no action is allowed"):
            loop.run(LAW, 10, 1.0, 1.0)


@pytest.mark.parametrize("info", [{}, {"action_mask": np.zeros(2)}, None])
def test_the_mask_of_a_termination_means_nothing(info: Any) -> None:
    loop, _ = start(PythonEnvironment(masked([1, 1], (1, 0.0, True, False, info))))
    assert loop.run(LAW, 3, 1.0, 1.0) == (True, 1, 3, 0.0)


def test_a_mask_that_is_missing_or_of_another_size_is_a_failure() -> None:
    for info, message in (
        ({}, "no action_mask in the info"),
        ({"action_mask": [1]}, "no action mask of 2 numbers"),
    ):
        loop, _ = start(PythonEnvironment(masked([1, 1], (1, 0.0, False, False, info))))
        with pytest.raises(EnvironmentFailure, match=f"lane 0, step 3: .*{message}"):
            loop.run(LAW, 10, 1.0, 1.0)
    with pytest.raises(EnvironmentFailure, match="lane 0: there is no action_mask in the info"):
        start(PythonEnvironment(Scripted, masks=True))


NO_MASKS = [
    ([np.nan, 1], "entry 0 of the action mask is nan"),
    ([1, 0.5], "entry 1 of the action mask is 0.5"),
    (np.array([7, 1], np.int8), "entry 0 of the action mask is 7"),
    (np.array([-1, 1], np.int8), "entry 0 of the action mask is -1"),
    (np.array([1, 256]), "entry 1 of the action mask is 256"),
    (np.array([1, np.inf], np.float32), "entry 1 of the action mask is inf"),
    (["True", "True"], "entry 0 of the action mask is 'True'"),
    ([None, 1], "entry 0 of the action mask is None"),
    (None, "no action mask of 2 numbers"),
    ("11", "no action mask of 2 numbers"),
    ([1, 1, 1], "no action mask of 2 numbers"),
    ([[1, 1]], "no action mask of 2 numbers"),
    (np.ones((2, 1), np.int8), "no action mask of 2 numbers"),
    ([[1], [1, 0]], "no action mask of 2 numbers"),
]


class InObservation(Scripted):
    """Holds in its observations what the infos of another held."""

    observation_space = gymnasium.spaces.Dict(  # type: ignore[assignment]
        observation=Scripted.observation_space, action_mask=gymnasium.spaces.MultiBinary(2)
    )

    def reset(self, **arguments: Any) -> Any:
        return _moved(*super().reset(**arguments))

    def step(self, action: Any) -> Any:
        observation, *others, info = super().step(action)
        observation, info = _moved(observation, info)
        return observation, *others, info


def _moved(observation: Any, info: Any) -> Any:
    return {"observation": observation, "action_mask": info.get("action_mask", np.ones(2, np.int8))}, {}


@pytest.mark.parametrize("kind", [Scripted, InObservation])
@pytest.mark.parametrize(("mask", "message"), NO_MASKS)
def test_a_mask_that_is_none_is_a_failure(mask: Any, message: str, kind: type[Scripted]) -> None:
    allowed = ".*allowed: one mask of 2 entries, each 0 or 1, or False or True"
    with pytest.raises(EnvironmentFailure, match=f"lane 0: {message}{allowed}"):
        start(PythonEnvironment(lambda: kind(None, (0, {"action_mask": mask}))))
    answer = (1, 0.0, False, False, {"action_mask": mask})
    loop, _ = start(PythonEnvironment(lambda: kind(answer, (0, {"action_mask": [1, 1]}))))
    with pytest.raises(EnvironmentFailure, match=f"lane 0, step 3: {message}{allowed}"):
        loop.run(LAW, 10, 1.0, 1.0)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(("mask", "message"), NO_MASKS)
def test_a_mask_that_is_none_is_a_failure_of_a_vector_environment(
    mask: Any, message: str, mode: AutoresetMode
) -> None:
    fine = {"action_mask": np.ones(2)}
    of_numbers = "entry 0 of the action mask is (nan|11.0)"  # which Gymnasium makes of None and "11"
    answers = [(1, 0.0, False, False, info) for info in (fine, {"action_mask": mask})]
    try:
        envs = SyncVectorEnv([lambda a=a: Scripted(a, (0, fine)) for a in answers], autoreset_mode=mode)
        loop, _ = start(VectorEnvironment(envs), 2)
        with pytest.raises(
            EnvironmentFailure, match=f"step 3: {message}|step 3: {of_numbers}|step raised"
        ) as caught:
            loop.run(LAW, 10, 1.0, 1.0)
    finally:
        envs.close()
    assert "step raised" in str(caught.value) or caught.value.lane == 1


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_mask_in_the_observations_of_a_vector_environment(mode: AutoresetMode) -> None:
    answers = [(1, 0.0, False, False, {"action_mask": np.array(mask, np.int8)}) for mask in ([1, 1], [1, 7])]
    envs = SyncVectorEnv(
        [lambda a=a: InObservation(a, (0, {})) for a in answers],
        autoreset_mode=mode,
    )
    loop, _ = start(VectorEnvironment(envs), 2)
    with pytest.raises(
        EnvironmentFailure, match="step 3: entry 1 of the action mask of lane 1 is 7; allowed"
    ):
        loop.run(LAW, 10, 1.0, 1.0)


@pytest.mark.parametrize(
    "mask",
    [
        [1, 0],
        (True, False),
        np.array([1.0, 0.0]),
        np.array([1, 9, 0, 9], np.int8)[::2],
        np.array([True, 0], object),
    ],
)
def test_masks_of_any_type_that_are_0_and_1(mask: Any) -> None:
    info = {"action_mask": mask}
    loop, _ = start(PythonEnvironment(lambda: Scripted((1, 0.0, False, False, info), (0, info))))
    assert loop.run(LAW, 10, 1.0, 1.0)[0]


def test_the_mask_of_taxi_is_advice_that_is_taken_only_when_asked_for() -> None:
    for masks, heeded in (("auto", False), (False, False), (True, True)):
        made: list[Spy] = []

        def make(made: list[Spy] = made) -> Any:
            made.append(Spy(gymnasium.make(TAXI)))
            return made[-1]

        loop, _ = start(PythonEnvironment(make, masks=masks))
        loop.run(LAW, 500, 1.0, 1.0)
        assert (made[0].forbidden == 0) is heeded


def test_masks_may_be_ignored() -> None:
    class Careless(Toy):
        def step(self, action: Any) -> Any:
            self.mask[:] = 1
            return super().step(action)

    for kind in ("info", "observation"):
        loop, _ = start(PythonEnvironment(lambda kind=kind: Toy(masks=kind), masks=False))
        with pytest.raises(EnvironmentFailure, match="an action that the mask forbids"):
            loop.run(LAW, 1000, 1.0, 1.0)
        loop, _ = start(PythonEnvironment(lambda kind=kind: Careless(masks=kind), masks=False))
        assert loop.run(LAW, 300, 1.0, 1.0)[0]


def test_what_masks_can_be() -> None:
    with pytest.raises(ConfigError, match="masks must be 'auto', True or False; got 'always'"):
        PythonEnvironment(Scripted, masks="always")
