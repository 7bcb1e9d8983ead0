"""Calls of one learner exclude each other, from wherever they come, and what was refused changes nothing."""

from __future__ import annotations

import copy
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
import cdq.errors
from cdq.errors import EnvironmentFailure, LearnerBusy
from cdq.learner.exclusion import Turn, exclusive
from cdq.merges import MergeRule
from tests.strategies import random_model

MODEL = random_model(30, 4, seed=8, time_limit=50)
ENDLESS = 10**11
LOG = [0, 1], [0, 1], [0.0, 1.0], [1, 2], [False, True]

CALLS: dict[str, Callable[[cdq.QLearner], Any]] = {
    "learn": lambda agent: agent.learn(1000),
    "learn_from": lambda agent: agent.learn_from(*LOG),
    "evaluate": lambda agent: agent.evaluate(1),
    "report": lambda agent: agent.report(),
    "save": lambda agent: agent.save("nowhere"),
    "table": lambda agent: agent.table,
    "close": lambda agent: agent.close(),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
}


@contextmanager
def learning(agent: cdq.QLearner) -> Iterator[None]:
    """Let another thread learn while the context lasts."""
    thread = threading.Thread(target=lambda: agent.learn(ENDLESS))
    thread.start()
    try:
        while not len(agent.history):
            assert thread.is_alive()
        yield
        assert thread.is_alive()
    finally:
        agent._requests.stop[0] = 1
        thread.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_other_threads_are_refused_while_one_learns(workers: int) -> None:
    agent = cdq.QLearner(MODEL, seed=0, workers=workers)
    with learning(agent):
        for name, call in CALLS.items():
            with pytest.raises(
                LearnerBusy, match=r"in the course of learn, .*one thing at a time. Call it once"
            ):
                call(agent)
            assert name
        assert 0 <= agent.predict(3) < 4  # these only look
        assert agent.steps >= agent.history[0].steps > 0
    assert agent.table.visits.sum() == agent.steps
    agent.learn(1000)
    assert agent.table.visits.sum() == agent.steps


class Mean(MergeRule):
    """A rule that asks for more than a rule may."""

    def __init__(self) -> None:
        self.agent: cdq.QLearner | None = None
        self.refused: set[str] = set()

    def combine(self, base: Any, values: Any, *others: Any) -> Any:
        for name, call in CALLS.items() if self.agent is not None else ():
            try:
                call(self.agent)  # type: ignore[arg-type]
            except LearnerBusy:
                self.refused.add(name)
        return values.mean(axis=0)


def test_a_call_that_is_refused_changes_nothing() -> None:
    """A run whose rule asks for everything has the bits of one whose rule asks for nothing."""
    rules = Mean(), Mean()
    agents = [cdq.QLearner(MODEL, seed=0, workers=2, merge=rule, sync_every=500) for rule in rules]
    rules[1].agent = agents[1]
    for agent in agents:
        agent.learn(20_000).learn(10_000)
    assert rules[1].refused == set(CALLS)
    assert agents[0].table.digest() == agents[1].table.digest()
    assert agents[0].evaluate(10) == agents[1].evaluate(10)


class Corridor(gymnasium.Env[Any, Any]):
    """An environment whose step asks for more than a step may."""

    observation_space, action_space = gymnasium.spaces.Discrete(5), gymnasium.spaces.Discrete(2)

    def __init__(self, call: str = "") -> None:
        self.call, self.agent, self.state = call, None, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = 0
        return 0, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if self.agent is not None:
            CALLS[self.call](self.agent)
        self.state = max(0, self.state + (1 if action else -1))
        return self.state, float(self.state == 4), self.state == 4, False, {}


@pytest.mark.parametrize("call", CALLS)
def test_a_step_that_asks_for_more_ends_the_call_and_says_so(call: str) -> None:
    env = Corridor(call)
    agent = cdq.QLearner(env, seed=0).learn(2000)
    before, env.agent = agent.table.digest(), agent  # type: ignore[assignment]
    with pytest.raises((EnvironmentFailure, LearnerBusy), match=r"was called in the course of learn"):
        agent.learn(1000)
    env.agent = None
    assert agent.table.digest() == before
    assert agent.steps == 2000
    agent.learn(1000)
    assert agent.table.visits.sum() == agent.steps == 3000


def test_a_step_may_ask_for_the_greedy_action() -> None:
    """Self-play: the other side plays what was learnt so far."""
    env = Corridor("predict")
    agent = cdq.QLearner(env, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CALLS, "predict", lambda agent: agent.predict(env.state))
        env.agent = agent  # type: ignore[assignment]
        agent.learn(2000)
    assert agent.steps == 2000


