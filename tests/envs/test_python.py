from __future__ import annotations

import hashlib
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from cdq import schedules
from cdq.core.linear import LinearQ
from cdq.core.qfunction import TableQ
from cdq.core.rows import Rows
from cdq.envs.python import PythonSource
from cdq.errors import ConfigError, EnvironmentFailure, UnsupportedEnvironment
from cdq.features import TileCoding
from cdq.lanes import Lanes
from cdq.worker import streams
from tests.envs.toys import N_ACTIONS, N_STATES, Toy
from tests.qfunctions import Table, make_table

TAXI = max(name for name in gymnasium.registry if name.startswith("Taxi-v"))
LAW = schedules.build_law(schedules.Constant(0.5), 0, 0.3, "float64")


def start(source: Any, n: int = 1, n_states: int | None = None, value: float = 0.0) -> tuple[Any, Table]:
    """Return the loop of a source, its episodes begun, and its table."""
    shape = (n_states or source.encoder.n_states, source.n_actions)
    table = make_table(np.full(shape, value), np.zeros(shape))
    lanes = Lanes(n)
    lanes.words[:] = streams(0, (0,), n)
    loop = source.loop(TableQ(table.rows, n), lanes, 0.9, list(range(n)), np.zeros(1, np.int32))
    loop.reset()
    return loop, table


def evaluate(source: Any, n: int, longest: int = 100, lanes: int = 1, seed: int = 0) -> Any:
    values = np.zeros((source.encoder.n_states, source.n_actions))
    words = streams(seed, (1,), lanes)
    return source.episodes(TableQ(Rows.of_values(values), lanes), words, n, longest, np.zeros(1, np.int32))


class Scripted(gymnasium.Env[Any, Any]):
    """Answers what the test says, from its third step on."""

    observation_space: Any = spaces.Discrete(4)
    action_space: Any = spaces.Discrete(2)

    def __init__(self, answer: Any = None, first: Any = (0, {})) -> None:
        self.answer, self.first, self.steps, self.resets, self.closed = answer, first, 0, 0, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.resets += 1
        return self.first

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps < 3:
            return 1, 0.0, False, False, {"action_mask": np.ones(2, np.int8)}
        return self.answer(self) if callable(self.answer) else self.answer

    def close(self) -> None:
        self.closed += 1


def raise_key_error(env: Any) -> Any:
    raise KeyError("broken")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (raise_key_error, "step raised KeyError: 'broken'"),
        ((1, np.nan, False, False, {}), "the reward is nan"),
        ((1, -np.inf, False, False, {}), "the reward is -inf"),
        ((1, None, False, False, {}), "must be real number, not NoneType"),
        ((4, 0.0, False, False, {}), r"4 is not in Discrete\(4\)"),
        ((np.zeros(3), 0.0, False, False, {}), r"is not in Discrete\(4\)"),
        ((np.nan, 0.0, False, False, {}), r"nan is not in Discrete\(4\)"),
        ((1, 0.0, False, {}), "step did not return the five of Gymnasium"),
        (None, "step did not return the five of Gymnasium"),
    ],
)
def test_a_failure_names_lane_and_step(answer: Any, message: str) -> None:
    envs = iter([Scripted((1, 0.0, False, False, {})), Scripted(answer)])
    loop, _ = start(PythonSource(lambda: next(envs), 2), 2)
    with pytest.raises(EnvironmentFailure, match=message) as caught:
        loop.run(LAW, 100, 1.0, 1.0)
    assert (caught.value.lane, caught.value.step) == (1, 3)
    assert str(caught.value).startswith("lane 1, step 3: ")
    if answer is raise_key_error:
        assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(ValueError, match="no episode was started"):  # nobody goes on from there by accident
        loop.run(LAW, 1, 1.0, 1.0)


def test_the_step_is_that_of_the_episode() -> None:
    loop, _ = start(PythonSource(lambda: Scripted(end_or_break)))
    with pytest.raises(EnvironmentFailure, match="lane 0, step 1: step raised ZeroDivisionError"):
        loop.run(LAW, 100, 1.0, 1.0)


def end_or_break(env: Scripted) -> Any:
    return (1, 1 / (4 - env.steps), env.steps == 3, False, {})


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (0, "reset did not return"),
        ((7, {}), r"7 is not in Discrete\(4\)"),
        ((0, {}, 1), "reset did not return"),
    ],
)
def test_a_reset_that_fails_names_the_lane(first: Any, message: str) -> None:
    source = PythonSource(lambda: Scripted(first=first))
    with pytest.raises(EnvironmentFailure, match=f"lane 0: .*{message}"):
        start(source)


