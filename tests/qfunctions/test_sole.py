"""The table of a worker without peers is that of one with a base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cdq
from cdq import schedules
from cdq.core.merge.merge import commit, commit_alone
from cdq.core.merge.overlap import hand_over
from cdq.core.table.rows import Rows
from cdq.errors import TableError
from cdq.mdp.model import MDP
from cdq.qfunctions.merged import MergedTable
from cdq.qfunctions.sole import SoleTable
from cdq.training.checkpoints import Checkpoints
from cdq.workers.worker import Worker
from tests.strategies import DTYPES, make_worker, models, random_model

LIMIT = 2**30  # of clocks


def pair(model: MDP, dtype: str, lanes: int) -> tuple[Worker, Worker, MergedTable, SoleTable]:
    """Return two workers on *model*, one of them on a table without a base."""
    tables = (
        MergedTable(model.n_states, model.n_actions, dtype, 0.5),
        SoleTable(model.n_states, model.n_actions, dtype, 0.5),
    )
    usual, alone = (make_worker(model, dtype, merged=table, num_envs=lanes) for table in tables)
    return usual, alone, *tables


def assert_same(merged: MergedTable, alone: SoleTable) -> None:
    for name in MergedTable.names:
        ours, theirs = getattr(alone, name), getattr(merged, name)
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes(), name
    assert alone.digest() == merged.digest()


@given(
    models(),
    st.sampled_from(DTYPES),
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 40), st.booleans())),
)
def test_windows_and_their_undoing(model: MDP, dtype: str, lanes: int, windows: Any) -> None:
    usual, alone, merged, own = pair(model, dtype, lanes)
    law = schedules.build_law(schedules.RescaledLinear(0.9), 0, 0.3, dtype)
    for sweeps, commits in windows:
        assert usual.run(law, sweeps, 0.5, 0.1) == alone.run(law, sweeps, 0.5, 0.1)
        assert alone.rows.touched == sweeps * lanes
        for worker in (usual, alone):
            if commits:
                worker.commit_alone()
            else:
                worker.roll_back()
        assert alone.rows.touched == 0
        assert_same(merged, own)
        assert alone.lane_state == usual.lane_state


def test_a_window_much_longer_than_the_table() -> None:
    model = random_model(3, 2, seed=0)
    usual, alone, merged, own = pair(model, "float32", 7)
    law = schedules.build_law(schedules.RescaledLinear(0.9), 0, 0.3, "float32")
    for worker in (usual, alone):
        worker.run(law, 50_000, 0.3, 0.3)
        worker.roll_back()
    assert_same(merged, own)
    for worker in (usual, alone):
        worker.run(law, 50_000, 0.3, 0.3)
        worker.commit_alone()
    assert_same(merged, own)


def test_clocks_stop_at_their_limit_and_visits_go_on() -> None:
    model = MDP.from_outcomes([0], [0], [0], [1.0], [1.0])
    usual, alone, merged, own = pair(model, "float64", 3)
    law = schedules.build_law(schedules.RescaledLinear(0.9), 0, 0.3, "float64")
    for worker, table in ((usual, merged), (alone, own)):
        table.clock[:] = LIMIT - 4
        np.asarray(worker.rows.data).view(np.uint32)[0, 2] = LIMIT - 4
        if table is merged:
            table.visits[:] = LIMIT - 4
    for _ in range(3):
        for worker in (usual, alone):
            worker.run(law, 1, 0.0, 0.0)
            worker.commit_alone()
        assert_same(merged, own)
    assert (own.clock.item(), own.visits.item()) == (LIMIT, LIMIT + 5)


@pytest.mark.parametrize("ahead", [0, 5])
def test_a_table_is_taken_over(ahead: int) -> None:
    """That of several workers has more visits than its clocks say."""
    random = np.random.default_rng(0)
    clock = random.integers(0, 100, (4, 3)).astype(np.uint32)
    tensors = {"values": random.normal(size=(4, 3)), "clock": clock, "visits": clock.astype(np.int64) + ahead}
    own, merged = SoleTable(4, 3, "float64", 0.0), MergedTable(4, 3, "float64", 0.0)
    for table in (own, merged):
        table.fill(tensors)
    assert_same(merged, own)
    for name, wrong in (("values", tensors["values"][1:]), ("clock", tensors["visits"]), ("visits", clock)):
        with pytest.raises(TableError, match=f"the file's {name} are"):
            own.fill({**tensors, name: wrong})


def test_it_is_not_merged() -> None:
    usual, alone, *_ = pair(random_model(3, 2, seed=0), "float32", 1)
    visits = np.zeros(6, np.int64)
    for refused in (
        lambda: commit(alone.rows, [], visits),
        lambda: commit_alone(alone.rows, visits),
        lambda: hand_over(alone.rows, alone.rows),
    ):
        with pytest.raises(ValueError, match="alone|same base"):
            refused()
    with pytest.raises(ValueError, match="peers"):
        usual.rows.close_window(visits)
    with pytest.raises(ValueError, match="visits"):
        alone.rows.close_window(visits[1:])
    with pytest.raises(ValueError, match="size of the table"):
        Rows.alone(np.zeros((3, 8), np.uint8), 2, 4)


def test_a_view_of_its_values_can_be_read_as_a_table() -> None:
    own = SoleTable(5, 3, "float32", 1.5)
    Rows.of_values(own.values)
    for wrong in (own.values[:, ::2], own.values[::-1], np.broadcast_to(own.values[:1], (5, 3))):
        with pytest.raises(ValueError, match=r".*"):
            Rows.of_values(wrong)


def test_the_workers_rows_are_the_table() -> None:
    own = SoleTable(10, 4, "float32", 1.0)
    assert own.new_rows() is own.new_rows()
    assert np.shares_memory(own.values, np.asarray(own.new_rows().data))
    assert np.asarray(own.new_rows().data).nbytes == 8 * 40  # a value and a count for each pair


# ---- under a learner


@pytest.fixture
def every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take it for small tables, too."""
    monkeypatch.setattr("cdq.learner.assembly.LARGE", 0)


