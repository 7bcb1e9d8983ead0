from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from cdq.comm.base import Communicator
from cdq.comm.inprocess import InProcessCommunicator
from cdq.errors import PeerLost
from cdq.merges import MergeRule, resolve
from cdq.qfunctions.merged import MergedTable
from cdq.schedules import RescaledLinear, build_law
from cdq.testing import run_in_threads
from cdq.workers.contribution import Summary, WorkerContribution
from cdq.workers.rounds import GO_ON, Interrupted, Step, play
from cdq.workers.worker import Worker
from tests.core.test_merge import LAWS, contributions_of, expected_of, laws
from tests.reference.merge import RULES, clock_after
from tests.strategies import (
    Tables,
    base_of,
    clock_of,
    counts_of,
    learnt,
    make_worker,
    random_model,
    state_of,
    tables,
    values_of,
)

LAW = build_law(RescaledLinear(0.9), 0, 0.3, "float64")
MODEL = random_model(6, 3, seed=1, time_limit=12)


class Wire(InProcessCommunicator):
    """Merges as communicators without shared memory do."""

    def merge(self, contribution: Any, rule: Any) -> Any:
        return Communicator.merge(self, contribution, rule)


class Failing(InProcessCommunicator):
    """Fails at one hand-over of one rank."""

    at: tuple[int, int] = (0, 0)  # rank, hand-over

    def _meet(self, call: Any, item: Any) -> list[Any]:
        if (self.rank, call.sequence) == self.at:
            raise OSError("the network is down")
        return super()._meet(call, item)


class FailingWire(Wire, Failing):
    pass


class Damaging(Wire):
    """MergedTable slices arrive short of their last bytes."""

    def allgather(self, part: Any) -> Any:
        return [bytes(got)[:-4] for got in super().allgather(part)]


def merge_over(
    kind: type[InProcessCommunicator], contributions: list[WorkerContribution], rule: Any
) -> list[Any]:
    comms = kind.connect("inprocess", len(contributions), 10.0)
    results = run_in_threads(comms, lambda comm: comm.merge(contributions[comm.rank], rule))
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


# ---- contributions over a communicator


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=10)
@given(tables(), laws)
def test_every_way_of_merging_gives_the_same(rule: str, given: Tables, place: int) -> None:
    law, reference_law = LAWS[place, str(given.base.dtype)]
    expected = expected_of(given, rule, reference_law)
    for kind in (InProcessCommunicator, Wire):
        workers = given.workers()
        masses = set()
        for worker, (merged, summaries) in zip(
            workers, merge_over(kind, contributions_of(workers, law), rule), strict=True
        ):
            masses.add(worker.commit(merged))
            assert [summary.episodes for summary in summaries] == list(range(len(workers)))
            assert summaries[0][1:5] == (2, 3.0, 4, False)
            assert values_of(worker).tobytes() == base_of(worker).tobytes() == expected.values.tobytes()
            after = clock_after(given.clock.ravel(), expected.gain).tobytes()
            assert clock_of(worker).tobytes() == counts_of(worker).tobytes() == after
            assert worker._merged.visits.ravel().tolist() == expected.total.tolist()
        n = int(expected.total.sum())
        assert masses == {expected.mass / 2**20 / n if n else 0.0}


def test_mass_is_not_computed_where_nobody_asks() -> None:
    for rule, expected in (("mean", 0), ("pooled", 1)):
        contribution = WorkerContribution(make_worker(MODEL), needs_mass=False)
        contribution.law = LAW
        worker = make_worker(MODEL)
        worker.run(LAW, 20, 1.0, 1.0)
        contribution.rows = worker.rows
        contribution.summary = Summary(0, 0, 0.0, 0, 0)
        contribution.merge_shared([contribution], rule, 0)
        assert (worker.commit([contribution.merged]) > 0) == expected


# ---- a round is a transaction


def play_round(
    kind: type[InProcessCommunicator], workers: list[Worker], rule: Any, sweeps: int = 30
) -> list[Any]:
    """Play a round and, as `learn` does, roll back what was not committed."""

    def one(comm: Any) -> Any:
        contribution = WorkerContribution(workers[comm.rank], needs_mass=True)
        return play(
            workers[comm.rank],
            contribution,
            comm,
            rule=rule,
            step=Step(LAW, sweeps, (0.5, 0.5)),
            request=GO_ON,
        )

    results = run_in_threads(kind.connect("inprocess", len(workers), 10.0), one)
    for worker in workers:
        worker.roll_back()
    return results


def make_workers(size: int, together: bool = True, stop: Any = None) -> list[Worker]:
    """Return workers of one process, or each of its own, that have played a round."""
    flag = np.zeros(1, np.int32) if stop is None else stop
    shared = [MergedTable(6, 3, "float64", 0.0) for _ in range(1 if together else size)]
    workers = [
        make_worker(
            MODEL,
            rank=rank,
            num_envs=3,
            stop=flag,
            merged=shared[rank % len(shared)],
            is_keeper=not (together and rank),
        )
        for rank in range(size)
    ]
    play_round(InProcessCommunicator, workers, "pooled")
    return workers


