"""Compiled environments of several agents of a user's own, and their faces."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numba import carray, cfunc, from_dtype, types

import cdq
from cdq.core.lanes import Lanes
from cdq.core.loops.stepping import LANE_BYTES, Stepper
from cdq.core.table.qfunction import TableQ
from cdq.core.table.rows import Rows
from cdq.envs import CompiledAgents, CompiledEnv, Parallel, lane_dtype
from cdq.envs.signals import SignalsEnv
from cdq.errors import ConfigError, EnvironmentFailure

SIGNATURE = types.void(types.CPointer(from_dtype(lane_dtype())))
NAMES = ["left", "right"]


def meeting(n_states: int = 3, fails: int = -1, ends: int = -1, **arguments: Any) -> CompiledAgents:
    """Return two agents on a ring who are paid where they meet; state *fails* is none, state *ends* the last of one."""
    unlimited = ends < 0

    @cfunc(SIGNATURE)
    def step(pointer: Any) -> None:
        lanes = carray(pointer, 2)
        for i in range(2):
            lanes[i].integer[0] = (lanes[i].integer[0] + 2 * lanes[i].action - 1) % n_states
        together = lanes[0].integer[0] == lanes[1].integer[0]
        for i in range(2):
            lanes[i].index = lanes[i].integer[0] if lanes[i].integer[0] != fails else n_states
            lanes[i].reward = 1.0 if together else -float(i)
            lanes[i].terminated = lanes[i].integer[0] == ends

    @cfunc(SIGNATURE)
    def reset(pointer: Any) -> None:
        lanes = carray(pointer, 2)
        for i in range(2):
            lanes[i].integer[0] = lanes[i].index = i

    usual = {"agents": NAMES, "n_actions": 2, "n_states": n_states, "uniforms": 0, "name": "meeting"}
    return CompiledAgents(step, reset, **{**usual, "time_limit": 9 if unlimited else None, **arguments})


def test_agents_of_numba_are_learnt() -> None:
    agent = cdq.QLearner(meeting(), gamma=0.9, seed=0, exploration=0.3, num_envs=3).learn(20_000)
    assert agent.agents == ("left", "right")
    assert sorted(agent.tables) == sorted(NAMES)
    assert agent.table.visits.sum() == 20_000 + (-20_000) % 6
    assert agent.tables["left"].values.max() > 1


def test_an_episode_ends_for_all() -> None:
    """Agent 0 ends in state 2, when the other one is in any state; both begin again."""
    agent = cdq.QLearner(meeting(ends=2), gamma=0.9, seed=0, exploration=1.0, num_envs=1).learn(4000)
    row = agent.history[-1]
    assert row.episodes % 2 == 0
    assert row.episodes > 0
    face = Parallel(meeting(ends=2))
    face.reset(seed=0)
    _, rewards, terminated, truncated, _ = face.step({"left": 1, "right": 1})
    assert (terminated, truncated) == ({"left": False, "right": True}, {"left": True, "right": False})
    assert rewards == {"left": 0.0, "right": -1.0}
    assert face.agents == []


def test_a_state_beyond_an_agent_s_own_ends_the_run() -> None:
    """It is not taken for a state of the next agent's block."""
    agent = cdq.QLearner(meeting(4, fails=3), seed=0, num_envs=1, exploration=1.0)
    with pytest.raises(EnvironmentFailure, match=r"its index is 4 \(action [01]\); allowed: 0 to 3"):
        agent.learn(1000)


def test_memory_is_kept() -> None:
    """Steps are counted beyond the lane's own state: every fifth shows state 1."""
    env = CompiledEnv(*_counting(), n_actions=1, n_states=2, memory=8 * 5, uniforms=0)
    env.reset(seed=0)
    seen = [int(env.step(0)[0]) for _ in range(12)]
    assert seen == [0, 0, 0, 0, 1] * 2 + [0, 0]
    twin = copy.deepcopy(env)
    assert [int(twin.step(0)[0]) for _ in range(4)] == [int(env.step(0)[0]) for _ in range(4)] == [0, 0, 1, 0]
    agent = cdq.QLearner(env, seed=0, num_envs=3, workers=2, gamma=0.5, step_size=0.5).learn(3000)
    assert abs(agent.table.visits[:, 0] - np.array([2400, 600])).max() <= 6


def _counting() -> tuple[int, int]:
    """Return functions of C by way of ctypes: the n-th entry of the memory is set in step n, and the fifth is shown."""
    import ctypes

    from tests.envs.compiled import FUNCTION

    def step(pointer: int) -> None:
        lane = np.frombuffer((ctypes.c_ubyte * LANE_BYTES).from_address(pointer), lane_dtype())
        words = (ctypes.c_int64 * 5).from_address(int(lane["memory"][0]))
        at = sum(words)
        words[at] = 1
        lane["index"][0] = at == 4
        if at == 4:
            words[:] = [0] * 5

    def reset(pointer: int) -> None:
        lane = np.frombuffer((ctypes.c_ubyte * LANE_BYTES).from_address(pointer), lane_dtype())
        lane["index"][0] = 0

    KEPT.extend([FUNCTION(step), FUNCTION(reset)])
    return KEPT[-2], KEPT[-1]