def learner(**arguments: Any) -> cdq.QLearner:
    return cdq.QLearner("FrozenLake-v1", seed=0, **arguments)


@pytest.fixture
def usual() -> cdq.QLearner:
    return learner().learn(20_000).learn(30_000)


def test_a_learner_learns_the_same(usual: cdq.QLearner, every_table: None) -> None:
    agent = learner().learn(20_000).learn(30_000)
    assert isinstance(agent._state.merged, SoleTable)
    assert agent.table.digest() == usual.table.digest()
    assert agent.evaluate(100) == usual.evaluate(100)
    assert agent.report()["digest"] == usual.report()["digest"]


def test_it_goes_to_files_and_comes_back(usual: cdq.QLearner, every_table: None, tmp_path: Path) -> None:
    learner(checkpoint=tmp_path / "run").learn(20_000)
    agent = cdq.QLearner.resume(tmp_path / "run").learn(30_000)
    assert agent.table.digest() == usual.table.digest()
    agent.save(tmp_path / "agent.safetensors")
    usual.save(tmp_path / "usual.safetensors")
    loaded = [cdq.QLearner.load(tmp_path / f"{name}.safetensors") for name in ("agent", "usual")]
    assert len({each.learn(10_000).table.digest() for each in loaded}) == 1


@pytest.mark.filterwarnings("ignore")
def test_one_worker_goes_on_from_several(
    every_table: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their pooled clocks are behind their visits."""
    learner(workers=3, checkpoint=tmp_path).learn(30_000)
    agents = []
    for large in (0, 10**9):
        monkeypatch.setattr("cdq.learner.assembly.LARGE", large)
        agents.append(cdq.QLearner.resume(tmp_path, workers=1))
        agents[-1]._checkpoints = Checkpoints(None, None)
        agents[-1].learn(20_000)
    assert [type(agent._state.merged) for agent in agents] == [SoleTable, MergedTable]
    assert agents[0].table.digest() == agents[1].table.digest()
    assert (agents[0].table.visits > agents[0]._state.merged.clock).any()


def test_a_window_that_is_interrupted_leaves_no_trace(every_table: None) -> None:
    agent, same = learner(), learner()
    for each in (agent, same):
        each.learn(20_000)
    worker = agent._team.workers[0]
    before = agent.table.digest()
    worker.run(schedules.build_law(schedules.Constant(0.5), 0, 0.3, "float64"), 100, 1.0, 1.0)
    agent._team.roll_back()
    assert agent.table.digest() == before
    assert agent.learn(1000).table.digest() == same.learn(1000).table.digest()
