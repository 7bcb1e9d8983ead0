"""Local workers that share memory with their hub: the same bits as threads, without a message per round."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.comm.memory import anonymous_file
from cdq.errors import PeerLost
from cdq.job.membership.events import Submission
from cdq.job.stretches import service
from cdq.job.stretches.commons import Commons, commons_bytes
from cdq.job.stretches.member import End
from cdq.training.goals import Goal
from cdq.training.interrupts import TERMINATED
from tests import runs
from tests.job.jobs import MODEL

USUAL: dict[str, Any] = {"num_envs": 3, "seed": 5, "gamma": 0.9, "workers": 3}


KINDS: dict[str, dict[str, Any]] = {
    "automatic windows": {},
    "float32": {"dtype": "float32", "merge": "mean"},
    "one worker": {"workers": 1},
    "two tables": {"rule": "double-q", "sync_every": 50},
    "expected": {"rule": "expected-sarsa", "merge": "visits"},
    "an environment by its name": {"env": "CliffWalking-v1", "num_envs": 64},
    "step sizes fall": {"step_size": cdq.ExponentialDecay(0.5, 0.1, 3000), "merge": "mean"},
    "exploration falls": {"exploration": cdq.LinearDecay(1.0, 0.1, 3000), "merge": "importance"},
}


def learnt(comm: str, steps: int = 9000, **given: Any) -> cdq.QLearner:
    how = {**USUAL, **given}
    learn = {name: how.pop(name) for name in ("callbacks", "until") if name in how}
    return cdq.QLearner(how.pop("env", MODEL), comm=comm, **how).learn(steps, **learn)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the rounds so far, each time when workers have told the hub of theirs."""
    told: list[int] = []
    close = service.StretchService.close_round

    def close_and_tell(self: Any, *given: Any) -> Any:
        answers = close(self, *given)
        told.append(self.rounds)
        return answers

    monkeypatch.setattr(service.StretchService, "close_round", close_and_tell)
    return told


@pytest.mark.parametrize("kind", KINDS)
def test_rounds_without_messages_come_to_the_bits_of_threads(kind: str, closed: list[int]) -> None:
    one, other = (learnt(comm, **KINDS[kind]) for comm in ("zmq", "inprocess"))
    assert one.table.digest() == other.table.digest()
    timeless = [name for name in one.history.to_arrays() if name != "seconds"]
    for name in timeless:
        if name != "bytes" or kind != "one worker":
            np.testing.assert_array_equal(one.history[name], other.history[name], name)
    assert closed[-1] == one.history[-1].rounds > len(closed)
    one.learn(2000), other.learn(2000)  # from where the environments are
    assert one.table.digest() == other.table.digest()


class Smallest(cdq.MergeRule):
    """A rule of one's own."""

    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        return values.min(axis=0)


def count(run: Any) -> None:
    """See a round."""


@pytest.mark.parametrize(
    "given",
    [
        {"callbacks": [count]},
        {"merge": Smallest()},
    ],
)
def test_rounds_that_somebody_sees_take_messages(given: dict[str, Any], closed: list[int]) -> None:
    one, other = (learnt(comm, sync_every=500, **given) for comm in ("zmq", "inprocess"))
    assert closed == []
    assert one.table.digest() == other.table.digest()


def test_where_there_is_no_such_memory_rounds_take_messages(
    monkeypatch: pytest.MonkeyPatch, closed: list[int]
) -> None:
    def refuse(name: str) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    one, other = (learnt(comm, sync_every=500) for comm in ("zmq", "inprocess"))
    assert closed == []
    assert one.table.digest() == other.table.digest()


def test_a_condition_ends_them_after_the_same_round(closed: list[int]) -> None:
    until = cdq.OptimalWithin(0.05)
    one, other = (learnt(comm, steps=400_000, until=until, sync_every=200) for comm in ("zmq", "inprocess"))
    assert one.steps == other.steps < 400_000
    assert one.table.digest() == other.table.digest()
    assert closed


def test_checkpoints_are_those_of_threads(tmp_path: Path, closed: list[int]) -> None:
    for comm in ("zmq", "inprocess"):
        how = {"checkpoint": tmp_path / comm, "checkpoint_every": 3000}
        learnt(comm, sync_every=100, **how)
    assert runs.differing(tmp_path / "inprocess", tmp_path / "zmq", "settings") == []
    assert len(closed) >= 3


