"""Programs whose learning ends badly: ``python -m tests.mpi.failing_learners NAME URL`` on each rank of a job.

Each rank prints its process, and the culprit when it does what it does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import cdq
from cdq.comm.launchers import started_by
from cdq.merges import MergeRule

CULPRIT = 1
SHORT, LONG = 50_000, 10**12


class Failing(MergeRule):
    """Fails on one rank, in its tenth block."""

    def __init__(self, rank: int) -> None:
        self._left = 10 if rank == CULPRIT else -1

    def combine(self, base: Any, values: Any, *others: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            fail()
        return values.mean(axis=0)


def say(what: str, number: float) -> None:
    """Write a line at once: what print writes in parts may come with that of another rank between."""
    sys.stdout.write(f"{what}: {number}\n")
    sys.stdout.flush()


def learner(url: str, **changes: Any) -> cdq.QLearner:
    return cdq.QLearner("FrozenLake-v1", seed=0, comm=url, **changes)


def happens() -> None:
    """Tell when it happens, by a clock that all processes share."""
    say("event", time.time())


def fail() -> None:
    happens()
    raise ValueError("the cause")


def send_myself(number: int) -> None:
    happens()
    os.kill(os.getpid(), number)


def fails_before_it_connects(rank: int, url: str) -> None:
    if rank == CULPRIT:
        fail()
    learner(url).learn(LONG)


def fails_before_its_learner_is_made(rank: int, url: str) -> None:
    """The environment is unknown, perhaps as a package is missing on one node."""
    if rank == CULPRIT:
        happens()
        cdq.QLearner("NoSuchLake-v1", comm=url)
    learner(url).learn(LONG)


def fails_before_it_learns(rank: int, url: str) -> None:
    agent = learner(url)
    if rank == CULPRIT:
        fail()
    agent.learn(LONG)


def fails_in_a_merge(rank: int, url: str) -> None:
    learner(url, merge=Failing(rank), sync_every=1000).learn(LONG)


def fails_in_an_overlapped_merge(rank: int, url: str) -> None:
    learner(url, merge=Failing(rank), sync_every=1000, overlap=True).learn(LONG)


def fails_after_it_learnt(rank: int, url: str) -> None:
    agent = learner(url).learn(SHORT)
    if rank == CULPRIT:
        fail()
    agent.learn(LONG)


def fails_while_others_have_ended(rank: int, url: str) -> None:
    learner(url).learn(SHORT)
    if rank == CULPRIT:
        time.sleep(0.5)
        fail()


def exits(rank: int, url: str) -> None:
    agent = learner(url).learn(SHORT)
    if rank == CULPRIT:
        happens()
        sys.exit(2)
    agent.learn(LONG)


def is_killed(rank: int, url: str) -> None:
    agent = learner(url)
    if rank == CULPRIT:
        threading.Timer(0.5, send_myself, (signal.SIGKILL,)).start()
    agent.learn(LONG)


def is_stopped(rank: int, url: str) -> None:
    agent = learner(url)
    if rank == CULPRIT:
        threading.Timer(0.5, send_myself, (signal.SIGSTOP,)).start()
    agent.learn(LONG)


def is_interrupted_while_another_is_stopped(rank: int, url: str) -> None:
    agent = learner(url)
    if rank == CULPRIT:
        threading.Timer(0.5, send_myself, (signal.SIGSTOP,)).start()
    if rank == 0:
        threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    agent.learn(LONG)


def learns_once_more(rank: int, url: str) -> None:
    agent = learner(url).learn(SHORT)
    if rank == CULPRIT:
        happens()
        agent.learn(LONG)


def makes_another_learner(rank: int, url: str) -> None:
    agent = learner(url).learn(SHORT)
    if rank == CULPRIT:
        happens()
        learner(url)
    agent.learn(LONG)


def has_other_settings(rank: int, url: str) -> None:
    agent = learner(url, gamma=0.9 if rank == CULPRIT else 0.99)
    if rank == CULPRIT:
        happens()
    agent.learn(LONG)


PROGRAMS: dict[str, Callable[[int, str], None]] = {
    program.__name__: program
    for program in (
        fails_before_it_connects,
        fails_before_its_learner_is_made,
        fails_before_it_learns,
        fails_in_a_merge,
        fails_in_an_overlapped_merge,
        fails_after_it_learnt,
        fails_while_others_have_ended,
        exits,
        is_killed,
        is_stopped,
        is_interrupted_while_another_is_stopped,
        learns_once_more,
        makes_another_learner,
        has_other_settings,
    )
}


if __name__ == "__main__":
    launch = started_by()
    say("pid", os.getpid())
    PROGRAMS[sys.argv[1]](launch.rank if launch is not None else 0, sys.argv[2])
