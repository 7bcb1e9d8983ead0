from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from cdq.envs.toy_text import make_env
from cdq.errors import ConfigError, ModelError, UnsupportedEnvironment
from cdq.mdp.model import MDP

TAXI = max(name for name in gymnasium.registry if name.startswith("Taxi-v"))


@pytest.mark.parametrize(
    ("env_id", "shape", "time_limit", "grid"),
    [
        ("FrozenLake-v1", (16, 4, 3), 100, (4, 4)),
        ("FrozenLake8x8-v1", (64, 4, 3), 200, (8, 8)),
        ("CliffWalking-v1", (48, 4, 1), None, (4, 12)),
        ("CliffWalkingSlippery-v1", (48, 4, 3), None, (4, 12)),
        (TAXI, (500, 6, 1), 200, None),
    ],
)
def test_the_known_environments(
    env_id: str, shape: tuple[int, int, int], time_limit: int | None, grid: tuple[int, int] | None
) -> None:
    model = MDP.from_gymnasium(env_id)
    assert (model.n_states, model.n_actions, model.max_outcomes) == shape
    assert (model.name, model.time_limit, model.grid) == (env_id, time_limit, grid)


def test_the_model_is_the_table() -> None:
    env = gymnasium.make("CliffWalkingSlippery-v1")
    model = MDP.from_gymnasium(env)
    table: Any = env.unwrapped
    for pair in range(model.n_pairs):
        expected: dict[tuple[int, float, bool], float] = {}
        for probability, successor, reward, terminated in table.P[pair // 4][pair % 4]:
            key = int(successor), float(reward), bool(terminated)
            expected[key] = expected.get(key, 0.0) + probability
        own = slice(model.offsets[pair], model.offsets[pair + 1])
        keys = zip(model.next_state[own], model.reward[own], model.terminated[own], strict=True)
        got = dict(
            zip([(int(s), float(r), bool(t)) for s, r, t in keys], model.probability[own], strict=True)
        )
        assert got == pytest.approx(expected, abs=1e-15)
    assert np.array_equal(model.start, table.initial_state_distrib)
    env.reset()  # an environment that was given stays open


def test_the_ways_to_name_an_environment_agree() -> None:
    by_id = MDP.from_gymnasium("FrozenLake-v1", is_slippery=False)
    spec = gymnasium.spec("FrozenLake-v1")
    ways = (
        MDP.from_gymnasium(spec, is_slippery=False),
        MDP.from_gymnasium("gymnasium.envs.toy_text:FrozenLake-v1", is_slippery=False),
        MDP.from_gymnasium(lambda: gymnasium.make("FrozenLake-v1", is_slippery=False)),
        MDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False)),
        MDP.from_gymnasium("FrozenLake", is_slippery=False),
    )
    for model in ways:
        assert np.array_equal(model.next_state, by_id.next_state)
        assert (model.name, model.time_limit) == ("FrozenLake-v1", 100)


def test_the_time_limit_and_map_are_those_of_the_environment() -> None:
    env = gymnasium.make("FrozenLake-v1", desc=["SFF", "FHF"], max_episode_steps=7)
    model = MDP.from_gymnasium(env)
    assert (model.time_limit, model.grid, model.n_states) == (7, (2, 3), 6)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("FrozenLak-v1", "unknown environment 'FrozenLak-v1'; did you mean FrozenLake-v1 or "),
        ("frozenlake-v1", "did you mean FrozenLake-v1"),
        ("Zzzzzz-v0", "pprint_registry"),
        ("no_such_module:Env-v0", "cannot make 'no_such_module:Env-v0': No module named .*PYTHONPATH"),
        ("a b:c:d", "cannot make 'a b:c:d'"),
        *(
            (name, f"cannot make '{name}': write it as module:Env-v0")
            for name in ("a:b:c", ".:x-v0", ":x", "x:")
        ),
        (
            gymnasium.spec("FrozenLake-v1").__class__("Nowhere-v0", "no_such_module:Env", kwargs={"size": 3}),
            "cannot make 'Nowhere-v0' with the arguments {'size': 3}: No module",
        ),
        ("Blackjack-v1", "Blackjack-v1 has no transition table"),
        (3, "cannot make an environment from 3"),
        (dict, "must return a gymnasium.Env"),
    ],
)
def test_environments_that_cannot_be_read(env: object, message: str) -> None:
    with pytest.raises(UnsupportedEnvironment, match=message) as caught:
        MDP.from_gymnasium(env)
    assert "\n" not in str(caught.value)


def test_a_deprecated_id_names_the_newer_one() -> None:
    older = f"Taxi-v{int(TAXI.removeprefix('Taxi-v')) - 1}"
    with pytest.raises(UnsupportedEnvironment, match=TAXI):
        MDP.from_gymnasium(older)


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(UnsupportedEnvironment, match="slipery"):
        MDP.from_gymnasium("FrozenLake-v1", slipery=True)
    with pytest.raises(ConfigError, match="takes no arguments; got is_slippery"):
        MDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), is_slippery=True)


def test_an_uneven_table_is_refused() -> None:
    env = make_env("FrozenLake-v1")
    table: Any = env.unwrapped
    del table.P[3][2]
    with pytest.raises(ModelError, match="state 3 has 3 actions; state 0 has 4"):
        MDP.from_gymnasium(env)
