"""Compiled code of ranks that are processes meets in memory that they share, and learns what threads learn."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any
from unittest import mock

import pytest

import cdq
from cdq.comm import memory
from cdq.comm.base import Communicator
from cdq.comm.zmq.ranks.communicator import ZmqCommunicator
from cdq.core.barrier import BROKEN, DONE
from cdq.errors import CommClosed, CommTimeout, PeerLost
from cdq.workers.stretches import Stretches
from tests.comm.zmq import pool

CULPRIT = 1
LONG = 10**12


class Least(cdq.MergeRule):
    """Takes the least value."""

    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        return values.min(axis=0)


TASKS = cdq.Goals([14, 10, 3])
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "a window of one sweep": ("FrozenLake-v1", {"sync_every": 1}),
    "automatic": ("FrozenLake8x8-v1", {"dtype": "float32"}),
    "many lanes": ("Taxi-v4", {"sync_every": 300, "num_envs": 7}),
    "until": ("FrozenLake-v1", {"until": cdq.OptimalWithin(0.05), "sync_every": 500}),
    "falling rates": (
        "FrozenLake-v1",
        {"step_size": cdq.LinearDecay(0.5, 0.01, 2e4), "exploration": cdq.ExponentialDecay(1.0, 0.1, 9000)},
    ),
    "another rule": ("FrozenLake-v1", {"rule": "double-q", "merge": "visits", "sync_every": 99}),
    "tasks": ("FrozenLake-v1", {"tasks": TASKS, "sync_every": 160}),
    "a compiled environment": ("cdq/RiverSwim-v0", {"sync_every": 80}),
    "agents": ("cdq/Signals-v0", {"num_envs": 2, "env_kwargs": {"rows": 2, "columns": 2}, "sync_every": 50}),
    "nodes": ("cdq/Routing-v0", {"num_envs": 2, "gamma": 1.0, "step_size": 0.5, "sync_every": 50}),
    "a game": ("cdq/Nim-v0", {"opponent": "self", "sync_every": 50}),
    "bins": ("cdq/CartPole-v0", {"bins": 6, "sync_every": 70}),
    "tiles": ("cdq/MountainCar-v0", {"features": cdq.TileCoding(4, 4), "sync_every": 90}),
}
IN_PYTHON: dict[str, tuple[Any, dict[str, Any]]] = {
    "hashed": ("cdq/GridWorld-v0", {"table": "hash", "sync_every": 90}),
    "a rule of the user's": ("FrozenLake-v1", {"merge": Least(), "sync_every": 300}),
    "overlap": ("FrozenLake-v1", {"overlap": True, "sync_every": 200}),
}


@contextmanager
def noted(rounds: list[int]) -> Iterator[None]:
    """Note how many rounds each stretch has."""
    play = Stretches.play

    def played(self: Stretches, *arguments: Any) -> Any:
        result = play(self, *arguments)
        rounds.append(result[1].rounds if result is not None else 0)
        return result

    with mock.patch.object(Stretches, "play", played):
        yield


def learnt(kind: str, comm: Any, **how: Any) -> tuple[Any, ...]:
    """Learn twice, and return what came of it on this rank, with the number of stretches."""
    env, given = {**KINDS, **IN_PYTHON}[kind]
    settings = {name: value for name, value in given.items() if name != "until"}
    agent = cdq.QLearner(env, seed=3, comm=comm, **settings, **how)
    rounds: list[int] = []
    with noted(rounds):
        for steps in (20_000, 7_001):
            agent.learn(steps, until=given.get("until"))
    rows = agent.history.to_arrays()
    rows.pop("seconds")
    told = {name: column.tolist() for name, column in rows.items()}
    return agent.steps, agent._state.merged.digest(), str(told), sum(rounds)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_ranks_learn_what_threads_do_in_as_many_rounds(kind: str, size: int) -> None:
    *expected, rounds = learnt(kind, "inprocess", workers=size)
    found = pool.run(size, partial(learnt, kind), timeout=60.0)
    assert all(isinstance(one, tuple) for one in found), found
    assert found[0][:3] == tuple(expected)  # rank 0 has the history, whose bytes are those of threads, too
    assert {one[:2] for one in found} == {tuple(expected[:2])}
    assert [one[3] for one in found] == [rounds // size] * size
    assert rounds > 0


@pytest.mark.parametrize("kind", ["tasks", "bins"])
def test_processes_beside_this_one_are_ranks(kind: str) -> None:
    *expected, rounds = learnt(kind, "inprocess", workers=2)
    assert learnt(kind, "zmq", workers=2) == (*expected, rounds // 2)


def fleet(how: dict[str, Any], comm: Any) -> tuple[str, int]:
    """Learn in three environments; return the digest of all tables, and how many rounds took no Python."""
    rounds: list[int] = []
    envs = [cdq.MDP.garnet(40, 4, branching=2, seed=seed) for seed in (1, 2, 3)]
    agent = cdq.QLearner(envs, seed=3, comm=comm, sync_every=100, **how)
    with noted(rounds):
        agent.learn(20_000)
    return agent._state.merged.digest().hex(), sum(rounds)


@pytest.mark.parametrize("how", [{}, {"merge": cdq.Personal()}], ids=["one table", "a table each"])
def test_ranks_learn_a_fleet_as_threads_do(how: dict[str, Any]) -> None:
    digest, rounds = fleet(how, "inprocess")
    assert pool.run(3, partial(fleet, how), timeout=60.0) == [(digest, rounds // 3)] * 3
    assert (rounds > 0) is (not how)  # tables of their own are merged in Python


@pytest.mark.parametrize("kind", IN_PYTHON)
def test_other_rounds_take_python_on_all_ranks(kind: str) -> None:
    *expected, _ = learnt(kind, "inprocess", workers=3)
    found = pool.run(3, partial(learnt, kind), timeout=60.0)
    assert [one[:2] for one in found] == [tuple(expected[:2])] * 3
    assert [one[3] for one in found] == [0] * 3


def watched_by_one(comm: Communicator) -> tuple[str, int]:
    """Learn where a callback of rank 0 alone sees each round."""
    seen: list[int] = []
    agent = cdq.QLearner("FrozenLake-v1", seed=3, comm=comm, sync_every=100)
    agent.learn(20_000, callbacks=[lambda run: seen.append(run.steps)] if comm.rank == 0 else [])
    return agent.table.digest(), len(seen)


def test_a_callback_that_one_rank_has_makes_all_take_python() -> None:
    threads = cdq.QLearner("FrozenLake-v1", seed=3, workers=3, sync_every=100).learn(20_000)
    found = pool.run(3, watched_by_one, timeout=60.0)
    assert [digest for digest, _ in found] == [threads.table.digest()] * 3
    assert [n for _, n in found] == [threads.history[-1].rounds, 0, 0]


def without(what: str, comm: Communicator) -> str:
    """Learn where one rank lacks what sharing needs."""
    lacking: Any = mock.patch.object(memory, what, side_effect=OSError)
    with lacking if comm.rank == CULPRIT else nullcontext():
        return cdq.QLearner("FrozenLake-v1", seed=3, comm=comm, sync_every=100).learn(5000).table.digest()


@pytest.mark.parametrize("what", ["reach", "end_of"])
def test_what_one_rank_lacks_makes_all_take_python(what: str) -> None:
    threads = cdq.QLearner("FrozenLake-v1", seed=3, workers=3, sync_every=100).learn(5000)
    assert pool.run(3, partial(without, what), timeout=60.0) == [threads.table.digest()] * 3


# ---- failures


def fails(how: str, comm: Communicator) -> tuple[Any, ...]:
    """Learn until something happens to one rank; return what this one raises, after how long, and where it is."""
    agent = cdq.QLearner("FrozenLake-v1", seed=3, comm=comm, sync_every=200)
    agent.learn(10_000)
    happened = time.monotonic() + 0.5
    timer = threading.Timer(0.5, HAPPENINGS[how], (comm,))
    if comm.rank == CULPRIT:
        timer.start()
    try:
        agent.learn(LONG)
    except (PeerLost, CommTimeout, CommClosed, KeyboardInterrupt) as error:
        named = getattr(error, "ranks", getattr(error, "missing", ()))
        late = time.monotonic() - happened
        return type(error), tuple(named), late, agent.steps, agent.table.visits.sum(), agent.table.digest()
    raise AssertionError("it learnt to the end")


HAPPENINGS: dict[str, Any] = {
    "killed": lambda comm: os.kill(os.getpid(), signal.SIGKILL),
    "interrupted": lambda comm: os.kill(os.getpid(), signal.SIGINT),
    "aborted": lambda comm: comm.abort("its cable is out"),
}


@functools.cache
def threads_after(steps: int, size: int) -> str:
    agent = cdq.QLearner("FrozenLake-v1", seed=3, workers=size, sync_every=200)
    agent.learn(10_000)
    return agent.learn(steps - agent.steps).table.digest()


@pytest.mark.parametrize("how", HAPPENINGS)
def test_a_rank_that_is_lost_is_named_in_time_and_nothing_is_counted_twice(how: str) -> None:
    results = pool.run(3, partial(fails, how), timeout=60.0)
    culprit = results.pop(CULPRIT)
    assert isinstance(culprit, EOFError) if how == "killed" else culprit[0] is not PeerLost, culprit
    for result in results:
        assert result[:2] == (PeerLost, (CULPRIT,)), result
        assert result[2] < 20.0  # the deadline is a minute
        assert result[3] == result[4] > 10_000  # all visits are those of whole rounds
    assert len({result[3:] for result in results}) <= 2  # a round that one has, another may not
    for result in results:
        assert result[5] == threads_after(int(result[3]), 3)


# ---- the meeting itself


def meet(comm: Communicator) -> tuple[Any, ...]:
    """Meet several times, and leave in order."""
    together = comm.together()
    assert together is not None
    sent = comm.bytes_sent
    stand_ins = [f"stand-in {rank}" for rank in range(comm.size)]
    brought = together.bring("own", stand_ins)
    votes = together.bring("own" if comm.rank else None, stand_ins)
    statuses = {together.barrier.wait(comm.rank, 20.0) for _ in range(1000)}
    assert comm.bytes_sent == sent
    together.leave(DONE, "nothing")
    return brought, votes[0], statuses


def test_ranks_meet_without_messages() -> None:
    for rank, (brought, first, statuses) in enumerate(pool.run(3, meet)):
        assert brought == ["own" if other == rank else f"stand-in {other}" for other in range(3)]
        assert (first, statuses) == (None, {DONE})


def wait_for_nobody(how: str, comm: Communicator) -> tuple[Any, ...]:
    """Wait for a rank that does not come; return what the barrier said, and what was raised."""
    comm.timeout = 1.0
    together = comm.together()
    assert together is not None
    if comm.rank == CULPRIT:
        if how == "late":
            time.sleep(2.0)
        else:
            HAPPENINGS[how](comm)
    status = together.barrier.wait(comm.rank, comm.timeout if how == "late" else 20.0)
    try:
        together.leave(status, "a meeting")
    except (CommTimeout, PeerLost, CommClosed) as error:
        return status, type(error), tuple(getattr(error, "missing", getattr(error, "ranks", ()))), str(error)
    raise AssertionError("it met")


def test_a_rank_that_is_late_is_named_by_all_that_waited() -> None:
    results = pool.run(3, partial(wait_for_nobody, "late"), timeout=20.0)
    culprit = results.pop(CULPRIT)
    assert culprit[:2] == (BROKEN, PeerLost)
    for result in results:
        assert result[1:3] in {(CommTimeout, (CULPRIT,)), (PeerLost, (0,)), (PeerLost, (2,))}, result
    assert any(
        "a meeting" in result[3] and "rank 1 did not come within 1 s" in result[3] for result in results
    )


@pytest.mark.parametrize("how", ["killed", "aborted"])
def test_who_waits_is_told_of_a_rank_that_is_lost(how: str) -> None:
    results = pool.run(3, partial(wait_for_nobody, how), timeout=20.0)
    results.pop(CULPRIT)
    for result in results:
        assert result[:3] == (BROKEN, PeerLost, (CULPRIT,)), result


class Own(ZmqCommunicator):
    """Merges in a way of its own."""

    def merge(self, contribution: Any, rule: Any) -> Any:
        return Communicator.merge(self, contribution, rule)


def test_who_merges_in_a_way_of_its_own_does_not_meet() -> None:
    made = Own.__new__(Own)
    Communicator.__init__(made, 0, 2)
    assert made.together() is None


def test_one_rank_is_together_with_itself() -> None:
    (result,) = pool.run(1, partial(alone))
    assert result == (["item"], DONE)


def alone(comm: Communicator) -> tuple[Any, int]:
    together = comm.together()
    assert together is not None
    together.leave(BROKEN, "nothing")
    return together.bring("item"), together.barrier.wait(0, 1.0)
