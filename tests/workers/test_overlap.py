from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from cdq.comm.inprocess import InProcessCommunicator
from cdq.errors import PeerLost
from cdq.merges import resolve
from cdq.schedules import Constant, LinearDecay, Polynomial, RescaledLinear, build_law
from cdq.testing import run_in_threads
from cdq.workers.contribution import Summary
from cdq.workers.overlap import Pipeline
from cdq.workers.rounds import GO_ON, STOP_BEFORE, Interrupted, Round
from cdq.workers.worker import LEARNING, Worker, streams
from tests.reference.merge import RULES
from tests.reference.overlap import Overlapped
from tests.reference.rollout import Learner
from tests.reference.schedules import Law
from tests.strategies import (
    DTYPES,
    base_of,
    clock_of,
    counts_of,
    learnt,
    make_worker,
    random_model,
    set_table,
    state_of,
    values_of,
)
from tests.workers.test_rounds import Damaging, Failing, FailingWire, Raises, Wire

MODEL = random_model(6, 3, seed=1, time_limit=12)
STEP_SIZE = RescaledLinear(0.9)
LAW = build_law(STEP_SIZE, 0, 0.3, "float64")
KINDS = [InProcessCommunicator, Wire]


def make_workers(size: int = 3, stop: Any = None, dtype: str = "float64", model: Any = MODEL) -> list[Worker]:
    flag = np.zeros(1, np.int32) if stop is None else stop
    return [make_worker(model, dtype, rank=rank, num_envs=3, stop=flag) for rank in range(size)]


def run(
    workers: list[Worker], doing: Any, kind: Any = InProcessCommunicator, rule: Any = "pooled"
) -> list[Any]:
    """Call *doing* with a pipeline and a rank for every worker, in threads; return what they return or raise."""

    def one(comm: Any) -> Any:
        pipeline = Pipeline(workers[comm.rank], comm, rule, needs_mass=True)
        try:
            return doing(pipeline, comm.rank)
        finally:
            pipeline.close()

    return run_in_threads(kind.connect("inprocess", len(workers), 10.0), one)


def windows(n: int, sweeps: int = 20) -> Any:
    """Return what learns *n* windows and merges all of them."""

    def doing(pipeline: Pipeline, rank: int) -> list[Round | None]:
        pipeline.begin(LAW, sweeps, (0.5, 0.5))
        played = [pipeline.step(LAW, sweeps, (0.5, 0.5), GO_ON) for _ in range(n - 1)]
        return [*played, pipeline.finish(GO_ON)]

    return doing


def states(workers: list[Worker]) -> list[bytes]:
    return [state_of(worker) for worker in workers]


# ---- the definition


def mixed(shape: tuple[int, int], dtype: str) -> Any:
    random = np.random.default_rng(5)
    return (random.normal(size=shape) * 10.0 ** random.integers(-8, 9, shape)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("n_states", "sweeps", "step_size"),
    [
        (200, 5, STEP_SIZE),  # sparse: few pairs that several workers touch, or one in two windows
        (200, 5, Constant(1.0)),
        (4, 40, Polynomial(0.77)),
        (4, 40, LinearDecay(0.5, 0.1, 600)),  # another law in every window
    ],
)
def test_a_run_is_its_definition_to_the_bit(
    n_states: int, sweeps: int, step_size: Any, rule: str, dtype: str
) -> None:
    """Four windows of three workers of three lanes, then the end, compared after every round."""
    size, lanes, n_windows = 3, 3, 4
    model = random_model(n_states, 3, seed=n_states, time_limit=12)
    workers, base = make_workers(size, dtype=dtype, model=model), mixed((n_states, 3), dtype)
    for worker in workers:
        set_table(worker, base, 0)
    seeds = [streams(0, (LEARNING, 0, rank), lanes) for rank in range(size)]
    expected = Overlapped([Learner(model, 0.9, dtype, words) for words in seeds], rule, base)
    steps = [window * sweeps * lanes * size for window in range(n_windows)]
    laws = [Law(step_size, at, 0.3, dtype) for at in steps]
    reached = threading.Barrier(size)

    def compare(rank: int) -> None:
        worker, learner = workers[rank], expected.learners[rank]
        assert values_of(worker).tobytes() == learner.values.tobytes()
        touched = (counts_of(worker) >> 31).astype(bool)
        assert (touched == (learner.visits > 0)).all()
        assert touched.sum() == worker.rows.touched
        assert ((counts_of(worker) & 0x7FFFFFFF) == learner.clock + learner.visits).all()
        assert base_of(worker).tobytes() == expected.base.tobytes()
        assert clock_of(worker).tobytes() == expected.clock.tobytes()
        assert (worker._merged.visits == expected.visits).all()

    def oracle(window: int) -> float:
        """Let the first of the threads do what all wait for."""
        if window:
            expected.hand_over()
        if window < n_windows:
            for learner in expected.learners:
                learner.run(laws[window], sweeps, 0.7, 0.7)
        return expected.rebase(laws[window - 1], laws[min(window, n_windows - 1)]) if window else 0.0

    def doing(pipeline: Pipeline, rank: int) -> None:
        for window in range(n_windows + 1):
            played = None
            if window == n_windows:
                played = pipeline.finish(GO_ON)
            else:
                law = build_law(step_size, steps[window], 0.3, dtype)
                if window:
                    played = pipeline.step(law, sweeps, (0.7, 0.7), GO_ON)
                else:
                    pipeline.begin(law, sweeps, (0.7, 0.7))
            reached.wait(10)
            if rank == 0:
                masses.append(oracle(window))
            reached.wait(10)
            compare(rank)
            assert (0.0 if played is None else played.mass) == masses[-1]
            reached.wait(10)

    masses: list[float] = []
    assert run(workers, doing, rule=rule) == [None] * size
    assert len({learnt(worker) for worker in workers}) == 1


