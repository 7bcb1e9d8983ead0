"""Workers that replay logs, against the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq.comm.base import Communicator
from cdq.comm.inprocess import InProcessCommunicator
from cdq.core.linear.linear import LinearQ
from cdq.core.loops.offline import Replay, learn_log
from cdq.core.probe import Probe
from cdq.core.table.hash import HashedRows, HashQ
from cdq.core.table.qfunction import QFunction, TableQ
from cdq.core.table.rows import Rows
from cdq.errors import ConfigError
from cdq.features import TileCoding
from cdq.merges import resolve
from cdq.offline.logs import Log
from cdq.offline.replay import ReplayLoop, Replays, steps_of
from cdq.qfunctions.hashed import HashedTable
from cdq.qfunctions.merged import MergedTable
from cdq.qfunctions.sole import SoleTable
from cdq.schedules import Constant, build_law
from cdq.testing import run_in_threads
from cdq.workers.contribution import WorkerContribution
from cdq.workers.rounds import GO_ON, Step, play
from cdq.workers.worker import Worker
from tests.reference.offline import replay
from tests.strategies import DTYPES, NO_STOP

GAMMA = 0.75


def random_log(n: int, n_states: int, n_actions: int, seed: int = 0) -> Log:
    random = np.random.default_rng(seed)
    return Log(
        random.integers(0, n_states, n),
        random.integers(0, n_actions, n).astype(np.uint32),
        random.integers(-4, 5, n) / 4,
        random.integers(0, n_states, n),
        (random.random(n) < 0.2).astype(np.uint8),
    )


def transitions_of(log: Log, part: slice = slice(None)) -> list[tuple[Any, ...]]:
    columns = log.states, log.actions, log.rewards, log.next_states, log.terminated
    return list(zip(*(column[part].tolist() for column in columns), strict=True))


def table_or_hash(rows: Rows, n: int) -> QFunction:
    return HashQ(rows, n) if isinstance(rows, HashedRows) else TableQ(rows, n)


def replays_of(
    log: Log, n_states: int, n_actions: int, dtype: Any, q_function: Any = table_or_hash
) -> Replays:
    return Replays(log, n_states, n_actions, dtype=dtype, q_function=q_function, name="toy")


def make_worker(log: Log, merged: MergedTable, rank: int = 0, size: int = 1, **changes: Any) -> Worker:
    n_states, n_actions = max(len(merged.values), 1), merged.values.shape[1]
    replays = replays_of(
        log, n_states, n_actions, merged.values.dtype, changes.pop("q_function", table_or_hash)
    )
    arguments: dict[str, Any] = {
        "is_keeper": True,
        "gamma": GAMMA,
        "seed": 0,
        "rank": rank,
        "session": 0,
        "num_envs": 1,
        "stop": np.zeros(1, np.int32),
        "lanes": replays.lane(rank, size),
        **changes,
    }
    return Worker(replays, merged, **arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_actions", [1, 2, 3, 4, 5, 6, 9, 20])
@pytest.mark.parametrize("hashed", [False, True])
def test_a_log_is_learnt_in_order(dtype: str, n_actions: int, hashed: bool) -> None:
    log = random_log(700, 6, n_actions)
    merged = HashedTable(n_actions, dtype, 0.5) if hashed else MergedTable(6, n_actions, dtype, 0.5)
    worker = make_worker(log, merged)
    assert worker.run(build_law(Constant(0.25), 0, 0.3, dtype), 700, 0.0, 0.0) is not None
    touched = worker.rows.touched
    merged.align_rows(worker.rows, InProcessCommunicator.connect("inprocess", 1, 1.0)[0])
    worker.commit_alone()
    values, counts = np.full((6, n_actions), 0.5, dtype).tolist(), np.zeros((6, n_actions), int).tolist()
    met = replay(values, counts, lambda count: 0.25, GAMMA, transitions_of(log))
    keys = merged.keys.tolist() if isinstance(merged, HashedTable) else list(range(6))
    assert sorted(keys) == list(range(6))
    assert touched == len(met)
    np.testing.assert_allclose(merged.values, np.array(values)[keys], rtol=1e-5, atol=1e-6)
    assert merged.visits.tolist() == np.array(counts)[keys].tolist()


def test_pairs_are_logged_in_the_order_of_their_first_touch() -> None:
    log, merged = random_log(40, 5, 3), MergedTable(5, 3, "float64", 0.0)
    worker = make_worker(log, merged)
    worker.run(build_law(Constant(0.25), 0, 0.3, "float64"), 40, 0.0, 0.0)
    met = replay(np.zeros((5, 3)), np.zeros((5, 3), int), lambda count: 0.25, GAMMA, transitions_of(log))
    assert worker.rows.log[: worker.rows.touched].tolist() == [3 * state + action for state, action in met]
    worker.roll_back()
    assert not np.asarray(worker.rows.data).any()
    assert worker.lane_state == replays_of(log, 5, 3, "float64").lane(0, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("windows", [[700], [5, 300, 17, 18, 19, 341]])
@pytest.mark.parametrize("n_actions", [3, 4])
def test_a_worker_alone_learns_the_same_and_can_undo_it(
    dtype: str, windows: list[int], n_actions: int
) -> None:
    log, law = random_log(700, 6, n_actions), build_law(Constant(0.25), 0, 0.3, dtype)
    tables = MergedTable(6, n_actions, dtype, 0.5), SoleTable(6, n_actions, dtype, 0.5)
    workers = [make_worker(log, table) for table in tables]
    for sweeps in windows:
        before = tables[1].digest()
        workers[1].run(law, sweeps, 0.0, 0.0)
        workers[1].roll_back()
        assert tables[1].digest() == before
        for worker in workers:
            assert worker.run(law, sweeps, 0.0, 0.0) is not None
            worker.commit_alone()
        assert tables[0].digest() == tables[1].digest() != before


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_functions_learn_a_log_one_by_one(dtype: str) -> None:
    random, n = np.random.default_rng(1), 300
    log = Log(
        random.random((n, 2)),
        random.integers(0, 3, n).astype(np.uint32),
        random.normal(size=n),
        random.random((n, 2)),
        (random.random(n) < 0.1).astype(np.uint8),
    )
    features = TileCoding(4, 4).bind(np.zeros(2), np.ones(2))
    tables = [MergedTable(features.n_features, 3, dtype, 0.0) for _ in range(2)]
    law = build_law(Constant(0.1), 0, 0.3, dtype)
    worker = make_worker(log, tables[0], q_function=lambda rows, lanes: LinearQ(rows, lanes, features))
    worker.run(law, n, 0.0, 0.0)
    rows = tables[1].new_rows()
    probe = Probe(LinearQ(rows, 1, features))
    for i in range(n):
        one = slice(i, i + 1)
        probe.locate(log.states[one])
        probe.locate(log.next_states[one], successor=True)
        probe.learn(law, GAMMA, log.actions[one], log.rewards[one], log.terminated[one])
    assert np.asarray(worker.rows.data).tobytes() == np.asarray(rows.data).tobytes()
    assert worker.rows.touched == rows.touched > 100


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100, 101])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("windows", [[1000], [1] * 300, [7, 3, 50, 1, 400]])
def test_each_worker_learns_its_part_as_often_as_there_are_passes(
    n: int, size: int, windows: list[int]
) -> None:
    log, passes = random_log(n, 3, 2), 3
    replays = replays_of(log, 3, 2, "float64")
    steps = steps_of(log, size, passes) // size
    seen: list[list[int]] = []
    for rank in range(size):
        position = np.frombuffer(replays.lane(rank, size), np.uint8)[-40:].view(np.int64).copy()
        met: list[int] = []

        def learn(law: Any, explored: float, turn: int, first: int, last: int, met: list[int] = met) -> int:
            met.extend(range(first, last))
            return last - first

        loop, left = ReplayLoop(learn, position), steps
        for sweeps in windows:
            assert loop.run(None, min(sweeps, left), 0.0, 0.0)[0]  # type: ignore[arg-type]
            left -= min(sweeps, left)
        if left == 0:
            assert met == met[: len(met) // passes] * passes
            assert position[[2, 4]].tolist() == [0, passes]
        seen.append(met)
    if sum(windows) >= steps:
        assert [i for met in seen for i in met[: len(met) // passes]] == list(range(n))


@pytest.mark.parametrize("hashed", [False, True])
def test_workers_over_a_log_give_the_same_bits_together_and_apart(hashed: bool) -> None:
    from tests.workers.test_rounds import Wire

    log, size = random_log(503, 40, 3), 3  # parts of 168, 168 and 167
    step = Step(build_law(Constant(0.2), 0, 0.3, "float64"), 84, (0.0, 0.0))
    bits = []
    for kind, shared in ((InProcessCommunicator, True), (Wire, False)):
        merged = [
            HashedTable(3, "float64", 0.0) if hashed else MergedTable(40, 3, "float64", 0.0)
            for _ in range(1 if shared else size)
        ] * (size if shared else 1)
        workers = [
            make_worker(log, merged[rank], rank, size, is_keeper=not shared or rank == 0)
            for rank in range(size)
        ]

        def task(comm: Communicator, workers: list[Worker] = workers) -> float:
            worker = workers[comm.rank]
            contribution = WorkerContribution(worker, True)
            for _ in range(4):  # two passes
                played = play(worker, contribution, comm, rule=resolve("pooled"), step=step, request=GO_ON)
            return played.mass if played is not None else 0.0

        masses = run_in_threads(kind.connect("inprocess", size, 20.0), task)
        assert masses[0] == masses[1] == masses[2] > 0.0
        bits.append([(masses[0], table.digest()) for table in merged])
        assert merged[0].visits.sum() == 2 * len(log)
    assert len({bit for run in bits for bit in run}) == 1


def test_rewards_that_a_table_cannot_hold_are_named() -> None:
    log = random_log(5, 3, 2)
    log.rewards[3] = -1e39
    replays_of(log, 3, 2, "float64")
    with pytest.raises(
        ConfigError,
        match=r"the reward of transition 3 is -1e\+39; allowed: up to 1.7e\+38, whose sums float32 holds",
    ):
        replays_of(log, 3, 2, "float32")


def test_a_flag_ends_a_window_early() -> None:
    log, stop = random_log(50, 3, 2), np.ones(1, np.int32)
    worker = make_worker(log, MergedTable(3, 2, "float64", 0.0), stop=stop)
    before = worker.lane_state
    assert worker.run(build_law(Constant(0.2), 0, 0.3, "float64"), 50, 0.0, 0.0) is None
    worker.roll_back()
    assert worker.lane_state == before


def test_kernels_refuse_columns_of_other_lengths_and_types() -> None:
    log, rows = random_log(10, 3, 2), MergedTable(3, 2, "float32", 0.0).new_rows()
    law, other = (build_law(Constant(0.2), 0, 0.3, dtype) for dtype in DTYPES)
    states, rewards = log.states.astype(np.uint32), log.rewards.astype(np.float32)
    right = [states, log.actions, rewards, states, log.terminated]
    assert learn_log(rows, law, GAMMA, *right, 0, 10, NO_STOP) == 10
    assert learn_log(rows, law, GAMMA, *right, 4, 4, NO_STOP) == 0
    for i in range(5):
        wrong = [*right[:i], right[i][:-1], *right[i + 1 :]]
        with pytest.raises(ValueError, match="differ in length"):
            learn_log(rows, law, GAMMA, *wrong, 0, 9, NO_STOP)
        with pytest.raises(ValueError, match="differ in length"):
            Replay(TableQ(rows, 2), *wrong)
    for used, first, last in ((other, 0, 10), (law, 0, 11), (law, 5, 4), (law, -1, 4)):
        with pytest.raises(ValueError, match="another type than the table, or"):
            learn_log(rows, used, GAMMA, *right, first, last, NO_STOP)
        replay = Replay(TableQ(rows, 2), log.states, log.actions, rewards, log.next_states, log.terminated)
        with pytest.raises(ValueError, match="another type than the table, or"):
            replay.learn(used, GAMMA, 0.0, 0, first, last, NO_STOP)
    features = TileCoding(1, 2).bind(np.zeros(1), np.ones(1))
    weights = MergedTable(features.n_features, 2, "float64", 0.0).new_rows()
    with pytest.raises(ValueError, match="one transition at a time"):
        Replay(
            LinearQ(weights, 2, features), log.rewards, log.actions, log.rewards, log.rewards, log.terminated
        )