def test_rewards_and_flags_may_be_of_any_type() -> None:
    for reward in (1, np.float32(1), np.int8(1), np.array(1.0), True):
        answer = (np.array(2), reward, np.bool_(True), np.array(False), {})
        loop, table = start(PythonSource(lambda answer=answer: Scripted(answer)))
        assert loop.run(LAW, 3, 1.0, 1.0) == (True, 1, 3, 1.0)
        assert table.values[1].max() == 0.5


class Wide(gymnasium.Env[Any, Any]):
    """Real observations, of which the third is not a number."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return np.array([0.5, np.nan if self.steps == 3 else 0.5], np.float32), 0.0, False, False, {}


def test_an_observation_that_is_not_a_number_is_a_failure() -> None:
    source = PythonSource(Wide)
    coding = TileCoding(tilings=2, tiles=2).bind(source.encoder.low, source.encoder.high)
    shape = (coding.n_features, 2)
    table = make_table(np.zeros(shape), np.zeros(shape))
    loop = source.loop(LinearQ(table.rows, 1, coding), Lanes(1), 0.9, [0], np.zeros(1, np.int32))
    loop.reset()
    with pytest.raises(
        EnvironmentFailure, match=r"lane 0, step 3: the observation \[0.5, nan\] has a number"
    ):
        loop.run(LAW, 10, 1.0, 1.0)


def test_a_table_refuses_real_observations() -> None:
    with pytest.raises(UnsupportedEnvironment, match="TileCoding"):
        start(PythonSource(Wide), n_states=4)


def test_an_environment_that_changes_its_spaces_is_a_failure() -> None:
    for name in ("action", "observation"):
        env = Scripted((1, 0.0, False, False, {}))
        loop, _ = start(PythonSource(env))
        loop.run(LAW, 2, 1.0, 1.0)
        setattr(env, f"{name}_space", spaces.Discrete(9))
        with pytest.raises(
            EnvironmentFailure, match=rf"changed its {name} space from Discrete\(\d\) to Discrete\(9\)"
        ):
            loop.run(LAW, 2, 1.0, 1.0)


def test_a_table_that_is_too_small_is_told_as_such() -> None:
    loop, _ = start(PythonSource(lambda: Scripted((3, 0.0, False, False, {}))), n_states=3)
    with pytest.raises(
        EnvironmentFailure, match="lane 0, step 3: the observation's index 3 is not one of the table's"
    ):
        loop.run(LAW, 10, 1.0, 1.0)


# ---- masks


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


class Spy(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Counts the actions that the mask of the info forbids."""

    forbidden = 0
    mask: Any = None

    def reset(self, **arguments: Any) -> Any:
        observation, info = self.env.reset(**arguments)
        self.mask = info["action_mask"].copy()
        return observation, info

    def step(self, action: Any) -> Any:
        self.forbidden += not self.mask[action]
        answer = self.env.step(action)
        self.mask = answer[4]["action_mask"].copy()
        return answer


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


# ---- the source


def test_ways_to_name_an_environment() -> None:
    spec = gymnasium.spec("Blackjack-v1")
    ways = (
        "Blackjack-v1",
        "gymnasium.envs.toy_text:Blackjack-v1",
        spec,
        lambda: gymnasium.make("Blackjack-v1"),
    )
    for way in ways:
        source = PythonSource(way, 2)
        assert (source.name, source.n_actions, source.lanes, source.time_limit) == (
            "Blackjack-v1",
            2,
            2,
            None,
        )
        start(source, 2)[0].run(LAW, 50, 1.0, 1.0)
        source.close()
    assert PythonSource("FrozenLake-v1", is_slippery=False).time_limit == 100


def test_one_environment_has_one_lane() -> None:
    env = gymnasium.make("Blackjack-v1")
    with pytest.raises(ConfigError, match="cannot be stepped in 2 lanes; give its id or a callable"):
        PythonSource(env, 2)
    with pytest.raises(ConfigError, match="takes no arguments; got sab"):
        PythonSource(env, sab=True)
    with pytest.raises(ConfigError, match="returned the same environment twice"):
        PythonSource(lambda: env, 2)


def test_environments_that_differ_are_refused() -> None:
    envs = iter([gymnasium.make("FrozenLake-v1"), gymnasium.make("FrozenLake8x8-v1")])
    with pytest.raises(UnsupportedEnvironment, match="lanes 0 and 1 have different spaces"):
        PythonSource(lambda: next(envs), 2)


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
        PythonSource(env)