def test_twenty_rounds_are_the_same_however_they_are_merged() -> None:
    model, found = random_model(40, 4, seed=7, time_limit=30), set()
    for kind in (InProcessCommunicator, Wire, Wire):
        workers = make_workers(4, model=model)
        results = run(workers, windows(20), kind)
        masses = [tuple(played.mass for played in result) for result in results]
        assert masses == [masses[0]] * 4
        found.add((masses[0], *states(workers)))
    assert len(found) == 1


# ---- rounds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 3, 7])
def test_at_the_end_all_have_one_table_and_nothing_is_lost_or_counted_twice(size: int, kind: Any) -> None:
    workers = make_workers(size)
    results = run(workers, windows(5), kind)
    assert len({learnt(worker) for worker in workers}) == 1
    assert values_of(workers[0]).tobytes() == base_of(workers[0]).tobytes()
    assert counts_of(workers[0]).tobytes() == clock_of(workers[0]).tobytes()
    assert workers[0]._merged.visits.sum() == 5 * 20 * 3 * size
    assert [len(played.summaries) for played in results[0]] == [size] * 5


def test_a_summary_is_of_the_window_that_is_merged() -> None:
    workers, alone = make_workers(2), make_worker(MODEL, num_envs=3)
    first = run(workers, windows(3))[0][0]
    ended = alone.run(LAW, 20, 0.5, 0.5)
    assert ended is not None
    assert first.summaries[0] == Summary.of(ended, 0, GO_ON)


def test_windows_without_steps_change_nothing() -> None:
    workers = make_workers(2)
    before = states(workers)
    results = run(workers, windows(3, sweeps=0))
    assert [played.mass for played in results[0]] == [0.0] * 3
    assert states(workers) == before


def test_after_the_end_another_run_may_begin() -> None:
    """In a pipeline of its own or the same one, which makes no difference."""

    def twice(pipeline: Pipeline, rank: int) -> None:
        windows(3)(pipeline, rank)
        windows(2)(pipeline, rank)

    workers, others = make_workers(), make_workers()
    assert run(workers, twice) == [None] * 3
    run(others, windows(3))
    run(others, windows(2))
    assert states(workers) == states(others)


def test_a_pair_at_the_clock_limit_stays_there() -> None:
    model = random_model(1, 1, seed=0, most_outcomes=1)
    for start in (2**30, 2**30 - 70):
        workers = make_workers(2, model=model)
        for worker in workers:
            set_table(worker, 1.0, start)
        results = run(workers, windows(4))
        assert not any(isinstance(result, BaseException) for result in results)
        assert clock_of(workers[0]).tolist() == counts_of(workers[1]).tolist() == [[2**30]]
        assert workers[0]._merged.visits.tolist() == [[4 * 20 * 3 * 2]]


# ---- when a round is not applied, everything is as after the one before


def lanes_of(workers: list[Worker]) -> list[bytes]:
    return [worker.lane_state for worker in workers]


def assert_after(workers: list[Worker], n: int) -> None:
    """Check that all is as after round *n* and that nothing is open: tables, clocks, visits, lanes."""
    fresh = make_workers(len(workers))

    if n:
        run(fresh, windows(n))
    assert lanes_of(workers) == lanes_of(fresh)
    for worker in workers:
        assert worker.rows.touched == 0
        assert values_of(worker).tobytes() == base_of(worker).tobytes()
        assert counts_of(worker).tobytes() == clock_of(worker).tobytes()
    assert len({learnt(worker) for worker in workers}) == 1
    assert workers[0]._merged.visits.sum() == n * 20 * 3 * len(workers)


def stopping(after: int, asking: int, at_the_end: bool = False) -> Any:
    """Return what plays *after* rounds, then has rank *asking* ask to stop."""

    def doing(pipeline: Pipeline, rank: int) -> Any:
        pipeline.begin(LAW, 20, (0.5, 0.5))
        for _ in range(after):
            assert pipeline.step(LAW, 20, (0.5, 0.5), GO_ON) is not None
        request = STOP_BEFORE if rank == asking else GO_ON
        return pipeline.finish(request) if at_the_end else pipeline.step(LAW, 20, (0.5, 0.5), request)

    return doing


