"""Jobs of a hub by other update rules than Q-learning: learnt by members, and learnt again from the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

import cdq
from cdq.errors import DivergenceError
from cdq.job.journal import read
from cdq.job.replay import repeat, replay
from tests.job.jobs import MODEL, Hub, journal_in
from tests.job.processes import processes
from tests.job.test_asynchronous import Job

every_rule = pytest.mark.parametrize("rule", ["expected-sarsa", "sarsa", "double-q"])


@every_rule
def test_a_job_is_what_threads_learn_and_comes_out_again(rule: str, tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        hub = Hub(workers=3, rule=rule, sync_every=100, journal=journal)
        hub.play(range(3))
    threads = cdq.QLearner(MODEL, rule=rule, workers=3, num_envs=3, seed=5, gamma=0.9, sync_every=100)
    assert threads.learn(6000).table.digest() == hub.digest
    again = Hub(workers=3, rule=rule, sync_every=100)
    repeat(again.service, read(tmp_path))
    assert again.digest == hub.digest
    with pytest.raises(DivergenceError, match="round 1 comes out otherwise"):
        repeat(Hub(workers=3, sync_every=100).service, read(tmp_path))


@every_rule
def test_a_job_without_rounds_comes_out_again(rule: str, tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        job = Job(sync_every=100, rule=rule, journal=journal)
        job.play(range(3), seed=4)
    again = Job(sync_every=100, rule=rule)
    repeat(again.service, read(tmp_path))
    assert (again.digest, again.learner.steps) == (job.digest, job.learner.steps)


@every_rule
def test_a_hub_s_directory_comes_out_again(rule: str, tmp_path: Path) -> None:
    with processes(tmp_path, rule=rule, workers=3, steps=60_000, sync_every=1000) as made:
        hub = made.hub()
        workers = [made.worker() for _ in range(3)]
        said, wrong = hub.communicate(timeout=60)
        assert hub.returncode == 0, wrong
        for worker in workers:
            worker.communicate(timeout=20)
    assert replay(made.directory).digest() == said.split()[0]
