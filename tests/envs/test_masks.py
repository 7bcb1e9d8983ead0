"""Masks of environments that are stepped one after another."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from cdq.envs.python import PythonSource
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
        start(PythonSource(masked(zeros, None)))
    for truncated in (False, True):
        loop, _ = start(PythonSource(masked(ones, (1, 0.0, False, truncated, {"action_mask": zeros}))))
        with pytest.raises(EnvironmentFailure, match="lane 0, step 3: no action is allowed"):
            loop.run(LAW, 10, 1.0, 1.0)


@pytest.mark.parametrize("info", [{}, {"action_mask": np.zeros(2)}, None])
def test_the_mask_of_a_termination_means_nothing(info: Any) -> None:
    loop, _ = start(PythonSource(masked([1, 1], (1, 0.0, True, False, info))))
    assert loop.run(LAW, 3, 1.0, 1.0) == (True, 1, 3, 0.0)


def test_a_mask_that_is_missing_or_of_another_size_is_a_failure() -> None:
    for info, message in (
        ({}, "no action_mask in the info"),
        ({"action_mask": [1]}, "no action mask of 2 numbers"),
    ):
        loop, _ = start(PythonSource(masked([1, 1], (1, 0.0, False, False, info))))
        with pytest.raises(EnvironmentFailure, match=f"lane 0, step 3: .*{message}"):
            loop.run(LAW, 10, 1.0, 1.0)
    with pytest.raises(EnvironmentFailure, match="lane 0: there is no action_mask in the info"):
        start(PythonSource(Scripted, masks=True))


def test_the_mask_of_taxi_is_advice_that_is_taken_only_when_asked_for() -> None:
    for masks, heeded in (("auto", False), (False, False), (True, True)):
        made: list[Spy] = []

        def make(made: list[Spy] = made) -> Any:
            made.append(Spy(gymnasium.make(TAXI)))
            return made[-1]

        loop, _ = start(PythonSource(make, masks=masks))
        loop.run(LAW, 500, 1.0, 1.0)
        assert (made[0].forbidden == 0) is heeded


def test_masks_may_be_ignored() -> None:
    class Careless(Toy):
        def step(self, action: Any) -> Any:
            self.mask[:] = 1
            return super().step(action)

    for kind in ("info", "observation"):
        loop, _ = start(PythonSource(lambda kind=kind: Toy(masks=kind), masks=False))
        with pytest.raises(EnvironmentFailure, match="an action that the mask forbids"):
            loop.run(LAW, 1000, 1.0, 1.0)
        loop, _ = start(PythonSource(lambda kind=kind: Careless(masks=kind), masks=False))
        assert loop.run(LAW, 300, 1.0, 1.0)[0]


def test_what_masks_can_be() -> None:
    with pytest.raises(ConfigError, match="masks must be 'auto', True or False; got 'always'"):
        PythonSource(Scripted, masks="always")
