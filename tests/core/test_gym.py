"""The loops over environments of Python are the definition, to the bit."""

from __future__ import annotations

import threading
import time
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.core.lanes import Lanes
from cdq.core.linear.linear import LinearQ
from cdq.core.table.hash import HashedRows, HashQ
from cdq.core.table.qfunction import TableQ
from cdq.core.table.rows import Rows
from cdq.envs.python import PythonEnvironment
from cdq.envs.vector import VectorEnvironment
from cdq.features import TileCoding
from cdq.qfunctions.merged import allocate
from cdq.workers.worker import streams
from tests.envs.toys import N_ACTIONS, N_STATES, OBSERVATIONS, Plain, Toy
from tests.reference.gym import Learner
from tests.reference.qfunction import QFunction
from tests.reference.schedules import Law
from tests.small_tables import Table, assert_same, make_table, random_values
from tests.strategies import DTYPES, seeds

GAMMA = 0.9
WINDOWS = [(40, (1.0, 0.2)), (1, (0.5, 0.5)), (0, (0.1, 0.1)), (30, (0.1, 0.0))]
MODES = list(AutoresetMode)


class Pair:
    """A loop, and the definition over environments like its own."""

    def __init__(
        self, source: Any, toys: list[Toy], *, seed: int = 0, dtype: str = "float64", masked: bool = False,
        dropping: bool = False,
    ) -> None:  # fmt: skip
        n, own_seeds = len(toys), [seed % 2**31 + 7 * lane for lane in range(len(toys))]
        values, clock = random_values(np.random.default_rng(seed), (N_STATES, N_ACTIONS), dtype)
        self.dtype = dtype
        self.table = make_table(values, clock)
        self.q = QFunction(values.copy(), clock, lambda state: [(int(state), 1)])
        self.lanes, words = Lanes(n), streams(seed, (0,), n)
        self.lanes.words[:] = words
        stop = np.zeros(1, np.int32)
        self.loop = source.loop(TableQ(self.table.rows, n), self.lanes, GAMMA, own_seeds, stop)
        self.loop.reset()
        self.other = Learner(toys, own_seeds, words, self.q, GAMMA, masked=masked, dropping=dropping)

    def compare(self) -> None:
        step_size = schedules.Polynomial(0.77)
        for sweeps, rates in WINDOWS:
            law = schedules.build_law(step_size, 0, 0.3, self.dtype)
            ours = self.loop.run(law, sweeps, *rates)
            theirs = self.other.run(Law(step_size, 0, 0.3, self.dtype), sweeps, *rates)
            assert ours == (True, *theirs)
            assert_same(self.table, self.q)
            assert self.lanes.words.T.tolist() == [lane.stream.words for lane in self.other.lanes]
            assert self.lanes.elapsed.tolist() == [lane.elapsed for lane in self.other.lanes]
            assert self.lanes.returns.tolist() == [lane.episode_return for lane in self.other.lanes]


@given(
    st.sampled_from(sorted(OBSERVATIONS)),
    st.sampled_from(["", "info", "observation"]),
    st.sampled_from([0, 1, -2]),
    st.integers(1, 5),
    st.sampled_from(DTYPES),
    seeds,
)
def test_windows_over_environments(kind: str, masks: str, first: int, n: int, dtype: str, seed: int) -> None:
    source = PythonEnvironment(lambda: Toy(kind, masks, first), n)
    toys = [Toy(kind, masks, first) for _ in range(n)]
    pair = Pair(source, toys, seed=seed, dtype=dtype, masked=bool(masks))
    pair.compare()


@given(
    st.sampled_from(["discrete", "start", "multi", "tuple", "dict", "box"]),
    st.sampled_from(["", "info", "observation"]),
    st.sampled_from(MODES),
    st.integers(1, 5),
    st.sampled_from(DTYPES),
    seeds,
)
def test_windows_over_a_vector_environment(
    kind: str, masks: str, mode: AutoresetMode, n: int, dtype: str, seed: int
) -> None:
    """No fake transition, the true final observation, lanes that meet in a pair: in all three modes."""
    envs = SyncVectorEnv([lambda: Toy(kind, masks, 1)] * n, autoreset_mode=mode)
    toys = [Toy(kind, masks, 1) for _ in range(n)]
    dropping = mode is AutoresetMode.NEXT_STEP
    pair = Pair(VectorEnvironment(envs), toys, seed=seed, dtype=dtype, masked=bool(masks), dropping=dropping)
    pair.compare()


