from __future__ import annotations

import hashlib
import threading
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from cdq.envs.copying import copy_of
from cdq.envs.python import PythonEnvironment
from cdq.errors import ConfigError, UnsupportedEnvironment
from tests.envs.scripted import LAW, TAXI, Scripted, evaluate, start
from tests.envs.toys import N_ACTIONS, N_STATES, Toy


def test_ways_to_name_an_environment() -> None:
    spec = gymnasium.spec("Blackjack-v1")
    ways = (
        "Blackjack-v1",
        "gymnasium.envs.toy_text:Blackjack-v1",
        spec,
        lambda: gymnasium.make("Blackjack-v1"),
    )
    for way in ways:
        source = PythonEnvironment(way, 2)
        assert (source.name, source.n_actions, source.default_num_envs, source.time_limit) == (
            "Blackjack-v1",
            2,
            2,
            None,
        )
        start(source, 2)[0].run(LAW, 50, 1.0, 1.0)
        source.close()
    assert PythonEnvironment("FrozenLake-v1", is_slippery=False).time_limit == 100


def test_one_environment_has_one_lane() -> None:
    env = gymnasium.make("Blackjack-v1")
    with pytest.raises(ConfigError, match="cannot be stepped in 2 lanes; give its id or a callable"):
        PythonEnvironment(env, 2)
    with pytest.raises(ConfigError, match="takes no arguments; got sab"):
        PythonEnvironment(env, sab=True)
    with pytest.raises(ConfigError, match="returned the same environment twice"):
        PythonEnvironment(lambda: env, 2)


def test_environments_that_differ_are_refused() -> None:
    envs = iter([gymnasium.make("FrozenLake-v1"), gymnasium.make("FrozenLake8x8-v1")])
    with pytest.raises(UnsupportedEnvironment, match="lanes 0 and 1 have different spaces"):
        PythonEnvironment(lambda: next(envs), 2)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("Pendulum-v1", "continuous actions.*DiscretizeAction"),
        ("Nowhere-v0", "unknown environment"),
        (3, "cannot make"),
    ],
)
def test_what_cannot_be_learnt_is_refused(env: Any, message: str) -> None:
    with pytest.raises(UnsupportedEnvironment, match=message):
        PythonEnvironment(env)


def test_bins_are_those_of_the_wrapper_of_gymnasium() -> None:
    source = PythonEnvironment("MountainCar-v0", 2, bins=(10, 12))
    assert source.encoder.n_states == 120
    loop, table = start(source, 2)
    loop.run(LAW, 300, 1.0, 1.0)
    assert 1 < np.count_nonzero(table.counts.any(axis=1)) < 60
    source.close()
    with pytest.raises(UnsupportedEnvironment, match="bins=9 does not fit.*finite.*TileCoding"):
        PythonEnvironment("CartPole-v1", bins=9)
    with pytest.raises(UnsupportedEnvironment, match="does not fit.*expected 2, got 3"):
        PythonEnvironment("MountainCar-v0", bins=(1, 2, 3))
    with pytest.raises(UnsupportedEnvironment, match="only those in a Box"):
        PythonEnvironment("Blackjack-v1", bins=2)


def test_what_was_made_is_closed_and_what_was_given_is_not() -> None:
    made: list[Scripted] = []

    def make() -> Scripted:
        made.append(Scripted((1, 1.0, True, False, {})))
        return made[-1]

    source = PythonEnvironment(make, 2)
    evaluate(source, 3, lanes=2)
    assert len(made) == 4
    source.close()
    source.close()
    assert [env.closed for env in made] == [1] * 4
    given = Scripted((1, 1.0, True, False, {}))
    source = PythonEnvironment(given)
    evaluate(source, 3)
    source.close()
    assert given.closed == 0


def test_what_was_made_is_closed_where_the_source_is_refused() -> None:
    made: list[Scripted] = []

    def make() -> Scripted:
        made.append(Scripted())
        made[-1].action_space = spaces.Box(-1, 1)
        return made[-1]

    with pytest.raises(UnsupportedEnvironment):
        PythonEnvironment(make)
    assert [env.closed for env in made] == [1]


def test_an_environment_that_was_given_is_only_stepped_and_reset() -> None:
    env = gymnasium.make("FrozenLake-v1")
    env.reset(seed=0)
    before, inner = dict(vars(env.unwrapped)), env.env
    PythonEnvironment(env).close()
    assert vars(env.unwrapped) == before
    assert env.env is inner


def test_evaluation_has_an_environment_of_its_own() -> None:
    env = gymnasium.make("FrozenLake-v1")
    source = PythonEnvironment(env)
    loop, _ = start(source)
    loop.run(LAW, 3, 0.0, 0.0)
    at: Any = env.unwrapped
    state, draws = at.s, at.np_random.bit_generator.state
    returns, lengths = evaluate(source, 5)
    assert returns.shape == lengths.shape == (5,)
    assert (at.s, at.np_random.bit_generator.state) == (state, draws)
    source.close()
    env.reset()


