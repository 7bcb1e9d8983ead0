"""Pictures of the shipped environments on grids."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import cdq
from cdq.envs.drawing import MOST_CELLS
from cdq.envs.finite import DeepSea, RiverSwim
from cdq.envs.grids import GridWorld
from cdq.errors import ConfigError, UnsupportedEnvironment
from tests.envs.compiled import scripted

MAP = ["S.#.", "...G", "#..G"]
CELL = 24


def moved(env: Any, *actions: int) -> Any:
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    return env


def test_text_is_the_map_with_the_agent() -> None:
    env = gymnasium.make("cdq/GridWorld-v0", walls=MAP, render_mode="ansi")
    assert moved(env).render() == "@.#.\n...G\n#..G\n"
    assert moved(env, 2).render() == "S@#.\n...G\n#..G\n"
    assert moved(env, 1, 2, 2, 2).render() == "S.#.\n...@\n#..G\n"


def test_text_of_walls_by_rule_is_where_they_are() -> None:
    env = GridWorld((5, 7), walls=0.3, seed=4, goals=[(0, 6)], render_mode="ansi")
    lines = moved(env).render().splitlines()  # type: ignore[union-attr]
    walls = [[env.is_wall((row, column)) for column in range(7)] for row in range(5)]
    assert [[symbol == "#" for symbol in line] for line in lines] == walls
    assert lines[0][6] == "G"
    assert sum(line.count("@") for line in lines) == 1
    agent = divmod(int(env.reset(seed=5)[0]), 7)
    assert env.render().splitlines()[agent[0]][agent[1]] == "@"  # type: ignore[union-attr]


def test_pixels_differ_by_cell() -> None:
    env = gymnasium.make("cdq/GridWorld-v0", walls=MAP, render_mode="rgb_array")
    picture = moved(env, 1).render()
    assert isinstance(picture, np.ndarray)
    assert (picture.shape, picture.dtype) == ((3 * CELL, 4 * CELL, 3), np.uint8)
    centres = {
        (row, column): tuple(picture[CELL * row + CELL // 2, CELL * column + CELL // 2].tolist())
        for row in range(3)
        for column in range(4)
    }
    seen = [
        "".join(
            {centres[0, 0]: "S", centres[0, 1]: ".", centres[0, 2]: "#", centres[1, 0]: "@"}.get(
                centres[row, column], "G"
            )
            for column in range(4)
        )
        for row in range(3)
    ]
    assert seen == ["S.#.", "@..G", "#..G"]
    assert len(set(centres.values())) == 5
    corner = tuple(picture[CELL, 0].tolist())
    assert corner == centres[0, 1]  # the agent stands on what is there
    assert picture.tolist() == moved(env, 1).render().tolist()  # type: ignore[union-attr]


def test_deep_sea_shows_the_diver() -> None:
    env = gymnasium.make("cdq/DeepSea-v0", size=3, seed=None, render_mode="ansi")
    assert moved(env).render() == "@..\n...\n..G\n"
    assert moved(env, 1).render() == "S..\n.@.\n..G\n"
    assert moved(env, 1, 1).render() == "S..\n...\n..@\n"


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_a_large_grid_is_shown_around_the_agent(mode: str) -> None:
    env: Any = GridWorld((10**6, 10**6), start=(500_000, 999_999), walls=0.2, render_mode=mode)
    picture = moved(env).render()
    if mode == "ansi":
        lines = picture.splitlines()
        assert {len(line) for line in lines} == {MOST_CELLS}
        assert lines[MOST_CELLS // 2][-1] == "@"
    else:
        assert picture.shape == (CELL * MOST_CELLS, CELL * MOST_CELLS, 3)


@pytest.mark.parametrize("env_id", ["cdq/GridWorld-v0", "cdq/DeepSea-v0"])
def test_gymnasiums_conventions(env_id: str) -> None:
    spec = gymnasium.spec(env_id)
    env = gymnasium.make(env_id, render_mode="rgb_array")
    assert env.metadata["render_modes"] == ["ansi", "rgb_array"]
    assert env.metadata["render_fps"] > 0
    assert env.render_mode == "rgb_array"
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.unwrapped.render()
    check_env(gymnasium.make(spec, render_mode="ansi").unwrapped)
    frames = gymnasium.make(env_id, render_mode="rgb_array_list")
    assert len(moved(frames, 0).render()) == 2  # type: ignore[arg-type]


def test_nothing_is_drawn_without_a_mode() -> None:
    env = moved(GridWorld())
    with pytest.warns(UserWarning, match="render_mode='ansi'"):
        assert env.render() is None


@pytest.mark.parametrize("name", ["Garnet", "RiverSwim", "MountainCar", "CartPole", "Acrobot"])
@pytest.mark.filterwarnings("ignore:.*render_mode.*:UserWarning")
def test_others_say_that_they_draw_nothing(name: str) -> None:
    for mode in ("ansi", "rgb_array", "human"):
        with pytest.raises(
            ConfigError, match=f"render_mode of {name} is '{mode}'; allowed: None, .*GridWorld"
        ):
            gymnasium.make(f"cdq/{name}-v0", render_mode=mode)
    env = moved(gymnasium.make(f"cdq/{name}-v0"))
    with pytest.raises(UnsupportedEnvironment, match="draws no picture; cdq/GridWorld-v0"):
        env.unwrapped.render()


def test_modes_that_are_not_there_are_refused() -> None:
    for kind in (GridWorld, DeepSea):
        with pytest.raises(ConfigError, match="is 'svg'; allowed: None, 'ansi', 'rgb_array'"):
            kind(render_mode="svg")
    with pytest.raises(ConfigError, match="allowed: None"):
        RiverSwim(render_mode=3)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedEnvironment, match="draws no picture"):
        scripted(lambda lane: None).render()


def test_an_environment_that_draws_is_learnt_as_one_that_does_not() -> None:
    tables = [
        cdq.QLearner(gymnasium.make("cdq/GridWorld-v0", walls=MAP, render_mode=mode), seed=0, **way)
        .learn(2000)
        .table.values.tolist()
        for way in ({}, {"table": "hash"}, {"stepping": "python"})
        for mode in (None, "rgb_array")
    ]
    assert tables[::2] == tables[1::2]
