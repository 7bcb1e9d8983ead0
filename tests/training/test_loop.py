from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.comm.base import Communicator
from cdq.comm.inprocess import InProcessCommunicator
from cdq.comm.inprocess import connect as connect_threads
from cdq.errors import ConfigError, LearnerBusy, PeerLost, TableError
from cdq.merges import NAMES, MergeRule
from cdq.qfunctions.merged import allocate
from cdq.schedules import Constant, LinearDecay, RescaledLinear
from cdq.training.course import Plan
from cdq.training.interrupts import Requests
from cdq.training.threads import run_workers
from tests.strategies import random_model

MODEL = random_model(30, 4, seed=8, time_limit=50)
ENDLESS = 10**9  # tens of seconds


def learner(**changes: Any) -> cdq.QLearner:
    arguments = {"workers": 2, "num_envs": 3, "seed": 5, "sync_every": 200, "gamma": 0.9, **changes}
    return cdq.QLearner(MODEL, **arguments)


def everything(agent: cdq.QLearner) -> tuple[Any, ...]:
    """Return all that learning on depends on."""
    merged = agent._state.merged
    lanes = b"".join(worker._lanes.memory.tobytes() for _, worker in sorted(agent._team.workers.items()))
    rows = b"".join(
        np.asarray(worker.rows.data).tobytes() for _, worker in sorted(agent._team.workers.items())
    )
    progress = agent._state.progress.steps, agent._state.progress.window
    return merged.values.tobytes(), merged.clock.tobytes(), merged.visits.tobytes(), rows, lanes, progress


# ---- determinism


@pytest.mark.parametrize("merge", NAMES)
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
def test_the_same_seed_gives_the_same_bits(workers: int, merge: str) -> None:
    first, second = (learner(workers=workers, merge=merge, sync_every=50).learn(3000) for _ in range(2))
    assert first.table.digest() == second.table.digest()
    assert everything(first) == everything(second)
    assert first.table.visits.sum() == first.steps
    assert all(
        np.array_equal(worker._merged.values, first.table.values) for worker in first._team.workers.values()
    )