def test_bins_are_those_of_the_wrapper_of_gymnasium() -> None:
    source = PythonSource("MountainCar-v0", 2, bins=(10, 12))
    assert source.encoder.n_states == 120
    loop, table = start(source, 2)
    loop.run(LAW, 300, 1.0, 1.0)
    assert 1 < np.count_nonzero(table.counts.any(axis=1)) < 60
    source.close()
    with pytest.raises(UnsupportedEnvironment, match="bins=9 does not fit.*finite.*TileCoding"):
        PythonSource("CartPole-v1", bins=9)
    with pytest.raises(UnsupportedEnvironment, match="does not fit.*expected 2, got 3"):
        PythonSource("MountainCar-v0", bins=(1, 2, 3))
    with pytest.raises(UnsupportedEnvironment, match="only compatible with Box"):
        PythonSource("Blackjack-v1", bins=2)


def test_what_was_made_is_closed_and_what_was_given_is_not() -> None:
    made: list[Scripted] = []

    def make() -> Scripted:
        made.append(Scripted((1, 1.0, True, False, {})))
        return made[-1]

    source = PythonSource(make, 2)
    evaluate(source, 3, lanes=2)
    assert len(made) == 4
    source.close()
    source.close()
    assert [env.closed for env in made] == [1] * 4
    given = Scripted((1, 1.0, True, False, {}))
    source = PythonSource(given)
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
        PythonSource(make)
    assert [env.closed for env in made] == [1]


def test_an_environment_that_was_given_is_only_stepped_and_reset() -> None:
    env = gymnasium.make("FrozenLake-v1")
    env.reset(seed=0)
    before, inner = dict(vars(env.unwrapped)), env.env
    PythonSource(env).close()
    assert vars(env.unwrapped) == before
    assert env.env is inner


def test_evaluation_has_an_environment_of_its_own() -> None:
    env = gymnasium.make("FrozenLake-v1")
    source = PythonSource(env)
    loop, _ = start(source)
    loop.run(LAW, 3, 0.0, 0.0)
    at: Any = env.unwrapped
    state, draws = at.s, at.np_random.bit_generator.state
    returns, lengths = evaluate(source, 5)
    assert returns.shape == lengths.shape == (5,)
    assert (at.s, at.np_random.bit_generator.state) == (state, draws)
    source.close()
    env.reset()


def test_an_environment_without_a_recipe_evaluates_itself_and_begins_anew() -> None:
    env = Scripted((1, 1.0, False, True, {}))
    source = PythonSource(env)
    assert source.name == "Scripted"
    loop, _ = start(source)
    loop.run(LAW, 2, 0.0, 0.0)
    returns, _ = evaluate(source, 4)
    assert returns.tolist() == [1.0] * 4
    assert env.resets == 1 + 4 + 1
    assert loop.run(LAW, 1, 0.0, 0.0) == (True, 1, 1, 1.0)


def test_evaluations_of_one_seed_are_the_same() -> None:
    for lanes in (1, 3):
        first, second = PythonSource("Blackjack-v1"), PythonSource("Blackjack-v1")
        runs = [evaluate(source, 50, lanes=lanes)[0].tolist() for source in (first, second)]
        assert runs[0] == runs[1]
        assert evaluate(second, 50, lanes=lanes, seed=1)[0].tolist() != runs[0]
        first.close()
        second.close()


def test_time_limits_are_the_wrappers_and_count_once() -> None:
    source = PythonSource("CliffWalking-v1", max_episode_steps=7)
    assert source.time_limit == 7
    loop, _ = start(source)
    _, episodes, length_sum, _ = loop.run(LAW, 70, 0.0, 0.0)
    assert (episodes, length_sum) == (10, 70)
    assert PythonSource("CliffWalking-v1").time_limit is None
    assert evaluate(PythonSource("CliffWalking-v1"), 2, longest=30)[1].tolist() == [30, 30]


def test_statistics_of_a_user_stay_as_they_are() -> None:
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("Blackjack-v1"))
    loop, _ = start(PythonSource(env))
    _, episodes, length_sum, return_sum = loop.run(LAW, 200, 1.0, 1.0)
    assert len(env.length_queue) == min(episodes, 100)
    assert episodes > 100 or sum(env.return_queue) == return_sum
    assert sum(env.length_queue) <= length_sum


def test_fingerprints_tell_environments_apart() -> None:
    def of(*arguments: Any, **kwargs: Any) -> str:
        source = PythonSource(*arguments, **kwargs)
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
    source = PythonSource(Toy, 2)
    assert (source.encoder.n_states, source.n_actions) == (N_STATES, N_ACTIONS)
    assert (source.way, source.own_bytes, source.threads, source.resumable) == (
        "Python environment",
        0,
        False,
        False,
    )
