"""Threads that are alive until they have ended, whatever interrupts those who wait for them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest

import cdq
from cdq.comm.inprocess import connect as connect_threads
from cdq.errors import EnvironmentFailure
from cdq.training.interrupts import Requests
from cdq.training.threads import WorkerThread, run_workers


class Alarm(Exception):
    """What a signal handler raises."""


@pytest.fixture
def alarmed() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarmed")
@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_thread_lives_on_when_waiting_for_it_is_interrupted(timeout: float | None) -> None:
    end = threading.Event()
    thread = WorkerThread(target=end.wait)
    assert not thread.is_alive()
    thread.start()
    for _ in range(3):
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(Alarm):
            thread.join(timeout)
        assert thread.is_alive()
    thread.join(0.01)
    assert thread.is_alive()
    end.set()
    thread.join(timeout)
    assert not thread.is_alive()
    assert thread not in threading.enumerate()


def test_a_thread_that_fails_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise KeyError

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    thread = WorkerThread(target=fail)
    thread.start()
    thread.join()
    assert not thread.is_alive()


@pytest.mark.parametrize("started", [False, True])
def test_a_start_that_is_interrupted_tells_the_truth(started: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = threading.Thread.start, threading.Event()

    def interrupted(thread: threading.Thread) -> None:
        if started:
            start(thread)
        raise Alarm

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    thread = WorkerThread(target=end.wait)
    with pytest.raises(Alarm):
        thread.start()
    assert thread.is_alive() is started
    end.set()
    thread.join(20.0)
    assert not thread.is_alive()


def test_a_thread_without_room_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    thread = WorkerThread(target=time.sleep)
    with pytest.raises(RuntimeError):
        thread.start()
    assert not thread.is_alive()
    thread.join(0.01)


def test_a_display_that_fails_does_not_leave_the_workers_alone() -> None:
    """A closed standard error, or a signal handler that raises: the workers are stopped and waited for."""
    requests, comms = Requests(), connect_threads(2, 10.0)

    def task() -> None:
        until = time.monotonic() + 20.0
        while not requests.stop[0] and time.monotonic() < until:
            time.sleep(0.01)

    def tick() -> None:
        raise BrokenPipeError("nobody reads")

    started = time.monotonic()
    with pytest.raises(BrokenPipeError):
        run_workers([task, task], comms, requests, tick)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cdq-worker")]
    assert time.monotonic() - started < 15.0


@pytest.mark.parametrize("ends", [SystemExit(0), SystemExit(), GeneratorExit()])
def test_code_that_would_end_the_program_is_a_failure(ends: BaseException) -> None:
    class Ending(gymnasium.Env[int, int]):
        observation_space = action_space = gymnasium.spaces.Discrete(2)
        steps = 0

        def reset(self, **_: Any) -> tuple[int, dict[str, Any]]:
            return 0, {}

        def step(self, _: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
            self.steps += 1
            if self.steps > 500:
                raise ends
            return 0, 1.0, True, False, {}

    agent = cdq.QLearner(Ending(), seed=0, sync_every=100)
    with pytest.raises(EnvironmentFailure, match=f"or other code of yours, raised {type(ends).__name__}"):
        agent.learn(10_000)
    assert agent.table.visits.sum() == agent.steps > 0