def test_a_hashed_table_is_not_looked_at_while_its_rows_move() -> None:
    env = Corridor("predict")
    agent = cdq.QLearner(env, seed=0, table="hash")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CALLS, "predict", lambda agent: agent.predict(env.state))
        env.agent = agent  # type: ignore[assignment]
        with pytest.raises(
            (EnvironmentFailure, LearnerBusy), match="predict was called in the course of learn"
        ):
            agent.learn(2000)
    env.agent = None
    assert agent.learn(2000).predict(3) == 1


def test_a_signal_handler_that_asks_for_more_ends_the_call_and_says_so(tmp_path: Path) -> None:
    agent = cdq.QLearner(MODEL, seed=0, workers=2)
    before = signal.signal(signal.SIGALRM, lambda *_: agent.save(tmp_path / "agent"))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(
            LearnerBusy, match="save was called in the course of learn.*a signal handler: set a flag"
        ):
            agent.learn(ENDLESS)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert agent.table.visits.sum() == agent.steps < ENDLESS
    assert not list(tmp_path.iterdir())
    agent.save(tmp_path / "agent")
    assert cdq.QLearner.load(tmp_path / "agent", MODEL).table.digest() == agent.table.digest()


def test_many_threads_get_one_turn_at_a_time() -> None:
    agent, outcomes = cdq.QLearner(MODEL, seed=0), []

    def call() -> None:
        for _ in range(20):
            try:
                agent.learn(1600)  # whole sweeps
                outcomes.append(1)
            except LearnerBusy:
                outcomes.append(0)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 160
    assert agent.table.visits.sum() == agent.steps == 1600 * sum(outcomes) > 0


def test_the_turn_is_free_again_after_an_error() -> None:
    class Counter:
        def __init__(self) -> None:
            self._turn = Turn()

        @exclusive
        def fail(self) -> None:
            """Fail."""
            raise KeyError("once")

    counter = Counter()
    for _ in range(2):
        with pytest.raises(KeyError):
            counter.fail()
    assert Counter.fail.__doc__ == "Fail."


def test_refused_goals_are_forgotten() -> None:
    agent = cdq.QLearner(MODEL, seed=0, dtype="float32").learn(1000)
    states, actions, _, successors, ends = LOG
    with pytest.raises(cdq.errors.ConfigError, match="the reward of transition 1 is"):
        agent.learn_from(states, actions, [0.0, 1e300], successors, ends, passes=5)
    with pytest.raises(cdq.errors.ConfigError, match="steps is"):
        agent.learn(2**62)
    assert agent.steps_left == 0
    assert np.isfinite(agent.table.values).all()


def test_nothing_learns_on_after_an_error_of_a_signal_handler() -> None:
    """Also where it interrupts the wait for the workers, which Python then takes for ended."""
    agent = cdq.QLearner(MODEL, seed=0, workers=2)

    def ring(*_: object) -> None:
        raise KeyError("alarm")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        for _ in range(5):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyError, match="alarm"):
                agent.learn(ENDLESS)
            assert not [thread for thread in threading.enumerate() if thread.name.startswith("cdq-worker")]
            assert agent.table.visits.sum() == agent.steps
    finally:
        signal.signal(signal.SIGALRM, before)


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "itself": lambda env: env,
    "a wrapper": lambda env: gymnasium.wrappers.TimeLimit(env, 50),
    "the environment within": lambda env: env.unwrapped,
    "a vector environment": lambda env: gymnasium.vector.SyncVectorEnv([lambda: env]),
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
def test_two_learners_of_one_environment_step_it_in_turn(wrapped: Any) -> None:
    env = gymnasium.make("Blackjack-v1")
    first, second = cdq.QLearner(env, seed=0), cdq.QLearner(wrapped(env), seed=1)
    with learning(first):
        for call in (lambda: second.learn(100), lambda: second.evaluate(1), second.report):
            with pytest.raises(LearnerBusy, match="environment of its own"):
                call()
        assert second.steps == 0
        assert second.table.visits.sum() == 0
    assert second.learn(100).steps == 100
    assert first.learn(0).evaluate(1).episodes == 1


def test_learners_of_one_id_or_of_one_model_do_not_exclude_each_other() -> None:
    lake = gymnasium.make("FrozenLake-v1")
    for env in (lambda: gymnasium.make("Blackjack-v1"), lake):
        first, second = (cdq.QLearner(env, seed=seed) for seed in range(2))
        with learning(first):
            assert second.learn(100).steps >= 100