KEPT: list[Any] = []


# ---- faces


def test_gymnasium_s_checker_passes() -> None:
    check_env(meeting(), skip_render_check=True)
    check_env(gymnasium.make("cdq/Signals-v0").unwrapped, skip_render_check=True)


def test_gymnasium_acts_for_all() -> None:
    env = meeting()
    observation, _ = env.reset(seed=0)
    assert observation.tolist() == [0, 1]
    observation, reward, terminated, truncated, info = env.step([1, 0])
    assert (observation.tolist(), reward, terminated, truncated) == ([1, 0], -1.0, False, False)
    assert info["rewards"].tolist() == [0.0, -1.0]
    for wrong in ([1], [1, 2], [0, -1], 1, "ab"):
        with pytest.raises(gymnasium.error.InvalidAction, match="allowed: 0 to 1 for each of 2 agents"):
            env.step(wrong)
    with pytest.raises(gymnasium.error.ResetNeeded):
        meeting().step([0, 0])


def test_pettingzoo_s_face() -> None:
    face = Parallel(meeting(time_limit=2))
    assert (face.possible_agents, face.agents, face.num_agents, face.max_num_agents) == (NAMES, [], 0, 2)
    observations, infos = face.reset(seed=0)
    assert (observations, infos) == ({"left": 0, "right": 1}, {"left": {}, "right": {}})
    assert face.action_space("left") == gymnasium.spaces.Discrete(2)
    assert face.observation_space("right") == gymnasium.spaces.Discrete(3)
    assert face.action_space("left") is face.action_space("left")
    observations, rewards, terminated, truncated, infos = face.step({"right": 0, "left": 1})
    assert (observations, rewards) == ({"left": 1, "right": 0}, {"left": 0.0, "right": -1.0})
    assert not any(terminated.values())
    assert not any(truncated.values())
    assert face.step({"left": 0, "right": 0})[3] == {"left": True, "right": True}
    assert face.agents == []
    face.reset()
    for wrong in ({"left": 1}, {"left": 1, "right": 0, "top": 1}, {}):
        with pytest.raises(gymnasium.error.InvalidAction, match="one of each"):
            face.step(wrong)
    face.close()
    with pytest.raises(ConfigError, match="has no agents"):
        Parallel(gymnasium.make("cdq/RiverSwim-v0"))


def test_copies_and_pickles_go_on() -> None:
    env = SignalsEnv(2, 2)
    env.reset(seed=1)
    for _ in range(20):
        env.step([1, 0, 1, 0])
    others = copy.deepcopy(env), pickle.loads(pickle.dumps(env))
    paths = [[one.step([0, 1, 1, 0])[0].tolist() for _ in range(20)] for one in (env, *others)]
    assert paths[0] == paths[1] == paths[2]


def test_a_step_of_python_s_own_is_stepped_in_python() -> None:
    class Generous(SignalsEnv):
        def step(self, action: Any) -> Any:
            observation, reward, terminated, truncated, info = super().step(action)
            return observation, reward + 4, terminated, truncated, {**info, "rewards": info["rewards"] + 1}

    agent = cdq.QLearner(lambda: Generous(2, 2), seed=0)
    assert agent.stepping == "multi-agent environment"
    agent.learn(400)


# ---- arguments


@pytest.mark.parametrize(
    "agents", [[], "ab", 3, None, ["a", "a"], ["a", 1], ["a", ""], [f"n{i}" for i in range(5000)]]
)
def test_agents_that_are_not_named(agents: Any) -> None:
    with pytest.raises(ConfigError, match="agents are .*; allowed"):
        meeting(agents=agents)


def test_arguments_of_the_loop_that_do_not_fit() -> None:
    n, lanes = 4, Lanes(4, LANE_BYTES)
    q = TableQ(Rows.of_values(np.zeros((8, 2))), n)
    usual: dict[str, Any] = {
        "step": 1, "reset": 1, "encode": 0, "context": 0, "uniforms": 0, "time_limit": 0, "gamma": 0.9,
        "words": lanes.words, "elapsed": lanes.elapsed, "returns": lanes.returns, "own": lanes.own,
        "stop": np.zeros(1, np.int32), "failure": EnvironmentFailure, "agents": 2,
    }  # fmt: skip
    Stepper(q, **usual)
    first = np.zeros(4, np.int64)
    wrong: list[dict[str, Any]] = [
        {"agents": 3}, {"agents": 0}, {"agents": 8}, {"first": first[:2], "n_own": 4}, {"first": first, "n_own": 0},
        {"own": np.zeros((4, LANE_BYTES + 4), np.uint8)},
    ]  # fmt: skip
    for change in wrong:
        with pytest.raises(ValueError, match=r"agents|blocks|size"):
            Stepper(q, **{**usual, **change})


@pytest.mark.parametrize("memory", [-1, 2**40, 1.5])
def test_memory_that_is_none(memory: Any) -> None:
    with pytest.raises(ConfigError, match="memory is"):
        meeting(memory=memory)
