"""Contributions that are applied when they come, to a table that went on meanwhile."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq import schedules
from cdq.errors import DivergenceError
from cdq.job.asynchronous import AsynchronousService
from cdq.job.increments import weights
from cdq.job.journal import Journal, read
from cdq.job.member import Member
from cdq.job.membership.events import Refused, Submission
from cdq.job.replay import repeat
from tests.job.jobs import MODEL, Hub, journal_in
from tests.reference.schedules import Law

LAWS: list[Any] = [
    cdq.RescaledLinear(0.9),
    cdq.Polynomial(0.7),
    cdq.Constant(0.3),
    cdq.Constant(1.0),
    cdq.LinearDecay(0.5, 0.1, 1e4),
]


class Job(Hub):
    """A hub without rounds, and workers that bring theirs in any order."""

    service: AsynchronousService

    def __init__(self, journal: Journal | None = None, staleness: int = 64, **arguments: Any) -> None:
        make = partial(AsynchronousService, staleness=staleness)
        super().__init__(journal=journal, make=make, **{"workers": 1, **arguments})
        self.members: dict[int, Member] = {}
        self.bases: dict[int, int] = {}
        self.applied: dict[int, int] = {}

    def join(self, uid: int) -> None:
        self.members[uid] = Member(self.service.job.known())
        self.members[uid].join(self.service.welcome(uid, range(len(self.members))))
        self.bases[uid] = self.service.rounds

    def bring(self, uid: int, state: int = 0) -> None:
        member, sequence = self.members[uid], self.applied.get(uid, 0) + 1
        submission = Submission(member.learn(), sequence, self.bases[uid])
        assert self.service.check(uid, submission) is None
        member.settle(self.service.single(uid, submission, lambda: {"epoch": state}))
        self.applied[uid], self.bases[uid] = sequence, self.service.rounds

    def play(self, uids: range, seed: int, steps: int = 10**9) -> None:  # type: ignore[override]
        """Let these learn in a random order; now and then one of them is lost, and begins anew."""
        chance = random.Random(seed)
        for uid in uids:
            self.join(uid)
        while not self.service.finished and self.learner.steps < steps:
            uid = chance.choice(uids)
            if chance.random() < 0.1:
                self.join(uid)
            self.bring(uid)


@pytest.mark.parametrize("law", LAWS)
def test_log_keep_is_that_of_the_kernels(law: Any) -> None:
    reference = Law(law, 500, 0.3, "float64")
    counts = [0, 1, 5, 4095, 4096, 10_000, 300_001]
    for clock in counts:
        for visits in (1, 7, 3000):
            expected = reference.log_keep(clock + visits) - reference.log_keep(clock)
            got = schedules.log_keep(law, 500, np.array([clock]), np.array([visits]))[0]
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-12), (clock, visits)


def test_weights_are_exponentials() -> None:
    x = -np.concatenate([np.linspace(0, 40, 1000), [1e-300, 700.0]])
    np.testing.assert_allclose(weights(x), np.exp(np.maximum(x, -45)), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_alone_it_is_what_the_worker_learnt(dtype: str) -> None:
    """Nobody else came in between: what is kept and added is the worker's own table, but for rounding."""
    job = Job(sync_every=60, dtype=dtype, steps=12_000)
    job.play(range(1), seed=2, steps=600)
    merged = job.learner._state.merged
    for _ in range(20):
        job.bring(0)
        own = np.asarray(job.members[0]._worker.rows.data)[
            :, : merged.values.shape[1] * merged.values.itemsize
        ]
        assert np.array_equal(own.view(merged.values.dtype), merged.values), (
            "the answer brings the worker up to date"
        )
    threads = cdq.QLearner(
        MODEL, num_envs=3, seed=5, gamma=0.9, workers=1, sync_every=60, dtype=dtype, comm="inprocess"
    )
    threads.learn(job.learner.steps)
    np.testing.assert_allclose(merged.values, threads.table.values, rtol=0.2, atol=0.1)
    assert int(merged.visits.sum()) == job.learner.steps


@pytest.mark.parametrize("window", [50, cdq.AutoWindow(floor=20)])
def test_several_learn_one_table(window: Any) -> None:
    job = Job(sync_every=window, steps=400_000)
    job.play(range(4), seed=1)
    assert 400_000 <= job.learner.steps < 401_000
    assert int(job.learner.table.visits.sum()) == job.learner.steps
    assert job.learner._gap().gap < 0.2
    if not isinstance(window, int):
        assert job.learner._state.progress.window > 100


def test_g9_what_came_in_any_order_comes_out_again(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        job = Job(sync_every=cdq.AutoWindow(floor=20), journal=journal, steps=30_000)
        job.play(range(3), seed=4)
    entries = read(tmp_path)
    assert any(entry["base"] < entry["round"] - 3 for entry in entries)
    again = Job(sync_every=cdq.AutoWindow(floor=20), steps=30_000)
    repeat(again.service, entries)
    assert (again.digest, again.learner.steps) == (job.digest, job.learner.steps)
    entries[9]["members"][0][2] ^= 1
    with pytest.raises(DivergenceError, match="round 10 comes out otherwise"):
        repeat(Job(sync_every=cdq.AutoWindow(floor=20), steps=30_000).service, entries)


def test_what_is_too_old_is_refused_and_changes_nothing() -> None:
    job = Job(sync_every=30, staleness=5)
    job.join(0)
    job.join(1)
    for _ in range(6):
        job.bring(1)
    before = job.digest
    assert job.service.status()["staleness"] == 0  # of what was taken
    with pytest.raises(Refused, match="older than the hub still takes"):
        job.bring(0)
    assert job.digest == before
    job.join(0)
    for _ in range(4):
        job.bring(1)
    job.bring(0)
    assert job.service.status()["staleness"] == 4


def test_what_cannot_be_is_refused() -> None:
    job = Job(sync_every=30)
    job.join(0)
    payload = job.members[0].learn()
    assert job.service.check(0, Submission(payload, 1, 0)) is None
    chance, accepted = random.Random(3), 0
    for _ in range(300):
        changed = bytearray(payload)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        accepted += job.service.check(0, Submission(bytes(changed), 1, 0)) is None
    assert accepted < 290, "values may be any, as far as the hub can tell"
    for wrong in (b"", payload[:-1], payload + b"x"):
        assert job.service.check(0, Submission(wrong, 1, 0)) is not None