@pytest.mark.parametrize("mode", MODES)
def test_windows_over_a_vector_environment_of_processes(mode: AutoresetMode) -> None:
    envs = AsyncVectorEnv([lambda: Toy("tuple", "info")] * 2, autoreset_mode=mode)
    try:
        toys = [Toy("tuple", "info") for _ in range(2)]
        dropping = mode is AutoresetMode.NEXT_STEP
        pair = Pair(VectorEnvironment(envs), toys, masked=True, dropping=dropping)
        pair.compare()
    finally:
        envs.close()


@pytest.mark.parametrize("mode", MODES)
def test_windows_over_a_vector_environment_of_a_user(mode: AutoresetMode) -> None:
    """Rewards of float32, buffers that are handed out again, final observations as a batch, its own classes."""
    for first in (0, -3):
        toys = [Toy(first_action=first) for _ in range(3)]
        pair = Pair(
            VectorEnvironment(Plain(3, mode, first)),
            [Rounded(toy) for toy in toys],  # type: ignore[misc]
            dropping=mode is AutoresetMode.NEXT_STEP,
        )
        pair.compare()


class Rounded:
    """A toy whose rewards are of float32."""

    def __init__(self, toy: Toy) -> None:
        self.toy, self.reset, self.action_space = toy, toy.reset, toy.action_space

    def step(self, action: Any) -> Any:
        observation, reward, *rest = self.toy.step(action)
        return observation, np.float32(reward), *rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self.toy, name)


@pytest.mark.parametrize("mode", [None, *MODES])
def test_hashed_tables_are_the_dense_ones_by_key(mode: AutoresetMode | None) -> None:
    n, value, tables = 4, 0.5, []
    for kind in ("discrete", "hashed"):
        makes = [lambda kind=kind: Toy(kind)] * n
        source: Any = (
            PythonEnvironment(makes[0], n)
            if mode is None
            else VectorEnvironment(SyncVectorEnv(makes, autoreset_mode=mode))
        )
        if kind == "discrete":
            table = make_table(np.full((N_STATES, N_ACTIONS), value), np.zeros((N_STATES, N_ACTIONS)))
            q: TableQ = TableQ(table.rows, n)
            tables.append(table.values)
        else:
            empty = np.zeros((0, N_ACTIONS))
            rows = HashedRows(empty, empty.astype("u4"), np.zeros(0, np.uint64), value, allocate)
            q = HashQ(rows, n)
        lanes = Lanes(n)
        lanes.words[:] = streams(0, (0,), n)
        loop = source.loop(q, lanes, GAMMA, list(range(n)), np.zeros(1, np.int32))
        loop.reset()
        law = schedules.build_law(schedules.Polynomial(0.77), 0, 0.3, "float64")
        for sweeps in (3, 40):
            loop.run(law, sweeps, 1.0, 0.1)
    keys = [source.encoder.state_of(Toy("hashed").observation_of(state)) for state in range(N_STATES)]
    found = [rows.index.find(key) for key in keys]
    assert sorted(found) == list(range(N_STATES))
    assert np.asarray(rows.data)[found, : 8 * N_ACTIONS].tobytes() == tables[0].tobytes()


class Scatter(gymnasium.Env[Any, Any]):
    """A new state at almost every step."""

    observation_space = gymnasium.spaces.Discrete(20000)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return int(self.np_random.integers(20000)), {}

    def step(self, action: Any) -> Any:
        return int(self.np_random.integers(20000)), 1.0, self.np_random.random() < 0.3, False, {}


def test_hashed_tables_grow_between_sweeps() -> None:
    n = 16
    empty = np.zeros((0, 2))
    rows = HashedRows(empty, empty.astype("u4"), np.zeros(0, np.uint64), 0.0, allocate)
    table = make_table(np.zeros((20000, 2)), np.zeros((20000, 2)))
    for q in (HashQ(rows, n), TableQ(table.rows, n)):
        lanes = Lanes(n)
        lanes.words[:] = streams(0, (0,), n)
        loop = PythonEnvironment(Scatter, n).loop(q, lanes, GAMMA, list(range(n)), np.zeros(1, np.int32))
        loop.reset()
        loop.run(schedules.build_law(schedules.Polynomial(0.77), 0, 0.3, "float64"), 250, 1.0, 0.1)
    keys = rows.index.keys.astype(np.int64)
    assert len(keys) > 3000  # it begins with room for 1024
    assert np.asarray(rows.data)[: len(keys), :16].tobytes() == table.values[keys].tobytes()
    assert np.count_nonzero(table.counts.any(axis=1)) <= len(keys)


