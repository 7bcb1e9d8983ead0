"""Spaces and environments that cannot be learnt, and the advice that messages give: it is followed here."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import cdq
from cdq.errors import ConfigError, UnsupportedEnvironment

ACTIONS = spaces.Discrete(3)


class Recorder(gymnasium.Env[Any, Any]):
    """Keeps the actions that it gets."""

    observation_space = spaces.Discrete(2)

    def __init__(self, action_space: Any) -> None:
        self.action_space, self.seen = action_space, set[str]()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.seen.add(repr(action))
        return 1, 0.0, True, False, {}


@pytest.mark.parametrize(
    ("space", "n_actions"),
    [
        (spaces.Box(-1, 1, (2,)), 25),
        (spaces.Box(0, 5, (2,), np.int64), 36),
        (spaces.Box(np.array([[3, -1]]), np.array([[4, 1]]), dtype=np.int64), 6),
        (spaces.Box(2, 4, (), np.int64), 3),
        (spaces.MultiDiscrete([2, 3]), 6),
        (spaces.MultiDiscrete([2, 3], start=[5, -1]), 6),
        (spaces.MultiDiscrete([[2, 3], [1, 2]]), 12),
        (spaces.MultiBinary(3), 8),
    ],
)
def test_the_wrapper_that_a_message_names_numbers_all_actions(space: Any, n_actions: int) -> None:
    env = Recorder(space)
    with pytest.raises(UnsupportedEnvironment, match="wrap the environment in") as caught:
        cdq.QLearner(env)
    advice = str(caught.value).partition("wrap the environment in ")[2].partition(", so that")[0]
    wrapped = eval(advice, {"gymnasium": gymnasium, "np": np, "env": env})
    cdq.QLearner(wrapped, seed=0, exploration=1.0).learn(20 * n_actions)
    assert wrapped.action_space.n == n_actions
    assert len(env.seen) == n_actions


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("observation_space", 3, r"is 3, no space; write gymnasium.spaces.Discrete\(3\)$"),
        ("action_space", np.int64(2), r"write gymnasium.spaces.Discrete\(2\)$"),
        ("action_space", [0, 1], r"is \[0, 1\], no space; write gymnasium.spaces.Discrete\(2\)$"),
        ("action_space", range(2, 5), r"write gymnasium.spaces.Discrete\(3, start=2\)$"),
        ("observation_space", np.arange(9), r"write gymnasium.spaces.Discrete\(9\)$"),
        (
            "observation_space",
            np.zeros(3),
            r"ndarray, no space of Gymnasium; write gymnasium.spaces.Discrete\(n\)",
        ),
        ("observation_space", ["a", "b"], "list, no space of Gymnasium"),
        ("observation_space", {"a": 1}, "dict, no space of Gymnasium"),
        ("action_space", 0, "int, no space of Gymnasium"),
        ("action_space", None, "action_space is missing; set it to a space"),
    ],
)
def test_what_is_no_space_is_told_what_to_write(name: str, given: Any, message: str) -> None:
    env = Recorder(ACTIONS)
    setattr(env, name, given)
    with pytest.raises(UnsupportedEnvironment, match=rf"Recorder\.{name} is .*{message}|{message}"):
        cdq.QLearner(env)


def test_spaces_of_the_former_gym_are_told_as_such() -> None:
    former = type(
        "Discrete", (), {"__module__": "gym.spaces.discrete", "__repr__": lambda self: "Discrete(3)"}
    )
    env = Recorder(former())
    message = r"Recorder.action_space is Discrete\(3\), a space of the former gym; .*shimmy: gymnasium.make\('GymV26"
    with pytest.raises(UnsupportedEnvironment, match=message):
        cdq.QLearner(env)


class Former:
    """An environment of the former gym."""

    def reset(self) -> Any:
        return 0

    def step(self, action: Any) -> Any:
        return 0, 0.0, False, {}


@pytest.mark.parametrize("like", [Former, Former()])
def test_environments_of_the_former_gym_are_told_as_such(like: Any) -> None:
    with pytest.raises(UnsupportedEnvironment, match=r"no gymnasium.Env: .*shimmy: gymnasium.make\('GymV26"):
        cdq.QLearner(like)


def test_an_environment_without_spaces_is_told_so() -> None:
    class Bare(gymnasium.Env[Any, Any]):
        pass

    with pytest.raises(UnsupportedEnvironment, match="^Bare.observation_space is missing"):
        cdq.QLearner(Bare)


class Random(gymnasium.Env[Any, Any]):
    """Shows anything of its space."""

    action_space = spaces.Discrete(2)

    def __init__(self, space: Any) -> None:
        self.observation_space = space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 1.0, False, False, {}


MIXED = spaces.Tuple([spaces.Box(0, 1, (2,)), spaces.Discrete(3)])
IMAGE = spaces.Box(0, 1, (40, 40))
TWENTY = spaces.Box(0, 1, (20,))


@pytest.mark.parametrize(
    ("space", "refused", "advice", "advised"),
    [
        (
            spaces.Discrete(2**40),
            {},
            "table='hash', or features",
            [{"table": "hash"}, {"features": cdq.TileCoding()}],
        ),
        (IMAGE, {}, "bins=... with table='hash'", [{"bins": 2, "table": "hash"}]),
        (IMAGE, {"bins": 2}, "table='hash'", [{"bins": 2, "table": "hash"}]),
        (TWENTY, {"features": cdq.FourierBasis(3)}, "Take TileCoding$", [{"features": cdq.TileCoding()}]),
        (
            spaces.Box(0, 1, (9,)),
            {"features": cdq.PolynomialBasis(3)},
            "Take a lower order, or TileCoding$",
            [{"features": cdq.PolynomialBasis(1)}, {"features": cdq.TileCoding()}],
        ),
        (
            TWENTY,
            {"table": "hash"},
            "features=cdq.TileCoding.*or bins=",
            [{"bins": 2, "table": "hash"}, {"features": cdq.TileCoding()}],
        ),
        (
            spaces.Box(1e9, 1e9 + 1, (1,), np.float32),
            {},
            "low must be below high: give others, or the space dtype=np.float64",
            [{"features": cdq.TileCoding(low=1e9 - 1, high=1e9 + 1)}],
        ),
        (spaces.Discrete(5), {"bins": 2}, "Leave out bins", [{}, {"features": cdq.TileCoding()}]),
        (
            TWENTY,
            {"bins": 2, "table": "hash", "overlap": True},
            "exclude each other",
            [{"bins": 2, "table": "hash"}],
        ),
        (
            spaces.Box(-np.inf, np.inf, (2,)),
            {},
            "give low and high",
            [
                {"features": cdq.TileCoding(low=-1, high=1)},
                {"features": cdq.TileCoding(1, 4, low=-1, high=1)},
            ],
        ),
    ],
)
def test_what_messages_on_observations_advise_is_learnt(
    space: Any, refused: dict[str, Any], advice: str, advised: list[dict[str, Any]]
) -> None:
    with pytest.raises((UnsupportedEnvironment, ConfigError), match=advice):
        cdq.QLearner(Random(space), **refused)
    for arguments in advised:
        assert cdq.QLearner(Random(space), seed=0, **arguments).learn(30).steps >= 30


@pytest.mark.parametrize("space", [MIXED, spaces.Dict(a=spaces.Box(0, 1, (2,)), b=MIXED)])
@pytest.mark.parametrize("arguments", [{"bins": 3}, {"bins": 3, "table": "hash"}])
def test_observations_of_several_parts_are_cut_too(space: Any, arguments: dict[str, Any]) -> None:
    agent = cdq.QLearner(Random(space), seed=0, **arguments).learn(300)
    width = 3 if space is MIXED else 5
    assert 10 < np.count_nonzero(agent.table.visits.any(axis=1)) <= 3**width
    assert agent.predict(space.sample()) in (0, 1)
