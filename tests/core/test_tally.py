"""Figures of the parts of a window, by every loop: those of the same window learnt one sweep at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cdq
from cdq.workers.worker import Worker

SWEEPS = 600
KINDS: dict[str, dict[str, Any]] = {
    "model": {},
    "model of floats": {"dtype": "float32"},
    "compiled": {"bins": 3},
    "python": {"stepping": "python"},
}


def worker_of(kind: str, num_envs: int) -> Worker:
    """Return the worker of a learner before its first step."""
    name = "cdq/CartPole-v0" if kind == "compiled" else "FrozenLake-v1"
    agent = cdq.QLearner(name, num_envs=num_envs, seed=3, **KINDS[kind])
    team = agent._team
    return team._worker(0, agent._state.merged, True)


def law_of(kind: str) -> Any:
    dtype = KINDS[kind].get("dtype", "float64")
    return cdq.schedules.build_law(cdq.schedules.Constant(0.25), 0, 0.3, dtype)


def by_sweeps(kind: str) -> list[tuple[int, int, float]]:
    """Return the sweep, the length and the return of each episode of one lane, which ends one in a sweep at most."""
    loop, ended = worker_of(kind, 1)._loop, []
    for sweep in range(SWEEPS):
        completed, episodes, length, total = loop.run(law_of(kind), 1, 0.5, 0.5)
        assert completed
        assert episodes <= 1
        if episodes:
            ended.append((sweep, length, total))
    return ended


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_parts", [1, 2, 7, 128, 600, 700])
def test_parts_have_the_episodes_that_end_in_them(kind: str, n_parts: int) -> None:
    parts = np.full((n_parts, 8), np.nan)
    result = worker_of(kind, 1)._loop.run(law_of(kind), SWEEPS, 0.5, 0.5, parts)
    ended = by_sweeps(kind)
    assert ended
    total = 0.0
    for _, _, one in ended:
        total += one
    assert result == (True, len(ended), sum(length for _, length, _ in ended), total)
    for i, row in enumerate(parts.tolist()):
        first, last = i * SWEEPS // n_parts, (i + 1) * SWEEPS // n_parts
        there = [(length, one) for sweep, length, one in ended if first <= sweep < last]
        figures = [0.0] * 7
        if there:
            lengths, returns = zip(*there, strict=True)
            sums = [len(there), sum(lengths), sum(returns)]
            figures = [*sums, min(lengths), max(lengths), min(returns), max(returns)]
        assert row == [last - first, *figures]


@pytest.mark.parametrize("kind", KINDS)
def test_parts_change_nothing_of_what_is_learnt(kind: str) -> None:
    tables, results = [], []
    for parts in (None, np.empty((37, 8))):
        worker = worker_of(kind, 5)
        results.append(worker._loop.run(law_of(kind), SWEEPS, 1.0, 0.1, parts))
        tables.append(np.asarray(worker.rows.data).tobytes())
        if parts is not None:
            assert parts[:, :3].sum(axis=0).tolist() == [5 * SWEEPS, *results[1][1:3]]
            assert parts[:, 3].sum() == pytest.approx(results[1][3])
    assert tables[0] == tables[1]
    assert results[0] == results[1]


@pytest.mark.parametrize("shape", [(0, 8), (3, 7), (3, 9)])
def test_parts_of_another_size_are_refused(shape: tuple[int, int]) -> None:
    for kind in KINDS:
        with pytest.raises(ValueError, match="eight numbers each"):
            worker_of(kind, 1)._loop.run(law_of(kind), 10, 0.5, 0.5, np.empty(shape))


@pytest.mark.parametrize("kind", ["model", "model of floats", "compiled"])
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("window", [50, 700, 5_000])
def test_rows_of_rounds_without_python_are_those_of_parts_one_by_one(
    kind: str, num_envs: int, window: int
) -> None:
    name = "cdq/CartPole-v0" if kind == "compiled" else "FrozenLake-v1"
    histories = []
    for callbacks in ([], [lambda _: None]):  # a callback looks after every round, so that each takes Python
        agent = cdq.QLearner(name, num_envs=num_envs, seed=3, workers=2, sync_every=window, **KINDS[kind])
        agent.learn(40_000, verbose=0, callbacks=callbacks)
        histories.append(agent.history.to_arrays())
    for field in set(histories[0]) - {"seconds"}:
        np.testing.assert_array_equal(histories[0][field], histories[1][field], err_msg=field)
