"""A worker's start in a job that trains a network, and what it brings and takes over."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cdq.errors import CdqError, ConfigError
from cdq.errors.checks import whole
from cdq.job.messages import OpenWindow
from cdq.job.networks.messages import (
    NetworkShape,
    check_lanes,
    open_result,
    pack_contribution,
    take_merged,
    tensors_of,
)
from cdq.job.networks.task import NetworkJob, job_of_file
from cdq.qfunctions import Parameters
from cdq.schedules import StepSize
from cdq.storage import Tensors, pack_tensors
from cdq.training import about
from cdq.workers import NetworkContribution, Summary, Worker

_HUB = "the hub's job"


@dataclass(frozen=True)
class NetworkWelcome:
    """Start of a worker, as the hub sends it; as `cdq.job.handshake.Welcome`, of a network."""

    job: NetworkJob
    lanes: npt.NDArray[np.uint8]
    window: OpenWindow
    target: int
    asynchronous = False
    dtype = "float32"

    @property
    def shape(self) -> NetworkShape:
        """Sizes from which those of messages follow."""
        return self.job.shape

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.job.name

    @property
    def step_size(self) -> StepSize:
        """Law of the step sizes."""
        return self.job.settings.step_size

    @property
    def mass(self) -> float:
        """Pooled mass of a window, of which networks have none."""
        return self.job.settings.sync_every.mass

    def worker(self) -> Worker:
        """Return the worker, which goes on from the lanes."""
        return make_worker(self.job, lanes=self.lanes)

    def contribution(self, worker: Worker, summary: Summary, checksum: int) -> bytes:
        """Return what the worker brings."""
        own = NetworkContribution(cast(Parameters, worker.rows), averages=True)
        own.summary = summary
        return pack_contribution(own.cut(1)[0], checksum, worker.lane_state)

    def take(self, worker: Worker, payload: Any) -> OpenWindow:
        """Let the worker take over what a round has come to; return the next window. `ValueError` if it is none."""
        window, merged = open_result(payload)
        take_merged(cast(Parameters, worker.rows), merged)
        worker.commit([])
        return window


def make_worker(job: NetworkJob, *, uid: int = 0, session: int = 0, lanes: Any = None) -> Worker:
    """Return a worker that goes on from *lanes*, or begins with the streams of its number."""
    return Worker(
        job.task,
        job.merged,
        is_keeper=True,
        gamma=job.settings.gamma,
        seed=job.settings.seed,
        rank=uid,
        session=session,
        num_envs=job.settings.num_envs,
        stop=np.zeros(1, np.int32),
        lanes=lanes,
    )


def pack_network_welcome(job: NetworkJob, lanes: Any, window: OpenWindow, *, target: int) -> bytes:
    """Return all that a worker needs; the environment is one that each cdq has, made by its name."""
    told = {
        "kind": "welcome",
        **about(job.task, job.settings, job.made_of),
        "task": list(window),
        "target": target,
    }
    return pack_tensors(tensors_of(job.merged, lanes), told)


def open_network_welcome(tensors: Tensors, told: Mapping[str, Any]) -> NetworkWelcome:
    """Return the hub's message, opened.

    Raises
    ------
    ConfigError
        If a worker cannot begin with it.
    """
    try:
        job = job_of_file(_HUB, told)
        if job is None:
            raise ConfigError("it describes no network")
        job.merged.fill(tensors)
        check_lanes(tensors["lanes"], job.shape, job.task.own_bytes)
        window = OpenWindow(*told["task"])
        return NetworkWelcome(
            job, tensors["lanes"], window, whole("the target", told["target"], 0, sys.maxsize)
        )
    except (CdqError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"a worker cannot begin with what the hub sent: {error}; use the same cdq"
        ) from None
