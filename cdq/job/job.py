"""The job of a hub: what its workers learn, and the task and the table of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Loop, WorkerTask
from cdq.contracts.blocks import Blocks
from cdq.core.lanes import Lanes, bytes_of_lanes
from cdq.core.table.rows import Rows
from cdq.job.messages import Shape
from cdq.job.networks.messages import NetworkShape
from cdq.job.tasks import Make, make_nothing, member_of, open_task
from cdq.merges import Personal
from cdq.qfunctions import MergedTable, PersonalTable, blocks_of_fleet
from cdq.rules import as_rule
from cdq.settings import Settings
from cdq.settings.of_networks import minibatch_of
from cdq.storage import Tensors
from cdq.training import EnvironmentTask, FleetTask, OwnTask, WideTask
from cdq.workers import Worker


@dataclass(frozen=True)
class Known:
    """Tasks that the workers of a process have made, by fingerprint and type of the table; and the way to make others.

    Attributes
    ----------
    tasks : dict
        The tasks.
    make : callable
        Makes the task of an environment that is no model of what a learner says of itself.
    """

    tasks: dict[tuple[str, str], EnvironmentTask] = field(default_factory=dict)
    make: Make = make_nothing

    def open(self, about: Mapping[str, Any], tensors: Tensors, dtype: str) -> EnvironmentTask:
        """Return the task that is described, which is made where it is not known."""
        key = str(about["model"]), dtype
        if key not in self.tasks:
            self.tasks[key] = open_task(about, tensors, dtype, self.make)
        return self.tasks[key]


def make_worker(
    problem: WorkerTask,
    merged: MergedTable,
    gamma: float,
    num_envs: int,
    lanes: Any,
    *,
    rank: int = 0,
    memory: npt.NDArray[np.uint8] | None = None,
) -> Worker:
    """Return a worker that goes on from *lanes*; the first of a run of seed 0 without them.

    *memory* is that of its table, by default its own.
    """
    return Worker(
        problem,
        merged,
        is_keeper=True,
        gamma=gamma,
        seed=0,
        rank=rank,
        session=0,
        num_envs=num_envs,
        stop=np.zeros(1, np.int32),
        lanes=lanes,
        memory=memory,
    )


class Job:
    """Task and settings of a job, the same for all workers from the first round to the last.

    Parameters
    ----------
    task : EnvironmentTask
        The task; of a fleet the worker of each number has its own.
    settings : Settings
        The settings.
    about : dict
        Description of the learner (`training.call.about`).

    Attributes
    ----------
    shape : Shape
        Sizes from which those of messages follow.
    places : int or None
        Number of workers that there may be; None: any.
    """

    def __init__(self, task: EnvironmentTask, settings: Settings, about: Mapping[str, Any]) -> None:
        self.task, self.settings, self.about = task, settings, about
        self.places = len(task.members) if isinstance(task, FleetTask) else None
        self.personal = settings.merge if isinstance(settings.merge, Personal) else None
        self.shape: Any = self._shape()

    def _shape(self) -> Shape | NetworkShape:
        task, settings = self.task, self.settings
        first, rule = member_of(task, self.about, 0)[0], settings.rule
        if settings.network is not None:
            return shape_of_network(task, settings)
        return Shape(
            first.n_rows,
            first.columns * rule.tables,
            np.dtype(settings.dtype),
            settings.num_envs * task.lanes_each,
            task.own_bytes,
            self.personal is not None,
            updates_of(first),
        )

    def known(self) -> Known:
        """Return the tasks of all workers, for workers of this process."""
        each = self.task.members if isinstance(self.task, FleetTask) else [self.task]
        return Known({(task.fingerprint(), str(self.shape.real)): task for task in each})

    def problem_of(self, uid: int) -> tuple[WorkerTask, MergedTable]:
        """Return the task of a worker, and a table for it that holds nothing."""
        task = member_of(self.task, self.about, uid)[0]
        if self.settings.network is not None:
            return task.of_worker(uid), task.own_table.copy()
        return problem_of(task, self.shape, self.settings.rule.name, uid, self.personal)

    def new_table(self) -> tuple[MergedTable, Blocks | None]:
        """Return a table of the whole job that holds nothing, and its blocks."""
        shape, rule = self.shape, self.settings.rule
        if self.settings.network is not None:
            return self.task.own_table.copy(), None
        if self.personal is None:
            columns = shape.columns // rule.tables
            return MergedTable(shape.n_states, columns, shape.real, 0.0, rule), self.task.blocks
        blocks = blocks_of_fleet(shape.n_states, shape.columns, self.places or 0)
        prior, memory = self.personal.prior, self.personal.memory
        return PersonalTable(blocks, prior, memory, shape.real, 0.0), blocks

    def table_of(self, merged: MergedTable, uid: int) -> Tensors:
        """Return values and clocks that a worker begins with: of the common table, and of its own behind it.

        Of a network the tensors that files have.
        """
        if self.settings.network is not None:
            return merged.tensors()
        found = {"values": merged.values, "clock": merged.clock}
        if self.personal is None:
            return found
        own, n = self.own_rows(uid), self.shape.n_states
        return {name: np.concatenate((array[:n], array[own])) for name, array in found.items()}

    def own_rows(self, uid: int) -> slice:
        """Return the rows that a worker has to itself."""
        n = self.shape.n_states
        return slice((1 + uid) * n, (2 + uid) * n)


def shape_of_network(task: EnvironmentTask, settings: Settings) -> NetworkShape:
    """Return the sizes of messages of a job that trains a network."""
    network, lanes = settings.network, bytes_of_lanes(settings.num_envs, task.own_bytes)
    assert network is not None
    how = network.rollout, network.epochs, minibatch_of(settings)
    return NetworkShape(task.own_table.layout.size, settings.num_envs, lanes, *how, task.own_bytes)


def updates_of(task: EnvironmentTask) -> int:
    """Return how many pairs a step updates; 0 where that varies: with features, or where agents may be absent."""
    if task.step_scale != 1.0 or task.lanes_each > 1 or task.blocks is not None:
        return 0
    return task.columns // task.n_actions if isinstance(task, WideTask) else 1


def problem_of(
    task: EnvironmentTask, shape: Shape, rule: str, rank: int, personal: Personal | None
) -> tuple[WorkerTask, MergedTable]:
    """Return the task of a worker, and a table that holds nothing, with rows of its own where it is *personal*."""
    own = task.of_worker(rank)
    if personal is None:
        known = as_rule(rule)
        merged = MergedTable(shape.n_states, shape.columns // known.tables, shape.real, 0.0, known)
        return OwnTask(shape.own_bytes, own.resumable, own.loop), merged
    blocks = blocks_of_fleet(shape.n_states, shape.columns, 1)
    beside = PersonalTable(blocks, personal.prior, personal.memory, shape.real, 0.0)

    def loop(rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        beside.keep_own(rows, 0)
        return own.loop(rows, lanes, gamma, stop)

    return OwnTask(shape.own_bytes, own.resumable, loop), beside
