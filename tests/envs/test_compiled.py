from __future__ import annotations

import ctypes
import importlib
import shutil
import subprocess
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import cdq.envs
from cdq.core.envs.envs import FUNCTIONS
from cdq.envs import CompiledEnv, lane_dtype
from cdq.envs.compiled import CompiledEnvironment
from cdq.envs.finite import RiverSwim
from cdq.envs.pointers import address_of
from cdq.errors import ConfigError, UnsupportedEnvironment
from tests.envs.compiled import FUNCTION, scripted

STEP, RESET = FUNCTIONS["river"]
BOX = gymnasium.spaces.Box(-1, 1, (2,))
SHIPPED = [
    *("GridWorld", "Garnet", "RiverSwim", "DeepSea", "MountainCar", "CartPole", "Acrobot"),
    *("TicTacToe", "Nim", "ConnectFour", "Signals", "Routing"),
]


def river(**changes: Any) -> CompiledEnv:
    arguments: dict[str, Any] = {"n_actions": 2, "n_states": 6, "context": np.array([6]), **changes}
    return CompiledEnv(STEP, RESET, **arguments)


# ---- pointers


def named_capsule(address: int, name: bytes | None) -> Any:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(address, name, None)


@pytest.mark.parametrize(
    "name",
    [None, b"anything", b"void (cdq_lane *)", b"void (struct cdq_lane *) noexcept nogil", b"void (void *)"],
)
def test_capsules_have_any_name_but_that_of_another_signature(name: Any) -> None:
    assert address_of(named_capsule(STEP, name), "step") == STEP


@pytest.mark.parametrize(
    "name", [b"int (cdq_lane *)", b"void (cdq_lane)", b"void (cdq_lane *, int)", b"void ()"]
)
def test_capsules_of_another_signature_are_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="step has the signature"):
        address_of(named_capsule(STEP, name), "step")


def test_addresses_and_ctypes_functions() -> None:
    assert address_of(STEP, "step") == address_of(np.uint64(STEP), "step") == STEP
    assert address_of(FUNCTION(STEP), "step") == STEP
    for signature in (ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p), ctypes.CFUNCTYPE(None)):
        with pytest.raises(ConfigError, match="reset has the signature"):
            address_of(signature(STEP), "reset")


def test_scipy_callables() -> None:
    import scipy

    assert address_of(scipy.LowLevelCallable(FUNCTION(STEP)), "step") == STEP
    with pytest.raises(ConfigError, match="signature"):
        address_of(scipy.LowLevelCallable(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(STEP)), "step")


@pytest.mark.parametrize(
    "given",
    [0, -1, 2**64, True, None, "step", lambda lane: None, FUNCTION(0), (1, 2)],
    ids=lambda given: repr(given).partition(" at 0x")[0],
)
def test_what_is_no_function_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="step is"):
        address_of(given, "step")