def test_other_seeds_and_numbers_of_workers_give_others() -> None:
    changes: list[dict[str, Any]] = [{}, {"seed": 6}, {"workers": 3}, {"num_envs": 4}, {"merge": "mean"}]
    assert len({learner(**change).learn(3000).table.digest() for change in changes}) == len(changes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sync_every", ["auto", 100, cdq.AutoWindow(mass=1.0, floor=60)])
def test_ways_of_merging_make_no_difference(
    sync_every: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for kind in (InProcessCommunicator, Wire):
        monkeypatch.setattr(
            "cdq.learner.backends.connect", lambda *_, kind=kind: kind.connect("inprocess", 3, 10.0)
        )
        agent = learner(workers=3, sync_every=sync_every, dtype=dtype).learn(20_000)
        digests.append((agent.table.digest(), agent.history["steps"].tolist()))
    assert digests[0] == digests[1]


@pytest.mark.parametrize("workers", [1, 3])
def test_learning_twice_goes_on(workers: int) -> None:
    """In whole windows, two calls are one."""
    window = 198 * workers
    once, twice = learner(workers=workers, sync_every=198), learner(workers=workers, sync_every=198)
    once.learn(10 * window)
    twice.learn(4 * window).learn(6 * window)
    assert everything(once) == everything(twice)
    assert once.history["steps"].tolist() == twice.history["steps"].tolist()
    assert twice.history["rounds"].tolist() == list(range(1, 11))


def test_steps_are_rounded_up_to_whole_sweeps() -> None:
    agent = learner(workers=2, num_envs=3)
    for asked, steps in ((1, 6), (6, 12), (7, 24), (0, 24)):
        assert agent.learn(asked).steps == steps


def test_exploration_moves_by_the_steps_of_all_workers() -> None:
    """Without exploration, and with no ties, the one greedy action of each state is all that is taken."""
    agent = learner(
        workers=2, exploration=LinearDecay(1.0, 0.0, 6000), step_size=Constant(1e-300), initial_value=0.0
    )
    agent._state.merged.values[:, 0] = 1.0
    agent.learn(12_000)
    others = agent.table.visits[:, 1:].sum()
    assert others == pytest.approx(0.75 * 3000, rel=0.1)
    agent.learn(6000)
    assert agent.table.visits[:, 1:].sum() == others


def test_windows_follow_the_merged_mass() -> None:
    """Window after window as AutoWindow says; the last is cut short."""
    window = cdq.AutoWindow(mass=0.5, floor=60)
    agent = learner(sync_every=window, step_size=0.1).learn(40_000)
    lengths = agent.history["window"][np.diff(agent.history["rounds"], prepend=0) == 1]
    assert lengths[0] == 60
    ratios = lengths[1:-1] / lengths[:-2]
    assert ratios.max() < 2.1
    assert ratios.min() > 0.45
    assert np.isclose(lengths[-8:-1].std() / lengths[-8:-1].mean(), 0, atol=0.3)  # it has settled
    assert agent.steps >= 40_000


def test_windows_grow_as_step_sizes_fall() -> None:
    agent = learner(sync_every=cdq.AutoWindow(mass=0.3, floor=30)).learn(300_000)
    lengths = agent.history["window"][np.diff(agent.history["rounds"], prepend=0) == 1]
    assert lengths[-2] > 20 * lengths[0]


def test_a_law_is_built_again_only_when_it_changed() -> None:
    decay = LinearDecay(0.5, 0.1, 1000)
    for step_size, same in ((RescaledLinear(0.9), True), (Constant(0.1), True), (decay, False)):
        plan = Plan(step_size, Constant(0.1), "pooled", cdq.AutoWindow(), "float64")
        assert (plan.law(100) is plan.law(0)) == same


# ---- failures: every round happens on all workers, or on none


class Wire(InProcessCommunicator):
    """Merges as communicators without shared memory do."""

    def merge(self, contribution: Any, rule: Any) -> Any:
        return Communicator.merge(self, contribution, rule)


class Failing(InProcessCommunicator):
    """Fails at one hand-over of one rank."""

    at = (0, 0)  # rank, hand-over

    def _meet(self, call: Any, item: Any) -> list[Any]:
        if (self.rank, call.sequence) == self.at:
            raise OSError("the network is down")
        return super()._meet(call, item)


class FailingWire(Failing, Wire):
    pass


class FailsOnce(MergeRule):
    """Averages, but for one time in one thread."""

    def __init__(self, thread: str, after: int, error: Exception | None) -> None:
        self.thread, self.left, self.error = thread, after, error

    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        if threading.current_thread().name == self.thread:
            self.left -= 1
            if self.left == 0:
                if self.error is not None:
                    raise self.error
                return np.full_like(base, np.nan)
        return values.mean(axis=0)


@pytest.mark.parametrize("kind", [Failing, FailingWire])
@pytest.mark.parametrize("at", [(0, 1), (1, 2), (2, 7), (0, 8)])
def test_a_lost_hand_over_leaves_the_last_whole_round(
    kind: Any, at: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, twin = learner(workers=3, sync_every=99), learner(workers=3, sync_every=99)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "at", at)
        patch.setattr("cdq.learner.backends.connect", lambda *_: kind.connect("inprocess", 3, 10.0))
        with pytest.raises(OSError, match="the network is down"):
            agent.learn(20 * 297)
    rounds = (at[1] - 1) // 2  # two hand-overs each
    assert agent.steps == 297 * rounds
    assert len(agent.history) == rounds
    if rounds:
        twin.learn(297 * rounds)
        assert everything(agent) == everything(twin)
    agent.learn(5 * 297)
    twin.learn(5 * 297)
    assert everything(agent) == everything(twin)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_condition_that_was_met_holds_though_the_window_after_it_fails(
    lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to do: rank 0 had judged, and only the window that is thrown away failed."""
    until = cdq.MeanReturn(-1e9)
    whole = learner(workers=3, sync_every=999).learn(ENDLESS, until=until)
    agent = learner(workers=3, sync_every=999)
    with monkeypatch.context() as patch:
        patch.setattr(Failing, "at", (1, 2 * whole.history[-1].rounds + lost))  # two hand-overs each
        patch.setattr("cdq.learner.backends.connect", lambda *_: Failing.connect("inprocess", 3, 10.0))
        with pytest.raises(OSError, match="the network is down"):
            agent.learn(ENDLESS, until=until)
    for one in (whole, agent):
        assert (one.steps, one.steps_left, one.until) == (whole.steps, 0, until)
        assert one.learn().table.digest() == whole.table.digest()
        assert one.steps == whole.steps


@pytest.mark.parametrize("thread", ["cdq-worker-0", "cdq-worker-1"])
@pytest.mark.parametrize("error", [ArithmeticError("mine"), None])
def test_a_rule_that_fails_leaves_the_last_whole_round(thread: str, error: Exception | None) -> None:
    agent = learner(merge=FailsOnce(thread, 4, error), sync_every=99)
    twin = learner(merge=FailsOnce("", 0, None), sync_every=99)
    with pytest.raises(TableError if error is None else ArithmeticError, match="not finite|mine"):
        agent.learn(20 * 198)
    rounds = len(agent.history)
    assert 0 < rounds <= 4
    assert agent.steps == 198 * rounds
    assert everything(agent) == everything(twin.learn(198 * rounds))
    assert everything(agent.learn(10 * 198)) == everything(twin.learn(10 * 198))


def test_the_cause_is_raised_not_its_consequences() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    def waits(comm: Any) -> None:
        comm.barrier()

    for failing in range(3):
        comms = connect_threads(3, 10.0)
        tasks = [
            fails if rank == failing else (lambda comm=comm: waits(comm)) for rank, comm in enumerate(comms)
        ]
        with pytest.raises(ZeroDivisionError):
            run_workers(tasks, comms, Requests(), lambda: None)
    comms = connect_threads(2, 10.0)
    with pytest.raises(PeerLost):
        run_workers([lambda: None, lambda: waits(comms[1])], comms, Requests(), lambda: None)


# ---- Ctrl-C


@pytest.fixture
def control_c() -> Iterator[Any]:
    """Return a function that interrupts the main thread after some seconds, and once something is so."""
    timers: list[threading.Timer] = []

    def after(seconds: float, once: Callable[[], object] = lambda: True) -> None:
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            deadline = time.monotonic() + 20.0
            while not once() and time.monotonic() < deadline:
                time.sleep(0.01)
            signal.pthread_kill(main, signal.SIGINT)

        timers.append(threading.Timer(seconds, interrupt))
        timers[-1].start()

    yield after
    for timer in timers:
        timer.cancel()
        timer.join()


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("sync_every", ["auto", 5000, 2**24])
def test_ctrl_c_keeps_the_last_whole_round(workers: int, sync_every: Any, control_c: Any) -> None:
    agent, twin = (learner(workers=workers, sync_every=sync_every) for _ in range(2))
    control_c(0.15, lambda: sync_every == 2**24 or len(agent.history))
    with pytest.raises(KeyboardInterrupt):
        agent.learn(ENDLESS)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cdq-worker")]
    rounds = len(agent.history)
    if sync_every != 2**24:
        assert rounds > 0
    assert agent.steps == (agent.history[-1].steps if rounds else 0)
    assert agent.table.visits.sum() == agent.steps
    if rounds:
        twin.learn(agent.steps)
        assert twin.history["steps"].tolist() == agent.history["steps"].tolist()
        assert (
            everything(agent)[:-1] == everything(twin)[:-1]
        )  # the twin's last window says nothing of its next
        twin._state.progress.window = agent._state.progress.window
    agent.learn(30_000)
    twin.learn(30_000)
    assert everything(agent) == everything(twin)


def test_ctrl_c_again_and_again_is_as_once(control_c: Any) -> None:
    agent, learning = learner(workers=4, sync_every=2**20), [True]

    def interrupt(*_: Any) -> None:
        if learning:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    for seconds in (0.1, 0.1005, 0.101, 0.102):
        control_c(seconds)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted(agent, learning)
        time.sleep(0.1)  # the later ones
    finally:
        signal.signal(signal.SIGINT, before)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cdq-worker")]
    assert agent.table.visits.sum() == agent.steps


def interrupted(agent: cdq.QLearner, learning: list[bool]) -> None:
    try:
        agent.learn(ENDLESS)
    finally:
        learning.clear()


# ---- where the system has no room


@pytest.mark.parametrize("missing", [0, 1, 2])
@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), MemoryError()], ids=["thread", "memory"]
)
def test_a_thread_that_cannot_be_started_is_said_and_nothing_is_learnt(
    missing: int, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = learner(workers=3).learn(1000)
    before, start, started = everything(agent), threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if thread.name.startswith("cdq-worker"):
            if len(started) == missing:
                raise error
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(ConfigError, match=f"could start {missing} of 3 threads .*: use fewer workers"):
        agent.learn(ENDLESS)
    monkeypatch.undo()
    assert everything(agent) == before
    assert agent.learn(1000).table.visits.sum() == agent.steps


@pytest.mark.parametrize(
    "error", [KeyError("handler"), LearnerBusy("handler"), KeyboardInterrupt()], ids=repr
)
@pytest.mark.parametrize("started", [False, True])
def test_an_error_of_a_signal_handler_while_threads_are_started_ends_them(
    error: BaseException, started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = learner(workers=3).learn(1000)
    start = threading.Thread.start

    def disturbed(thread: threading.Thread) -> None:
        if thread.name != "cdq-worker-1" or started:
            start(thread)
        if thread.name == "cdq-worker-1":
            raise error

    monkeypatch.setattr(threading.Thread, "start", disturbed)
    with pytest.raises(type(error)):
        agent.learn(ENDLESS)
    monkeypatch.undo()
    assert agent.learn(1000).table.visits.sum() == agent.steps


def test_a_table_beyond_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match="the system has no .* bytes of memory for a table .*; use fewer workers"
    ):
        allocate(2**61)
    with pytest.raises(ConfigError, match="the system has no"):
        allocate(2**80)
