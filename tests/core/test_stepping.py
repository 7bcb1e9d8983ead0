from __future__ import annotations

import threading
import time
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.core.envs.envs import call, capsule
from cdq.core.lanes import Lanes
from cdq.core.linear.linear import LinearQ
from cdq.core.loops.stepping import LANE_BYTES, Stepper
from cdq.core.table.qfunction import TableQ
from cdq.envs.classic import MountainCar
from cdq.envs.compiled import CompiledEnvironment
from cdq.errors import EnvironmentFailure
from cdq.features import TileCoding
from cdq.qfunctions.merged import MergedTable
from cdq.workers.worker import EVALUATION, LEARNING, streams
from tests.envs.compiled import FINITE, GAMES, function, scripted
from tests.reference import stepping as reference
from tests.reference.qfunction import QFunction
from tests.reference.schedules import Law
from tests.strategies import DTYPES, seeds

STEP_SIZES = [schedules.RescaledLinear(0.9), schedules.Polynomial(0.77), schedules.Constant(0.3)]
RATES = st.tuples(st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.0, 0.37, 1.0]))


class Run:
    """A loop over an environment and a table of its own."""

    def __init__(
        self,
        env: Any,
        dtype: str = "float64",
        n: int = 1,
        gamma: float = 0.9,
        seed: int = 0,
        stop: Any = None,
    ) -> None:
        self.source = CompiledEnvironment(env)
        self.merged = MergedTable(self.source.n_states or 1, self.source.n_actions, dtype, 0.0)
        self.rows = self.merged.new_rows()
        self.lanes = Lanes(n, self.source.own_bytes)
        self.lanes.words[:] = streams(seed, (LEARNING, 0, 0), n)
        self.stop = np.zeros(1, np.int32) if stop is None else stop
        self.loop = self.source.loop(TableQ(self.rows, n), self.lanes, gamma, [0] * n, self.stop)
        self.loop.reset()

    @property
    def values(self) -> Any:
        base = self.merged.values
        return np.asarray(self.rows.data)[:, : base.shape[1] * base.itemsize].view(base.dtype)

    @property
    def counts(self) -> Any:
        n_actions, size = self.merged.values.shape[1], self.merged.values.itemsize
        return np.asarray(self.rows.data)[:, n_actions * size : n_actions * (size + 4)].view(np.uint32)

    def everything(self) -> bytes:
        return bytes(np.asarray(self.rows.data).tobytes() + self.lanes.memory.tobytes())


def table(values: Any, clock: Any) -> QFunction:
    return QFunction(values, clock, lambda state: [(state, 1)])


def law(dtype: str = "float64", step_size: Any = None) -> Any:
    return schedules.build_law(step_size or schedules.Constant(0.5), 0, 0.3, dtype)


def compare(run: Run, other: reference.Learner) -> None:
    """Compare to the bit; -0.0 and 0.0 are different bits."""
    assert run.values.tobytes() == other.q.values.tobytes()
    assert (run.counts & 0x7FFFFFFF).tolist() == other.q.counts.tolist()
    assert np.asarray(run.rows.log)[: run.rows.touched].tolist() == other.q.log
    assert run.lanes.words.T.tolist() == [lane.stream.words for lane in other.lanes]
    assert run.lanes.elapsed.tolist() == [lane.elapsed for lane in other.lanes]
    assert run.lanes.returns.tobytes() == np.array([lane.episode_return for lane in other.lanes]).tobytes()
    assert run.lanes.own.tobytes() == b"".join(lane.memory.tobytes() for lane in other.lanes)


ALL = {**FINITE, **GAMES}


@given(
    st.sampled_from(sorted(ALL)),
    st.sampled_from(DTYPES),
    st.integers(1, 5),
    st.sampled_from(STEP_SIZES),
    st.lists(st.tuples(st.integers(0, 15), RATES), min_size=1, max_size=3),
    st.sampled_from([None, 1, 3, 20]),
    seeds,
)
def test_windows_are_the_definition_to_the_bit(
    name: str, dtype: str, n: int, step_size: Any, windows: Any, limit: int | None, seed: int
) -> None:
    env = ALL[name]()
    env.time_limit = limit
    run = Run(env, dtype, n, seed=seed)
    shape = run.merged.values.shape
    q = table(np.zeros(shape, dtype), np.zeros(shape))
    other = reference.Learner(env, q, 0.9, streams(seed, (LEARNING, 0, 0), n), limit)
    other.reset()
    for sweeps, rates in windows:
        ours = run.loop.run(law(dtype, step_size), sweeps, *rates)
        other.run(Law(step_size, 0, 0.3, dtype), sweeps, *rates)
        lengths, returns = [length for length, _ in other.ended], [each for _, each in other.ended]
        assert ours[:3] == (True, len(other.ended), sum(lengths))
        assert ours[3] == pytest.approx(sum(returns))
        compare(run, other)


