"""Blocks that one worker keeps for itself: what it learns there is what it would learn alone, whatever is merged."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq import schedules
from cdq.comm.base import Communicator
from cdq.comm.inprocess import connect
from cdq.contracts.blocks import Block, Blocks
from cdq.envs.python import PythonEnvironment
from cdq.errors import ConfigError
from cdq.learner.assembly import require_homes
from cdq.merges import NAMES, resolve
from cdq.qfunctions import MergedTable, Table, bring_together
from cdq.testing.threads import run_in_threads
from cdq.training import SteppedTask
from cdq.workers import GO_ON, Step, Worker, WorkerContribution, play

ROWS, ACTIONS, SHARED, WORKERS, WINDOWS = 6, 2, 3, 3, 5


class Walk(gymnasium.Env[int, int]):
    """A walk on rows from *first* on, of a table of *total*; one that is *visiting* begins in row 0."""

    def __init__(self, first: int, total: int, visiting: bool) -> None:
        self.observation_space = gymnasium.spaces.Discrete(total)
        self.action_space = gymnasium.spaces.Discrete(ACTIONS)
        self.first, self.visiting = first, visiting

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.steps = 0, 0
        return 0 if self.visiting else self.first, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.at = max(0, min(ROWS - 1, self.at + (1 if self.np_random.random() < 0.3 + 0.4 * action else -1)))
        self.steps += 1
        return self.first + self.at, float(self.at == ROWS - 1), self.at == ROWS - 1, self.steps == 30, {}


def worker_of(
    rank: int, merged: MergedTable, first: int, *, is_keeper: bool, visiting: bool = False
) -> Worker:
    environment = PythonEnvironment(partial(Walk, first, len(merged.values), visiting), 2)
    task = SteppedTask(environment, Table(environment.encoder), lambda: None, "a test", bool)
    return Worker(
        task, merged, is_keeper=is_keeper, gamma=0.9, seed=5, rank=rank, session=0, num_envs=2,
        stop=np.zeros(1, np.int32),
    )  # fmt: skip


def rounds(worker: Worker, comm: Communicator, merge: str) -> None:
    contribution = WorkerContribution(worker, needs_mass=True)
    law = schedules.build_law(schedules.RescaledLinear(0.9), 0, 0.3, "float64")
    for _ in range(WINDOWS):
        assert play(
            worker, contribution, comm, rule=resolve(merge), step=Step(law, 40, (0.3, 0.3)), request=GO_ON
        )


def parts_of(merged: MergedTable, first: int) -> list[list[Any]]:
    return [getattr(merged, name)[first : first + ROWS].tolist() for name in merged.names]


def alone(rank: int) -> list[list[Any]]:
    merged = MergedTable(ROWS, ACTIONS, "float64", 0.0)
    (comm,) = connect(1, 20.0)
    rounds(worker_of(rank, merged, 0, is_keeper=True), comm, "mean")
    return parts_of(merged, 0)


def own_table() -> MergedTable:
    merged = MergedTable(SHARED + WORKERS * ROWS, ACTIONS, "float64", 0.0)
    merged.own_rows = WORKERS * ROWS
    return merged


BLOCKS = Blocks(
    (Block("all", SHARED, ACTIONS), *(Block(f"r{k}", ROWS, ACTIONS, "own") for k in range(WORKERS)))
)


@pytest.mark.parametrize("merge", NAMES)
@pytest.mark.parametrize("one_process", [True, False])
def test_a_block_of_ones_own_has_the_bits_of_a_learner_alone(merge: str, one_process: bool) -> None:
    common = own_table()
    tables = [common if one_process else own_table() for _ in range(WORKERS)]

    def learn(comm: Communicator) -> None:
        k = comm.rank
        keeper = k == 0 or not one_process
        rounds(worker_of(k, tables[k], SHARED + k * ROWS, is_keeper=keeper), comm, merge)
        if not one_process:
            bring_together(tables[k], BLOCKS, comm)

    assert run_in_threads(connect(WORKERS, 20.0), learn) == [None] * WORKERS
    for k in range(WORKERS):
        for table in tables:
            assert parts_of(table, SHARED + k * ROWS) == alone(k), k


def test_rows_of_all_are_merged_beside_them() -> None:
    merged = own_table()
    workers: dict[int, Worker] = {}

    def learn(comm: Communicator) -> None:
        k = comm.rank
        workers[k] = worker_of(k, merged, SHARED + k * ROWS, is_keeper=k == 0, visiting=True)
        rounds(workers[k], comm, "pooled")

    assert run_in_threads(connect(WORKERS, 20.0), learn) == [None] * WORKERS
    steps = 2 * 40 * WINDOWS
    for k in range(WORKERS):
        first = SHARED + k * ROWS
        own = int(merged.visits[first : first + ROWS].sum())
        assert 0 < own < steps
        data = np.asarray(workers[k].rows.data)[:SHARED, : 8 * ACTIONS].view(np.float64)
        np.testing.assert_array_equal(data, merged.values[:SHARED])
    assert merged.visits.sum() == WORKERS * steps
    assert merged.values[0].max() > 0


def test_a_window_is_undone_in_both() -> None:
    merged = own_table()
    worker = worker_of(0, merged, SHARED, is_keeper=True, visiting=True)
    before = np.asarray(worker.rows.data).copy()
    law = schedules.build_law(schedules.Constant(0.1), 0, 0.3, "float64")
    assert worker.run(law, 40, 0.3, 0.3)
    touched = worker.rows.touched
    worker.rows.set_aside()
    assert 0 < worker.rows.touched < touched
    worker.roll_back()
    np.testing.assert_array_equal(np.asarray(worker.rows.data), before)
    assert worker.run(law, 40, 0.3, 0.3)
    assert worker.rows.touched == touched


def test_a_digest_is_of_what_all_have() -> None:
    one, other = own_table(), own_table()
    one.values[SHARED + 1] = 5.0
    assert one.digest() == other.digest()
    other.values[SHARED - 1] = 5.0
    assert one.digest() != other.digest()


def test_own_blocks_come_last() -> None:
    with pytest.raises(ConfigError, match="come last"):
        Blocks((Block("a", 1, 1, "own"), Block("b", 1, 1)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"workers": 2},
            "3 blocks of home 'own', one for each worker, and there are 2 workers; give workers=3",
        ),
        ({"workers": 3, "overlap": True}, "overlap and blocks of home 'own' exclude each other"),
        ({"workers": 3, "table": "hash"}, "a hashed table and blocks of home 'own' exclude each other"),
    ],
)
def test_what_does_not_go_with_them(settings: dict[str, Any], words: str) -> None:
    agent = cdq.QLearner("FrozenLake-v1", **settings)
    task = agent._task
    task.blocks = BLOCKS  # type: ignore[misc]
    with pytest.raises(ConfigError, match=words):
        require_homes(task, agent.settings)