def states(workers: list[Worker]) -> list[bytes]:
    return [state_of(worker) for worker in workers]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("kind", [InProcessCommunicator, Wire])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_after_a_round_all_have_one_table(kind: Any, size: int, together: bool) -> None:
    workers = make_workers(size, together)
    before = workers[0]._merged.visits.sum()
    results = play_round(kind, workers, "pooled")
    assert len({learnt(worker) for worker in workers}) == 1
    assert len({worker._lanes.words.tobytes() for worker in workers}) == size
    assert workers[0]._merged.visits.sum() - before == 30 * 3 * size
    assert len({result.mass for result in results}) == 1
    plain = [[summary._replace(tallies=b"") for summary in result.summaries] for result in results]
    assert plain[0] == plain[-1]
    assert all(len(summary.tallies) == 64 for summary in results[0].summaries)  # rank 0 keeps the history


def test_ways_to_merge_and_processes_make_no_difference() -> None:
    found = set()
    for together in (True, False):
        for kind in (InProcessCommunicator, Wire):
            workers = make_workers(3, together)
            for _ in range(5):
                play_round(kind, workers, "pooled", sweeps=7)
            found.add(tuple(states(workers)))
    assert len(found) == 1


@pytest.mark.parametrize("kind", [Failing, FailingWire])
@pytest.mark.parametrize("hand_over", [1, 2])
@pytest.mark.parametrize(("size", "rank"), [(2, 0), (2, 1), (4, 2)])
def test_a_hand_over_that_fails_changes_nothing(
    kind: Any, hand_over: int, size: int, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, twins = make_workers(size), make_workers(size)
    before = states(workers)
    monkeypatch.setattr(kind, "at", (rank, hand_over))
    results = play_round(kind, workers, "pooled")
    assert isinstance(results[rank], OSError)
    assert all(isinstance(result, PeerLost) for place, result in enumerate(results) if place != rank)
    assert states(workers) == before
    for each in (workers, twins):  # as if nothing had happened
        play_round(InProcessCommunicator, each, "pooled")
    assert states(workers) == states(twins)


class Raises(MergeRule):
    def combine(self, *arguments: Any) -> Any:
        raise ArithmeticError("mine")


class RaisesInOneThread(MergeRule):
    def __init__(self) -> None:
        self.thread: int | None = None

    def combine(self, base: Any, values: Any, *others: Any) -> Any:
        self.thread = self.thread or threading.get_ident()
        if self.thread == threading.get_ident():
            raise ArithmeticError("mine")
        return values.mean(axis=0)


@pytest.mark.parametrize("make", [Raises, RaisesInOneThread])
@pytest.mark.parametrize("kind", [InProcessCommunicator, Wire])
@pytest.mark.parametrize("size", [2, 3])
def test_a_rule_that_raises_changes_nothing(kind: Any, size: int, make: Any) -> None:
    workers = make_workers(size)
    before = states(workers)
    results = play_round(kind, workers, resolve(make()))
    assert {type(result) for result in results} <= {ArithmeticError, PeerLost}
    assert any(isinstance(result, ArithmeticError) for result in results)
    assert states(workers) == before


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("size", [2, 3])
def test_merged_slices_that_do_not_fit_change_nothing(size: int, together: bool) -> None:
    workers = make_workers(size, together)
    before = states(workers)
    results = play_round(Damaging, workers, "pooled")
    assert all(isinstance(result, Exception) for result in results)
    assert states(workers) == before


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_stop_flag_changes_nothing(size: int) -> None:
    stop = np.zeros(1, np.int32)
    workers = make_workers(size, stop=stop)
    before = states(workers)
    stop[0] = 1
    results = play_round(InProcessCommunicator, workers, "pooled")
    assert all(isinstance(result, (Interrupted, PeerLost)) for result in results)
    assert states(workers) == before


@pytest.mark.parametrize("kind", [InProcessCommunicator, Wire])
def test_a_worker_may_be_a_window_ahead_of_the_one_that_keeps_the_base(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper is slow to swap in; the others learn on and bring the next contribution meanwhile."""

    def learn(slow: float, together: bool) -> list[bytes]:
        workers = make_workers(2, together)
        commit = workers[0].commit

        def slowly(slices: Any) -> float:
            time.sleep(slow)
            return commit(slices)

        monkeypatch.setattr(workers[0], "commit", slowly)

        def one(comm: Any) -> None:
            contribution = WorkerContribution(workers[comm.rank], needs_mass=True)
            for _ in range(3):
                play(
                    workers[comm.rank],
                    contribution,
                    comm,
                    rule="pooled",
                    step=Step(LAW, 10, (0.5, 0.5)),
                    request=GO_ON,
                )

        assert run_in_threads(kind.connect("inprocess", 2, 10.0), one) == [None, None]
        return states(workers)

    assert learn(0.05, together=True) == learn(0.0, together=False)


def test_an_unknown_rule_ends_the_round_of_all() -> None:
    results = play_round(InProcessCommunicator, make_workers(2), "unknown rule")
    assert all(isinstance(result, (KeyError, PeerLost)) for result in results)