def test_seeds_are_given_at_the_first_reset_alone() -> None:
    made: list[Toy] = []

    def make() -> Toy:
        made.append(Toy())
        return made[-1]

    source = PythonEnvironment(make, 2)
    pair = Pair(source, [Toy(), Toy()], seed=5)
    pair.loop.run(schedules.build_law(schedules.Constant(0.1), 0, 0.3, "float64"), 50, 1.0, 1.0)
    for lane, toy in enumerate(made):
        assert toy.seeds[0] == 5 + 7 * lane
        assert set(toy.seeds[1:]) == {None}


class Countdown(gymnasium.Env[Any, Any]):
    """One state to go from; the second step is cut short, or ends."""

    observation_space = gymnasium.spaces.Discrete(3)
    action_space = gymnasium.spaces.Discrete(1)

    def __init__(self, terminates: bool) -> None:
        self.terminates, self.at = terminates, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.at = 0
        return 0, {}

    def step(self, action: Any) -> Any:
        self.at += 1
        last = self.at == 2
        return self.at, 1, last and self.terminates, last and not self.terminates, {}


@pytest.mark.parametrize("terminates", [True, False])
@pytest.mark.parametrize("mode", [None, *MODES])
def test_truncations_bootstrap_from_the_final_observation_and_terminations_do_not(
    mode: AutoresetMode | None, terminates: bool
) -> None:
    values = np.array([[0.0], [0.0], [100.0]])  # worth something where episodes end
    table = make_table(values, np.zeros((3, 1)))
    source: Any = (
        PythonEnvironment(lambda: Countdown(terminates))
        if mode is None
        else VectorEnvironment(SyncVectorEnv([lambda: Countdown(terminates)], autoreset_mode=mode))
    )
    loop = source.loop(TableQ(table.rows, 1), Lanes(1), 0.5, [0], np.zeros(1, np.int32))
    loop.reset()
    law = schedules.build_law(schedules.Constant(1.0), 0, 0.3, "float64")
    assert loop.run(law, 2, 0.0, 0.0) == (True, 1, 2, 2.0)
    assert table.values[1, 0] == (1.0 if terminates else 1.0 + 0.5 * 100.0)
    assert loop.run(law, 3, 0.0, 0.0)[0]
    assert table.values[2, 0] == 100.0  # never learnt: no step begins where an episode ended
    assert table.counts[2, 0] == 0


def test_the_stop_flag_ends_a_window_and_the_environment_goes_on() -> None:
    stop = np.zeros(1, np.int32)
    table = make_table(np.zeros((3, 1)), np.zeros((3, 1)))
    loop = PythonEnvironment(lambda: Countdown(True)).loop(TableQ(table.rows, 1), Lanes(1), 0.5, [0], stop)
    loop.reset()
    law = schedules.build_law(schedules.Constant(1.0), 0, 0.3, "float64")
    threading.Timer(0.05, lambda: stop.__setitem__(0, 1)).start()
    started = time.monotonic()
    completed, episodes, length_sum, _ = loop.run(law, 10**9, 0.0, 0.0)
    assert time.monotonic() - started < 10
    assert not completed
    assert episodes > 0
    assert loop.run(law, 5, 0.0, 0.0)[0] is False
    stop[0] = 0
    assert loop.run(law, 2, 0.0, 0.0) == (True, 1, 2, 2.0)
    assert length_sum == 2 * episodes


def test_other_threads_have_their_turn_where_no_step_is_in_python() -> None:
    stop = np.zeros(1, np.int32)
    table = make_table(np.zeros((3, 1)), np.zeros((3, 1)))
    env = Countdown(False)
    env.step = {0: (1, 1.0, False, False, {})}.__getitem__  # type: ignore[method-assign]
    loop = PythonEnvironment(lambda: env).loop(TableQ(table.rows, 1), Lanes(1), 0.5, [0], stop)
    loop.reset()
    law = schedules.build_law(schedules.Constant(1.0), 0, 0.3, "float64")
    threading.Timer(0.05, lambda: stop.__setitem__(0, 1)).start()
    started = time.monotonic()
    assert loop.run(law, 10**8, 0.0, 0.0)[0] is False
    assert time.monotonic() - started < 5


