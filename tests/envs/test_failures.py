"""Environments that fail, or answer what cannot be learnt."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import cdq
from cdq.core.lanes import Lanes
from cdq.core.linear.linear import LinearQ
from cdq.envs.python import PythonEnvironment
from cdq.envs.vector import VectorEnvironment
from cdq.errors import EnvironmentFailure, UnsupportedEnvironment
from cdq.features import TileCoding
from tests.envs.scripted import LAW, Scripted, Wide, start
from tests.small_tables import make_table


def raise_key_error(env: Any) -> Any:
    raise KeyError("broken")


class NoText(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no text")


def raise_no_text(env: Any) -> Any:
    raise NoText


def raise_codes_of_a_terminal(env: Any) -> Any:
    raise RuntimeError("two\nlines \x1b[2J")


def raise_a_book(env: Any) -> Any:
    raise RuntimeError("a" * 10**6)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (raise_no_text, r"step raised NoText: its text cannot be made \(action [01]\)$"),
        (raise_codes_of_a_terminal, r"step raised RuntimeError: two lines \?\[2J \(action [01]\)$"),
        (raise_a_book, r"step raised RuntimeError: a{1000}\.\.\. \(action [01]\)$"),
        (raise_key_error, "step raised KeyError: 'broken'"),
        ((1, np.nan, False, False, {}), "the reward is nan"),
        ((1, -np.inf, False, False, {}), "the reward is -inf"),
        (
            (1, None, False, False, {}),
            r"the reward is None, NoneType \(action [01]\); allowed: one finite number$",
        ),
        ((4, 0.0, False, False, {}), r"4 is not in Discrete\(4\)"),
        ((np.zeros(3), 0.0, False, False, {}), r"is not in Discrete\(4\)"),
        ((np.nan, 0.0, False, False, {}), r"nan is not in Discrete\(4\)"),
        ((1, 0.0, False, {}), r"step returned 4 values: \(1, 0.0, False, {}\) \(action .*five.*shimmy"),
        ((1, 0.0), r"step returned 2 values: \(1, 0.0\) \(action .*five"),
        ([1, 0.0, False, False, {}], r"step returned \[1, .*, list \(action .*a tuple of five"),
        (None, "step returned None, NoneType .*five"),
    ],
)
def test_a_failure_names_lane_and_step(answer: Any, message: str) -> None:
    envs = iter([Scripted((1, 0.0, False, False, {})), Scripted(answer)])
    loop, _ = start(PythonEnvironment(lambda: next(envs), 2), 2)
    with pytest.raises(EnvironmentFailure, match=message) as caught:
        loop.run(LAW, 100, 1.0, 1.0)
    assert (caught.value.lane, caught.value.step) == (1, 3)
    assert str(caught.value).startswith("lane 1, step 3: ")
    if answer is raise_key_error:
        assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(ValueError, match="no episode was started"):  # nobody goes on from there by accident
        loop.run(LAW, 1, 1.0, 1.0)


def test_the_step_is_that_of_the_episode() -> None:
    loop, _ = start(PythonEnvironment(lambda: Scripted(end_or_break)))
    with pytest.raises(EnvironmentFailure, match="lane 0, step 1: step raised ZeroDivisionError"):
        loop.run(LAW, 100, 1.0, 1.0)


def end_or_break(env: Scripted) -> Any:
    return (1, 1 / (4 - env.steps), env.steps == 3, False, {})


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (0, "reset returned 0, int; allowed: a tuple of two, .*shimmy"),
        ((7, {}), r"7 is not in Discrete\(4\)"),
        ((0, {}, 1), "reset returned .*; allowed: a tuple of two"),
        ([0, {}], "reset returned .*, list; allowed: a tuple of two"),
        (np.zeros(2), r"reset returned array.*, ndarray of shape \(2,\); allowed: a tuple of two"),
        (("0", {}), "the observation '0' is not in"),
    ],
)
def test_a_reset_that_fails_names_the_lane(first: Any, message: str) -> None:
    source = PythonEnvironment(lambda: Scripted(first=first))
    with pytest.raises(EnvironmentFailure, match=f"lane 0: .*{message}"):
        start(source)


@pytest.mark.parametrize(
    ("flag", "shown"),
    [
        ("False", "'False', str"),
        (np.nan, "nan, float"),
        (0.5, "0.5, float"),
        (7, "7, int"),
        (-1, "-1, int"),
        (10**400, r"10{76}\.\.\., int"),
        (None, "None, NoneType"),
        ([], r"\[\], list"),
        (np.array([False]), r"array\(\[False\]\), ndarray of shape \(1,\)"),
        (np.array([True, False]), r"array\(\[ True, False\]\), ndarray of shape \(2,\)"),
        (np.float32("nan"), r"(np\.float32\()?nan\)?, float32"),
        (np.str_("True"), r"(np\.str_\()?'True'\)?, str_"),
        (np.datetime64(0, "s"), r".*, datetime64"),
    ],
)
@pytest.mark.parametrize("name", ["terminated", "truncated"])
def test_what_is_no_flag_is_a_failure(flag: Any, shown: str, name: str) -> None:
    flags = (flag, False) if name == "terminated" else (False, flag)
    loop, _ = start(PythonEnvironment(lambda: Scripted((1, 0.0, *flags, {}))))
    message = rf"lane 0, step 3: {name} is {shown} \(action [01]\); allowed: True or False$"
    with pytest.raises(EnvironmentFailure, match=message):
        loop.run(LAW, 100, 1.0, 1.0)


class Nameless:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("reward", "shown"),
    [
        ("1", "'1', str"),
        (1j, "1j, complex"),
        (np.complex128(1), ".*, complex128"),
        (np.datetime64(0, "s"), ".*, datetime64"),
        ([1.0], r"\[1.0\], list"),
        (np.array(["1"]), ".*ndarray of shape .1,."),
        (np.array([1.0, 2.0]), r"array\(\[1., 2.\]\), ndarray of shape \(2,\)"),
        (10**400, "10{76}..., int"),
        ([Nameless()], "something that cannot be printed, list"),
        ({}, "{}, dict"),
    ],
)
def test_what_is_no_reward_is_a_failure(reward: Any, shown: str) -> None:
    loop, _ = start(PythonEnvironment(lambda: Scripted((1, reward, False, False, {}))))
    with pytest.raises(
        EnvironmentFailure, match=rf"step 3: the reward is {shown} \(action [01]\); allowed: one"
    ):
        loop.run(LAW, 100, 1.0, 1.0)


@pytest.mark.parametrize("reward", [np.array([1.0]), np.array([[1]])])
def test_a_reward_in_an_array_is_told_how_to_leave_it(reward: Any) -> None:
    loop, _ = start(PythonEnvironment(lambda: Scripted((1, reward, False, False, {}))))
    with pytest.raises(EnvironmentFailure, match=r"the reward is .*shape \(1.*return reward.item\(\)"):
        loop.run(LAW, 100, 1.0, 1.0)
    loop, table = start(PythonEnvironment(lambda: Scripted((1, reward.item(), True, False, {}))))
    loop.run(LAW, 3, 1.0, 1.0)
    assert table.values[1].max() == 0.5


@pytest.mark.parametrize("flag", [True, 1, 1.0, np.True_, np.array(True), np.int8(1), np.float32(1)])
def test_true_may_be_written_in_many_ways(flag: Any) -> None:
    for flags in ((flag, False), (False, flag), (flag, flag * 0)):
        loop, _ = start(PythonEnvironment(lambda flags=flags: Scripted((1, 0.0, *flags, {}))))
        assert loop.run(LAW, 3, 1.0, 1.0)[1] == 1


class Started(Scripted):
    """Its actions are 5 and 6."""

    action_space = spaces.Discrete(2, start=5)


def test_a_failure_names_the_action_as_the_environment_calls_it() -> None:
    loop, _ = start(PythonEnvironment(lambda: Started((1, np.nan, False, False, {}))))
    with pytest.raises(
        EnvironmentFailure, match=r"the reward is nan \(action [56]\); allowed: a finite number"
    ):
        loop.run(LAW, 100, 1.0, 1.0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((1, "1", False, False, {}), None),
        ((1, np.array([1.0, 2.0]), False, False, {}), None),
        ((1, 0.0, 0.5, False, {}), "lane 0, step 3: terminated is 0.5 .action"),
    ],
)
def test_an_answer_of_a_vector_environment_is_read_as_strictly(answer: Any, message: str | None) -> None:
    """Gymnasium's own refuses most by itself; those that answer anything are scripted in whole."""
    envs = SyncVectorEnv([lambda: Scripted((1, 0.0, False, False, {}))])
    loop, _ = start(VectorEnvironment(envs))
    step = envs.step
    envs.step = lambda actions: _scripted(envs, step, actions, answer)  # type: ignore[method-assign]
    loop, _ = start(VectorEnvironment(envs))
    with pytest.raises(EnvironmentFailure, match=message or "the rewards are .*; allowed: 1 numbers"):
        loop.run(LAW, 10, 1.0, 1.0)