def in_a_while(learner: cdq.QLearner, act: Any) -> Iterator[None]:
    """Do something as soon as the learner has learnt."""

    def wait_and_act() -> None:
        end = time.monotonic() + 20
        while learner.steps == 0 and time.monotonic() < end:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()


def workers() -> list[int]:
    """Return the process numbers of the workers that this process has started."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    found = []
    for pid in children:
        with contextlib.suppress(OSError):
            if b"cdq.job.join" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_a_stretch_had_learnt_when_a_worker_died_counts_nowhere(which: int) -> None:
    learner = cdq.QLearner(MODEL, comm="zmq", sync_every=60, **USUAL)
    during = contextlib.contextmanager(in_a_while)
    with (
        during(learner, lambda: os.kill(workers()[which], signal.SIGKILL)),
        pytest.raises(PeerLost, match=rf"worker {which} of 3 \(process \d+\) ended by SIGKILL"),
    ):
        learner.learn(10**12)
    steps = learner.steps
    assert int(learner.table.visits.sum()) == steps > 0
    learner.learn(6000)
    other = learnt("inprocess", sync_every=60, steps=steps).learn(6000)
    assert other.table.digest() == learner.table.digest()
    assert workers() == []


def test_a_request_to_end_is_heard_within_a_stretch(closed: list[int]) -> None:
    learner = cdq.QLearner(MODEL, comm="zmq", sync_every=60, **USUAL)
    during = contextlib.contextmanager(in_a_while)

    def finish() -> None:
        learner._requests.finish[0] = TERMINATED

    with during(learner, finish), pytest.raises(SystemExit):
        learner.learn(10**12)
    assert closed
    assert int(learner.table.visits.sum()) == learner.steps > 0
    assert learner.steps % 180 == 0


# ---- what a worker may say


def hub() -> tuple[Any, Any]:
    learner = cdq.QLearner(MODEL, comm="zmq", **USUAL)
    learner._state.goal = Goal(10_000)
    call = learner._call()
    from cdq.job.hub import service_of

    merged = learner._state.merged
    file = anonymous_file(commons_bytes(merged, 3))
    assert file is not None
    commons = Commons(file, merged, 3)
    os.close(file)
    make = service.StretchService
    return service_of(call, lambda job, **how: make(job, commons=commons, call=call, **how)), commons


def test_what_a_worker_says_of_a_stretch_is_checked() -> None:
    made, commons = hub()
    lanes = made.lanes(0)
    right = End(3, 4500, 0, 500.0, 1234, 0.5)
    commons.desks[0].records["parts"][:3] = 4
    commons.desks[0].records["steps"][:3] = 1500, 3000, 4500
    assert made.check(0, Submission(right.pack(lanes), 1, 0)) is None
    assert len(right.pack(lanes)) == made.limit(0)
    for wrong in (
        right._replace(rounds=0),
        right._replace(rounds=-(1 << 62)),
        right._replace(rounds=1 << 62),
        right._replace(rounds=1025),
        right._replace(steps=0),
        right._replace(steps=-1),
        right._replace(steps=10_000_000),
        right._replace(window=float("nan")),
        right._replace(window=0.0),
        right._replace(bytes_sent=-1),
        right._replace(began=float("inf")),
    ):
        assert made.check(0, Submission(wrong.pack(lanes), 1, 0)), wrong
    for payload in (
        b"",
        right.pack(b""),
        right.pack(lanes)[:-1],
        right.pack(lanes) + b"x",
        right.pack(bytes(len(lanes))),
    ):
        assert made.check(0, Submission(payload, 1, 0)), payload
    for parts in (-1, 1 << 40):
        commons.desks[0].records["parts"][1] = parts
        assert made.check(0, Submission(right.pack(lanes), 1, 0)), parts


def test_memory_that_is_too_short_is_refused() -> None:
    merged = cdq.QLearner(MODEL, **USUAL)._state.merged
    file = anonymous_file(commons_bytes(merged, 2))
    assert file is not None
    try:
        Commons(file, merged, 2).release()
        with pytest.raises(ValueError, match="memory of local workers"):
            Commons(file, merged, 3)
    finally:
        os.close(file)


def test_seconds_of_learning_begin_with_the_first_window() -> None:
    """Not when processes start, which takes a hundred times as long as what they learn here."""
    began = time.perf_counter()
    learner = learnt("zmq", steps=900, sync_every=100)
    elapsed, seconds = time.perf_counter() - began, learner.history["seconds"]
    assert 0 < seconds[0] < seconds[-1] < elapsed
    learner.learn(900)
    assert learner.history["seconds"][-1] > seconds[-1]