def test_lanes_that_are_rolled_back_do_not_take_the_environment_with_them() -> None:
    table = make_table(np.zeros((3, 1)), np.zeros((3, 1)))
    lanes = Lanes(1)
    loop = PythonEnvironment(lambda: Countdown(True)).loop(
        TableQ(table.rows, 1), lanes, 0.5, [0], np.zeros(1, np.int32)
    )
    loop.reset()
    law = schedules.build_law(schedules.Constant(1.0), 0, 0.3, "float64")
    before = lanes.memory.copy()
    loop.run(law, 1, 0.0, 0.0)
    assert lanes.elapsed[0] == 1
    lanes.memory[:] = before
    assert loop.run(law, 1, 0.0, 0.0) == (True, 1, 2, 2.0)


@pytest.mark.parametrize("vector", [False, True])
def test_a_window_ends_once_the_weights_have_diverged(vector: bool) -> None:
    make = lambda: gymnasium.make("MountainCar-v0", disable_env_checker=True)  # noqa: E731
    source: Any = VectorEnvironment(SyncVectorEnv([make])) if vector else PythonEnvironment(make)
    coding = TileCoding(2, 2).bind(source.encoder.low, source.encoder.high)
    shape = (coding.n_features, 3)
    table = make_table(np.zeros(shape), np.zeros(shape))
    loop = source.loop(LinearQ(table.rows, 1, coding), Lanes(1), 0.9, [0], np.zeros(1, np.int32))
    loop.reset()
    law = schedules.build_law(schedules.Constant(1.0), 0, 0.3, "float64", 3.0)
    assert loop.run(law, 5000, 1.0, 1.0)[0] is False


def greedy(source: Any, n: int, values: Any) -> TableQ:
    return TableQ(Rows.of_values(values), n)


@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("n", [1, 3])
def test_greedy_episodes_are_those_of_the_environment(mode: AutoresetMode | None, n: int) -> None:
    values = np.random.default_rng(3).normal(size=(N_STATES, N_ACTIONS))
    make = lambda: Toy(masks="info", first_action=2)  # noqa: E731
    source: Any = (
        PythonEnvironment(make, n)
        if mode is None
        else VectorEnvironment(lambda: SyncVectorEnv([make] * n, autoreset_mode=mode))
    )
    words = streams(0, (1,), n)
    stop = np.zeros(1, np.int32)
    q = greedy(source, n, values)
    returns, lengths = source.episodes(q, words, 7, 4, stop)
    expected = episodes_by_hand(values, [int(words[0, lane] >> np.uint64(33)) for lane in range(n)], 7, 4)
    if mode is None:  # a lane that has ended waits, so that the next episode begins where this one left
        assert list(zip(returns.tolist(), lengths.tolist(), strict=True)) == expected
    assert list(zip(returns.tolist(), lengths.tolist(), strict=True))[:n] == expected[:n]
    assert lengths.max() <= 4
    assert lengths.min() >= 1
    source.close()


def episodes_by_hand(values: Any, own_seeds: list[int], n: int, longest: int) -> list[tuple[float, int]]:
    toys = [Toy(masks="info", first_action=2) for _ in own_seeds]
    for toy, seed in zip(toys, own_seeds, strict=True):
        toy.seed = seed  # type: ignore[attr-defined]
    results = []
    for episode in range(n):
        toy = toys[episode % len(toys)]
        toy.reset(seed=toy.seed if episode < len(toys) else None)  # type: ignore[attr-defined]
        total, length, over = 0.0, 0, False
        while not over and length < longest:
            allowed = np.flatnonzero(toy.mask)
            action = allowed[values[toy.state][allowed].argmax()]
            _, reward, terminated, truncated, _ = toy.step(action + 2)
            total, length, over = total + reward, length + 1, terminated or truncated
        results.append((total, length))
    return results


def test_a_law_of_another_type_and_a_window_without_episodes_are_refused() -> None:
    table: Table = make_table(np.zeros((3, 1)), np.zeros((3, 1)))
    source = PythonEnvironment(lambda: Countdown(True))
    loop = source.loop(TableQ(table.rows, 1), Lanes(1), 0.5, [0], np.zeros(1, np.int32))
    law = schedules.build_law(schedules.Constant(1.0), 0, 0.3, "float32")
    with pytest.raises(ValueError, match="no episode was started"):
        loop.run(law, 1, 0.0, 0.0)
    loop.reset()
    with pytest.raises(ValueError, match="differ in type"):
        loop.run(law, 1, 0.0, 0.0)