def _scripted(envs: Any, step: Any, actions: Any, answer: Any) -> Any:
    observations, *_, infos = step(actions)
    if envs.envs[0].steps < 3:
        return observations, np.zeros(1), np.zeros(1, bool), np.zeros(1, bool), infos
    return observations, *(np.atleast_1d(part) for part in answer[1:4]), infos


def test_rewards_and_flags_may_be_of_any_type() -> None:
    for reward in (1, np.float32(1), np.int8(1), np.array(1.0), True):
        answer = (np.array(2), reward, np.bool_(True), np.array(False), {})
        loop, table = start(PythonEnvironment(lambda answer=answer: Scripted(answer)))
        assert loop.run(LAW, 3, 1.0, 1.0) == (True, 1, 3, 1.0)
        assert table.values[1].max() == 0.5


def test_an_observation_that_is_not_a_number_is_a_failure() -> None:
    source = PythonEnvironment(Wide)
    coding = TileCoding(tilings=2, tiles=2).bind(source.encoder.low, source.encoder.high)
    shape = (coding.n_features, 2)
    table = make_table(np.zeros(shape), np.zeros(shape))
    loop = source.loop(LinearQ(table.rows, 1, coding), Lanes(1), 0.9, [0], np.zeros(1, np.int32))
    loop.reset()
    with pytest.raises(
        EnvironmentFailure, match=r"lane 0, step 3: the observation \[0.5, nan\] has a number"
    ):
        loop.run(LAW, 10, 1.0, 1.0)