@pytest.mark.parametrize("at_the_end", [False, True])
@pytest.mark.parametrize("after", [0, 1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_request_to_stop_keeps_the_table_that_was_judged(kind: Any, after: int, at_the_end: bool) -> None:
    workers = make_workers()
    assert run(workers, stopping(after, 1, at_the_end), kind) == [None] * 3
    assert_after(workers, after)


def test_after_a_stop_learning_goes_on_as_if_no_window_had_been_thrown_away() -> None:
    workers, others = make_workers(), make_workers()
    for at_the_end in (False, True):
        run(workers, stopping(2, 0, at_the_end))
        run(others, stopping(2, 2, not at_the_end))
    run(workers, windows(3))
    run(others, windows(3))
    assert states(workers) == states(others)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank_that_sets", [0, 2])
def test_windows_ended_early_leave_all_workers_after_the_same_round(kind: Any, rank_that_sets: int) -> None:
    """One of them sets the flag between two of its windows, the others are wherever they are."""
    for after in (0, 1, 3):
        stop = np.zeros(1, np.int32)
        workers = make_workers(stop=stop)

        def doing(pipeline: Pipeline, rank: int, after: int = after, stop: Any = stop) -> None:
            pipeline.begin(LAW, 20, (0.5, 0.5))
            for window in range(10**6):
                if rank == rank_that_sets and window == after:
                    stop[0] = 1
                pipeline.step(LAW, 20, (0.5, 0.5), GO_ON)

        results = run(workers, doing, kind)
        assert all(isinstance(result, (Interrupted, PeerLost)) for result in results)
        assert any(isinstance(result, Interrupted) for result in results)
        for worker in workers:
            worker.roll_back()
        stop[0] = 0
        rounds, left = divmod(int(workers[0]._merged.visits.sum()), 20 * 3 * 3)
        assert left == 0
        assert after <= rounds <= after + 1
        assert_after(workers, rounds)


def test_a_first_window_ended_early_is_rolled_back() -> None:
    stop = np.ones(1, np.int32)
    workers = make_workers(stop=stop)
    results = run(workers, windows(1))
    assert all(isinstance(result, Interrupted) for result in results)
    for worker in workers:
        worker.roll_back()
    assert_after(workers, 0)


@pytest.mark.parametrize("kind", [Failing, FailingWire])
@pytest.mark.parametrize("hand_over", [1, 2, 5, 6])
def test_a_communicator_that_fails_leaves_the_round_before(
    kind: Any, hand_over: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round is two hand-overs; rank 1 fails at one of them."""
    monkeypatch.setattr(kind, "at", (1, hand_over))
    workers = make_workers()
    results = run(workers, windows(9), kind)
    assert isinstance(results[1], OSError)
    assert isinstance(results[0], PeerLost)
    assert isinstance(results[2], PeerLost)
    assert_after(workers, (hand_over - 1) // 2)
    run(workers, windows(2))
    assert workers[0]._merged.visits.sum() == ((hand_over - 1) // 2 + 2) * 20 * 3 * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_that_raises_leaves_the_round_before(kind: Any) -> None:
    workers = make_workers(2)
    results = run(workers, windows(2), kind, resolve(Raises()))
    assert any(isinstance(result, ArithmeticError) for result in results)
    assert all(isinstance(result, (ArithmeticError, PeerLost)) for result in results)
    assert_after(workers, 0)


def test_merged_slices_that_do_not_fit_leave_the_round_before() -> None:
    workers = make_workers()
    results = run(workers, windows(2), Damaging)
    assert all(isinstance(result, ValueError) for result in results)
    assert_after(workers, 0)


def test_an_exception_between_two_rounds_leaves_all_workers_after_the_same_round() -> None:
    def doing(pipeline: Pipeline, rank: int) -> None:
        pipeline.begin(LAW, 20, (0.5, 0.5))
        for window in range(10**6):
            if rank == 0 and window == 3:
                raise ZeroDivisionError("of a watch")
            pipeline.step(LAW, 20, (0.5, 0.5), GO_ON)

    workers = make_workers()
    results = run(workers, doing)
    assert [type(result) for result in results] == [ZeroDivisionError, PeerLost, PeerLost]
    for worker in workers:
        worker.roll_back()
    assert_after(workers, 3)


def test_closing_twice_is_closing() -> None:
    comm = InProcessCommunicator.connect("inprocess", 1, 10.0)[0]
    pipeline = Pipeline(make_worker(MODEL), comm, "mean", needs_mass=False)
    pipeline.begin(LAW, 5, (0.5, 0.5))
    pipeline.finish(GO_ON)
    threads = {thread.name for thread in threading.enumerate()}
    assert "cdq-window-0" in threads
    pipeline.close()
    pipeline.close()
    assert threads - {thread.name for thread in threading.enumerate()} == {"cdq-window-0"}
    comm.close()