@given(st.sampled_from(sorted(ALL)), st.integers(1, 4), st.integers(0, 9), st.integers(1, 30), seeds)
def test_greedy_episodes_are_the_definition(
    name: str, n: int, episodes: int, longest: int, seed: int
) -> None:
    env = ALL[name]()
    run = Run(env, n=n)
    run.values[:] = np.random.default_rng(seed).integers(0, 3, run.values.shape)
    words = streams(seed, (EVALUATION, 0), n)
    q = table(run.values.copy(), np.zeros(run.values.shape))
    expected = reference.follow(env, q, words, longest, episodes)
    returns, lengths = run.source.episodes(TableQ(run.rows, n), words, episodes, longest, run.stop)
    assert (returns.tolist(), lengths.tolist()) == expected
    assert run.values.tobytes() == q.values.tobytes()


def test_lanes_that_were_saved_go_on_in_another_loop() -> None:
    """They hold no address, which would be another one in another process."""
    first, second, whole = (Run(FINITE["grid"](), n=3) for _ in range(3))
    whole.loop.run(law(), 50, 0.3, 0.3)
    first.loop.run(law(), 20, 0.3, 0.3)
    assert (first.lanes.own.reshape(-1).view(reference.lane_dtype())["context"] == 0).all()
    second.lanes.memory[:] = first.lanes.memory
    np.asarray(second.rows.data)[:] = first.rows.data
    second.loop.run(law(), 30, 0.3, 0.3)
    assert second.everything() == whole.everything()


def test_truncation_bootstraps_and_termination_does_not() -> None:
    for field, expected in (("truncated", 1 + 0.5 * 8.0), ("terminated", 1.0)):

        def step(lane: Any, field: str = field) -> None:
            lane["reward"], lane["index"], lane[field] = 1.0, 1, 1

        run = Run(scripted(step), gamma=0.5)
        run.values[:] = 8.0
        assert run.loop.run(law(step_size=schedules.Constant(1.0)), 1, 0.0, 0.0) == (True, 1, 1, 1.0)
        assert run.values[0].max() == 8.0
        assert run.values[0].min() == expected


def test_only_as_many_uniforms_are_drawn_as_a_step_uses() -> None:
    seen: list[list[float]] = []

    def step(lane: Any) -> None:
        seen.append(lane["uniform"].tolist())

    for uniforms in range(5):
        run = Run(scripted(step, uniforms=uniforms))
        before = run.lanes.own.reshape(-1).view(reference.lane_dtype())["uniform"][0].tolist()
        run.loop.run(law(), 1, 0.0, 0.0)
        assert all(0 <= u < 1 for u in seen[-1])
        assert [a == b for a, b in zip(seen[-1], before, strict=True)] == [k >= uniforms for k in range(4)]


def test_an_encoder_writes_what_is_observed() -> None:
    def step(lane: Any) -> None:
        lane["integer"][0] += 1

    def encode(lane: Any) -> None:
        lane["index"] = lane["integer"][0] % 4

    run = Run(scripted(step, encode=function(encode)))
    run.loop.run(law(), 6, 1.0, 1.0)
    assert (run.counts & 0x7FFFFFFF).sum(axis=1).tolist() == [2, 2, 1, 1]


# ---- environments that fail


def poison(after: int, **fields: Any) -> Any:
    """Return a step that writes *fields* once it has been called so often."""
    calls = [0]

    def step(lane: Any) -> None:
        calls[0] += 1
        lane["reward"], lane["index"] = 0.0, calls[0] % 4
        if calls[0] > after:
            for name, value in fields.items():
                lane[name] = value

    return step


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"reward": np.nan}, "reward is nan"),
        ({"reward": -np.inf}, "reward is -inf"),
        ({"index": 4}, r"index is 4 \(action [01]\); allowed: 0 to 3"),
        ({"index": -1}, "index is -1"),
        ({"index": 2**62}, "index is 4611686018427387904"),
    ],
)
def test_what_cannot_be_learnt_names_lane_and_step(fields: Any, match: str) -> None:
    run = Run(scripted(poison(10, **fields), name="poisoned"), n=3)
    before = run.everything()
    lanes = run.lanes.memory.copy()
    with pytest.raises(EnvironmentFailure, match=match) as caught:
        run.loop.run(law(), 100, 0.1, 0.1)
    assert (caught.value.lane, caught.value.step) == (1, 4)  # the 11th call: of the second lane, its fourth
    assert "poisoned" in str(caught.value)
    assert " (action " in str(caught.value)
    run.rows.roll_back()
    run.lanes.memory[:] = lanes
    assert run.everything() == before


