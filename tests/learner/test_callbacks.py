"""Callbacks on every backend: called on rank 0 alone, after the same rounds, with the same tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.comm.zmq.address import temporary_address
from cdq.errors import CommError
from cdq.job import Hosting
from tests.mpi import pool

STEPS = 40_000


class Seen(cdq.Callback):
    def __init__(self, stop_at: float = 1e12) -> None:
        self.rounds: list[tuple[int, str]] = []
        self.others: list[str] = []
        self._stop_at = stop_at

    def on_start(self, run: cdq.RunView) -> None:
        self.others.append("start")

    def on_round(self, run: cdq.RunView) -> bool:
        self.rounds.append((run.steps, run.table.digest()))
        return run.steps >= self._stop_at

    def on_end(self, run: cdq.RunView) -> None:
        self.others.append("end")


def seen_by(comm: Any, workers: int | None, env: str, stop_at: float) -> tuple[Any, Any, int, str]:
    seen, agent = Seen(stop_at), cdq.QLearner(env, seed=0, comm=comm, workers=workers, sync_every=1000)
    agent.learn(STEPS, callbacks=[seen])
    return seen.rounds, seen.others, agent.steps, agent.table.digest()


def on_a_rank(comm: Any, stop_at: float) -> tuple[Any, Any, int, str]:
    return seen_by(comm, None, "FrozenLake-v1", stop_at)


def fails_on_a_rank(comm: Any) -> tuple[str, int]:
    def fails(run: Any) -> None:
        raise ZeroDivisionError("of the user's")

    agent = cdq.QLearner("FrozenLake-v1", seed=0, comm=comm, sync_every=1000)
    try:
        agent.learn(STEPS, callbacks=[fails])
    except (ZeroDivisionError, CommError) as error:
        return type(error).__name__, agent.steps
    return "nothing", agent.steps


@pytest.mark.parametrize("stop_at", [1e12, 10_000])
def test_processes_of_a_hub_as_threads(stop_at: float) -> None:
    threads = seen_by("inprocess", 2, "FrozenLake-v1", stop_at)
    assert len(threads[0]) == (20 if stop_at > STEPS else 5)
    assert seen_by("zmq", 2, "FrozenLake-v1", stop_at) == threads
    assert threads[1] == ["start", "end"]


def test_processes_beside_as_one_worker_more() -> None:
    rounds, others, steps, digest = seen_by("zmq", 2, "Blackjack-v1", 5000)
    assert others == ["start", "end"]
    assert (steps, digest) == rounds[-1]
    assert steps < STEPS


def on_both(comm: Any) -> Any:
    return on_a_rank(comm, 10_000)


def test_ranks_as_threads() -> None:
    threads = seen_by("inprocess", 2, "FrozenLake-v1", 10_000)
    first, second = pool.run(2, on_both)
    assert first == threads
    assert second == ([], [], *threads[2:])


LOG = ([13, 14, 13, 14], [2, 2, 1, 2], [0.0, 1.0, 0.0, 1.0], [14, 15, 14, 15], [False, True, False, True])


def log_seen_by(comm: Any, workers: int | None = None) -> tuple[Any, Any, int, str]:
    seen, agent = Seen(500), cdq.QLearner("FrozenLake-v1", seed=0, comm=comm, workers=workers, sync_every=100)
    agent.learn_from(*LOG, passes=1000, callbacks=[seen])
    return seen.rounds, seen.others, agent.steps, agent.table.digest()


def test_a_log_is_seen_on_every_backend() -> None:
    threads = log_seen_by("inprocess", 2)
    assert (threads[1], 500 <= threads[2] < 1000) == (["start", "end"], True)
    assert log_seen_by("zmq", 2) == threads
    first, second = pool.run(2, log_seen_by)
    assert first == threads
    assert second == ([], [], *threads[2:])


def until_reached(comm: Any, workers: int | None = None) -> tuple[int, str]:
    agent = cdq.QLearner("FrozenLake-v1", seed=0, comm=comm, workers=workers, sync_every=1000)
    agent.learn(1_000_000, until=cdq.OptimalWithin(0.1))
    return agent.steps, agent.table.digest()


def test_a_condition_stops_every_backend_after_the_same_round() -> None:
    threads = until_reached("inprocess", 2)
    assert 0 < threads[0] < 1_000_000
    assert until_reached("zmq", 2) == threads
    assert pool.run(2, until_reached) == [threads, threads]


def test_an_error_ends_all_ranks() -> None:
    first, second = pool.run(2, fails_on_a_rank)
    assert first == ("ZeroDivisionError", 2016)
    assert second[0] == "PeerLost"


def test_a_hub_that_workers_join(tmp_path: Path) -> None:
    threads = seen_by("inprocess", 1, "FrozenLake-v1", 10_000)
    seen = Seen(10_000)
    with temporary_address() as url:
        program = [sys.executable, "-m", "cdq.job.join", url, "60"]
        with subprocess.Popen(program, cwd=Path(cdq.__file__).parents[1], stdin=subprocess.DEVNULL) as worker:
            agent = cdq.QLearner(
                "FrozenLake-v1", seed=0, comm="zmq", workers=1, sync_every=1000, checkpoint=tmp_path
            )
            agent.learn(STEPS, callbacks=[seen], hosting=Hosting(url))
            assert worker.wait(60) == 0
    assert (seen.rounds, seen.others) == threads[:2]
    assert (agent.steps, agent.table.digest()) == threads[2:]
    assert agent.steps_left == 0
