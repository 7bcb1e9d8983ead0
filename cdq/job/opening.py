"""Opening of a service on the state of a call: what a hub can do, and the course of its windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError
from cdq.job.job import Job
from cdq.job.networks.service import NetworkService
from cdq.job.service import NO_RECORD, LearningService, Record
from cdq.job.stretches.service import StretchService
from cdq.training import Course, Onlooker, Plan, State, Watch
from cdq.workers import Rule


def plan_of(job: Job, rule: Rule, keep_every: int = 0) -> Plan:
    """Return the plan of every worker of a job.

    Raises
    ------
    ConfigError
        If the settings want what a hub cannot do.
    """
    settings, scale = job.settings, job.task.step_scale
    if settings.overlap:
        raise ConfigError("overlap needs workers that stay: threads or MPI; leave it out with a hub")
    if settings.federation is not None or settings.per_worker is not None:
        what = "per_worker and federation name workers by rank, and members of a hub come and go"
        raise ConfigError(f"{what}; use threads, MPI or cdq launch")
    windows = settings.sync_every, settings.dtype
    return Plan(
        settings.step_size, settings.exploration, rule, *windows, keep_every=keep_every, step_scale=scale
    )


def make_service(
    job: Job,
    *,
    plan: Plan,
    state: State,
    lanes: dict[int, Any],
    watch: Watch,
    finish: npt.NDArray[np.int32],
    rounds: int,
    onlooker: Onlooker | None = None,
    make: Callable[..., LearningService] = LearningService,
    record: Record = NO_RECORD,
    least: int | None = None,
) -> LearningService:
    """Return the service that *make* makes: it merges from the state as it is until the goal is reached.

    A round is computed for *least* workers or more, by default for as many as the settings say.
    """
    if make is LearningService:
        make = StretchService if job.settings.network is None else NetworkService
    course = Course(
        plan=plan,
        progress=state.progress,
        target=state.goal.target,
        size=job.settings.workers,
        num_envs=job.shape.num_envs,
        watch=watch,
        finish=finish,
        onlooker=onlooker,
    )
    return make(
        job,
        rule=plan.rule,
        state=state,
        lanes=lanes,
        course=course,
        needs_mass=plan.needs_mass,
        least=job.settings.workers if least is None else least,
        rounds=rounds,
        record=record,
    )
