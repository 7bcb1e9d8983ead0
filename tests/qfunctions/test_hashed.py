"""Hashed tables of several workers, against tables with a row for every state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cdq.comm.base import Communicator
from cdq.comm.inprocess import InProcessCommunicator
from cdq.core.lanes import Lanes
from cdq.core.table.hash import HashedRows, HashQ
from cdq.core.table.qfunction import TableQ
from cdq.core.table.rows import Rows
from cdq.envs.compiled import CompiledEnvironment
from cdq.envs.grids import GridWorld
from cdq.errors import TableError
from cdq.merges import resolve
from cdq.qfunctions.hashed import HashedStates, HashedTable
from cdq.qfunctions.merged import MergedTable
from cdq.schedules import RescaledLinear, build_law
from cdq.testing import run_in_threads
from cdq.workers.contribution import WorkerContribution
from cdq.workers.rounds import GO_ON, Step, play
from cdq.workers.worker import Worker
from tests.reference.merge import RULES
from tests.workers.test_rounds import Failing, Wire

SOURCE = CompiledEnvironment(GridWorld((9, 11), walls=0.1, slip=0.2))
N_STATES = 99


class Grid:
    """A problem: the grid, and a table of either kind."""

    n_rows, n_actions = N_STATES, 4
    own_bytes, resumable = SOURCE.own_bytes, True

    def loop(self, rows: Rows, lanes: Lanes, gamma: float, stop: Any) -> Any:
        q = HashQ(rows, lanes.n) if isinstance(rows, HashedRows) else TableQ(rows, lanes.n)
        return SOURCE.loop(q, lanes, gamma, lanes.seeds(), stop)


def make_merged(hashed: bool, dtype: str, initial: float) -> MergedTable:
    if hashed:
        return HashedTable(4, dtype, initial)
    return MergedTable(N_STATES, 4, dtype, initial)


@dataclass
class Team:
    """Workers that share a process, or have one each."""

    merged: list[MergedTable]
    workers: list[Worker]
    kind: type[InProcessCommunicator]
    dtype: str

    @classmethod
    def make(
        cls, size: int, *, hashed: bool, apart: bool, dtype: str = "float64", initial: float = 0.0, n: int = 3
    ) -> Team:
        merged = [make_merged(hashed, dtype, initial) for _ in range(size if apart else 1)] * (
            1 if apart else size
        )
        workers = [
            Worker(
                Grid(),
                merged[rank],
                is_keeper=apart or rank == 0,
                gamma=0.9,
                seed=5,
                rank=rank,
                session=0,
                num_envs=n,
                stop=np.zeros(1, np.int32),
            )
            for rank in range(size)
        ]
        return cls(merged, workers, Wire if apart else InProcessCommunicator, dtype)

    def learn(self, rounds: int, rule: Any = "pooled", sweeps: int = 9) -> list[Any]:
        """Play rounds; return what each rank's last one brought, or its exception."""
        step = Step(build_law(RescaledLinear(0.9), 0, 0.3, self.dtype), sweeps, (0.3, 0.3))

        def task(comm: Communicator) -> Any:
            worker = self.workers[comm.rank]
            contribution, played = WorkerContribution(worker, True), None
            for _ in range(rounds):
                played = play(worker, contribution, comm, rule=resolve(rule), step=step, request=GO_ON)
            return played

        return run_in_threads(self.kind.connect("inprocess", len(self.workers), 20.0), task)

    def bits(self, rank: int = 0) -> tuple[bytes, ...]:
        return tuple(getattr(self.merged[rank], name).tobytes() for name in self.merged[rank].names)