def test_an_environment_without_a_copy_evaluates_itself_and_begins_anew() -> None:
    env = Scripted((1, 1.0, False, True, {}))
    setattr(env, "held", threading.Lock())  # noqa: B010 - which cannot be copied
    source = PythonEnvironment(env)
    assert source.name == "Scripted"
    loop, _ = start(source)
    loop.run(LAW, 2, 0.0, 0.0)
    returns, _ = evaluate(source, 4)
    assert returns.tolist() == [1.0] * 4
    assert env.resets == 1 + 4 + 1
    assert loop.run(LAW, 1, 0.0, 0.0) == (True, 1, 1, 1.0)


def test_a_copy_to_evaluate_in_shows_nothing() -> None:
    env = gymnasium.make("FrozenLake-v1", render_mode="human", disable_env_checker=True)
    copied: Any = copy_of(env)
    copied.reset(seed=0)
    copied.step(0)  # a window, were it shown
    assert copied.unwrapped.window_surface is None
    assert (copied.render_mode, env.render_mode) == (None, "human")


def test_evaluations_of_one_seed_are_the_same() -> None:
    for lanes in (1, 3):
        first, second = PythonEnvironment("Blackjack-v1"), PythonEnvironment("Blackjack-v1")
        runs = [evaluate(source, 50, lanes=lanes)[0].tolist() for source in (first, second)]
        assert runs[0] == runs[1]
        assert evaluate(second, 50, lanes=lanes, seed=1)[0].tolist() != runs[0]
        first.close()
        second.close()


def test_time_limits_are_the_wrappers_and_count_once() -> None:
    source = PythonEnvironment("CliffWalking-v1", max_episode_steps=7)
    assert source.time_limit == 7
    loop, _ = start(source)
    _, episodes, length_sum, _ = loop.run(LAW, 70, 0.0, 0.0)
    assert (episodes, length_sum) == (10, 70)
    assert PythonEnvironment("CliffWalking-v1").time_limit is None
    assert evaluate(PythonEnvironment("CliffWalking-v1"), 2, longest=30)[1].tolist() == [30, 30]


def test_statistics_of_a_user_stay_as_they_are() -> None:
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("Blackjack-v1"), buffer_length=1000)
    loop, _ = start(PythonEnvironment(env))
    _, episodes, length_sum, return_sum = loop.run(LAW, 200, 1.0, 1.0)
    assert len(env.length_queue) == episodes > 100
    assert sum(env.return_queue) == return_sum != 0.0
    assert sum(env.length_queue) == length_sum


def test_environments_are_made_without_the_checker_and_without_a_window() -> None:
    source = PythonEnvironment("CliffWalking-v1", 2)
    for env in source._envs:
        assert "PassiveEnvChecker" not in str(env)
        assert env.render_mode is None
    source.close()


def test_an_environment_that_resets_itself_is_reset_all_the_same() -> None:
    tables = []
    for make in (Toy, lambda: gymnasium.wrappers.Autoreset(Toy())):
        loop, table = start(PythonEnvironment(make, 2), 2)
        loop.run(LAW, 200, 1.0, 0.2)
        tables.append(table.values.tobytes())
    assert tables[0] == tables[1]


def test_fingerprints_tell_environments_apart() -> None:
    def of(*arguments: Any, **kwargs: Any) -> str:
        source = PythonEnvironment(*arguments, **kwargs)
        text = source.fingerprint()
        source.close()
        return text

    lake = of("FrozenLake-v1")
    assert len(lake) == len(hashlib.sha256().hexdigest())
    assert lake == of("FrozenLake-v1", 3)
    assert lake == of(gymnasium.make("FrozenLake-v1", disable_env_checker=True))
    assert lake == of(gymnasium.make("FrozenLake-v1", render_mode="rgb_array"))
    others = [
        of("FrozenLake8x8-v1"),
        of("FrozenLake-v1", is_slippery=False),
        of("FrozenLake-v1", max_episode_steps=5),
        of("MountainCar-v0", bins=5),
        of("MountainCar-v0", bins=6),
        of(TAXI),
        of(TAXI, masks=True),
        of(Scripted),
        of(Toy),
        of(lambda: Toy(first_action=1)),
    ]
    assert len({lake, *others}) == 1 + len(others)
    assert of(Toy) == of(lambda: Toy("discrete"))


def test_the_table_of_a_toy_is_found() -> None:
    source = PythonEnvironment(Toy, 2)
    assert (source.encoder.n_states, source.n_actions) == (N_STATES, N_ACTIONS)
    assert (source.stepping, source.own_bytes, source.threads, source.resumable) == (
        "Python environment",
        0,
        False,
        False,
    )