@pytest.mark.parametrize("vector", [False, True])
def test_a_window_that_is_interrupted_within_a_step_is_followed_by_new_episodes(vector: bool) -> None:
    """What the lanes are at is then not what the environments are at."""
    env: Any = Scripted(interrupt_once)
    env.sentinel = object()  # so that there is no copy, with which it would be compared before
    source = VectorEnvironment(SyncVectorEnv([lambda: env])) if vector else PythonEnvironment(env)
    loop, _ = start(source)
    with pytest.raises(KeyboardInterrupt):
        loop.run(LAW, 10, 1.0, 1.0)
    assert env.resets == 1
    assert loop.run(LAW, 4, 1.0, 1.0) == (True, 0, 0, 0.0)
    assert env.resets == 2
    loop.run(LAW, 1, 1.0, 1.0)
    assert env.resets == 2


def interrupt_once(env: Scripted) -> Any:
    if env.steps == 3:
        raise KeyboardInterrupt
    return 1, 0.0, False, False, {}


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # Gymnasium tells of its processes
def test_an_environment_that_raises_in_a_process_of_a_vector_environment() -> None:
    envs = AsyncVectorEnv([lambda: Scripted((1, 0.0, False, False, {})), lambda: Scripted(raise_key_error)])
    loop, _ = start(VectorEnvironment(envs), 2)
    with pytest.raises(EnvironmentFailure, match="step 3: step raised KeyError: .*broken") as caught:
        loop.run(LAW, 10, 1.0, 1.0)
    assert isinstance(caught.value.__cause__, KeyError)
    envs.close(terminate=True)


