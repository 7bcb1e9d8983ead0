from __future__ import annotations

import logging
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

import cdq
from cdq import schedules
from cdq.core.lanes import Lanes
from cdq.core.linear.linear import LinearQ
from cdq.envs.vector import VectorEnvironment
from cdq.errors import ConfigError, EnvironmentFailure, UnsupportedEnvironment
from cdq.features import TileCoding
from tests.envs.scripted import LAW, TAXI, Scripted, Spy, Wide, evaluate, start
from tests.envs.toys import Plain, Toy
from tests.small_tables import make_table

MODES = list(AutoresetMode)


def vector(mode: AutoresetMode = AutoresetMode.NEXT_STEP, *answers: Any, **arguments: Any) -> SyncVectorEnv:
    makes = [lambda answer=answer: Scripted(answer, **arguments) for answer in answers]
    return SyncVectorEnv(makes, autoreset_mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_modes_are_read_from_the_metadata(mode: AutoresetMode) -> None:
    for said in (mode, mode.value):
        envs = Plain(2, mode)
        envs.metadata = {"autoreset_mode": said}
        assert VectorEnvironment(envs).mode == mode.name
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(SyncVectorEnv([Toy] * 2, autoreset_mode=mode))
    assert VectorEnvironment(wrapped).mode == mode.name


def test_a_mode_that_nobody_tells_is_next_step_said_once_and_loudly(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="cdq"):
        source = VectorEnvironment(Plain(2, None))
        loop, _ = start(source, 2)
        loop.run(LAW, 50, 1.0, 1.0)
    assert source.mode == "NEXT_STEP"
    assert [record.getMessage() for record in caplog.records] == [
        "Plain(num_envs=2) does not say in metadata['autoreset_mode'] how its episodes begin; NEXT_STEP is assumed"
    ]


def test_a_mode_of_another_dialect_is_refused() -> None:
    envs = Plain(2, None)
    envs.metadata = {"autoreset_mode": "envpool"}
    with pytest.raises(UnsupportedEnvironment, match="is 'envpool'; known are AutoresetMode.NEXT_STEP, "):
        VectorEnvironment(envs)


class OneSeed(VectorEnv[Any, Any, Any]):
    """Takes one number as a seed, as `VectorEnv.reset` says."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
    single_action_space = spaces.Discrete(2, dtype=np.int32)
    action_space = spaces.MultiDiscrete([2, 2], dtype=np.int32)
    single_observation_space = spaces.Discrete(4)
    observation_space = spaces.MultiDiscrete([4, 4])
    num_envs = 2

    def __init__(self) -> None:
        self.seeds: list[Any] = []
        self.given: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seeds.append(seed)
        return np.zeros(2, np.int64), {}

    def step(self, actions: Any) -> Any:
        self.given.append(actions)
        ones = np.ones(2)
        return ones.astype(np.int64), ones, ones.astype(np.bool_) & False, ones.astype(np.bool_) & False, {}


def test_seeds_are_a_list_or_where_that_is_refused_one_number() -> None:
    envs = OneSeed()
    loop, _ = start(VectorEnvironment(envs), 2)
    assert envs.seeds == [0]
    loop.reset()
    assert envs.seeds == [0, None]
    plain = Plain(2, AutoresetMode.NEXT_STEP)
    loop, _ = start(VectorEnvironment(plain), 2)
    loop.run(LAW, 100, 1.0, 1.0)
    assert [env.seeds[0] for env in plain.envs] == [0, 1]
    assert {seed for env in plain.envs for seed in env.seeds[1:]} == {None}


def test_actions_are_arrays_of_the_spaces_type_that_the_environment_may_keep() -> None:
    envs = OneSeed()
    loop, _ = start(VectorEnvironment(envs), 2)
    loop.run(LAW, 20, 1.0, 1.0)
    assert {actions.dtype for actions in envs.given} == {np.dtype(np.int32)}
    assert len({id(actions) for actions in envs.given}) == 20
    assert {tuple(actions) for actions in envs.given} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_actions_are_in_range_even_where_they_are_ignored() -> None:
    """The mask of a terminal observation may be zeros; the action after it starts the next episode."""

    class DivergenceGuard(SyncVectorEnv):
        def step(self, actions: Any) -> Any:
            given.update(actions.tolist())
            return super().step(actions)

    given: set[int] = set()
    loop, _ = start(VectorEnvironment(DivergenceGuard([lambda: Toy(masks="info")] * 3)), 3)
    loop.run(LAW, 200, 1.0, 1.0)
    assert given == {0, 1, 2}


def test_the_reset_mask_is_new_each_time() -> None:
    """SyncVectorEnv takes it out of the options and asks for a True in it."""
    envs = SyncVectorEnv([Toy] * 3, autoreset_mode=AutoresetMode.DISABLED)
    loop, _ = start(VectorEnvironment(envs), 3)
    completed, episodes, *_ = loop.run(LAW, 200, 1.0, 1.0)
    assert completed
    assert episodes > 20


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_a_vector_environment_with_linear_features(mode: AutoresetMode) -> None:
    envs = gymnasium.make_vec("MountainCar-v0", 3, "sync", vector_kwargs={"autoreset_mode": mode})
    source = VectorEnvironment(envs)
    coding = TileCoding(tilings=4, tiles=4).bind(source.encoder.low, source.encoder.high)
    shape = (coding.n_features, 3)
    table = make_table(np.zeros(shape), np.zeros(shape))
    lanes = Lanes(3)
    loop = source.loop(LinearQ(table.rows, 3, coding), lanes, 0.9, [1, 2, 3], np.zeros(1, np.int32))
    loop.reset()
    law = schedules.build_law(schedules.Constant(0.1), 0, 0.3, "float64")
    completed, episodes, length_sum, return_sum = loop.run(law, 450, 0.2, 0.2)
    assert completed
    assert (episodes, length_sum, return_sum) == (6, 1200, -1200.0)
    assert table.values.min() < 0


def test_statistics_of_a_user_stay_as_they_are() -> None:
    inner = SyncVectorEnv([Toy] * 2)
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(inner, buffer_length=1000)
    loop, _ = start(VectorEnvironment(envs), 2)
    _, episodes, length_sum, return_sum = loop.run(LAW, 200, 1.0, 1.0)
    assert len(envs.length_queue) == episodes > 20
    assert sum(envs.length_queue) == length_sum
    assert sum(envs.return_queue) == pytest.approx(return_sum)


# ---- what goes wrong


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((1, np.nan, False, False, {}), "lane 1, step 3: the reward is nan"),
        ((4, 0.0, False, False, {}), r"lane 1, step 3: its observation is not in Discrete\(4\)"),
        (lambda env: 1 / 0, "^step 3: step raised ZeroDivisionError: division by zero"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_a_failure_names_lane_and_step(mode: AutoresetMode, answer: Any, message: str) -> None:
    fine = (1, 0.0, False, False, {})
    loop, _ = start(VectorEnvironment(vector(mode, fine, answer)), 2)
    with pytest.raises(EnvironmentFailure, match=message):
        loop.run(LAW, 10, 1.0, 1.0)
    with pytest.raises(ValueError, match="no episode was started"):
        loop.run(LAW, 1, 1.0, 1.0)


def test_a_reset_that_fails_is_told() -> None:
    with pytest.raises(EnvironmentFailure, match="lane 0, step 1: its observation is not in"):
        start(VectorEnvironment(vector(AutoresetMode.NEXT_STEP, None, first=(7, {}))))
    with pytest.raises(EnvironmentFailure, match="reset raised "):
        start(VectorEnvironment(vector(AutoresetMode.NEXT_STEP, None, first=3)))


def test_answers_of_another_shape_are_told() -> None:
    class Short(OneSeed):
        def step(self, actions: Any) -> Any:
            return super().step(actions)[: self.parts]  # type: ignore[attr-defined]

    class Many(OneSeed):
        def step(self, actions: Any) -> Any:
            observations, _, *rest = super().step(actions)
            return observations, np.ones(3), *rest

    Short.parts = 4  # type: ignore[attr-defined]
    for envs, message in ((Short(), "a tuple of five"), (Many(), "3 numbers, not 2")):
        loop, _ = start(VectorEnvironment(envs), 2)
        with pytest.raises(EnvironmentFailure, match=f"step 1: .*{message}"):
            loop.run(LAW, 1, 1.0, 1.0)


def test_a_truncation_without_its_final_observation_is_a_failure() -> None:
    class Silent(Plain):
        def step(self, actions: Any) -> Any:
            *answer, _ = super().step(actions)
            answer[2] = answer[2] & False
            answer[3] = answer[3] | True
            return *answer, {}

    loop, _ = start(VectorEnvironment(Silent(1, AutoresetMode.SAME_STEP)))
    with pytest.raises(
        EnvironmentFailure, match="lane 0, step 1: its truncated episode has no true final observation"
    ):
        loop.run(LAW, 1, 1.0, 1.0)


def test_an_environment_that_changes_its_spaces_is_a_failure() -> None:
    envs = OneSeed()
    loop, _ = start(VectorEnvironment(envs), 2)
    envs.single_action_space = spaces.Discrete(3)
    with pytest.raises(EnvironmentFailure, match="changed its action space"):
        loop.run(LAW, 1, 1.0, 1.0)


def test_an_observation_that_is_not_a_number_is_a_failure() -> None:
    source = VectorEnvironment(SyncVectorEnv([Wide] * 2))
    coding = TileCoding(tilings=2, tiles=2).bind(source.encoder.low, source.encoder.high)
    table = make_table(np.zeros((coding.n_features, 2)), np.zeros((coding.n_features, 2)))
    loop = source.loop(LinearQ(table.rows, 2, coding), Lanes(2), 0.9, [0, 1], np.zeros(1, np.int32))
    loop.reset()
    with pytest.raises(
        EnvironmentFailure, match=r"lane 0, step 3: the observation \[0.5, nan\] has a number"
    ):
        loop.run(LAW, 10, 1.0, 1.0)


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_of_zeros_is_a_failure_unless_the_episode_terminated(mode: AutoresetMode) -> None:
    ones, zeros = np.ones(2, np.int8), np.zeros(2, np.int8)
    first = (0, {"action_mask": ones})
    for terminated, truncated in ((False, False), (False, True), (True, False)):
        answer = (1, 0.0, terminated, truncated, {"action_mask": zeros})
        loop, _ = start(VectorEnvironment(vector(mode, answer, first=first)))
        if terminated:
            assert loop.run(LAW, 3, 1.0, 1.0)[:2] == (True, 1)
        else:
            with pytest.raises(EnvironmentFailure, match=r"lane 0, step 3: .*no action is allowed"):
                loop.run(LAW, 3, 1.0, 1.0)


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_that_one_lane_lacks_is_a_failure(mode: AutoresetMode) -> None:
    ones = np.ones(2, np.int8)
    answers = [(1, 0.0, False, False, {"action_mask": ones}), (1, 0.0, False, False, {})]
    loop, _ = start(VectorEnvironment(vector(mode, *answers, first=(0, {"action_mask": ones}))), 2)
    with pytest.raises(EnvironmentFailure, match="lane 1, step 3: there is no action_mask in the infos"):
        loop.run(LAW, 10, 1.0, 1.0)


def test_masks_that_are_lists_are_read() -> None:
    """Gymnasium puts what is no array into an array of objects."""
    fine = (1, 1.0, False, False, {"action_mask": np.ones(2)})
    for column, mask in enumerate(([1, 0], [0, 1])):
        envs = vector(AutoresetMode.NEXT_STEP, *[fine] * 9, first=(0, {"action_mask": mask}))
        loop, table = start(VectorEnvironment(envs), 9)
        loop.run(LAW, 1, 1.0, 1.0)
        assert (table.counts[0] & 0x7FFFFFFF).tolist() == [9 * (1 - column), 9 * column]


@pytest.mark.parametrize(("masks", "heeded"), [("auto", False), (False, False), (True, True)])
def test_the_mask_of_taxi_is_advice(masks: Any, heeded: bool) -> None:
    made: list[Spy] = []

    def make() -> Any:
        made.append(Spy(gymnasium.make(TAXI)))
        return made[-1]

    for mode in MODES:
        made.clear()
        source = VectorEnvironment(SyncVectorEnv([make] * 2, autoreset_mode=mode), masks=masks)
        loop, _ = start(source, 2)
        loop.run(LAW, 300, 1.0, 1.0)
        assert (sum(spy.forbidden for spy in made) == 0) is heeded


# ---- the source


def test_what_is_no_vector_environment_is_refused() -> None:
    for wrong in (3, lambda: 3, lambda: gymnasium.make("Blackjack-v1")):
        with pytest.raises(
            UnsupportedEnvironment, match="VectorEnv is needed, for example from gymnasium.make_vec"
        ):
            VectorEnvironment(wrong)
    with pytest.raises(UnsupportedEnvironment, match="continuous actions"):
        VectorEnvironment(lambda: gymnasium.make_vec("Pendulum-v1", 2, "sync"))


def test_lanes_are_the_environments() -> None:
    source = VectorEnvironment(Plain(3, AutoresetMode.NEXT_STEP))
    assert source.default_num_envs == 3
    with pytest.raises(ConfigError, match="has 3 lanes; got num_envs=2"):
        start(source, 2)


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_what_gymnasium_makes_is_named(mode: str) -> None:
    envs = gymnasium.make_vec("CartPole-v1", 2, mode)
    source = VectorEnvironment(envs)
    assert (source.name, source.time_limit, source.n_actions, source.encoder.width) == (
        "CartPole-v1",
        500,
        2,
        4,
    )
    assert (source.stepping, source.own_bytes, source.threads, source.resumable) == (
        "vector environment",
        0,
        False,
        False,
    )
    envs.close()


def test_what_was_made_is_closed_and_what_was_given_is_not() -> None:
    made: list[Plain] = []

    def make() -> Plain:
        made.append(Plain(2, AutoresetMode.NEXT_STEP))
        return made[-1]

    source = VectorEnvironment(make)
    evaluate(source, 3, lanes=2)
    source.close()
    source.close()
    assert [envs.closed for envs in made] == [True, True]
    given = Plain(2, AutoresetMode.NEXT_STEP)
    source = VectorEnvironment(given)
    evaluate(source, 3, lanes=2)
    source.close()
    assert not given.closed


@pytest.mark.parametrize("mode", MODES)
def test_one_that_was_given_evaluates_itself_and_begins_anew(mode: AutoresetMode) -> None:
    envs = Plain(2, mode)
    source = VectorEnvironment(envs)
    loop, _ = start(source, 2)
    loop.run(LAW, 5, 1.0, 1.0)
    returns, lengths = evaluate(source, 5, lanes=2)
    assert returns.shape == lengths.shape == (5,)
    assert lengths.min() > 0
    assert loop.run(LAW, 20, 1.0, 1.0)[0]


def test_fingerprints_tell_environments_apart() -> None:
    toys = VectorEnvironment(Plain(2, AutoresetMode.NEXT_STEP)).fingerprint()
    assert toys == VectorEnvironment(Plain(3, AutoresetMode.SAME_STEP)).fingerprint()
    assert toys != VectorEnvironment(OneSeed()).fingerprint()
    lake = VectorEnvironment(lambda: gymnasium.make_vec("FrozenLake-v1", 2, "sync"))
    assert lake.fingerprint() not in {
        toys,
        VectorEnvironment(gymnasium.make_vec(TAXI, 2, "sync")).fingerprint(),
    }
    lake.close()


@pytest.mark.parametrize("ask", [cdq.MDP.from_gymnasium, lambda envs: cdq.solve(envs, gamma=0.9)])
@pytest.mark.parametrize("made", [lambda envs: envs, lambda envs: lambda: envs], ids=["itself", "its maker"])
def test_a_vector_environment_has_no_model(ask: Any, made: Any) -> None:
    envs = gymnasium.make_vec("FrozenLake-v1", num_envs=2, vectorization_mode="sync")
    with pytest.raises(UnsupportedEnvironment, match="give one of its environments"):
        ask(made(envs))
    envs.close()
