"""Environments that are copied, pickled and loaded in another process."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq.envs
from cdq.core.envs.envs import FUNCTIONS
from cdq.envs import CompiledEnv
from cdq.errors import ConfigError
from tests.envs.compiled import FINITE, scripted

SHIPPED = ["GridWorld", "Garnet", "RiverSwim", "DeepSea", "MountainCar", "CartPole", "Acrobot"]
MAKERS: dict[str, Callable[[], Any]] = {
    **{name: partial(gymnasium.make, f"cdq/{name}-v0") for name in SHIPPED},
    **FINITE,
}


def seen(env: Any, steps: int = 60) -> list[str]:
    """Return what steps bring, starting an episode where one ends."""
    found = []
    for t in range(steps):
        *answer, _ = env.step(t % int(env.action_space.n))
        found.append(repr(answer))
        if answer[2] or answer[3]:
            found.append(repr(env.reset()[0]))
    return found


def started(name: str) -> Any:
    """Return an environment in the middle of an episode."""
    env = MAKERS[name]()
    env.reset(seed=5)
    env.step(0)
    return env


def pickled(env: Any) -> Any:
    return pickle.loads(pickle.dumps(env))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_goes_on_as_the_original_does(name: str, copied: Any) -> None:
    env = started(name)
    other, expected = copied(env), seen(env)
    del env
    assert seen(other) == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("name", FINITE)
def test_a_shallow_copy_lives_too(name: str) -> None:
    env = started(name)
    assert seen(copy.copy(env)) == seen(env)


@pytest.mark.parametrize("name", MAKERS)
def test_the_original_is_not_stepped_by_its_copy(name: str) -> None:
    env, untouched = started(name), started(name)
    seen(copy.deepcopy(env))
    assert seen(env) == seen(untouched)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_carries_an_environment(protocol: int) -> None:
    env = started("map")
    assert seen(pickle.loads(pickle.dumps(env, protocol))) == seen(env)


_LOAD = """
import pickle, sys
from tests.envs.test_copies import seen
print(*[seen(env) for env in pickle.load(sys.stdin.buffer)], sep="\\n")
"""


def test_another_process_loads_them_all() -> None:
    envs = [started(name) for name in MAKERS]
    sent = pickle.dumps(envs)
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(Path(__file__).parents[2])])  # cdq, then the tests
    loaded = subprocess.run(
        [sys.executable, "-c", _LOAD],
        input=sent,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert loaded.returncode == 0, loaded.stderr.decode()
    assert loaded.stdout.decode().splitlines() == [repr(seen(env)) for env in envs]


def test_spawned_processes_step_an_environment_that_exists() -> None:
    env = gymnasium.make("cdq/GridWorld-v0", walls=["S.#", "..G"])
    spawned = gymnasium.vector.AsyncVectorEnv([lambda: env] * 2, context="spawn")
    try:
        assert spawned.reset(seed=0)[0].tolist() == [0, 0]
        assert spawned.step(np.array([1, 2]))[0].tolist() == [3, 1]
    finally:
        spawned.close()


def test_a_copy_is_learnt_as_the_original(tmp_path: Any) -> None:
    env = FINITE["map"]()
    tables = [
        cdq.QLearner(made, seed=0, stepping=stepping).learn(3000).table.values
        for made in (env, copy.deepcopy(env), pickled(env))
        for stepping in ("auto", "python")
    ]
    for one, other in zip(tables[:2] * 2, tables[2:], strict=True):
        assert one.tolist() == other.tolist()


def test_changed_parameters_are_those_of_the_copy_alone() -> None:
    context = np.array([6])
    env = CompiledEnv(*FUNCTIONS["river"], n_actions=2, n_states=6, context=context)
    env.reset(seed=0)
    other = copy.deepcopy(env)
    context[0] = 2  # a river of two states
    assert [int(max(one.step(1)[0] for _ in range(100))) for one in (env, other)] == [1, 5]


# ---- functions of the user's own


def own() -> CompiledEnv:
    def step(lane: Any) -> None:
        lane["integer"][0] = lane["index"] = (lane["integer"][0] + 1 + lane["action"]) % 4
        lane["reward"] = lane["uniform"][0]

    return scripted(step)


def test_environments_of_own_functions_are_copied() -> None:
    env = own()
    env.reset(seed=1)
    other, third = copy.deepcopy(env), copy.copy(env)
    expected = seen(env)
    del env
    assert seen(other) == expected
    assert seen(third) == expected


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: gymnasium.wrappers.TimeLimit(env, 5)])
def test_environments_of_own_functions_refuse_to_be_pickled(wrap: Any) -> None:
    with pytest.raises(ConfigError, match=r"another process.*EzPickle"):
        pickle.dumps(wrap(own()))


@pytest.mark.parametrize("name", ["grid", "garnet"])
def test_parameters_that_hold_addresses_of_the_users_refuse_to_be_pickled(name: str) -> None:
    context = MAKERS[name]()._context
    env = CompiledEnv(*FUNCTIONS[name], n_actions=4, n_states=20, context=context)
    with pytest.raises(ConfigError, match="addresses"):
        pickle.dumps(env)


def test_numba_functions_are_copied_and_refuse_to_be_pickled() -> None:
    import numba

    signature = numba.types.void(numba.types.CPointer(numba.from_dtype(cdq.envs.lane_dtype())))

    def step(pointer: Any) -> None:
        lane = numba.carray(pointer, 1)[0]
        lane.index = (lane.index + 1) % 3

    def reset(pointer: Any) -> None:
        numba.carray(pointer, 1)[0].index = 0

    functions = (numba.cfunc(signature)(step), numba.cfunc(signature)(reset))
    env = CompiledEnv(*functions, n_actions=2, n_states=3)
    env.reset(seed=0)
    other = copy.deepcopy(env)
    assert [int(other.step(0)[0]) for _ in range(4)] == [1, 2, 0, 1]
    assert int(env.step(0)[0]) == 1
    with pytest.raises(ConfigError, match="EzPickle"):
        pickle.dumps(env)


class Easy(gymnasium.utils.EzPickle, CompiledEnv):
    """The advice of the message, followed."""

    def __init__(self, n_states: int) -> None:
        gymnasium.utils.EzPickle.__init__(self, n_states)

        def step(lane: Any) -> None:
            lane["index"] = (lane["index"] + 1) % n_states

        made = scripted(step)
        CompiledEnv.__init__(self, *made._functions[:2], n_actions=2, n_states=n_states)


def test_a_class_of_ones_own_is_pickled_by_its_arguments() -> None:
    env = pickled(Easy(3))
    env.reset(seed=0)
    assert [int(env.step(0)[0]) for _ in range(3)] == [1, 2, 0]
    other = copy.deepcopy(env)
    assert int(other.step(0)[0]) == 1
