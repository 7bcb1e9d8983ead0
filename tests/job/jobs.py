"""Jobs without sockets: a service and its workers, driven by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cdq
from cdq.job.job import Job
from cdq.job.journal import Journal
from cdq.job.opening import make_service, plan_of
from cdq.job.replay import Rehearsal
from cdq.job.service import LearningService, Record
from cdq.training.course import Watch, watch_nothing
from cdq.training.goals import Goal
from tests.strategies import random_model

MODEL = random_model(30, 4, seed=8, time_limit=50)
STEPS = 6_000


class Hub:
    """A service as the hub makes it, on the state of a learner that was given the same arguments."""

    def __init__(
        self,
        *,
        workers: int,
        steps: int = STEPS,
        journal: Journal | None = None,
        watch: Watch = watch_nothing,
        make: Callable[..., LearningService] = LearningService,
        **arguments: Any,
    ):
        given = {"num_envs": 3, "seed": 5, "gamma": 0.9, **arguments}
        self.learner = cdq.QLearner(given.pop("env", MODEL), comm="zmq", workers=workers, **given)
        settings, state = self.learner.settings, self.learner._state
        state.goal = Goal(state.progress.steps + steps)
        job = Job(self.learner._task, settings, self.learner._call().about)
        self.service = make_service(
            job,
            plan=plan_of(job, self.learner._rule),
            state=state,
            lanes=self.learner._team.lane_states,
            watch=watch,
            finish=self.learner._requests.finish,
            rounds=0,
            make=make,
            record=Record(journal.write if journal else None),
        )

    @property
    def digest(self) -> str:
        return self.learner.table.digest()

    def clock(self) -> bytes:
        return self.learner._state.merged.clock.tobytes()

    def play(self, members: Iterable[int], rounds: int = 10**9) -> None:
        """Let these learn until the job is done, or for some rounds."""
        rehearsal = Rehearsal(self.service)
        size = len(uids := list(members))
        while not self.service.finished and rounds > 0:
            payloads = rehearsal.learn(uids, max(self.service.least, size))
            for uid, payload in payloads.items():
                assert self.service.check(uid, payload) is None
            rehearsal.apply(payloads)
            self.service.open(max(self.service.least, size))
            rounds -= 1


def journal_in(directory: Path) -> Journal:
    return Journal(directory, durable=True)


class Playing:
    """In place of a hub: one worker, in this process."""

    def __init__(self, url: str, machine: Any = None, **_: Any) -> None:
        self.url, self.machine = url, machine

    def __enter__(self) -> Playing:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def name_of(self, key: str) -> str:
        return ""

    def run(self, stop: Any) -> None:
        service = self.machine._service
        rehearsal = Rehearsal(service)
        write, number = service._record.write, 0
        service._record = replace(service._record, write=lambda entry: write({**entry, "next": 1}))
        while not service.finished:
            number += 1
            payloads = {
                uid: one._replace(sequence=number) for uid, one in rehearsal.learn([0], service.least).items()
            }
            rehearsal.apply(payloads)
            service.open(1)
