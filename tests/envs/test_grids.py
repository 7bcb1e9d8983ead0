"""GridWorld, and the finite environments: what they do, and that `P` says what they do."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.core.envs.envs import call
from cdq.core.loops.stepping import LANE_BYTES
from cdq.envs import lane_dtype
from cdq.envs.finite import DeepSea, Garnet, RiverSwim
from cdq.envs.grids import GridWorld
from cdq.errors import ConfigError, UnsupportedEnvironment
from tests.envs.compiled import FINITE

DRAWS = 400


def outcomes(env: Any, state: int, action: int) -> dict[tuple[int, float, bool], float]:
    """Return how often a step from a state came to what, with uniform numbers in a lattice."""
    memory = np.zeros(LANE_BYTES, np.uint8)
    lane = memory.view(lane_dtype())[0]
    found: dict[tuple[int, float, bool], float] = {}
    grid = isinstance(env, (GridWorld, DeepSea))
    columns = env.shape[1] if isinstance(env, GridWorld) else getattr(env, "_size", 1)
    for k in range(DRAWS):
        lane["integer"][:2] = divmod(state, columns) if grid else (state, 0)
        lane["action"], lane["index"], lane["terminated"] = action, state, 0
        lane["uniform"][0] = (k + 0.5) / DRAWS
        call(env.functions[0], memory, env.context)
        what = int(lane["index"]), float(lane["reward"]), bool(lane["terminated"])
        found[what] = found.get(what, 0.0) + 1 / DRAWS
    return found


@pytest.mark.parametrize("name", FINITE)
def test_p_is_what_steps_do(name: str) -> None:
    env = FINITE[name]()
    for state, actions in env.P.items():
        for action, listed in actions.items():
            expected: dict[tuple[int, float, bool], float] = {}
            for probability, *what in listed:
                expected[tuple(what)] = expected.get(tuple(what), 0.0) + probability  # type: ignore[index]
            found = outcomes(env, state, action)
            assert {key: pytest.approx(p, abs=2 / DRAWS) for key, p in expected.items() if p > 1 / DRAWS} == {
                key: p for key, p in found.items() if p > 2 / DRAWS or key in expected
            }


@pytest.mark.parametrize("name", FINITE)
def test_starts_are_as_they_say(name: str) -> None:
    env = FINITE[name]()
    start = env.initial_state_distrib
    env.reset(seed=0)
    found = np.bincount([int(env.reset()[0]) for _ in range(4000)], minlength=len(start)) / 4000
    assert start.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found, start, atol=5 * np.sqrt(0.25 / 4000))
    assert not found[start == 0].any()


@pytest.mark.parametrize("name", ["grid", "map", "garnet", "river", "sea"])
def test_learning_comes_to_what_planning_says(name: str) -> None:
    env = FINITE[name]()
    model = cdq.MDP.from_gymnasium(env)
    optimal = cdq.solve(model, 0.9).values
    agent = cdq.QLearner(env, seed=0, gamma=0.9, exploration=1.0).learn(3_000_000)
    visited = agent.table.visits.min(axis=1) > 1000
    assert visited[model.reachable()].all()
    np.testing.assert_allclose(agent.table.values[visited], optimal[visited], atol=0.03 * np.ptp(optimal))


def test_garnet_is_that_of_mdp() -> None:
    expected = cdq.MDP.garnet(30, 3, branching=4, seed=7)
    found = cdq.MDP.from_gymnasium(Garnet(30, 3, branching=4, seed=7))
    for field in ("next_state", "probability", "reward", "start", "terminated"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))


# ---- GridWorld


def test_moves() -> None:
    env = GridWorld((3, 4), start=(1, 1), goals=[(0, 0)])
    for action, expected in enumerate([4, 9, 6, 1]):
        assert env.reset(seed=0)[0] == 5
        assert env.step(action) == (expected, -1.0, False, False, {})
    env.reset()
    env.step(0)
    assert env.step(3) == (0, 0.0, True, False, {})


def test_borders_and_walls_hold() -> None:
    env = GridWorld(walls=["S#", ".G"])
    env.reset(seed=0)
    assert [int(env.step(action)[0]) for action in (0, 3, 2, 1, 0)] == [0, 0, 0, 2, 2]
    same = GridWorld(walls=np.array([[False, True], [False, False]]), start=(0, 0))
    assert same.P == env.P
    assert env.shape == same.shape == (2, 2)


def test_walls_by_rule_are_their_seeds() -> None:
    size = 200
    maps = [
        np.array([[env.is_wall((row, column)) for column in range(size)] for row in range(size)])
        for env in (GridWorld((size, size), walls=0.3, seed=seed) for seed in (0, 0, 1))
    ]
    assert (maps[0] == maps[1]).all()
    assert (maps[0] != maps[2]).mean() == pytest.approx(2 * 0.3 * 0.7, abs=0.02)
    assert maps[0].mean() == pytest.approx(0.3, abs=0.01)
    assert not maps[0][-1, -1]


def test_a_start_and_goals_are_no_walls_by_rule() -> None:
    cells = [(row, column) for row in range(6) for column in range(6)]
    for seed in range(20):
        env = GridWorld((6, 6), walls=0.9, seed=seed, start=(2, 3), goals=[(4, 4), (0, 1)])
        assert not any(env.is_wall(cell) for cell in [(2, 3), (4, 4), (0, 1)])
        assert sum(env.is_wall(cell) for cell in cells) > 18


@pytest.mark.parametrize("shape", [(10**6, 10**6), (31_623, 31_623), (1, 2**40)])
def test_grids_of_any_size(shape: tuple[int, int]) -> None:
    env = GridWorld(shape, walls=0.1)
    assert env.observation_space == gymnasium.spaces.Discrete(shape[0] * shape[1])
    env.reset(seed=0)
    states = [int(env.reset()[0]) for _ in range(300)]
    assert np.mean(states) == pytest.approx(shape[0] * shape[1] / 2, rel=0.15)
    assert not any(env.is_wall(divmod(state, shape[1])) for state in states)
    with pytest.raises(UnsupportedEnvironment):
        cdq.MDP.from_gymnasium(env)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"shape": (0, 3)}, "shape is"),
        ({"shape": (2**30, 2**30)}, r"less than 2\*\*52"),
        ({"walls": 0.95}, "walls is 0.95"),
        ({"walls": -0.1}, "walls is -0.1"),
        ({"walls": ["..", "."]}, "walls is no map"),
        ({"walls": []}, "walls is no map"),
        ({"walls": 5.0j}, "walls is no map"),
        ({"walls": np.zeros((2, 2))}, "walls is no map"),
        ({"walls": ["SS"]}, "2 starts"),
        ({"walls": ["S#"]}, "is a wall of the map"),
        ({"walls": ["##", ".#"], "goals": [(1, 0)]}, "no cell to start in"),
        ({"shape": (1, 1)}, "no cell to start in"),
        ({"slip": 1.5}, "slip is 1.5"),
        ({"start": (8, 0)}, "start is"),
        ({"goals": [(0, 8)]}, "a goal is"),
        ({"step_reward": np.nan}, "step_reward is nan"),
    ],
)
def test_bad_grids_are_refused(arguments: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        GridWorld(**arguments)


def test_bad_arguments_of_the_others_are_refused() -> None:
    for make, match in (
        (lambda: Garnet(3, 2, branching=4), "branching is 4"),
        (lambda: RiverSwim(1), "n_states is 1"),
        (lambda: DeepSea(0), "size is 0"),
    ):
        with pytest.raises(ConfigError, match=match):
            make()


def test_only_one_way_of_the_deep_sea_pays() -> None:
    env = DeepSea(8, seed=5)
    model = cdq.MDP.from_gymnasium(env)
    assert cdq.solve(model, 1.0 - 1e-9).values[0].max() == pytest.approx(1 - 0.01, abs=1e-6)
    assert {int(np.argmax(row)) for row in cdq.solve(model, 0.99).values[::9]} == {0, 1}