def test_a_reset_that_shows_no_state_is_step_0() -> None:
    def step(lane: Any) -> None:
        lane["terminated"] = 1

    calls = [0]

    def reset(lane: Any) -> None:
        calls[0] += 1
        lane["index"] = 0 if calls[0] < 4 else 99

    run = Run(scripted(step, reset), n=2)
    with pytest.raises(EnvironmentFailure, match="index is 99") as caught:
        run.loop.run(law(), 5, 0.1, 0.1)
    assert (caught.value.lane, caught.value.step) == (1, 0)


def test_a_vector_must_be_finite() -> None:
    space = gymnasium.spaces.Box(-1, 1, (2,))
    env = scripted(poison(0, observation=np.array([0.5, np.nan, 0, 0, 0, 0, 0, 0])), observation_space=space)
    source = CompiledEnvironment(env)
    features = TileCoding(4, 4).bind(space.low, space.high)
    merged = MergedTable(features.n_features, 2, "float64", 0.0)
    lanes = Lanes(1, source.own_bytes)
    loop = source.loop(LinearQ(merged.new_rows(), 1, features), lanes, 0.9, [0], np.zeros(1, np.int32))
    loop.reset()
    with pytest.raises(EnvironmentFailure, match="lane 0, step 1: .*nan.*action [01].*must be finite"):
        loop.run(law(), 1, 0.0, 0.0)


def test_greedy_episodes_fail_as_well() -> None:
    run = Run(scripted(poison(5, reward=np.nan)))
    with pytest.raises(EnvironmentFailure, match="reward is nan"):
        run.source.episodes(TableQ(run.rows, 1), streams(0, (1,), 1), 3, 10, run.stop)


# ---- the stop flag


def test_the_stop_flag_ends_a_window() -> None:
    run = Run(FINITE["river"](), n=4)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(run.loop.run(law(), 10**9, 0.3, 0.3)))
    thread.start()
    time.sleep(0.02)
    run.stop[0] = 1
    thread.join(10)
    assert not results[0][0]
    assert run.loop.run(law(), 1, 0.3, 0.3)[0] is False
    returns, lengths = run.source.episodes(TableQ(run.rows, 4), streams(0, (1,), 4), 5, 10, run.stop)
    assert not returns.any()
    assert not lengths.any()


# ---- arguments that do not fit


def test_arguments_that_do_not_fit_are_refused() -> None:
    run = Run(FINITE["river"](), n=2)
    with pytest.raises(ValueError, match="differ in type"):
        run.loop.run(law("float32"), 1, 0.0, 0.0)
    good: dict[str, Any] = {
        "step": 1, "reset": 1, "encode": 0, "context": 0, "uniforms": 1, "time_limit": 0, "gamma": 0.9,
        "words": run.lanes.words, "elapsed": run.lanes.elapsed, "returns": run.lanes.returns,
        "own": run.lanes.own, "stop": run.stop, "failure": EnvironmentFailure,
    }  # fmt: skip
    wrong: list[tuple[str, Any]] = [
        ("step", 0),
        ("reset", 0),
        ("uniforms", 5),
        ("elapsed", np.zeros(3, np.int64)),
        ("own", np.zeros((2, 8), np.uint8)),
        ("own", np.zeros((3, LANE_BYTES), np.uint8)),
        ("stop", np.zeros(2, np.int32)),
    ]
    for name, value in wrong:
        with pytest.raises(ValueError, match=r"lanes|function"):
            Stepper(TableQ(run.rows, 2), **{**good, name: value})
    with pytest.raises(ValueError, match="no function"):
        call(0, np.zeros(LANE_BYTES, np.uint8), 0)
    with pytest.raises((ValueError, TypeError)):
        capsule(3)


def test_linear_functions_learn_what_a_car_shows() -> None:
    """The observation is Gymnasium's, rounded to float32."""
    env = MountainCar()
    observation, _ = env.reset(seed=0)
    assert observation.dtype == np.float32
    lane = env._lane
    assert lane["observation"][:2].tolist() == observation.astype(np.float64).tolist()