def test_a_table_refuses_real_observations() -> None:
    with pytest.raises(UnsupportedEnvironment, match="TileCoding"):
        start(PythonEnvironment(Wide), n_states=4)


def test_an_environment_that_changes_its_spaces_is_a_failure() -> None:
    for name in ("action", "observation"):
        env = Scripted((1, 0.0, False, False, {}))
        loop, _ = start(PythonEnvironment(env))
        loop.run(LAW, 2, 1.0, 1.0)
        setattr(env, f"{name}_space", spaces.Discrete(9))
        with pytest.raises(
            EnvironmentFailure, match=rf"changed its {name} space from Discrete\(\d\) to Discrete\(9\)"
        ):
            loop.run(LAW, 2, 1.0, 1.0)


def test_a_table_that_is_too_small_is_told_as_such() -> None:
    loop, _ = start(PythonEnvironment(lambda: Scripted((3, 0.0, False, False, {}))), n_states=3)
    with pytest.raises(
        EnvironmentFailure, match="lane 0, step 3: the observation's index 3 is not one of the table's"
    ):
        loop.run(LAW, 10, 1.0, 1.0)


@pytest.mark.parametrize(("dtype", "reward", "least"), [("float64", 1e308, 1e306), ("float32", 1e39, 1e36)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_reward_whose_sums_overflow_is_a_failure_when_it_comes(
    dtype: str, reward: float, least: float, sign: int
) -> None:
    """Those below are learnt, and so are all in episodes that nobody learns from."""

    def agent(paid: float) -> cdq.QLearner:
        answer = (1, sign * paid, False, False, {})
        return cdq.QLearner(lambda: Scripted(answer), gamma=0.9, seed=0, dtype=dtype)

    message = (
        rf"step 3: the reward is {re.escape(str(sign * reward))} \(action .\); allowed: up to .*{dtype} holds"
    )
    with pytest.raises(EnvironmentFailure, match=message):
        agent(reward).learn(100)
    assert np.isfinite(agent(least).learn(2000).table.values).all()


def test_a_reward_whose_sums_overflow_is_a_failure_of_a_vector_environment() -> None:
    answer = (1, 1e308, False, False, {})
    loop, _ = start(VectorEnvironment(SyncVectorEnv([lambda: Scripted(answer)] * 2)), 2)
    with pytest.raises(EnvironmentFailure, match=r"lane 0, step 3: the reward is 1e\+308"):
        loop.run(LAW, 10, 1.0, 1.0)


class Beyond(Wide):
    """Observations that leave the bounds of their space, or what *found* says."""

    found = (5.0, -5.0)

    def step(self, action: Any) -> Any:
        self.steps += 1
        return np.array(self.found, np.float32), 0.0, self.steps % 5 == 0, False, {}


@pytest.mark.parametrize(
    "how",
    [
        {"bins": 4},
        {"features": TileCoding(2, 2)},
        {"features": cdq.FourierBasis(1)},
        {"network": cdq.Network((8,))},
    ],
)
def test_vectors_may_leave_the_bounds_of_their_space_but_not_the_numbers(
    how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = cdq.QLearner(Beyond, seed=0, num_envs=1, **how).learn(200)
    assert agent.steps >= 200
    if "bins" not in how:
        at_bounds = agent.action_values(np.array([1.0, -1.0]))
        clipped = np.array_equal(at_bounds, agent.action_values(np.array(Beyond.found)))
        assert clipped == ("features" in how)
    for found, message in (((np.inf, 0.0), "not finite"), ((0.0,), "1 numbers, not 2")):
        monkeypatch.setattr(Beyond, "found", found)
        with pytest.raises(EnvironmentFailure, match=message):
            cdq.QLearner(Beyond, seed=0, **how).learn(200)
