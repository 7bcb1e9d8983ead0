"""Signals as requests: what each sets, and what is as before afterwards."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import pytest

import cdq
from cdq.errors import ConfigError
from cdq.training.interrupts import INTERRUPTED, TERMINATED, Requests, heard, signals_deferred

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = [signal.getsignal(number) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


def flags(requests: Requests) -> tuple[int, int]:
    return int(requests.stop[0]), int(requests.finish[0])


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in NUMBERS]


def signalled(requests: Requests, *numbers: int, graceful: bool = True) -> list[tuple[int, int]]:
    """Raise signals while they are deferred, and return the flags after each."""
    seen = []
    with signals_deferred(requests, graceful=graceful):
        for number in numbers:
            signal.raise_signal(number)
            seen.append(flags(requests))
    return seen


def test_ctrl_c_is_raised_again_at_the_end() -> None:
    requests, before = Requests(), handlers()
    with pytest.raises(KeyboardInterrupt):
        signalled(requests, signal.SIGINT, graceful=False)
    assert flags(requests) == (1, 0)
    assert handlers() == before


def test_a_graceful_run_is_asked_to_finish_and_then_to_stop() -> None:
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    before = handlers()
    assert signalled(Requests(), signal.SIGINT, signal.SIGINT) == [(0, INTERRUPTED), (1, INTERRUPTED)]
    assert received == [signal.SIGINT]
    assert handlers() == before


def test_sigterm_asks_to_finish_and_is_ignored_from_then_on() -> None:
    assert signalled(Requests(), signal.SIGTERM, signal.SIGTERM) == [(0, TERMINATED)] * 2
    assert handlers() == [signal.default_int_handler, signal.SIG_IGN]


def test_sigterm_on_another_rank_counts_as_one_here() -> None:
    requests = Requests()
    with signals_deferred(requests, graceful=True):
        requests.finish[0] = TERMINATED
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_both_signals_are_both_heard() -> None:
    for first, second in (NUMBERS, NUMBERS[::-1]):
        requests = Requests()
        with pytest.raises(KeyboardInterrupt):
            signalled(requests, first, second)
        assert flags(requests) == (0, TERMINATED)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.parametrize("graceful", [False, True])
def test_who_ignores_a_signal_or_handles_it_goes_on_doing_so(graceful: bool) -> None:
    received: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    before, requests = handlers(), Requests()
    with signals_deferred(requests, graceful=graceful):
        assert handlers() == before
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert (flags(requests), received) == ((0, 0), [signal.SIGTERM])
    assert handlers() == before


def test_a_run_without_checkpoints_leaves_sigterm_alone() -> None:
    with signals_deferred(Requests(), graceful=False):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_other_threads_have_no_handlers() -> None:
    seen: list[Any] = []

    def look() -> None:
        with signals_deferred(Requests(), graceful=True):
            seen.extend(handlers())

    in_a_thread(look)
    assert seen == handlers()


def in_a_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_an_error_puts_the_handlers_back() -> None:
    before = handlers()
    with pytest.raises(ZeroDivisionError), signals_deferred(Requests(), graceful=True):
        raise ZeroDivisionError
    assert handlers() == before


def test_requests_can_be_taken_back() -> None:
    requests = Requests()
    requests.stop[0] = requests.finish[0] = 1
    requests.clear()
    assert flags(requests) == (0, 0)


def test_a_request_that_comes_before_its_call_begins_is_heard() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    # So does `compare` end the runs that are left, one of which may be on its way into learn.
    agent._requests.stop[0] = 1
    agent.learn(10**12)
    assert agent.steps < 10**12
    assert flags(agent._requests) == (0, 0)
    agent.learn(1000)
    assert agent.table.visits.sum() == agent.steps


def test_ctrl_c_ends_compiled_episodes() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(1000)
    before, handler = agent.evaluate(100), signal.getsignal(signal.SIGINT)
    threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt):
        agent.evaluate(10**8)
    assert signal.getsignal(signal.SIGINT) is handler
    assert agent.evaluate(100).episodes == before.episodes
    assert agent.learn(1000).steps == 2016


class Deaf(gymnasium.Env[int, int]):
    """Raises SIGINT in its thousandth step, and keeps the exception to itself."""

    observation_space = action_space = gymnasium.spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == 1000:
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        return 0, 0.0, True, False, {}


def test_ctrl_c_ends_episodes_in_python() -> None:
    agent, handler = cdq.QLearner(Deaf, seed=0).learn(100), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        agent.evaluate(10**8)
    assert signal.getsignal(signal.SIGINT) is handler
    assert agent.learn(100).steps == 200
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    other = cdq.QLearner(Deaf, seed=0)
    assert other.evaluate(2000).episodes == 2000  # whose handler raises nothing is not interrupted
    assert received == [signal.SIGINT]


def test_what_is_heard_returns_and_raises_as_it_is() -> None:
    assert heard(lambda stop: 5, Requests().stop) == 5
    with pytest.raises(ZeroDivisionError):
        heard(lambda stop: 1 // int(stop[0]), Requests().stop)


class Waiting(Deaf):
    """Its step number 1500 takes until it is told to go on."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == 1500:
            signal.raise_signal(signal.SIGINT)
            self.may_go_on.wait(60)
        return 0, 1.0, True, False, {}


def test_a_learner_goes_on_once_the_step_has_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdq.training.threads._GRACE", 0.1)
    env = Waiting()
    agent = cdq.QLearner(env, seed=0, sync_every=1000)
    with pytest.raises(KeyboardInterrupt):
        agent.learn(10_000)
    assert agent.steps == 1000
    with pytest.raises(ConfigError, match="has not returned yet; wait until it has"):
        agent.learn(1000)
    (left,) = agent._requests.left
    env.may_go_on.set()
    left.join()
    assert agent.learn(1000).table.visits.sum() == agent.steps == 2000