# ---- arguments


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_states": None}, "give n_states.*or observation_space"),
        ({"observation_space": BOX}, "give n_states.*or observation_space"),
        ({"n_states": 0}, "n_states is 0"),
        ({"n_states": 2.5}, "n_states is 2.5"),
        ({"n_actions": 0}, "n_actions is 0"),
        ({"n_actions": True}, "n_actions is True"),
        ({"uniforms": 5}, "uniforms is 5; allowed: a whole number from 0 to 4"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"context": [6]}, "context is a list"),
        ({"context": np.array([object()])}, "context is a ndarray"),
        ({"context": np.zeros((4, 4))[:, 1]}, "not contiguous"),
        ({"context": np.zeros(0)}, "empty"),
        ({"n_states": None, "observation_space": gymnasium.spaces.Discrete(3)}, "a Box of shape"),
        ({"n_states": None, "observation_space": gymnasium.spaces.Box(0, 1, (9,))}, "from 1 to 8"),
        ({"n_states": None, "observation_space": gymnasium.spaces.Box(0, 1, (2, 2))}, "a Box of shape"),
    ],
)
def test_bad_arguments_are_refused(changes: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        river(**changes)


@pytest.mark.parametrize(
    "context",
    [
        np.array([6]),
        np.int64(6).tobytes(),
        np.array([(6,)], [("n", "i8")]),
        np.array([(6,)], [("n", "i8")])[0],
    ],
    ids=["array", "bytes", "structured array", "record"],
)
def test_parameters_are_kept_alive(context: Any) -> None:
    env = river(context=context)
    del context
    env.reset(seed=0)
    rewards = [env.step(1)[1] for _ in range(500)]
    assert 1.0 in rewards  # the last state is that of 6
    assert max(int(env.step(1)[0]) for _ in range(500)) == 5


# ---- as a Gymnasium environment


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_environments_pass_gymnasiums_checker(name: str) -> None:
    env = gymnasium.make(f"cdq/{name}-v0")
    with warnings.catch_warnings():
        if name == "CartPole":  # Gymnasium's own has the same space without bounds, and the same warnings
            warnings.filterwarnings("ignore", ".*Box observation space m.*infinity.*")
        check_env(env.unwrapped)
    env.close()


def test_all_that_is_registered_is_tested() -> None:
    assert {f"cdq/{name}-v0" for name in SHIPPED} == {
        name for name in gymnasium.registry if name.startswith("cdq/")
    }


def test_a_users_environment_passes_the_checker() -> None:
    check_env(river(time_limit=9), skip_render_check=True)


def test_its_randomness_is_np_random() -> None:
    first, second = river(), river()
    walks = [[int(env.step(1)[0]) for _ in range(50)] for env in (first, second) if env.reset(seed=3)]
    assert walks[0] == walks[1]
    assert first.np_random.random() == second.np_random.random()


def test_it_says_what_it_is_stepped_with() -> None:
    env = river(time_limit=2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(gymnasium.error.InvalidAction, match="allowed: 0 to 1"):
        env.step(2)
    assert [env.step(0)[3] for _ in range(2)] == [False, True]
    assert "Discrete(6), 2 actions" in repr(env)


# ---- as a source


def test_the_time_limit_is_the_shorter_of_both() -> None:
    for own, wrapped, expected in [(None, None, 1000), (7, None, 7), (7, 5, 5), (None, -1, None), (7, -1, 7)]:
        env = gymnasium.make("cdq/RiverSwim-v0", max_episode_steps=wrapped)
        env.unwrapped.time_limit = own
        assert CompiledEnvironment(env).time_limit == expected
    assert CompiledEnvironment(river(time_limit=4)).time_limit == 4


def test_other_environments_are_no_source() -> None:
    with pytest.raises(UnsupportedEnvironment, match="not compiled"):
        CompiledEnvironment(gymnasium.make("FrozenLake-v1"))


def test_the_fingerprint_tells_environments_apart() -> None:
    same = [CompiledEnvironment(river()).fingerprint() for _ in range(2)]
    others = [
        river(context=np.array([5])),
        river(n_states=7),
        river(name="other"),
        river(time_limit=5),
        RiverSwim(6),
        gymnasium.make("cdq/GridWorld-v0"),
        gymnasium.make("cdq/GridWorld-v0", walls=0.1),
        gymnasium.make("cdq/GridWorld-v0", walls=0.1, seed=1),
        gymnasium.make("cdq/GridWorld-v0", goals=[(0, 0)]),
        gymnasium.make("cdq/GridWorld-v0", walls=np.eye(8, dtype=bool), goals=[(0, 1)]),
        gymnasium.make("cdq/Garnet-v0"),
        gymnasium.make("cdq/Garnet-v0", seed=1),
        gymnasium.make("cdq/CartPole-v0"),
    ]
    assert same[0] == same[1]
    assert len({same[0], *(CompiledEnvironment(env).fingerprint() for env in others)}) == 1 + len(others)


def test_seeds_are_not_needed_and_names_are_ids() -> None:
    source = CompiledEnvironment(gymnasium.make("cdq/RiverSwim-v0", n_states=9))
    assert (source.name, source.stepping, source.n_states, source.threads) == (
        "cdq/RiverSwim-v0",
        "compiled environment",
        9,
        True,
    )
    source.close()


# ---- C, Numba


CODE = r"""
#include "lane.h"
typedef struct { double pay; int64_t length; } chain;
void chain_reset(cdq_lane *lane) { lane->integer[7] = 0; lane->bytes[0] = 1; lane->index = 0; }
void chain_step(cdq_lane *lane) {
    const chain *c = (const chain *)lane->context;
    int64_t at = lane->integer[7] + (lane->action ? 1 : -1);
    at = at < 0 ? 0 : at;
    lane->integer[7] = at;
    lane->index = at < c->length ? at : c->length - 1;
    lane->reward = at == c->length ? c->pay : 0;
    lane->terminated = at == c->length;
    lane->observation[7] = lane->uniform[3];
    lane->truncated = lane->uniform[3] < 0.01;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    place = tmp_path_factory.mktemp("chain")
    (place / "chain.c").write_text(CODE)
    headers = Path(cdq.envs.__file__).parents[1] / "core"
    command = [
        compiler,
        "-O2",
        "-Wall",
        "-Werror",
        "-shared",
        "-fPIC",
        f"-I{headers}",
        "chain.c",
        "-o",
        "chain.so",
    ]
    subprocess.run(command, cwd=place, check=True, timeout=60)
    return ctypes.CDLL(str(place / "chain.so"))


def test_an_environment_in_c_is_learnt(library: Any) -> None:
    context = np.array([(2.0, 8)], [("pay", "f8"), ("length", "i8")])
    env = CompiledEnv(
        library.chain_step, library.chain_reset, n_actions=2, n_states=8, context=context, name="chain"
    )
    env.reset(seed=0)
    env.step(1)
    assert (env._lane["integer"][7], env._lane["index"]) == (1, 1)
    assert env._lane["observation"][7] == env._lane["uniform"][3]  # numpy's struct is the compiler's
    agent = cdq.QLearner(env, seed=0, gamma=0.9, exploration=0.3).learn(200_000)
    assert [agent.predict(state) for state in range(8)] == [1] * 8
    assert agent.table.values[0, 1] == pytest.approx(2 * 0.9**7, rel=1e-3)


def test_an_environment_in_numba_is_learnt() -> None:
    import numba

    lane_type = numba.from_dtype(lane_dtype())
    signature = numba.types.void(numba.types.CPointer(lane_type))

    def step(pointer: Any) -> None:
        lane = numba.carray(pointer, 1)[0]
        lane.integer[0] += 1 if lane.action == 1 else 0
        lane.index = min(lane.integer[0], 3)
        lane.terminated = lane.integer[0] == 4
        lane.reward = lane.terminated

    def reset(pointer: Any) -> None:
        lane = numba.carray(pointer, 1)[0]
        lane.integer[0] = lane.index = 0

    env = CompiledEnv(
        numba.cfunc(signature)(step), numba.cfunc(signature)(reset), n_actions=2, n_states=4, uniforms=0
    )
    agent = cdq.QLearner(env, seed=0, gamma=0.5).learn(20_000)
    assert agent.table.values[:, 1].tolist() == pytest.approx([0.125, 0.25, 0.5, 1.0], rel=1e-2)
    wrong = numba.cfunc(numba.float64(numba.float64))(lambda x: x)
    with pytest.raises(ConfigError, match=r"signature.*float64"):
        address_of(wrong, "step")


CYTHON = """
from cdq.core.lane cimport cdq_lane

cdef api void step(cdq_lane *lane) noexcept nogil:
    lane.integer[0] = max(lane.integer[0] + (1 if lane.action else -1), 0)
    lane.index = lane.integer[0]
    lane.terminated = lane.index == 3
    lane.reward = lane.terminated

cdef api void reset(cdq_lane *lane) noexcept nogil:
    lane.integer[0] = lane.index = 0

cdef api int wrong(cdq_lane *lane) noexcept nogil:
    return 0
"""


def test_an_environment_in_cython_is_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from Cython import Build as build

    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    package = Path(cdq.envs.__file__).parents[1]
    (tmp_path / "cython_chain.pyx").write_text(CYTHON)
    monkeypatch.chdir(tmp_path)
    build.cythonize("cython_chain.pyx", include_path=[str(package.parent)], language_level=3, quiet=True)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    include = [f"-I{sysconfig.get_paths()['include']}", f"-I{package / 'core'}"]
    command = ["cc", "-shared", "-fPIC", *include, "cython_chain.c", "-o", f"cython_chain{suffix}"]
    subprocess.run(command, check=True, timeout=120)
    monkeypatch.syspath_prepend(tmp_path)
    capsules = importlib.import_module("cython_chain").__pyx_capi__
    env = CompiledEnv(capsules["step"], capsules["reset"], n_actions=2, n_states=4, uniforms=0)
    agent = cdq.QLearner(env, seed=0, gamma=0.5).learn(20_000)
    assert agent.table.values[:3, 1].tolist() == pytest.approx([0.25, 0.5, 1.0], rel=1e-2)
    with pytest.raises(ConfigError, match=r"step has the signature 'int \(cdq_lane \*\)'"):
        CompiledEnv(capsules["wrong"], capsules["reset"], n_actions=2, n_states=4)


# ---- learning with threads, checkpoints, failures named


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(workers: int, tmp_path: Path) -> None:
    def learner(**arguments: Any) -> Any:
        return cdq.QLearner("cdq/GridWorld-v0", workers=workers, seed=0, **arguments)

    whole = learner().learn(40_000).learn(40_000)
    learner(checkpoint=tmp_path).learn(40_000)
    again = cdq.QLearner.resume(tmp_path).learn(40_000)
    assert again.table.digest() == whole.table.digest()


def test_workers_are_threads_and_one_result() -> None:
    digests = {
        cdq.QLearner("cdq/GridWorld-v0", workers=2, seed=0).learn(60_000).table.digest() for _ in range(2)
    }
    assert len(digests) == 1


def test_a_failure_names_worker_lane_and_step() -> None:
    calls = [0]

    def step(lane: Any) -> None:
        calls[0] += 1
        lane["reward"] = np.nan if calls[0] > 100 else 0.0

    agent = cdq.QLearner(scripted(step, name="bad"), seed=0, num_envs=2)
    with pytest.raises(cdq.CdqError, match=r"bad.*reward is nan") as caught:
        agent.learn(1000)
    assert (caught.value.worker, caught.value.lane) == (0, 0)  # type: ignore[attr-defined]
    assert np.isfinite(agent.table.values).all()