def by_key(merged: MergedTable) -> dict[int, bytes]:
    """Return value, clock and visits of every state that has visits, by its key or its number."""
    keys = merged.keys.tolist() if isinstance(merged, HashedTable) else range(N_STATES)
    parts = merged.values, merged.clock, merged.visits
    met = {key: b"".join(part[row].tobytes() for part in parts) for row, key in enumerate(keys)}
    return {key: row for key, row in met.items() if merged.visits[list(keys).index(key)].any()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("initial", [0.0, -2.5])
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("apart", [False, True])
def test_a_hashed_table_is_the_dense_one_by_key(dtype: str, initial: float, size: int, apart: bool) -> None:
    dense, hashed = (
        Team.make(size, hashed=hashed, apart=apart, dtype=dtype, initial=initial) for hashed in (False, True)
    )
    for team in (dense, hashed):
        assert not [result for result in team.learn(12) if isinstance(result, BaseException)]
    assert by_key(hashed.merged[0]) == by_key(dense.merged[0])
    assert len(by_key(dense.merged[0])) > 50


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_gives_the_same_bits_in_a_process_and_over_messages(rule: str) -> None:
    together, apart = Team.make(3, hashed=True, apart=False), Team.make(3, hashed=True, apart=True)
    masses = [[played.mass for played in team.learn(6, rule)] for team in (together, apart)]
    assert masses[0] == masses[1]
    assert {apart.bits(rank) for rank in range(3)} == {together.bits()}


def test_rows_follow_the_order_of_first_appearance_in_rank_order() -> None:
    team = Team.make(3, hashed=True, apart=True)
    step = build_law(RescaledLinear(0.9), 0, 0.3, "float64")
    met: list[int] = []
    for worker in team.workers:
        worker.run(step, 9, 0.3, 0.3)
        met += worker.rows.new_keys.tolist()
        worker.roll_back()
    team.learn(1)
    assert team.merged[0].keys.tolist() == list(dict.fromkeys(met))


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_round_that_fails_leaves_the_keys_of_the_one_before(at: int) -> None:
    undisturbed, team = Team.make(3, hashed=True, apart=False), Team.make(3, hashed=True, apart=False)
    for each in (undisturbed, team):
        each.learn(2)
    before = team.bits()
    team.kind = type("Broken", (Failing,), {"at": (1, at)})
    assert all(isinstance(result, BaseException) for result in team.learn(1))
    for worker in team.workers:
        worker.roll_back()
        assert worker.rows.touched == 0
        assert worker.rows.index.keys.tolist() == team.merged[0].keys.tolist()
    if team.bits() != before:  # whoever keeps the table had all that it takes
        assert at == 3
        return
    team.kind = InProcessCommunicator
    for each in (undisturbed, team):
        each.learn(2)
    assert team.bits() == undisturbed.bits()


def test_a_table_and_what_the_process_shares_grow_together() -> None:
    merged = HashedTable(2, "float32", 0.5)
    workers = [merged.new_rows() for _ in range(2)]
    random, expected = np.random.default_rng(3), []
    for n in (1, 1022, 1, 1, 5000, 70_000):
        keys = random.integers(0, 2**64, n, np.uint64)
        expected += keys.tolist()
        for rows in workers:
            rows.settle([keys])
            rows.share(*merged.prepare(rows.new_keys))
        for rows in workers:
            merged.accept(rows)
        merged.values[-1] = len(expected)
    assert merged.keys.tolist() == expected
    assert merged.capacity >= len(expected)
    assert 0 < merged.load <= 0.75
    written = np.cumsum([1, 1022, 1, 1, 5000, 70_000])
    assert merged.values[written - 1, 0].tolist() == written.tolist()
    assert (np.delete(merged.values, written - 1, 0) == 0.5).all()
    assert len(merged.clock) == len(merged.visits) == len(expected)


def test_a_table_goes_to_tensors_and_comes_back() -> None:
    team = Team.make(1, hashed=True, apart=False, initial=1.0)
    team.learn(5)
    merged = team.merged[0]
    assert isinstance(merged, HashedTable)
    tensors = {name: np.array(getattr(merged, name)) for name in merged.names}
    other = HashedTable(4, "float64", 1.0)
    other.fill(tensors)
    assert other.digest() == merged.digest() == merged.copy().digest()
    assert other.action_values(int(merged.keys[3])).tolist() == merged.values[3].tolist()
    for change in (
        {"keys": tensors["keys"][:-1]},
        {"values": tensors["values"].astype("f4")},
        {"visits": tensors["visits"][:, :2]},
    ):
        with pytest.raises(TableError, match="for each of"):
            other.fill({**tensors, **change})
    twice = np.concatenate([tensors["keys"][:-1], tensors["keys"][:1]])
    with pytest.raises(TableError, match="occurs twice"):
        other.fill({**tensors, "keys": twice})
    assert other.digest() == merged.digest()


def test_digests_tell_keys_apart() -> None:
    digests = set()
    for key in (1, 2):
        merged = HashedTable(1, "float32", 0.0)
        merged.prepare(np.array([key], np.uint64))
        merged.extend(1)
        digests.add(merged.digest())
    assert len(digests) == 2


class Numbers:
    """An encoder whose observations are keys."""

    first_action = 0

    def state_of(self, observation: Any) -> int:
        return int(observation)


def test_what_was_never_met_is_worth_the_initial_value_and_is_not_added() -> None:
    team = Team.make(1, hashed=True, apart=False, initial=-1.5)
    merged = team.merged[0]
    assert isinstance(merged, HashedTable)
    table = HashedStates(Numbers(), merged)  # type: ignore[arg-type]
    assert table.action_values(merged.values, 3).tolist() == [-1.5] * 4
    team.learn(4)
    n = len(merged.keys)
    assert table.action_values(merged.values, 10**9).tolist() == [-1.5] * 4
    assert table.action_values(merged.values, int(merged.keys[-1])).tolist() == merged.values[-1].tolist()
    q = table.reader(merged.values, 2)
    words = np.random.default_rng(0).integers(0, 2**64, (4, 2), np.uint64)
    SOURCE.episodes(q, words, 10, 40, np.zeros(1, np.int32))
    assert len(merged.keys) == len(merged.index()) == n
    assert f"hashed table of {n:,} states, room for 1,024" in str(table)


def test_greedy_episodes_are_those_of_the_dense_table() -> None:
    teams = [Team.make(1, hashed=hashed, apart=False) for hashed in (False, True)]
    played = []
    for team in teams:
        team.learn(40)
        merged = team.merged[0]
        if isinstance(merged, HashedTable):
            q = HashedStates(Numbers(), merged).reader(merged.values, 2)  # type: ignore[arg-type]
        else:
            q = TableQ(Rows.of_values(merged.values), 2)
        words = np.random.default_rng(0).integers(0, 2**64, (4, 2), np.uint64)
        played.append(np.stack(SOURCE.episodes(q, words, 50, 100, np.zeros(1, np.int32))).tolist())
    assert played[0] == played[1]
